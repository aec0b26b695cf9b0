"""Check the plan of a whole book and its certificate, without the planner (book, section 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from finops_cli.book.allocation.fill import Part, Parts
from finops_cli.book.allocation.levels import NAMES
from finops_cli.book.allocation.plan import PoolPlan
from finops_cli.book.certificates import BookTotal, PoolCertificate, TotalLine
from finops_cli.book.parts import FailPlan, explain_uncovered, make_parts
from finops_cli.book.planning import cap_pool, put_parts
from finops_cli.book.proof.certificate_check import check_certificate
from finops_cli.book.sent import SentPlan
from finops_cli.book.settle import BookInput, Settled, settle
from finops_cli.checking.verdicts import Verdict, finding_of
from finops_cli.clock.facts import AsOf
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import exact_json
from finops_cli.domain.allotment import AllottedShares, BookPlace
from finops_cli.domain.finding import Finding, Problem
from finops_cli.files.jsonl import BATCH_LINES, lines_of
from finops_cli.files.line_files import reading_lines
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.pipeline.clock import ClockConfig, ClockMode
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.parse import decode
from finops_cli.pipeline.pipeline import Pipeline

_CONFLICT = b"book.snapshot_conflict"


class _Stated(msgspec.Struct, frozen=True):
    """The facts about the book in an output line."""

    fail_id: str
    status: str = ""
    allotment: tuple[AllottedShares, ...] | None = None
    book: BookPlace | None = None


class _Proved(NamedTuple):
    """A line of the certificate."""

    number: int
    certificate: PoolCertificate


class _Files:
    """The output lines by name, and the certificate by security, on disk."""

    def __init__(self, outputs: Path, certificate: Path) -> None:
        self.table = TemporaryTable(
            "CREATE TABLE outputs (name TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID",
            "CREATE TABLE proofs (cusip TEXT PRIMARY KEY, line INTEGER, body BLOB) WITHOUT ROWID",
        )
        self.prefers_file = False
        self.faults: list[tuple[int, Finding]] = []
        self.total: tuple[int, BookTotal] | None = None
        self.lines = 0
        with reading_lines(outputs) as file:
            for line, _ in lines_of(file):
                self._take_output(line)
        with certificate.open("rb") as file:
            for number, (line, _) in enumerate(lines_of(file), start=1):
                self.lines = number
                self._take_proof(number, line)

    def output(self, name: str) -> _Stated | None:
        """Return what the output line of a fail says; None for a fail without a line."""
        rows = self.table.select("SELECT body FROM outputs WHERE name = ?", (name,))
        return msgspec.json.decode(rows[0][0], type=_Stated) if rows else None

    def take_proof(self, cusip: str) -> _Proved | None:
        """Return the proof of a security; None for one without a line."""
        rows = self.table.select("SELECT line, body FROM proofs WHERE cusip = ?", (cusip,))
        if not rows:
            return None
        number, body = rows[0]
        return _Proved(number, msgspec.json.decode(body, type=PoolCertificate))

    def _take_output(self, line: bytes) -> None:
        given = decode(line)
        if not isinstance(given, dict):
            return  # the check of the lines reports it
        is_rejected = given.get("status") == "rejected"
        self.prefers_file |= _CONFLICT in line and not is_rejected
        try:
            stated = msgspec.convert(given, _Stated)
        except msgspec.ValidationError:
            return
        row = stated.fail_id, msgspec.json.encode(stated)
        self.table.insert("INSERT OR IGNORE INTO outputs VALUES (?, ?)", row)

    def _take_proof(self, number: int, line: bytes) -> None:
        given = decode(line)
        if isinstance(given, Problem):
            self.faults.append((number, finding_of(given)))
            return
        try:
            if isinstance(given, dict) and "total" in given:
                self.total = number, msgspec.convert(given, TotalLine).total
                return
            made = msgspec.convert(given, PoolCertificate)
        except msgspec.ValidationError as error:
            self.faults.append((number, _finding("schema.shape", "", "a proof", str(error))))
            return
        row = made.cusip, number, msgspec.json.encode(made)
        if not self.table.insert("INSERT OR IGNORE INTO proofs VALUES (?, ?, ?)", row):
            fault = _finding("book.not_optimal", "/cusip", "one line", f"a second of {made.cusip}")
            self.faults.append((number, fault))


class _ClockFacts(msgspec.Struct, frozen=True):
    mode: ClockMode
    as_of: str
    as_of_source: str


class _Provenance(msgspec.Struct, frozen=True):
    clock: _ClockFacts | None = None


class _ClockLine(msgspec.Struct, frozen=True):
    provenance: _Provenance


def read_clock(outputs: Path, given: ClockConfig) -> ClockConfig:
    """Return the clock that the lines were made with: its mode, and its moment if none is given."""
    with reading_lines(outputs) as file:
        for line, _ in lines_of(file):
            with suppress(msgspec.MsgspecError):
                stated = msgspec.json.decode(line, type=_ClockLine).provenance.clock
                if stated is None:
                    continue
                moment = given.as_of
                if moment is None and stated.as_of_source != "record":
                    moment = AsOf(moment=parse_moment(stated.as_of), source="option")
                return replace(given, mode=stated.mode, as_of=moment)
    return given


def check_book(
    outputs: Path, certificate: Path, given: BookInput, source: InputSource, pipeline: Pipeline
) -> Iterator[Verdict]:
    """Check the output lines of a book and the lines of its certificate against its input.

    `given` has the index of the fails and the inventory. Yields a verdict for each line of the
    certificate, in the order of the securities, then one for each output line whose plan is not
    that of its part.
    """
    files = _Files(outputs, certificate)
    sent = SentPlan(outputs)
    try:
        inside = replace(
            given,
            sent=sent,
            prefers_file=files.prefers_file,
            needs_price=files.total is not None and files.total[1].borrow_budget is not None,
        )
        yield from _check(files, inside)
        yield from _check_plans(outputs, inside, source, pipeline)
    finally:
        sent.close()
        files.table.close()


def _check(files: _Files, given: BookInput) -> Iterator[Verdict]:
    for number, fault in files.faults:
        yield Verdict(number, ok=False, findings=[fault])
    sums = _Sums()
    for cusip, fails in given.index.stream_pools():
        settled = settle(cusip, given, fails)
        proved = files.take_proof(cusip)
        if settled is None:
            if proved is not None:
                fault = _finding("book.not_optimal", "/cusip", "no line: no fail draws", cusip)
                yield Verdict(proved.number, ok=False, findings=[fault], cusip=cusip)
            continue
        sums.seen.add(cusip)
        if proved is None:
            fault = _finding("book.not_optimal", "", f"a line for {cusip}", None)
            yield Verdict(files.lines + 1, ok=False, findings=[fault], cusip=cusip)
            continue
        found = _check_pool(settled, proved.certificate, files, given)
        sums.add(settled, proved.certificate)
        yield Verdict(proved.number, ok=not found, findings=found, cusip=cusip)
    yield from _check_extra(files, sums)
    yield _check_total(files, sums, given)


def _check_pool(
    settled: Settled, certificate: PoolCertificate, files: _Files, given: BookInput
) -> list[Finding]:
    pool, cap = settled.free, certificate.borrow_cap
    if cap is not None:
        pool = cap_pool(pool, cap)
    places = {source.key: place for place, source in enumerate(pool.sources)}
    parts: Parts = []
    stated: list[_Stated | None] = []
    found: list[Finding] = []
    for fail in pool.fails:
        name = settled.drawing[fail.fail_id].output_name
        line = files.output(name)
        stated.append(line)
        if line is None or line.allotment is None:
            found.append(_finding("book.not_optimal", f"/{name}/allotment", "an allotment", None))
        mine = []
        for each in () if line is None else line.allotment or ():
            place = places.get((each.kind, each.id))
            if place is None:
                path = f"/{name}/{each.kind}/{each.id}"
                found.append(_finding("book.cannot_serve", path, "a source", each.qty))
            elif not each.firm:
                mine.append(Part(place, each.qty, each.late, each.beside_borrow))
        parts.append(mine)
    if found:
        return found
    found = check_certificate(pool, parts, certificate, given.kb.book, settled.facts.pending)
    plan = PoolPlan(parts)
    planned = explain_uncovered(make_parts(settled, plan), pool, plan)
    put_parts(planned, settled, given)
    return found or _compare_lines(planned, stated)


def _compare_lines(planned: list[FailPlan], stated: list[_Stated | None]) -> list[Finding]:
    """Compare the allotment and the place of each line with those that its parts give."""
    found = []
    for made, line in zip(planned, stated, strict=True):
        if line is None or line.book is None or made.part.place is None:
            found.append(
                _finding("book.not_optimal", f"/{made.fail.fail_id}/book", "a place", None)
            )
            continue
        place = msgspec.structs.replace(
            made.part.place, change=line.book.change, findings=line.book.findings
        )
        for name, right, given in (
            ("allotment", made.part.allotment, line.allotment),
            ("book", place, line.book),
        ):
            if right != given:
                path = f"/{line.fail_id}/{name}"
                found.append(_finding("book.not_optimal", path, right, given))
    return found


def _check_plans(
    outputs: Path, given: BookInput, source: InputSource, pipeline: Pipeline
) -> Iterator[Verdict]:
    """Plan each fail with its part again, and compare the plan with its line."""
    with reading_lines(outputs) as file:
        lines = (line for line, _ in lines_of(file))
        for batch in source.batches(0, BATCH_LINES):
            parts = given.index.attach(batch.first, len(batch.lines))
            for number, one, part in zip(count(batch.first), batch.lines, parts, strict=False):
                line = next(lines, None)
                stated = None if line is None else decode(line)
                if part is None or not isinstance(stated, dict):
                    continue
                made = pipeline.process(number, one, part).line
                expected = None if made.status == "rejected" else made.resolution
                right, actual = exact_json.encode(expected), stated.get("resolution")
                if exact_json.decode(right) != actual and stated.get("status") != "rejected":
                    fault = _finding("waterfall.applies", "/resolution", expected, actual)
                    yield Verdict(number, ok=False, findings=[fault])


class _Sums:
    """The sums that the last line of a certificate must have."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.pools = self.fails = self.owed = 0
        self.levels: Counter[str] = Counter()
        self.trust: Counter[str] = Counter()
        self.capped: list[tuple[int, Fraction | None]] = []

    def add(self, settled: Settled, certificate: PoolCertificate) -> None:
        """Add the line of a security."""
        self.pools += 1
        self.fails += len(settled.pool.fails)
        self.owed += certificate.owed
        self.levels.update(certificate.levels)
        self.trust[certificate.trust] += 1
        if certificate.borrow_cap is not None:
            self.capped.append((certificate.borrow_cap, settled.facts.price))


def _check_extra(files: _Files, sums: _Sums) -> Iterator[Verdict]:
    """Report lines of securities that the input does not have."""
    for cusip, number in files.table.stream("SELECT cusip, line FROM proofs ORDER BY line"):
        if cusip not in sums.seen:
            fault = _finding("book.not_optimal", "/cusip", "a security of the input", cusip)
            yield Verdict(number, ok=False, findings=[fault], cusip=cusip)


def _check_total(files: _Files, sums: _Sums, given: BookInput) -> Verdict:
    if files.total is None:
        fault = _finding("book.not_optimal", "/total", "a last line of sums", None)
        return Verdict(files.lines + 1, ok=False, findings=[fault])
    number, total = files.total
    expected = BookTotal(
        pools=sums.pools,
        fails=sums.fails,
        owed=sums.owed,
        levels={name: sums.levels[name] for name in NAMES if sums.levels[name]},
        trust=dict(sorted(sums.trust.items())),
        borrow_budget=total.borrow_budget,
    )
    found = []
    if expected != total:
        found.append(_finding("book.not_optimal", "/total", expected, total))
    if sums.capped or total.borrow_budget is not None:
        spent = sum(
            (cap * (price or 0) * given.kb.book.collateral for cap, price in sums.capped),
            Fraction(0),
        )
        budget = total.borrow_budget
        if budget is None or spent > Fraction(budget):
            found.append(
                _finding("book.budget", "/total/borrow_budget", f"{float(spent):.2f}", budget)
            )
    return Verdict(number, ok=not found, findings=found)


def _finding(rule: str, path: str, expected: Any, actual: Any) -> Finding:
    return Finding(
        rule=rule,
        path=path,
        expected=expected,
        actual=actual,
        message=f"{path[1:] or 'the line'} is {actual}; expected: {expected}",
    )
