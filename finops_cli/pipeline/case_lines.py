"""Turn triaged lines into cases for the resolver (kb: `handoff.*`).

Each triaged line gives one line: a case, or the reason why its fail has none. `finops resolve`
passes such a reason on, so that a pipe of the two loses no fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct

from finops_cli.domain import exact_json
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Damage, Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.files.jsonl import InputLine
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.guard.records import could_be_masked
from finops_cli.pipeline.input_source import decode_input, default_fail_id, input_fail_id
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.parse import decode, fail_id_of, parse_fail
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.verify.codecs import triage_codec

NO_CASE_RULE = "handoff.no_case"
_MARK = b'"no_case"'


class NoCase(Struct, frozen=True, kw_only=True):
    """A triaged fail that has no case."""

    fail_id: str
    no_case: str
    """The reason."""
    status: Literal["skipped", "rejected"]
    """`skipped`: nothing is to be resolved. `rejected`: the triage or its record is unusable."""

    def problem(self) -> Problem:
        """Return the reason as the problem of a rejected line."""
        return Problem(
            rule=NO_CASE_RULE,
            path="/no_case",
            value=self.no_case,
            accepted="a case, which finops handoff makes of a triage that stands and its record",
            message=f"the fail has no case: {self.no_case}",
        )


_NO_CASE = msgspec.json.Decoder(NoCase)


def read_no_case(line: bytes) -> NoCase | None:
    """Read a line of `finops handoff` that has no case; None for any other line."""
    if _MARK not in line:
        return None
    try:
        return _NO_CASE.decode(line)
    except UNREADABLE:
        return None


def to_no_case(given: Any) -> NoCase | None:
    """Convert a decoded line of `finops handoff` that has no case; None for any other line."""
    try:
        return msgspec.convert(given, NoCase)
    except msgspec.ValidationError:
        return None


class FailLookup:
    """Finds the record of each triaged line. Memory does not grow with the file.

    Triaged lines in the order of the fails, all or some, are found as both are read. A fail that is
    passed over waits in a table on disk, for lines in another order.
    """

    def __init__(self, fails: Iterator[InputLine]) -> None:
        self._fails = enumerate(fails, start=1)
        self._table = TemporaryTable(
            "CREATE TABLE passed (number INTEGER PRIMARY KEY, name TEXT, line BLOB)",
            "CREATE INDEX by_name ON passed (name)",
        )
        self.passed = 0
        """The fails so far that no triaged line asked for."""

    def find(self, name: str | None, masked: list[str]) -> Any:
        """Return the decoded record that is called `name`, or None.

        `name` None takes the next record. `masked`: the kinds that the guard masked in the line,
        maybe in its name too.
        """
        if self.passed and name is not None:
            rows = self._table.select(
                "SELECT number, line FROM passed WHERE name = ? ORDER BY number LIMIT 1", (name,)
            )
            if rows:
                self._table.select("DELETE FROM passed WHERE number = ?", (rows[0][0],))
                self.passed -= 1
                return decode(rows[0][1])
        for number, line in self._fails:
            given = decode_input(line)
            called = fail_id_of(given) or input_fail_id(line, number)
            if name is None or called == name or could_be_masked(called, name, masked):
                return given
            self._keep(number, called, line)
        return None

    def count_rest(self) -> int:
        """Count the fails that no triaged line asked for, to the end of the file."""
        return self.passed + sum(1 for _ in self._fails)

    def close(self) -> None:
        """Delete the table."""
        self._table.close()

    def _keep(self, number: int, name: str, line: InputLine) -> None:
        self.passed += 1
        if not isinstance(line, Damage):
            row = (number, name, line)
            self._table.insert("INSERT INTO passed VALUES (?, ?, ?)", row)


class CaseMaker:
    """Makes cases of triaged lines: lines of `finops triage` or `run`, or triages alone."""

    def __init__(self, fails: FailLookup, inputs: InputPolicy) -> None:
        self._fails = fails
        self._inputs = inputs
        self._codec = triage_codec(inputs.kb.scoring.components)

    def make(self, number: int, line: bytes) -> ResolverInput | NoCase:
        """Return the case of triaged line `number` (counted from 1), or why it has none."""
        given = decode(line)
        name = fail_id_of(given)
        called = name or default_fail_id(number)
        if isinstance(given, Problem):
            return _reject(called, given.message)
        if type(given) is not dict or not ("triage" in given or "priority_score" in given):
            return _reject(called, "the line has no triage; accepted: lines of finops triage")
        record = self._fails.find(name, _masked_kinds(given))
        called = name or fail_id_of(record) or called
        stated = given.get("triage", given)
        if not isinstance(stated, dict):
            return _reject(called, _why_without_triage(given))
        triage = self._codec.read(stated)
        if triage is None:
            problem = self._codec.explain(stated)[0]
            return _reject(called, f"the triage cannot be used: {problem.message}")
        if record is None:
            return _reject(called, f"no fail of --fails is called {called}")
        return self._hand_on(called, given, record, triage)

    def _hand_on(
        self, called: str, given: dict[str, Any], record: Any, triage: Triage
    ) -> ResolverInput | NoCase:
        parsed = parse_fail(record, self._inputs)
        fail = parsed.value
        if fail is None:
            return _reject(called, f"its record cannot be used: {parsed.problems[0].message}")
        other = _other_fail(given.get("fail"), fail)
        if other is not None:
            return _reject(called, other)
        case = handoff(fail, triage, self._inputs.kb)
        if isinstance(case, NotApplicable):
            return NoCase(fail_id=called, no_case=case.reason, status="skipped")
        return msgspec.structs.replace(case, fail_id=called)


def encode_case(made: ResolverInput | NoCase) -> bytes:
    """Encode a line of `finops handoff`. Optional fields of a case are there only if given."""
    if isinstance(made, NoCase):
        return exact_json.encode(made) + b"\n"
    fields = {"fail_id": made.fail_id} | {
        name: value
        for name in made.__struct_fields__
        if (value := getattr(made, name)) is not None and value is not UNSET
    }
    return exact_json.encode(fields) + b"\n"


def _reject(name: str, reason: str) -> NoCase:
    return NoCase(fail_id=name, no_case=reason, status="rejected")


def _masked_kinds(given: dict[str, Any]) -> list[str]:
    provenance = given.get("provenance")
    masked = provenance.get("masked") if isinstance(provenance, dict) else None
    return [each for each in masked if isinstance(each, str)] if isinstance(masked, list) else []


def _why_without_triage(given: dict[str, Any]) -> str:
    """Return why a line has no triage, in the words of its error where it has one."""
    error, status = given.get("error"), given.get("status")
    message = error.get("message") if isinstance(error, dict) else None
    if isinstance(message, str):
        return f"the triage is rejected: {message}"
    return "the triage does not stand" if status == "failed" else "the line has no triage"


def _other_fail(stated: Any, fail: FailRecord) -> str | None:
    """Return why the triage is of another fail than the record; None where it is not."""
    if not isinstance(stated, dict):
        return None
    for field in ("cusip", "qty"):
        value, own = stated.get(field), getattr(fail, field)
        if value is not None and value != own:
            return f"its triage is of {field} {value}, its record of --fails has {own}"
    return None
