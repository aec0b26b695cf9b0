"""The input of a run whose lines are records that an importer makes of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from finops_cli.domain.finding import Damage
from finops_cli.files.jsonl import Batches, InputLine, group
from finops_cli.importers.stream import FileRead, Item, TableNotes
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import InputDigest, PlainSource, default_fail_id, require_path


class _Origin(msgspec.Struct):
    line: int


class _Reference(msgspec.Struct):
    """The name of a record: its own, else its row."""

    origin: _Origin
    fail_id: str | None = None


_REFERENCE = msgspec.json.Decoder(_Reference)


@dataclass(slots=True, kw_only=True)
class RecordSource(PlainSource):
    """Records of a file with columns, in order; a damaged row is a Damage in its place."""

    path: Path | None
    """None: stdin."""
    kind: str
    """The kind of the file in the note of a run: csv or xlsx."""
    open_items: Callable[[], Iterator[Item]]
    """Read the file from its beginning. A pipe can be read once."""
    mapping: str
    """The mapping in a fixed form: equal mappings are equal texts."""
    mapping_files: tuple[Path, ...] = ()
    joined_files: tuple[Path, ...] = ()
    """Files whose facts are joined to the records."""
    described: str = ""
    """The file and its kind in a message, without the number of rows."""
    file_notes: tuple[str, ...] = ()
    """Facts that a reader of the file does not see, such as hidden rows."""
    notes: list[str] = field(default_factory=list)
    """Rows and cells that were left out, repaired or assumed; complete after the last row."""
    rows: int = 0
    """The rows below the header; complete after the last row."""

    @property
    def length(self) -> None:
        """Not known: the ends of the batches count the bytes of records, not of the file."""
        return

    @property
    def other_files(self) -> tuple[Path, ...]:
        """The mapping and the joined files."""
        return self.mapping_files + self.joined_files

    @property
    def has_rows(self) -> bool:
        """Return true: a record names its row in the file."""
        return True

    def report(self) -> list[str]:
        """Describe the file and what became of its rows, after the last row."""
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return [f"{self.described}, {rows}", *self.file_notes, *self.notes]

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the records after the first `skip`. Raises UsageError if the file is unusable."""
        lines = ((line, len(line) if isinstance(line, bytes) else 1) for line in self.lines())
        return group(lines, skip, at_most)

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield a line for each row that the mapping does not skip."""
        notes: list[str] = []
        for item in self.open_items():
            if isinstance(item, bytes):
                yield _name(item)
            elif isinstance(item, Damage):
                yield item
            elif isinstance(item, TableNotes):
                notes += item.notes
            elif isinstance(item, FileRead):
                self.rows = item.rows
        self.notes = notes

    def digest(self) -> InputDigest:
        """Describe the file, the mapping and the joined files, for `--resume`."""
        length, sha256 = resume.digest(require_path(self))
        joined = None
        if self.joined_files:
            parts = [resume.digest(path)[1] for path in self.joined_files]
            joined = hashlib.sha256(" ".join(parts).encode()).hexdigest()
        mapping = hashlib.sha256(self.mapping.encode()).hexdigest()
        return InputDigest(length, sha256, self.kind, mapping, joined)


def _name(record: bytes) -> bytes:
    """Name a record without a name by its row in the file, as messages do."""
    found = _REFERENCE.decode(record)
    if found.fail_id is not None:
        return record
    return b'{"fail_id":"%s",' % default_fail_id(found.origin.line).encode() + record[1:]
