"""Check the shape of an output line: the type of each part, and names that no part has.

The answers, the facts and the headline have checks of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

import msgspec
from msgspec import inspect

from finops_cli.checking.verdicts import finding_of
from finops_cli.domain import limits
from finops_cli.domain.clock import Clock
from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.finding import Finding
from finops_cli.domain.headline import FailSummary, Headline
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.models.protocol import Attempt
from finops_cli.pipeline.output import FORMAT, Line, LineOrigin, Provenance, Rejection, Verification
from finops_cli.verify.schemas import AND_MORE, make_validator, schema_errors, schema_of, show_value

_PARTS: dict[str, type[msgspec.Struct]] = {
    "verification": Verification,
    "provenance": Provenance,
    "error": Rejection,
    "origin": LineOrigin,
}
_TEXTS = ("resolution_skipped", "clock_skipped")
_LISTS = ("warnings",)


class _Names(msgspec.Struct):
    """The parts of a line in which nothing may be called by another name."""

    fail: FailSummary | None
    headline: Headline | None
    verification: Verification
    provenance: Provenance
    warnings: list[Finding]
    origin: LineOrigin
    error: Rejection
    raw: dict[str, list[Attempt]]


def check_shape(given: dict[str, Any]) -> list[Finding]:
    """List the parts of a line that have the wrong type, are missing, or are not known.

    At most `limits.PROBLEMS` of them are listed, as of a record.
    """
    found = list(islice(_find_faults(given), limits.PROBLEMS + 1))
    more = [finding_of(AND_MORE)] if len(found) > limits.PROBLEMS else []
    return [*found[: limits.PROBLEMS], *more]


def _find_faults(given: dict[str, Any]) -> Iterator[Finding]:
    yield from _find_unknown("", given, _names())
    yield from _check_own(given)
    for name, kind in _PARTS.items():
        if given.get(name) is not None or name in ("verification", "provenance"):
            yield from _check_part(f"/{name}", given.get(name), kind)
    yield from _check_raw(given.get("raw"))


def check_clock_shape(given: dict[str, Any]) -> list[Finding]:
    """Check the types in the clock of a line whose record is not known."""
    clock = given.get("clock")
    return [] if clock is None else list(_check_part("/clock", clock, Clock))


def _check_own(given: dict[str, Any]) -> Iterator[Finding]:
    """Check the fields of a line that are not objects."""
    name, version = given.get("fail_id"), given.get("format", FORMAT)
    if not isinstance(name, str) or not name:
        yield _finding("schema.type", "/fail_id", "the name of the record", name)
    if isinstance(version, bool) or version != FORMAT:
        yield _finding("schema.enum", "/format", f"{FORMAT}, the one of this finops", version)
    for field in _TEXTS:
        if field in given and not isinstance(given[field], str):
            yield _finding("schema.type", f"/{field}", "a reason", given[field])
    for field in _LISTS:
        if field in given and not isinstance(given[field], list):
            yield _finding("schema.type", f"/{field}", "a list", given[field])


def _check_part(path: str, part: Any, kind: type[msgspec.Struct]) -> Iterator[Finding]:
    try:
        msgspec.convert(part, kind)
    except msgspec.ValidationError as error:
        found = [finding_of(each, path) for each in schema_errors(part, _validator_of(kind))]
        # a number such as 1e400 is whole by the schema, and no number that the type can hold
        yield from found or [_finding("schema.type", path, describe_decode_error(error), part)]


def _find_unknown(path: str, value: Any, info: inspect.Type) -> Iterator[Finding]:
    """Yield the keys that a part of a line does not have. Values of other types are passed over."""
    if isinstance(info, inspect.UnionType):
        for each in info.types:
            yield from _find_unknown(path, value, each)
    elif isinstance(info, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in info.fields}
        known = Line.__struct_fields__ if info.cls is _Names else tuple(fields)
        for name, inner in value.items():
            place = f"{path}/{name}"[: limits.SHOWN_CHARS]
            if name in fields:
                yield from _find_unknown(place, inner, fields[name])
            elif name not in known:
                yield _finding("schema.unknown", place, f"one of {', '.join(known)}", inner)
    elif isinstance(info, inspect.DictType) and isinstance(value, dict):
        for name, inner in value.items():
            place = f"{path}/{name}"[: limits.SHOWN_CHARS]
            yield from _find_unknown(place, inner, info.value_type)
    elif isinstance(info, inspect.ListType | inspect.VarTupleType) and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _find_unknown(f"{path}/{number}", inner, info.item_type)


@cache
def _names() -> inspect.Type:
    return inspect.type_info(_Names)


@cache
def _validator_of(kind: type[msgspec.Struct]) -> Any:
    return make_validator(schema_of(kind.__name__, kind, (), {}))


def _check_raw(raw: Any) -> Iterator[Finding]:
    """Check the replies of the models that a line keeps."""
    if raw is None:
        return
    if not isinstance(raw, dict):
        yield _finding("schema.type", "/raw", "what was received", raw)
        return
    for name, kept in raw.items():
        if name not in ANSWER_FIELDS.values():
            accepted = f"one of {', '.join(ANSWER_FIELDS.values())}"
            yield _finding("schema.unknown", f"/raw/{name}"[: limits.SHOWN_CHARS], accepted, kept)
            continue
        try:
            attempts = msgspec.convert(kept, list[Attempt])
        except msgspec.ValidationError as error:
            yield _finding("schema.type", f"/raw/{name}", f"a list of attempts ({error})", kept)
            continue
        numbers = [attempt.attempt for attempt in attempts]
        if numbers != list(range(1, len(numbers) + 1)):
            yield _finding("schema.range", f"/raw/{name}", "attempts numbered from 1", numbers)


def _finding(rule: str, path: str, expected: str, actual: Any) -> Finding:
    shown = show_value(actual)
    message = f"{path[1:]} is {shown}; accepted: {expected}"
    return Finding(rule=rule, path=path, expected=expected, actual=shown, message=message)
