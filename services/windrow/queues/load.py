"""`windrow.yaml` read and checked: every QueueWorker in it, or one sentence with file and line."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from pydantic import ValidationError

from windrow.queues.document import Document, read_documents
from windrow.queues.model import QueueWorker
from windrow.queues.sentences import first_fault
from windrow.queues.source import SpecError


def load_specs(path: str | PathLike[str]) -> list[QueueWorker]:
    """The QueueWorkers of a file, in its order; raises SpecError with one sentence, `file:line: … must …`.

    Names and queues are unique in the file. The apps are not imported: whoever runs them does, and raises `SpecError.at`.
    """
    file = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"must be a file that can be read ({error.strerror})", file) from error
    except UnicodeDecodeError as error:
        raise SpecError(f"must be UTF-8 text ({error.reason} at byte {error.start})", file) from error
    return parse_specs(text, file)


def parse_specs(text: str, file: str = "windrow.yaml") -> list[QueueWorker]:
    """As `load_specs`, for text that is already at hand; `file` is what errors call it."""
    specs = [_checked(document) for document in read_documents(text, file)]
    if not specs:
        raise SpecError("must hold at least one QueueWorker, not nothing", file, 1)
    _refuse_twins(specs)
    return specs


def _checked(document: Document) -> QueueWorker:
    try:
        return QueueWorker.model_validate(document.data).written_in(document.source)
    except ValidationError as error:
        path, sentence = first_fault(error, document.source)
        raise SpecError(sentence, document.source.file, document.source.line_of(path)) from error


def _refuse_twins(specs: list[QueueWorker]) -> None:
    names: dict[str, QueueWorker] = {}
    queues: dict[str, QueueWorker] = {}
    for spec in specs:
        twin = names.setdefault(spec.name, spec)
        if twin is not spec:
            place = f"line {twin.source.line_of('metadata.name')}" if twin.source else "another QueueWorker"
            raise SpecError.at(
                spec, "metadata.name", f"metadata.name must be unlike every other's, not {spec.name!r} as on {place}"
            )
        twin = queues.setdefault(spec.spec.queue, spec)
        if twin is not spec:
            path = "spec.queue" if spec.source and "spec.queue" in spec.source.lines else "metadata.name"
            raise SpecError.at(
                spec,
                path,
                f"spec.queue must be served by one QueueWorker, not {spec.spec.queue!r} by {twin.name!r} and {spec.name!r}",
            )
