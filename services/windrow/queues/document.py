"""YAML with line numbers: each QueueWorker of a file as plain data, beside the line of every key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from windrow.queues.source import Source, SpecError


@dataclass(frozen=True)
class Document:
    """One object of a file: its data as YAML gives it, and where each of its keys stands."""

    data: Any
    source: Source


def read_documents(text: str, file: str) -> list[Document]:
    """The objects of a YAML file: its documents, with each `kind: List` opened; raises SpecError."""
    return list(_documents(text, file))


def _documents(text: str, file: str) -> Iterator[Document]:
    try:
        loader = yaml.SafeLoader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                if node is None:  # check_node said otherwise; the types can't
                    break
                lines: dict[str, int] = {}
                _note_lines(node, "", lines, file, ())
                yield from _opened(loader.construct_document(node), Source(file, node.start_mark.line + 1, lines))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        last = len(text.splitlines())  # what is missing at the end is said at the last line, not after it
        raise SpecError(f"must be YAML ({what})", file, min(mark.line + 1, last) if mark else 1) from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"must be YAML ({' '.join(str(error).split())})", file, 1) from error


def _opened(data: Any, source: Source) -> Iterator[Document]:
    if data is None:  # an empty document, such as the one after a last '---'
        return
    if not isinstance(data, dict) or data.get("kind") != "List":
        yield Document(data, source)
        return
    items = data.get("items")
    if not isinstance(items, list):
        raise SpecError("items must be a list of QueueWorkers", source.file, source.line_of("items"))
    for number, item in enumerate(items):
        prefix = f"items.{number}"
        lines = {path[len(prefix) + 1 :]: line for path, line in source.lines.items() if path.startswith(prefix + ".")}
        yield Document(item, Source(source.file, source.line_of(prefix), lines))


def _note_lines(node: Any, path: str, lines: dict[str, int], file: str, above: tuple[Any, ...]) -> None:
    """Write down the line of every key and list item below a node; a key given twice is refused (YAML keeps the last)."""
    if node in above:
        raise SpecError("must not hold itself", file, node.start_mark.line + 1)
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name == "<<":
                for part in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                    _note_lines(part, path, lines, file, above)
                continue
            if name in seen:
                raise SpecError(f"{_join(path, name)} must be given once, not again", file, line)
            seen.add(name)
            lines[_join(path, name)] = line
            _note_lines(value, _join(path, name), lines, file, above)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[_join(path, str(number))] = item.start_mark.line + 1
            _note_lines(item, _join(path, str(number)), lines, file, above)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
