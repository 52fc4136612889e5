"""Where a spec was written, and the error that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windrow.queues.model import QueueWorker


@dataclass(frozen=True)
class Source:
    """The file a spec stands in, and the line of each of its keys, by dotted path (`spec.timeLimits.soft`)."""

    file: str
    line: int
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)

    def line_of(self, path: str) -> int:
        """The line of a key; of the nearest key around it when it was left out."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path.rpartition(".")[0]
        return self.line


class SpecError(ValueError):
    """`{file}:{line}: {key} must …, not …`: a QueueWorker can't work as written; correct that line."""

    def __init__(self, sentence: str, file: str = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{place}{sentence}")
        self.sentence = sentence
        self.file = file
        self.line = line

    @classmethod
    def at(cls, spec: QueueWorker, path: str, sentence: str) -> SpecError:
        """The error at one key of a spec that was read from a file (`spec.app`); names the QueueWorker when there is no file.

        Give the whole sentence: `spec.app must be importable, not 'shop.celery:app' (No module named 'shop')`.
        """
        if spec.source is None:
            return cls(f"QueueWorker {spec.name}: {sentence}")
        return cls(sentence, spec.source.file, spec.source.line_of(path))
