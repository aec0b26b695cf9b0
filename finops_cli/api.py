"""The library: score records, plan resolutions and check answers from Python.

    import finops_cli as finops
    result = finops.run_record({"cusip": "594918104", "side": "Sell", ...})
    print(result.triage.priority_score)

A record is a dictionary, JSON text, or a FailRecord. The rules engine answers; no model is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from math import isfinite
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from finops_cli.checking.inputs import inputs_of
from finops_cli.checking.outputs import check_answers, check_lines
from finops_cli.checking.verdicts import without_notes
from finops_cli.clock.facts import AsOf
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import exact_json, limits
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.errors import UsageError
from finops_cli.kb import load
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.clock import ClockConfig, missing_as_of
from finops_cli.pipeline.inputs import InputPolicy, as_problem
from finops_cli.pipeline.parse import ParseResult, decode, parse_case_line, parse_fail_line
from finops_cli.rules import triage as triage_rules
from finops_cli.rules import waterfall
from finops_cli.rules.handoff import NotApplicable, find_obstacle, handoff

__all__ = [
    "InvalidRecord",
    "NotApplicable",
    "Result",
    "check",
    "compute_clock",
    "load_kb",
    "resolve",
    "run_record",
    "run_records",
    "triage",
]
T = TypeVar("T", bound=Struct)
_RECORD = "a dictionary, JSON text or a FailRecord"
Json = Mapping[str, Any] | str | bytes
"""An object as a mapping or as JSON text."""


class InvalidRecord(UsageError):
    """A record that the rules cannot use."""

    problems: list[Problem]
    """Each reason why the record cannot be used: `rule`, `path`, `value`, `accepted`, `message`."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(
            "; ".join(problem.message for problem in problems),
            "correct the fields that `problems` names; `finops schema fail` describes them",
        )
        self.problems = problems


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The answers to one record."""

    record: FailRecord
    """The record, as finops read it."""
    triage: Triage
    """The score, the tier, the action and the reason."""
    resolution: Resolution | NotApplicable
    """The plan, or the reason why the record has none."""
    warnings: list[Finding]
    """Contradictions in the record (`input.*`). They do not change the answers."""


def load_kb(path: str | Path | None = None) -> KnowledgeBase:
    """Load the knowledge base in the folder `path`; by default the one that ships with finops.

    Raises KnowledgeError, which names the file and the entry with a fault, and UsageError.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise UsageError(
            f"path is of the Python type {type(path).__name__}. Expected text or a path.",
            "give the folder of a knowledge base, or nothing for the bundled one",
        )
    return load.load_kb(load.bundled_kb_dir() if path is None else Path(path))


def run_record(
    record: Json | FailRecord,
    kb: KnowledgeBase | None = None,
    as_of: str | None = None,
    strict_input: bool = False,
) -> Result:
    """Triage one record and plan its resolution.

    Without `kb` the bundled rules apply. A record may leave out what finops derives or assumes: the
    lists `derived` and `assumed` in its `origin` then name it. `as_of` is the day or moment that a
    missing age is counted to, such as 2026-11-27; without it the `as_of` in `clock_facts` counts.
    Raises InvalidRecord for a record that cannot be used, and with `strict_input` for one whose
    facts contradict each other.
    """
    kb = _open_kb(kb)
    inputs = InputPolicy(kb, None if as_of is None else _parse_as_of(as_of))
    fail = _parse_record(record, inputs)
    warnings = inputs.find_warnings(fail)
    if warnings and strict_input:
        raise InvalidRecord([as_problem(each) for each in warnings])
    answer = triage_rules.triage(fail, kb)
    case = handoff(fail, answer, kb)
    plan = case if isinstance(case, NotApplicable) else waterfall.resolve(case, kb)
    return Result(record=fail, triage=answer, resolution=plan, warnings=warnings)


def run_records(
    records: Iterable[Json | FailRecord],
    kb: KnowledgeBase | None = None,
    on_invalid: Callable[[int, InvalidRecord], None] | None = None,
    as_of: str | None = None,
    strict_input: bool = False,
) -> Iterator[Result]:
    """Triage and plan each record as it comes; `records` can be an open file of JSON lines.

    `kb`, `as_of` and `strict_input` are those of `run_record`.

    Raises InvalidRecord for the first record that cannot be used. With `on_invalid`, that function
    is called instead, with the number of the record (from 1) and the error, and the next record
    follows.
    """
    if isinstance(records, str | bytes | Mapping) or not isinstance(records, Iterable):
        raise UsageError(
            f"records is of the Python type {type(records).__name__}. Expected a list, an open"
            " file or another iterable of records.",
            "for a file: with open(PATH) as records: run_records(records)",
        )
    run = partial(run_record, kb=_open_kb(kb), as_of=as_of, strict_input=strict_input)
    return _run_each(records, run, on_invalid)


def _run_each(
    records: Iterable[Json | FailRecord],
    run: Callable[[Json | FailRecord], Result],
    on_invalid: Callable[[int, InvalidRecord], None] | None,
) -> Iterator[Result]:
    for number, record in enumerate(records, start=1):
        try:
            result = run(record)
        except InvalidRecord as error:
            if on_invalid is None:
                raise
            on_invalid(number, error)
        else:
            yield result


def triage(record: Json | FailRecord, kb: KnowledgeBase | None = None) -> Triage:
    """Give one record its score, tier and action. Raises InvalidRecord."""
    kb = _open_kb(kb)
    return triage_rules.triage(_parse_record(record, InputPolicy(kb)), kb)


def resolve(
    case: Json | ResolverInput, kb: KnowledgeBase | None = None
) -> Resolution | NotApplicable:
    """Plan the resolution of a case, the input of the resolver. Raises InvalidRecord."""
    kb = _open_kb(kb)
    parsed = _value_of(parse_case_line(_to_json(case), kb))
    return find_obstacle(parsed) or waterfall.resolve(parsed, kb)


def check(
    output: Json | Triage | Resolution,
    record: Json | FailRecord | None = None,
    kb: KnowledgeBase | None = None,
) -> list[Finding]:
    """Find each rule that `output` violates: a triage, a resolution, or an output line with both.

    With `record`, the output is compared with the answer to that record; without, it only has to
    agree with itself. A finding has `rule`, `path`, `expected`, `actual` and `message`. Raises
    InvalidRecord for a record that cannot be used, never for the output.
    """
    kb = _open_kb(kb)
    line = _to_json(output)
    given = decode(line)
    fail = None if record is None else _parse_record(record, inputs_of(given, kb))
    if fail is None or not isinstance(given, dict):
        [verdict] = check_lines([line], kb)
        return verdict.findings
    if not given.keys() & {"triage", "resolution"}:
        given = {"resolution" if "resolution_steps" in given else "triage": given}
    return without_notes(check_answers(given, kb, fail))


def compute_clock(
    record: Json | FailRecord,
    as_of: str | None = None,
    kb: KnowledgeBase | None = None,
    explain: bool = False,
) -> Clock:
    """Compute the law's close-out dates of one record, as of a day or moment in Eastern Time.

    `as_of` is text such as 2026-11-27 or 2026-11-27T14:15:00Z; without it the `as_of` in
    `clock_facts` of the record counts. The clock of the machine is never read. `explain` lists the
    days that each obligation counts. Raises InvalidRecord for a record without a moment, or with
    facts that contradict each other, and UsageError for an impossible `as_of`.
    """
    config = ClockConfig(as_of=None if as_of is None else _parse_as_of(as_of))
    kb = _open_kb(kb)
    fail = _parse_record(record, InputPolicy(kb, config.as_of))
    found = config.open(kb).compute(fail, explain)
    if isinstance(found, Clock):
        return found
    raise InvalidRecord([found or missing_as_of()])


def _parse_as_of(text: str) -> AsOf:
    try:
        return AsOf(moment=parse_moment(text), source="option")
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"as_of is {text!r}. Expected text with a day or a moment that exists.",
            "give text such as 2026-11-27 or 2026-11-27T14:15:00Z",
        ) from error


def _parse_record(record: Json | FailRecord, inputs: InputPolicy) -> FailRecord:
    return _value_of(parse_fail_line(_to_json(record), inputs))


def _value_of(parsed: ParseResult[T]) -> T:
    if parsed.value is None:
        raise InvalidRecord([_name_record(problem) for problem in parsed.problems])
    return parsed.value


def _to_json(given: Json | Struct) -> bytes:
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass")
    return exact_json.encode(given if isinstance(given, Struct) else _to_exact(given, "", 0))


def _to_exact(given: Any, path: str, depth: int) -> Any:
    """Turn a value into JSON data: each float becomes the Decimal as it is written, 4.1 is 4.1.

    Raises InvalidRecord naming the field of a value that JSON cannot express.
    """
    if depth > limits.NESTED:
        raise _invalid(
            "/".join(path.split("/")[:2]),
            "nested",
            f"is nested more than {limits.NESTED} levels deep",
            "objects and lists of a record",
        )
    if given is None or isinstance(given, str | bool):
        return given
    if isinstance(given, Integral):
        return int(given)
    if isinstance(given, float | Decimal):
        if not (given.is_finite() if isinstance(given, Decimal) else isfinite(given)):
            raise _invalid(path, str(given), f"is {given}", "a finite number, or leave it out")
        return Decimal(repr(float(given))) if isinstance(given, float) else given
    if isinstance(given, Mapping):
        for key in given:
            if not isinstance(key, str):
                raise _invalid(path, repr(key), f"has the key {key!r}", "keys that are text")
        return {key: _to_exact(value, f"{path}/{key}", depth + 1) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [
            _to_exact(value, f"{path}/{number}", depth + 1) for number, value in enumerate(given)
        ]
    if isinstance(given, Struct):
        return to_builtins(given, builtin_types=(Decimal,))
    expected = _RECORD if not path else "text, a number, true, false, None, a list or a dictionary"
    kind = type(given).__name__
    raise _invalid(path, kind, f"is of the Python type {kind}", expected)


def _invalid(path: str, value: str, fault: str, accepted: str) -> InvalidRecord:
    place = path[1:] or "the record"
    message = f"{place} {fault}; accepted: {accepted}"
    return InvalidRecord(
        [Problem(rule="schema.json", path=path, value=value, accepted=accepted, message=message)]
    )


def _name_record(problem: Problem) -> Problem:
    """Say "record" where the message of a file says "line"."""
    if not problem.message.startswith("the line "):
        return problem
    accepted = problem.accepted.replace(" per line", "")
    message = "the record " + problem.message.removeprefix("the line ").replace(" per line", "")
    return replace(problem, accepted=accepted, message=message)


def _open_kb(kb: KnowledgeBase | None) -> KnowledgeBase:
    if kb is None:
        return load_kb()
    if not isinstance(kb, KnowledgeBase):
        raise UsageError(
            f"kb is of the Python type {type(kb).__name__}. Expected a KnowledgeBase.",
            "load it first: kb=finops_cli.load_kb(PATH)",
        )
    return kb
