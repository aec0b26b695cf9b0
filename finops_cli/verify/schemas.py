"""Types as JSON Schema (Draft 2020-12), and the errors that a schema finds in an object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import msgspec

from finops_cli.domain import cusip as cusips
from finops_cli.domain import limits
from finops_cli.domain.decode_errors import describe_size
from finops_cli.domain.fail import DTC_PATTERN
from finops_cli.domain.finding import Problem
from finops_cli.domain.money import AMOUNT_ACCEPTED, AMOUNT_PATTERN, Exact

_RULES = {
    "required": "schema.required",
    "additionalProperties": "schema.unknown",
    "type": "schema.type",
    "enum": "schema.enum",
    "pattern": "schema.format",
}


def schema_of(
    name: str,
    kind: type[msgspec.Struct],
    null_is_default: tuple[str, ...],
    may_lack: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Return the schema of `kind`.

    Fields in `null_is_default` may be null, which means the same as absent. Fields in `may_lack`,
    by definition, may be absent although the type requires them; their `$comment` says why.
    """
    _, definitions = msgspec.json.schema_components(
        [kind], schema_hook=_exact_schema, ref_template="#/$defs/{name}"
    )
    for title, definition in definitions.items():
        lackable = may_lack.get(title, {})
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
        for field, schema in definition["properties"].items():
            definition["properties"][field] = _tidy(schema, nullable=field in null_is_default)
            if field in lackable:
                definition["properties"][field]["$comment"] = lackable[field]
        if lackable:
            definition["required"] = [
                each for each in definition["required"] if each not in lackable
            ]
    top = definitions.pop(kind.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:finops:schema:{name}",
        **top,
        "$defs": definitions,
    }


def _exact_schema(kind: type) -> dict[str, Any]:
    if issubclass(kind, Exact):
        return dict(kind.schema)
    raise NotImplementedError(kind)


def _tidy(schema: dict[str, Any], nullable: bool) -> dict[str, Any]:
    """Simplify a schema.

    Exact numbers become JSON numbers. `X or null` becomes one schema unless X is a reference.
    """
    if "anyOf" in schema:
        [inner] = [branch for branch in schema["anyOf"] if branch != {"type": "null"}]
        schema = {**inner, **{key: value for key, value in schema.items() if key != "anyOf"}}
        nullable = True
    if schema.get("format") == "decimal":
        schema = {key: value for key, value in schema.items() if key != "format"}
        schema["type"] = "number"
    if not nullable:
        return schema
    if "anyOf" in schema:  # one of several objects
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "$ref" in schema:
        outer = {key: value for key, value in schema.items() if key != "$ref"}
        return {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}], **outer}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*types, "null"]}


def schema_errors(given: Any, validator: Any) -> list[Problem]:
    """Return every fault that a validator of `make_validator` finds in `given`, by path, at most
    `limits.PROBLEMS` of them.
    """
    every = (problem for error in validator.iter_errors(given) for problem in _problems(error))
    found = list(islice(every, limits.PROBLEMS + 1))
    told = sorted(
        {problem.message: problem for problem in found[: limits.PROBLEMS]}.values(),
        key=lambda problem: problem.path,
    )
    return [*told, AND_MORE] if len(found) > limits.PROBLEMS else told


AND_MORE = Problem(
    rule="schema.range",
    path="",
    value="",
    accepted="a record whose faults can be listed",
    message="and more faults than are listed here",
)
"""Stands behind the faults of a value that has more than `limits.PROBLEMS`."""


def make_validator(schema: dict[str, Any]) -> Any:
    """Return the jsonschema validator of `schema`, to be used again: it costs four good records."""
    import jsonschema

    extend: Any = jsonschema.validators.extend
    draft = jsonschema.Draft202012Validator
    checker = draft.TYPE_CHECKER.redefine("number", _is_number).redefine("integer", _is_integer)
    check = partial(_check_properties, {})
    return extend(draft, {"properties": check}, type_checker=checker)(schema)


def _check_properties(
    of_fields: dict[int, Any],
    validator: Any,
    properties: dict[str, Any],
    given: Any,
    _: dict[str, Any],
) -> Iterator[Any]:
    """Check the fields of an object as jsonschema does, but leave out those that surely fit.

    jsonschema makes a validator for each field of each record, and most fields of a faulty one are
    right: that is three quarters of the time. `of_fields` keeps the validators of simple fields,
    and the words for what they accept.
    """
    if not isinstance(given, dict):
        return
    for name, schema in properties.items():
        if name not in given or surely_fits(given[name], schema):
            continue
        if not schema.keys() <= _SIMPLE:
            yield from validator.descend(given[name], schema, path=name, schema_path=name)
            continue
        if id(schema) not in of_fields:  # it lives as long as the validator
            of_fields[id(schema)] = validator.evolve(schema=schema), accepted_by(schema)
        of_field, accepted = of_fields[id(schema)]
        for error in of_field.iter_errors(given[name]):
            error.path.appendleft(name)
            error.schema_path.appendleft(name)
            error.accepted = accepted
            yield error


def surely_fits(value: Any, schema: dict[str, Any]) -> bool:
    """Return true if `schema` accepts `value`; false where only jsonschema can tell."""
    if not schema.keys() <= _SIMPLE:
        return value is None and {"type": "null"} in schema.get("anyOf", ())
    if "enum" in schema:
        return (value is None or type(value) is str) and value in schema["enum"]
    types = schema.get("type", ())  # a schema without a type is left to jsonschema
    if not any(kind in types for kind in _TYPES.get(type(value), ())):
        return False
    if type(value) is str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", len(value))
        return least <= len(value) <= most and bool(re.search(schema.get("pattern", ""), value))
    if type(value) is int or type(value) is Decimal:
        least, most = schema.get("minimum", value), schema.get("maximum", value)
        above = schema.get("exclusiveMinimum")
        return bool(least <= value <= most and (above is None or value > above))
    return True


_TYPES = {
    str: ("string",),
    int: ("integer", "number"),
    Decimal: ("number",),
    bool: ("boolean",),
    type(None): ("null",),
}
"""The names of a type in a schema; none of them is a part of another one."""
_SIMPLE = {"type", "enum", "default", "description", "$comment", "title"} | {
    *("minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum")
}
"""The keywords that `surely_fits` knows."""


def _is_number(_: Any, value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _is_integer(_: Any, value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.adjusted() < limits.NUMBER_DIGITS and value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def _problems(error: Any) -> Iterator[Problem]:
    """Yield a problem for each field of a jsonschema.ValidationError."""
    if error.validator == "anyOf":
        for inner in error.context or ():
            if inner.schema_path[0] == 0:  # the branch that is not null
                yield from _problems(inner)
        return
    pointer = "".join(f"/{part}" for part in error.absolute_path)
    rule = _RULES.get(str(error.validator), "schema.range")
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        name = next(name for name in missing if error.message.startswith(repr(name)))
        accepted = accepted_by(error.schema["properties"][name])
        yield _problem(rule, f"{pointer}/{name}", "nothing", accepted, "is missing")
    elif error.validator == "additionalProperties":
        known = error.schema["properties"]
        for name in error.instance:
            if name not in known:
                path = f"{pointer}/{name[: limits.SHOWN_CHARS]}"
                yield _problem(
                    rule,
                    path,
                    show_value(error.instance[name]),
                    _nearest(name[: limits.SHOWN_CHARS], tuple(known)),
                    "is not a known field",
                )
    else:
        accepted = getattr(error, "accepted", None) or accepted_by(error.schema)
        shown = show_value(error.instance)
        yield _problem(rule, pointer, shown, accepted, f"is {shown}")


def _problem(rule: str, path: str, value: str, accepted: str, what: str) -> Problem:
    return Problem(
        rule=rule,
        path=path,
        value=value,
        accepted=accepted,
        message=f"{path[1:] or 'the line'} {what}; accepted: {accepted}",
    )


@lru_cache
def _nearest(name: str, known: tuple[str, ...]) -> str:
    """Describe the fields that `name` may mean. One name is often in every record of a file."""
    import difflib

    lower = name.casefold()
    near = difflib.get_close_matches(lower, known, n=1) or [
        each for each in known if each in lower.split("_") or is_abbreviation(each, lower)
    ]
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"


def is_abbreviation(short: str, long: str) -> bool:
    """Return true when `long` begins and ends like `short` and has its letters in order."""
    letters = iter(long)
    return long[:1] == short[:1] and long[-1:] == short[-1:] and all(x in letters for x in short)


def accepted_by(schema: dict[str, Any]) -> str:
    """Describe in words the values that a property accepts."""
    if "anyOf" in schema:
        return " or ".join(accepted_by(branch) for branch in schema["anyOf"])
    if "$ref" in schema:
        return f"an object ({schema['$ref'].rpartition('/')[2]})"
    if "enum" in schema:
        return ", ".join("null" if word is None else str(word) for word in schema["enum"])
    if "type" not in schema:
        return "any value"
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "object" in types and "properties" in schema:
        return f"an object with the fields {', '.join(schema['properties'])}"
    described = _describe_form(schema, types) if types != ["null"] else "null"
    words = [described if kind != "null" else "null" for kind in types]
    return " or ".join(dict.fromkeys(words))


def _describe_form(schema: dict[str, Any], types: list[str]) -> str:
    """Describe a value that is not null: `a whole number from 1 to 100,000 (settlement days)`."""
    if schema.get("pattern") in _PATTERNS:
        return _PATTERNS[schema["pattern"]]
    kind = next(kind for kind in types if kind != "null")
    words, description = _TYPE_WORDS.get(kind, str(kind)), schema.get("description")
    if kind == "object" and description:
        return f"{words}: {description}"
    if description and kind != "integer":
        return str(description)
    bounds = " ".join(text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema)
    if "maxLength" in schema and "minLength" not in schema:
        bounds = f"of up {bounds}"
    if "exclusiveMinimum" in schema:
        bounds = f"from {schema['exclusiveMinimum'] + 1:,} {bounds}"
    return f"{words} {bounds}".rstrip() + (f" ({description})" if description else "")


_TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}
_BOUNDS = {
    "minimum": "from {:,}",
    "maximum": "to {:,}",
    "minLength": "of {:,}",
    "maxLength": "to {:,} characters",
    "maxItems": "of up to {:,} items",
}
_PATTERNS = {
    cusips.PATTERN: "nine capital letters and digits, the last one the check digit",
    AMOUNT_PATTERN: AMOUNT_ACCEPTED,
    DTC_PATTERN: "DTC- and four digits, such as DTC-0005",
}
"""Forms whose description in the schema is too short for a message."""


def show_value(value: Any) -> str:
    """Format `value` as JSON, short enough for a message."""
    if isinstance(value, str):
        value = value[: limits.SHOWN_CHARS * 2]
    elif isinstance(value, list | dict):
        return describe_size(value)
    elif isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return _cut(str(value))
    return _cut(msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= limits.SHOWN_CHARS else f"{text[: limits.SHOWN_CHARS]}..."


def unusable(rule: str, field: str, value: str, accepted: str) -> Problem:
    """Report that `field` of a row holds `value`, where only `accepted` is valid."""
    text = show_value(value)
    return Problem(
        rule=rule,
        path=f"/{field}",
        value=text,
        accepted=accepted,
        message=f"{field} is {text}; accepted: {accepted}",
    )
