"""The legs of a desk's own view, from its fail records (kb: `net.from_fails`)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain.fail import FailRecord, Ftr
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.importers.row_files import RowFaults
from finops_cli.net.legs import Leg
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.parse import parse_fail_line
from finops_cli.rules.classification import category, is_offset
from finops_cli.rules.deadlines import has_delivery_obligation
from finops_cli.verify.schemas import unusable

CNS = "CNS"


class OwnLegs(NamedTuple):
    """The legs, and the fails that give none, by reason."""

    legs: list[Leg]
    left_out: Counter[str]


class _Receives(NamedTuple):
    """The receives that a record carries, and the line that has them."""

    line: int
    ftrs: tuple[Ftr, ...]


def read_own_legs(path: Path, name: str | None, own: str, inputs: InputPolicy) -> OwnLegs:
    """Make a leg of each fail, and of each fail to receive that the records of a CUSIP carry.

    `name` is the name of the file in messages. Raises UsageError that lists every fault.
    """
    reader = _Reader(own)
    faults = RowFaults(Path(name) if name else path)
    with path.open("rb") as file:
        for number, (line, _) in enumerate(lines_of(file), start=1):
            if line.strip():
                parsed = parse_fail_line(line, inputs)
                problems = parsed.problems
                if parsed.value is not None:
                    problems = reader.take(parsed.value, number)
                faults.add(number, problems)
    faults.refuse()
    legs = reader.finish()
    if not legs:
        raise UsageError(
            f"{name or path} has no fails that give a leg", "give a file of open fails"
        )
    return OwnLegs(legs, reader.left_out)


class _Reader:
    """The fails so far, as legs."""

    def __init__(self, own: str) -> None:
        self.left_out: Counter[str] = Counter()
        self._own = own
        self._legs: dict[str, Leg] = {}
        self._lines: dict[str, int] = {}
        self._receives: dict[str, _Receives] = {}
        self._known: Counter[tuple[str, str, int]] = Counter()
        """The receives that have a line of their own, by CUSIP, counterparty and quantity."""

    def take(self, record: FailRecord, line: int) -> list[Problem]:
        """Add the leg of a record; returns the problems of one that cannot be used."""
        id = record.fail_id or f"line-{line}"
        first = self._lines.setdefault(id, line)
        if first != line:
            accepted = f"one line for it; line {first} has it"
            return [unusable("net.from_fails", "fail_id", id, accepted)]
        problems = self._take_receives(record, line)
        reason = _find_reason(record)
        if reason is not None:
            self.left_out[reason] += 1
            return problems
        other = record.counterparty if record.cns_direction == "N_A" else CNS
        if has_delivery_obligation(record):
            giver, taker = self._own, other
        else:
            giver, taker = other, self._own
            self._known[record.cusip, record.counterparty, record.qty] += 1
        self._legs[id] = Leg(id, giver, taker, record.cusip, record.qty)
        return problems

    def finish(self) -> list[Leg]:
        """Add the receives that no line of their own has."""
        for cusip, receives in self._receives.items():
            seen: Counter[str] = Counter()
            for ftr in sorted(receives.ftrs, key=lambda each: (each.dtc, -each.qty)):
                if self._known[cusip, ftr.dtc, ftr.qty]:
                    self._known[cusip, ftr.dtc, ftr.qty] -= 1
                    continue
                seen[ftr.dtc] += 1
                id = f"{cusip}/{ftr.dtc}"
                while id in self._legs:
                    id = f"{cusip}/{ftr.dtc}#{seen[ftr.dtc]}"
                    seen[ftr.dtc] += 1
                self._legs[id] = Leg(id, ftr.dtc, self._own, cusip, ftr.qty)
        return list(self._legs.values())

    def _take_receives(self, record: FailRecord, line: int) -> list[Problem]:
        """Keep the receives of a CUSIP once; records that carry them must agree."""
        if not record.ftrs:
            return []
        first = self._receives.setdefault(record.cusip, _Receives(line, record.ftrs))
        given, known = (
            Counter((ftr.dtc, ftr.qty) for ftr in each) for each in (record.ftrs, first.ftrs)
        )
        if given == known:
            return []
        shown = ", ".join(f"{dtc} {qty}" for dtc, qty in sorted(given.elements())[:5])
        accepted = f"the receives of {record.cusip} that line {first.line} has; correct one of them"
        return [unusable("net.from_fails", "ftrs", shown, accepted)]


def _find_reason(record: FailRecord) -> str | None:
    """Return why a fail gives no leg; None for one that gives a leg."""
    if is_offset(record):
        return "netted at CNS already"
    kind = category(record)
    if kind == "DK_DISPUTE":
        return "disputed"
    return "under a corporate action" if kind == "CA_EVENT" else None
