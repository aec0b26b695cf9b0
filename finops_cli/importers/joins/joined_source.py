"""The input of a run with facts of other files, and with the receives of the same file."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from finops_cli.domain import exact_json
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.finding import Damage
from finops_cli.errors import Unfinished
from finops_cli.files.jsonl import Batches, InputLine
from finops_cli.importers.joins.receives import ReceivesIndex
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import InputDigest, InputSource, Wrapped, default_fail_id
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.parse import decode, fail_id_of, parse_fail, parse_fail_line

if TYPE_CHECKING:
    from finops_cli.importers.joins.record_join import RecordJoin


class _Glance(msgspec.Struct):
    """The fields that decide early about a record, before all of it is read."""

    cusip: str | None = None
    side: str | None = None
    cns_direction: str | None = None


_TEXT = b'"text"'
"""Stands in a record in its text form, which has no receives of its own."""
_GLANCE = msgspec.json.Decoder(_Glance)


@dataclass(slots=True, kw_only=True)
class JoinedSource(Wrapped):
    """The lines of `inner`, each with the facts that it lacks.

    `join` is None where the records of `inner` were joined as they were made. `receives` is None
    where the input cannot be read twice, or where the receives are to stay apart.
    """

    inner: InputSource
    inputs: InputPolicy
    join: RecordJoin | None = None
    counted: RecordJoin | None = None
    """The join whose counts are reported, wherever it is done."""
    receives: ReceivesIndex | None = None
    joined_files: tuple[Path, ...] = ()
    notes: list[str] = field(default_factory=list)
    """Further sentences for stderr, beside the counts."""
    _is_indexed: bool = False

    @property
    def other_files(self) -> tuple[Path, ...]:
        """The files of the inner source, and the joined ones."""
        return (*self.inner.other_files, *self.joined_files)

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the lines after the first `skip`, with their facts."""
        self.begin()
        found = self.inner.batches(skip, at_most)
        if self.changes_lines():
            found.transform = self.complete
        return found

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield every line, with its facts."""
        self.begin()
        for number, line in enumerate(self.inner.lines(), start=1):
            yield self.complete(number, line)

    def digest(self) -> InputDigest:
        """Describe the content, with the joined files and whether receives are joined."""
        parts = [resume.digest(path)[1] for path in self.joined_files]
        parts.append("receives" if self.receives is not None else "")
        inner = self.inner.digest()
        joined = hashlib.sha256(" ".join([inner.joined or "", *parts]).encode()).hexdigest()
        return inner._replace(joined=joined)

    def changes_lines(self) -> bool:
        """Return true where a line may get facts of other lines or files. It may read the file."""
        self._index_receives()
        return self.join is not None or (self.receives is not None and self.receives.has_any)

    def share_stock(self, is_shared: bool) -> None:
        """Give the records no stock of the inventory file, where all fails of a CUSIP share it."""
        if self.counted is not None:
            self.counted.is_shared = is_shared

    def report(self) -> list[str]:
        """Say what became of the lines, once they were read."""
        return [*self.inner.report(), *self.report_joins()]

    def report_joins(self) -> list[str]:
        """Say which facts were joined, once the lines were read."""
        found = [*self.notes]
        if self.counted is not None:
            found += self.counted.report()
        if self.receives is not None and self.receives.joined:
            found.append(
                f"receives of the file: {self.receives.joined:,}; deliveries in the same CUSIP that"
                f" got them as sources or related fails: {self.receives.deliveries:,}"
            )
        return found

    def begin(self) -> None:
        """Index the receives, and count from zero: a guard reads all lines before the run."""
        self._index_receives()
        if self.counted is not None:
            self.counted.counts.clear()
        if self.receives is not None:
            self.receives.begin()

    def _index_receives(self) -> None:
        """Index the receives that a delivery could get. It reads the whole input, once or twice.

        A receive is parsed only if the first look finds a delivery with the same CUSIP.
        """
        if self.receives is None or self._is_indexed:
            return
        self._is_indexed = True
        shared = self._find_shared() if self.join is None else None
        if shared is not None and not shared:
            return
        with suppress(Unfinished):  # the run ends there too, after its answers
            for number, line in enumerate(self.inner.lines(), start=1):
                self._index_line(line, number, self.receives, shared)

    def _find_shared(self) -> set[str]:
        """Find the CUSIPs of both a receive and a delivery, by the first look at each record."""
        received: set[str] = set()
        delivered: set[str] = set()
        with suppress(Unfinished):
            for line in self.inner.lines():
                glance = None if isinstance(line, Damage) else self._look_at(line)
                if glance is None or glance.cusip is None:
                    continue
                if not _owes(glance):
                    received.add(glance.cusip)
                if not _is_receive(glance.side, glance.cns_direction):
                    delivered.add(glance.cusip)
        return received & delivered

    def _index_line(
        self, line: InputLine, number: int, receives: ReceivesIndex, shared: set[str] | None
    ) -> None:
        """Index a line that is a receive; `shared` None: of any CUSIP."""
        if isinstance(line, Damage):
            return
        glance = self._look_at(line)
        if glance is not None and _owes(glance):
            return
        if shared is not None and (glance is None or glance.cusip not in shared):
            return
        if self.join is None and _TEXT not in line:
            fail = parse_fail_line(line, self.inputs).value
            if fail is not None:
                receives.add(fail, fail.fail_id or default_fail_id(number))
            return
        given = self._read(line)
        if given is None or (self.join is not None and self.join.apply(given)):
            return  # the run reports it
        fail = parse_fail(given, self.inputs).value
        if fail is not None:
            receives.add(fail, fail.fail_id or default_fail_id(number))

    def _look_at(self, line: bytes) -> _Glance | None:
        """Take a first look at a record. Returns None for a line that does not hold a record.

        The quick decoder fails where a name is given twice, first with a value of another type.
        """
        glance = _glance(line)
        if glance is not None:
            return glance
        fail = parse_fail_line(line, self.inputs).value
        return None if fail is None else _Glance(fail.cusip, fail.side, fail.cns_direction)

    def complete(self, number: int, line: InputLine) -> InputLine:
        """Return a line with the facts that it lacks, or why it cannot be used."""
        if isinstance(line, Damage):
            return line
        must_join = self.join is not None
        may_receive = self.receives is not None and self.receives.has_any
        if not must_join and not (may_receive and self._could_receive(line)):
            return line
        given = self._read(line)
        if given is None:
            return line  # the parser reports it
        if self.join is not None:
            problems = self.join.apply(given)
            if problems:
                name = str(self.path or "stdin")
                return Damage(name, number, tuple(problems), fail_id_of(given))
        if self.receives is not None and may_receive:
            must_join |= self._add_receives(given, self.receives)
        return exact_json.encode(given) if must_join else line

    def _could_receive(self, line: bytes) -> bool:
        """Return true unless the first look shows that the file has no receive for the line."""
        glance = _glance(line)
        if glance is None or self.receives is None or not self.receives.has(glance.cusip):
            return False
        return not _is_receive(glance.side, glance.cns_direction)

    def _add_receives(self, given: dict[str, Any], receives: ReceivesIndex) -> bool:
        if not receives.has(given.get("cusip")):
            return False
        if _is_receive(given.get("side"), given.get("cns_direction")):
            return False
        fail = parse_fail(dict(given), self.inputs).value
        return fail is not None and receives.add_to(given, fail)

    @staticmethod
    def _read(line: bytes) -> dict[str, Any] | None:
        """Decode a record; None for another line, and for a record in its text form."""
        given = decode(line)
        return given if isinstance(given, dict) and "text" not in given else None


def _owes(glance: _Glance) -> bool:
    """Return true where the first look shows that a record is a delivery, and no receive."""
    return glance.side == "Sell" or glance.cns_direction == "FTD"


def _is_receive(side: object, direction: object) -> bool:
    """Return true where these facts alone show that nothing is owed (kb: `regsho.obligation`)."""
    return side == "Buy" and direction in ("FTR", "N_A")


def _glance(line: bytes) -> _Glance | None:
    try:
        return _GLANCE.decode(line)
    except UNREADABLE:
        return None  # another check reports it
