"""Parts of a dataset: consecutive rows that one worker makes, each part in a file of its own.

A row depends on its number and the seed alone, so a part that a killed `finops generate` has left
is the part that the next one would make. A file is taken into place whole, and proves itself by the
digest in its first line.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.cluster.part_worker import Failure, describe_failure, name_worker
from finops_cli.datasets.splits import Split
from finops_cli.datasets.writer import DatasetOptions, Made, make
from finops_cli.errors import Unfinished
from finops_cli.files.safe_io import for_owner_unlinked, name_full_disk
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase

_GO_ON = "mend that, then run the same command again: it goes on with the parts that are finished"


class RowPart(Struct, frozen=True, kw_only=True):
    """The numbers of consecutive rows: from `start` up to `stop`, which is not one of them."""

    start: int
    stop: int


class RowReport(Struct, frozen=True, kw_only=True):
    """The result of a part."""

    part: RowPart
    place: str
    """The machine and the process."""
    seconds: float
    failure: Failure | None = None


class _Head(Struct, frozen=True, kw_only=True):
    """The first line of the file of a part."""

    part: RowPart
    sha256: str
    """The SHA-256 of the other lines."""
    counts: list[tuple[str, str, int]]
    """Dimension, value and rows, in the order in which they were first counted."""


_HEAD = msgspec.json.Decoder(_Head)
_PART = msgspec.json.Decoder(RowPart)
_REPORT = msgspec.json.Decoder(RowReport)
_SPLITS: dict[bytes, Split] = {b"t": "train", b"e": "eval"}
"""The first byte of a line, for each split."""
_MARKS = {split: mark for mark, split in _SPLITS.items()}


def cut_rows(rows: int, size: int) -> Iterator[RowPart]:
    """Yield the parts of so many rows, in order."""
    for start in range(0, rows, size):
        yield RowPart(start=start, stop=min(start + size, rows))


def encode_rows(part: RowPart) -> str:
    """Write a part as text, for Ray."""
    return msgspec.json.encode(part).decode()


def decode_rows_report(text: str) -> RowReport:
    """Read a report."""
    return _REPORT.decode(text)


@dataclass(frozen=True, slots=True)
class RowFiles:
    """The files of the parts of a dataset, in a folder that every machine has."""

    folder: Path

    def path(self, part: RowPart) -> Path:
        """Return the place of a part."""
        return self.folder / f"{part.start:010}.rows"

    def write(self, part: RowPart, made: Made) -> None:
        """Write a part, and take it into place. It is on the disk after this."""
        body = b"".join(_MARKS[split] + line for split, line in made.lines)
        head = _Head(
            part=part,
            sha256=hashlib.sha256(body).hexdigest(),
            counts=[(name, value, count) for (name, value), count in made.counts.items()],
        )
        path = self.path(part)
        new = path.with_name(f".{path.name}.{secrets.token_hex(16)}")
        with name_full_disk(path), open(new, "xb", opener=for_owner_unlinked) as file:
            file.write(msgspec.json.encode(head) + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)  # another attempt has written the same bytes

    def read(self, part: RowPart) -> Made | None:
        """Read a part; None where it is missing, torn, or not what a worker wrote."""
        try:
            first, _, body = self.path(part).read_bytes().partition(b"\n")
            head = _HEAD.decode(first)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        if head.part != part or hashlib.sha256(body).hexdigest() != head.sha256:
            return None
        lines = [(_SPLITS[line[:1]], line[1:]) for line in BytesIO(body)]
        return Made(lines, Counter({(name, value): n for name, value, n in head.counts}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSetup:
    """Everything that a worker needs to make rows. Paths are absolute."""

    order: DatasetOptions
    files: RowFiles
    has_bundled_rules: bool
    """The rules are those that ship with the finops of each machine."""
    kb_sha256: str

    def open(self) -> tuple[DatasetOptions, KnowledgeBase]:
        """Load the rules. Raises Unfinished where they differ from those of the driver."""
        kb_dir = bundled_kb_dir() if self.has_bundled_rules else self.order.kb_dir
        kb = load_kb(kb_dir)
        if kb.sha256 != self.kb_sha256:
            raise Unfinished(
                f"{kb_dir}: the rules differ from those of the machine that started the command",
                "give every machine the same rules and the same version of finops",
            )
        return replace_fields(self.order, kb_dir=kb_dir), kb


class RowWorker:
    """Makes parts. The rules are loaded with the first one."""

    def __init__(self, setup: RowSetup) -> None:
        self._setup = setup
        self._opened: tuple[DatasetOptions, KnowledgeBase] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Make the parts of a batch of Ray Data, and report each. Nothing is raised."""
        reports = [self._make(_PART.decode(str(text))) for text in batch["part"]]
        return {"report": [msgspec.json.encode(report).decode() for report in reports]}

    def _make(self, part: RowPart) -> RowReport:
        files, started, failure = self._setup.files, monotonic(), None
        try:
            if files.read(part) is None:
                self._opened = self._opened or self._setup.open()
                order, kb = self._opened
                files.write(part, make(order, range(part.start, part.stop), kb))
        except Exception as error:  # noqa: BLE001 - any fault ends the command with its place
            failure = describe_failure(error, files.folder, _GO_ON)
        return RowReport(
            part=part, place=name_worker(), seconds=monotonic() - started, failure=failure
        )
