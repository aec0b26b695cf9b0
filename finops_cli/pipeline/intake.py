"""From a line of bytes to a typed input, or to the reasons why it is none. Never raises for what a line holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from finops_cli.domain import cusip, limits, text_form
from finops_cli.domain.fail import CorporateAction, FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.book import Book
from finops_cli.rules.clock import age_days
from finops_cli.verify.schemas import faults, shown
from finops_cli.verify.shapes import FAIL, RESOLVER_INPUT, Shape

T = TypeVar("T", bound=msgspec.Struct)


class Taken(NamedTuple, Generic[T]):
    """`value` is None exactly when there are problems; `fail_id` is the record's own name, where it could be read."""

    value: T | None
    fail_id: str | None
    problems: list[Problem]


_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ONE_OBJECT = "one JSON object per line, in UTF-8"


def decode(line: bytes) -> Any:
    """The JSON of `line`, numbers with a fraction as Decimal; a Problem when it is not JSON."""
    if len(line) > limits.LINE_BYTES:
        return _not_json(line, f"is longer than {limits.LINE_BYTES:,} bytes")
    try:
        return _DECODER.decode(line)
    except RecursionError:
        return _not_json(line, "is nested too deeply")
    except ArithmeticError:
        return _not_json(line, "holds a number out of any range")
    except ValueError as error:
        return _not_json(line, _in_words(line, str(error)))


def _in_words(line: bytes, error: str) -> str:
    if not line.strip():
        return "is empty"
    if b"NaN" in line or b"Infinity" in line:
        return f"is not JSON: {error}; NaN and Infinity are no JSON numbers, give null or leave the field out"
    return f"is not JSON: {error}"


def _not_json(line: bytes, what: str) -> Problem:
    value = line[: limits.SHOWN_CHARS].decode("utf-8", "replace").strip()
    return Problem("schema.json", "", value, _ONE_OBJECT, f"the line {what}; accepted: {_ONE_OBJECT}")


def take_fail(line: bytes) -> Taken[FailRecord]:
    """A fail record, given as an object or as {"fail_id", "text"}."""
    fail = FAIL.read_line(line) if len(line) <= limits.LINE_BYTES else None
    if fail is not None and not (problems := _fail_problems(fail)):
        return Taken(fail, fail.fail_id, problems)
    return fail_from(decode(line))


def fail_from(given: Any) -> Taken[FailRecord]:
    """The same from a decoded line."""
    fail_id = name_of(given)
    if type(given) is dict and "text" in given:
        given = _from_text(given)
        if isinstance(given, list):
            return Taken(None, fail_id, given)
    return _take(given, fail_id, FAIL, _fail_problems)


def take_case(line: bytes, book: Book) -> Taken[ResolverInput]:
    """A resolver input (card 2)."""
    return case_from(decode(line), book)


def case_from(given: Any, book: Book) -> Taken[ResolverInput]:
    """The same from a decoded line."""
    return _take(given, name_of(given), RESOLVER_INPUT, lambda case: _case_problems(case, book))


def name_of(given: Any) -> str | None:
    """The `fail_id` of a decoded line, when it has a usable one."""
    if type(given) is not dict:
        return None
    fail_id = given.get("fail_id")
    return fail_id if type(fail_id) is str and 0 < len(fail_id) <= limits.ID_CHARS else None


def _take(given: Any, fail_id: str | None, shape: Shape[T], problems_of: Any) -> Taken[T]:
    if type(given) is Problem:
        return Taken(None, None, [given])
    value = shape.read(given)
    if value is None:
        return Taken(None, fail_id, faults(given, shape.json_schema))
    problems = problems_of(value)
    return Taken(None, fail_id, problems) if problems else Taken(value, fail_id, [])


def _from_text(given: dict[str, Any]) -> dict[str, Any] | list[Problem]:
    text = given["text"]
    if type(text) is not str or len(text) > limits.TEXT_CHARS:
        accepted = f"the text form of a record, up to {limits.TEXT_CHARS:,} characters"
        return [Problem("schema.type", "/text", shown(text), accepted, f"text is {shown(text)}; accepted: {accepted}")]
    fields = text_form.parse(text)
    if isinstance(fields, list):
        return fields
    twice = [name for name in given if name in fields]
    if twice:
        message = f"{twice[0]} is given both in the text and beside it"
        return [Problem("schema.unknown", f"/{twice[0]}", shown(given[twice[0]]), "one of the two", message)]
    return {**{name: value for name, value in given.items() if name != "text"}, **fields}


def _fail_problems(fail: FailRecord) -> list[Problem]:
    problems = [] if cusip.ends_right(fail.cusip) else [_bad_cusip("/cusip", fail.cusip)]
    if fail.corporate_action is not None:
        problems += _event_problems(fail.corporate_action)
    return problems


def _case_problems(case: ResolverInput, book: Book) -> list[Problem]:
    """What a well-formed resolver input can still lack."""
    problems = [] if cusip.ends_right(case.cusip) else [_bad_cusip("/cusip", case.cusip)]
    if case.corporate_action is not None:
        problems += _event_problems(case.corporate_action)
    try:
        age_days(case, book.scoring)
    except ValueError as error:
        path, age = "/triage/score_components/age", case.triage.score_components.age
        message = f"the age of the fail cannot be told from {path[1:]} {age}; accepted: {error}"
        problems.append(Problem("input.age", path, str(age), str(error), message))
    return problems


def _event_problems(event: CorporateAction) -> list[Problem]:
    new = event.new_cusip
    return [] if new is None or cusip.ends_right(new) else [_bad_cusip("/corporate_action/new_cusip", new)]


def _bad_cusip(path: str, value: str) -> Problem:
    accepted = f"a CUSIP whose check digit is right; {value[:8]} takes {cusip.check_digit(value[:8])}"
    message = f"{path[1:]} is {value}, check digit {value[8]}; accepted: {accepted}"
    return Problem("cusip.check_digit", path, value, accepted, message)
