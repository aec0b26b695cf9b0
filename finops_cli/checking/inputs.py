"""Check what a line says of its record: `warnings` and `origin` (kb: `check.input`)."""

from __future__ import annotations

from typing import Any

import msgspec

from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import ResolverInput
from finops_cli.guard.records import could_be_masked
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.earlier_lines import RULE as PROMISED
from finops_cli.pipeline.inputs import DATES, InputPolicy
from finops_cli.pipeline.output import LineOrigin, line_origin
from finops_cli.rules.contradictions import find_case_contradictions
from finops_cli.verify.schemas import show_value

_RULE = "check.input"


def inputs_of(given: Any, kb: KnowledgeBase, calendar: Calendar | None = None) -> InputPolicy:
    """Open the policy that the line `given` was made with: its clock or its origin has the moment.

    `calendar` None is the built-in one.
    """
    line = given if isinstance(given, dict) else {}
    for part in ("clock", "origin"):
        stated = line.get(part)
        text = stated.get("as_of") if isinstance(stated, dict) else None
        if isinstance(text, str):
            try:
                return InputPolicy(kb, AsOf(moment=parse_moment(text), source="option"), calendar)
            except ValueError:
                continue
    return InputPolicy(kb, calendar=calendar)


def check_warnings(given: dict[str, Any]) -> list[Finding]:
    """Check the shape of the warnings and the origin of a line whose record is not known."""
    warnings, origin = given.get("warnings", []), given.get("origin", {})
    try:
        found = msgspec.convert(warnings, list[Finding])
    except msgspec.ValidationError as error:
        return [_finding("/warnings", f"a list of findings ({error})", warnings)]
    wrong = [each for each in found if not each.rule.startswith("input.") and each.rule != PROMISED]
    if wrong:
        return [_finding("/warnings", f"rules input.* and {PROMISED}", wrong[0].rule)]
    try:
        msgspec.convert(origin, LineOrigin)
    except msgspec.ValidationError as error:
        return [_finding("/origin", f"derived and assumed fields ({error})", origin)]
    return []


def check_input(
    given: dict[str, Any], record: FailRecord | ResolverInput, inputs: InputPolicy
) -> list[Finding]:
    """Compare the warnings and the origin of a line with those of its record."""
    if isinstance(record, FailRecord):
        warnings = inputs.find_warnings(record)
        origin = line_origin(record, inputs.as_of, warnings)
    else:
        warnings, origin = find_case_contradictions(record, inputs.kb), None
    expected = _to_json({"warnings": warnings, "origin": origin or LineOrigin()})
    stated = {"warnings": split_warnings(given)[0], "origin": given.get("origin") or {}}
    kinds = _masked_kinds(given)
    return [
        _finding(f"/{part}", expected[part], stated[part])
        for part in ("warnings", "origin")
        if not _agree(expected[part], stated[part], kinds)
    ]


def split_warnings(given: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Split the warnings of a line: those of its record, and those about earlier lines."""
    stated = given.get("warnings") or []
    if not isinstance(stated, list):
        return stated, []
    about = [each for each in stated if isinstance(each, dict) and each.get("rule") == PROMISED]
    return [each for each in stated if each not in about], about


def is_strictly_rejected(
    given: dict[str, Any], record: FailRecord | ResolverInput, inputs: InputPolicy
) -> bool:
    """True if `--strict-input` rejects `record` for the reasons that the line gives.

    The line does not have the moment of `--as-of`, so dates of the record may disagree with it.
    """
    error = given.get("error")
    problems = error.get("problems") if isinstance(error, dict) else None
    if not isinstance(problems, list) or not problems:
        return False
    stated = {each.get("rule") if isinstance(each, dict) else None for each in problems}
    if isinstance(record, FailRecord):
        found = {each.rule for each in inputs.find_warnings(record)}
        facts = record.clock_facts
        if facts is not None and (facts.settlement_date or facts.trade_date):
            found.add(DATES)
    else:
        found = {each.rule for each in find_case_contradictions(record, inputs.kb)}
    return stated <= found


def _to_json(value: Any) -> Any:
    return exact_json.decode(exact_json.encode(value))


def _masked_kinds(given: dict[str, Any]) -> list[str]:
    provenance = given.get("provenance")
    masked = provenance.get("masked") if isinstance(provenance, dict) else None
    return [kind for kind in masked if isinstance(kind, str)] if isinstance(masked, list) else []


def _agree(expected: Any, stated: Any, kinds: list[str]) -> bool:
    """True for equal values, and for texts in which the guard may have masked data of `kinds`."""
    if isinstance(expected, dict) and isinstance(stated, dict):
        return expected.keys() == stated.keys() and all(
            _agree(expected[key], stated[key], kinds) for key in expected
        )
    if isinstance(expected, list) and isinstance(stated, list):
        return len(expected) == len(stated) and all(
            _agree(*pair, kinds) for pair in zip(expected, stated, strict=True)
        )
    if isinstance(expected, str) and isinstance(stated, str):
        return expected == stated or could_be_masked(expected, stated, kinds)
    return bool(expected == stated)


def _finding(path: str, expected: Any, actual: Any) -> Finding:
    return Finding(
        rule=_RULE,
        path=path,
        expected=expected,
        actual=actual,
        message=f"{path[1:]} is {show_value(actual)}; the record gives {show_value(expected)}",
    )
