"""Parse a line of bytes to a typed input, or to the reasons why it is invalid.

The functions never raise for the content of a line.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Generic, TypeVar

import msgspec

from finops_cli.domain import cusip, exact_json, limits, text_form
from finops_cli.domain.decode_errors import describe_bad_byte, describe_size
from finops_cli.domain.fail import CorporateAction, FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.inputs import InputPolicy, bundled_inputs, lacks_fields, names_in
from finops_cli.rules.contradictions import side_agrees, side_problem
from finops_cli.rules.deadlines import age_days
from finops_cli.verify.codecs import FAIL, RESOLVER_INPUT, Codec
from finops_cli.verify.schemas import show_value

T = TypeVar("T", bound=msgspec.Struct)


class ParseResult(msgspec.Struct, Generic[T], frozen=True):
    """A parsed input, or its problems."""

    value: T | None
    """None if and only if there are problems."""
    fail_id: str | None
    """The name in the record, if it could be read."""
    problems: list[Problem]


_ONE_OBJECT = "one JSON object per line, in UTF-8"
_PLACES_LEFT_OPEN = {
    b"[...]": "the model's card leaves this place open: write the list there, or []",
    b"$TRIAGE_OUTPUT": "the shell puts the triage there, but not between single quotes",
    b"{fail_record_json}": "the model's card leaves this place open: write the record there",
}
"""Places in the printed commands of the model cards that their reader fills in."""


def decode(line: bytes) -> Any:
    """Decode a JSON line. Numbers with a fraction become Decimal.

    Returns a Problem if the line is not JSON.
    """
    if len(line) > limits.LINE_BYTES:
        return _not_json(line, f"is longer than {limits.LINE_BYTES:,} bytes")
    try:
        return exact_json.decode(line)
    except RecursionError:
        return _not_json(line, "is nested too deeply")
    except ArithmeticError:
        return _not_json(line, "has a number that is out of range")
    except ValueError as error:
        return _not_json(line, _in_words(line, str(error)))


def _in_words(line: bytes, error: str) -> str:
    if not line.strip():
        return "is empty"
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in line[:64]:
        return "is UTF-16; save the file as UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > NEW`"
    try:
        line.decode()
    except UnicodeDecodeError as fault:
        return f"cannot be read: {describe_bad_byte(fault)}; save the file as UTF-8"
    if line.lstrip()[:1] not in (b"{", b"["):
        return f"is not JSON: {error}; a CSV goes through `finops import csv`"
    for place, cure in _PLACES_LEFT_OPEN.items():
        if place in line:
            return f"is not JSON: it holds {place.decode()}; {cure}"
    if "truncated" in error:
        return f"is not JSON: {error}; write each record on one line (`jq -c .` does that)"
    if b"NaN" in line or b"Infinity" in line:
        return (
            f"is not JSON: {error}; NaN and Infinity are not JSON numbers, give null or leave the"
            " field out"
        )
    return f"is not JSON: {error}"


def _not_json(line: bytes, what: str) -> Problem:
    value = line[: limits.SHOWN_CHARS].decode("utf-8", "replace").strip()
    return Problem(
        rule="schema.json",
        path="",
        value=value,
        accepted=_ONE_OBJECT,
        message=f"the line {what}; accepted: {_ONE_OBJECT}",
    )


def _refuse_list(given: list[Any]) -> Problem:
    size = describe_size(given)
    cure = "`jq -c '.[]'` writes each entry of a list on a line of its own"
    message = f"the line is {size}; accepted: {_ONE_OBJECT}; {cure}"
    return Problem(rule="schema.type", path="", value=size, accepted=_ONE_OBJECT, message=message)


def parse_fail_line(line: bytes, inputs: InputPolicy | None = None) -> ParseResult[FailRecord]:
    """Parse a fail record, given as an object or as {"fail_id", "text"}.

    `inputs` fills in what the record leaves out; None is the policy of the bundled rules.
    """
    fail = FAIL.read_line(line) if len(line) <= limits.LINE_BYTES else None
    if fail is None:
        return parse_fail(decode(line), inputs)
    if (
        fail.corporate_action is None
        and fail.min_partial_qty is None
        and cusip.ends_right(fail.cusip)
        and side_agrees(fail.side, fail.cns_direction)
    ):
        return ParseResult(fail, fail.fail_id, [])
    given = {} if fail.corporate_action is None else decode(line)  # whose names are free
    if isinstance(given, Problem):  # bytes that are not UTF-8 in a name that the shape passes over
        return parse_fail(given, inputs)
    problems = _fail_problems(fail, given)  # its shape is known to be right
    return ParseResult(None if problems else fail, fail.fail_id, problems)


def parse_fail(given: Any, inputs: InputPolicy | None = None) -> ParseResult[FailRecord]:
    """Parse a fail record from a decoded line."""
    fail_id = fail_id_of(given)
    if type(given) is dict and "ftd_qty" in given:
        return ParseResult(
            None,
            fail_id,
            [
                _other_object(
                    "/ftd_qty", "a fail record; resolver inputs go through `finops resolve`"
                )
            ],
        )
    if type(given) is dict and "text" in given:
        given = _from_text(given, inputs or bundled_inputs())
        if isinstance(given, list):
            return ParseResult(None, fail_id, given)
    missing: list[Problem] = []
    if type(given) is dict and lacks_fields(given):
        given, missing = (inputs or bundled_inputs()).complete(given)
    if missing:
        return ParseResult(None, fail_id, [*FAIL.explain(given), *missing])
    return _take(given, fail_id, FAIL, lambda fail: _fail_problems(fail, given))


def parse_case_line(line: bytes, kb: KnowledgeBase) -> ParseResult[ResolverInput]:
    """Parse a case (resolver input)."""
    return parse_case(decode(line), kb)


def parse_case(given: Any, kb: KnowledgeBase) -> ParseResult[ResolverInput]:
    """Parse a case from a decoded line."""
    if type(given) is dict and "counterparty" in given and "triage" not in given:
        problem = _other_object(
            "/counterparty", "a resolver input (card 2); fail records go through `finops run`"
        )
        return ParseResult(None, fail_id_of(given), [problem])
    return _take(
        given, fail_id_of(given), RESOLVER_INPUT, lambda case: _case_problems(case, given, kb)
    )


def fail_id_of(given: Any) -> str | None:
    """Return the `fail_id` of a decoded line, if it is usable."""
    if type(given) is not dict:
        return None
    fail_id = given.get("fail_id")
    return fail_id if type(fail_id) is str and 0 < len(fail_id) <= limits.ID_CHARS else None


def _take(given: Any, fail_id: str | None, shape: Codec[T], problems_of: Any) -> ParseResult[T]:
    if type(given) is list:
        given = _refuse_list(given)
    if type(given) is Problem:
        return ParseResult(None, None, [given])
    value = shape.read(given)
    if value is None:
        return ParseResult(None, fail_id, shape.explain(given))
    problems = problems_of(value)
    return ParseResult(None, fail_id, problems) if problems else ParseResult(value, fail_id, [])


def _from_text(given: dict[str, Any], inputs: InputPolicy) -> dict[str, Any] | list[Problem]:
    text = given["text"]
    if type(text) is not str or len(text) > limits.TEXT_CHARS:
        accepted = f"the text form of a record, up to {limits.TEXT_CHARS:,} characters"
        return [
            Problem(
                rule="schema.type",
                path="/text",
                value=show_value(text),
                accepted=accepted,
                message=f"text is {show_value(text)}; accepted: {accepted}",
            )
        ]
    fields = text_form.parse(text, inputs.kb.input.bound_step)
    if isinstance(fields, list):
        return fields
    stated = fields.pop("origin", None)
    twice = [name for name in given if name in fields]
    if twice:
        message = f"{twice[0]} is given both in the text and beside it"
        return [
            Problem(
                rule="schema.unknown",
                path=f"/{twice[0]}",
                value=show_value(given[twice[0]]),
                accepted="one of the two",
                message=message,
            )
        ]
    record = {**{name: value for name, value in given.items() if name != "text"}, **fields}
    if stated is not None and isinstance(record.get("origin") or {}, dict):
        record["origin"] = {**(record.get("origin") or {}), **stated}
    return record


def _fail_problems(fail: FailRecord, given: dict[str, Any]) -> list[Problem]:
    problems = _problems(fail, given)
    least = fail.min_partial_qty
    if least is not None and least > fail.qty:
        problems.append(_too_large_part(least, fail.qty))
    if not side_agrees(fail.side, fail.cns_direction):
        is_derived = "cns_direction" in names_in(fail.origin, "derived")
        position = fail.cns_position if is_derived else None
        problems.append(side_problem(fail.side, fail.cns_direction, position))
    return problems


def _problems(value: FailRecord | ResolverInput, given: dict[str, Any]) -> list[Problem]:
    """Find problems that the schema cannot express."""
    problems = [] if cusip.ends_right(value.cusip) else [_bad_cusip("/cusip", value.cusip)]
    event = value.corporate_action
    if event is not None:
        if event.new_cusip is not None and not cusip.ends_right(event.new_cusip):
            problems.append(_bad_cusip("/corporate_action/new_cusip", event.new_cusip))
        problems += _misspelt(given["corporate_action"])
    return problems


def _case_problems(case: ResolverInput, given: dict[str, Any], kb: KnowledgeBase) -> list[Problem]:
    problems = _problems(case, given)
    try:
        age_days(case, kb.scoring)
    except ValueError as error:
        path, age = "/triage/score_components/age", case.triage.score_components.age
        message = f"the age of the fail cannot be derived from {path[1:]} {age}; accepted: {error}"
        problems.append(
            Problem(
                rule="input.age", path=path, value=str(age), accepted=str(error), message=message
            )
        )
    return problems


def _misspelt(event: dict[str, Any]) -> list[Problem]:
    """Find misspelt fields of a corporate action.

    Other fields are free, but a name close to a field that decides the option is a mistake.
    """
    problems: list[Problem] = []
    for name in event:
        if len(problems) == limits.PROBLEMS:
            break
        near = get_close_matches(name, CorporateAction.__struct_fields__, n=1, cutoff=0.8)
        if near and name not in CorporateAction.__struct_fields__:
            path = f"/corporate_action/{name[: limits.SHOWN_CHARS]}"
            message = f"{path[1:]}: did you mean {near[0]}?"
            problems.append(
                Problem(
                    rule="schema.unknown",
                    path=path,
                    value=show_value(event[name]),
                    accepted=near[0],
                    message=message,
                )
            )
    return problems


def _too_large_part(least: int, owed: int) -> Problem:
    accepted = f"1 to {owed}, the qty of the record"
    return Problem(
        rule="book.least_partial",
        path="/min_partial_qty",
        value=str(least),
        accepted=accepted,
        message=f"min_partial_qty is {least}; accepted: {accepted}",
    )


def _other_object(path: str, accepted: str) -> Problem:
    return Problem(
        rule="schema.shape",
        path=path,
        value="another object",
        accepted=accepted,
        message=f"the line is another object; accepted: {accepted}",
    )


def _bad_cusip(path: str, value: str) -> Problem:
    accepted = (
        f"a CUSIP whose check digit is right; {value[:8]} takes {cusip.check_digit(value[:8])}"
    )
    message = f"{path[1:]} is {value}, check digit {value[8]}; accepted: {accepted}"
    return Problem(
        rule="cusip.check_digit", path=path, value=value, accepted=accepted, message=message
    )
