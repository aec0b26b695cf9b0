"""Files that people write: read as YAML and checked against a pydantic model.

Every fault of a file is reported at once, each with its path, its value and what is accepted.
Import this module only where such a file is read: pydantic loads slower than `finops --help` may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from finops_cli.domain import limits
from finops_cli.domain.decode_errors import describe_size
from finops_cli.errors import UsageError
from finops_cli.files.settings_text import decode_settings, read_settings


class UserFileModel(BaseModel):
    """The base of each part of a file that people write: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


M = TypeVar("M", bound=BaseModel)
CURE = "correct {}; `finops schema --help` names the schemas of such files"


class Fault(NamedTuple):
    """One reason why a file cannot be used.

    `path` holds the keys and list positions from the top of the file to the faulty value. `actual`
    completes "PATH ..." and `expected` completes "Expected ...".
    """

    path: tuple[str | int, ...]
    actual: str
    expected: str

    def sentence(self) -> str:
        """Describe the fault in one line."""
        return f"{format_path(self.path) or 'the file'} {self.actual}. Expected {self.expected}."


class Faults(ValueError):
    """Raised by a validator of a model that finds several faults.

    The path of each starts at the value that the validator checks. A validator that finds one fault
    in its own value raises a plain ValueError whose text completes "Expected ...".
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.sentence() for fault in faults))
        self.faults = tuple(faults)


def validate(
    model_class: type[M], given: object, where: str, more_faults: Sequence[Fault] = ()
) -> M:
    """Check `given` against `model_class`; `where` names the file or option in the message.

    `more_faults` are those that the caller found in `given` itself. Raises UsageError that lists
    every fault.
    """
    try:
        value = model_class.model_validate(given)
    except ValidationError as error:
        faults = faults_of(model_class, error, given)
        known = {fault.path for fault in faults}
        faults += [fault for fault in more_faults if fault.path not in known]
        raise UsageError(describe_faults(where, faults), CURE.format(where)) from error
    if more_faults:
        raise UsageError(describe_faults(where, more_faults), CURE.format(where))
    return value


def describe_faults(where: str, faults: Sequence[Fault]) -> str:
    """Write the faults of one file as a message: one line for one fault, else a list."""
    if len(faults) == 1:
        return f"{where}: {faults[0].sentence()}"
    shown = [f"  {fault.sentence()}" for fault in faults[: limits.PROBLEMS]]
    more = len(faults) - len(shown)
    return "\n".join(
        [f"{where} has {len(faults)} faults:", *shown, *([f"  and {more} more"] if more else [])]
    )


def format_path(path: Sequence[str | int]) -> str:
    """Write a path as `data.mix[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def json_schema(model_class: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model_class.model_json_schema(),
    }


class _Strict(yaml.scanner.Scanner, yaml.composer.Composer, yaml.constructor.BaseConstructor):
    """Refuses a key that is given twice, and brackets and aliases that cost more than they show."""

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level >= limits.YAML_LEVELS:
            raise RecursionError
        super().fetch_flow_collection_start(token)

    def get_single_node(self) -> Any:
        root = super().get_single_node()
        if root is not None and _count_nodes(root, {}) > limits.YAML_NODES:
            raise yaml.constructor.ConstructorError(
                None, None, f"it has more than {limits.YAML_NODES:,} values", root.start_mark
            )
        return root

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        _refuse_repeated_keys(node)
        return super().construct_mapping(node, deep)


class _TextLoader(_Strict, yaml.BaseLoader):
    """Reads every scalar as text."""


class _ValueLoader(_Strict, yaml.SafeLoader):
    """Reads numbers and booleans as such."""


def _count_nodes(node: Any, counted: dict[int, int]) -> int:
    """Count the values under `node`; an alias counts as the values that it repeats."""
    number = counted.get(id(node))
    if number == 0:
        raise yaml.constructor.ConstructorError(
            None, None, "an alias repeats a value that contains the alias", node.start_mark
        )
    if number is None:
        counted[id(node)] = 0  # it is being counted
        inner = () if isinstance(node, yaml.ScalarNode) else node.value
        number = 1
        for part in inner:
            for each in part if isinstance(part, tuple) else (part,):
                number += _count_nodes(each, counted)
        counted[id(node)] = number
    return number


def _refuse_repeated_keys(node: Any) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key.value} is given twice; keep one", node.start_mark
            )
        seen.add(key.value)


def read_yaml(path: Path, all_text: bool = False) -> object:
    """Read a YAML file. With `all_text` every scalar stays text: 012 keeps its zero, Yes its word.

    YAML would take the last of two equal keys in silence; here the file is refused. So is one that
    is too long for settings, such as a device that never ends. Raises UsageError.
    """
    text = decode_settings(path, read_settings(path))
    try:
        return yaml.load(text, Loader=_TextLoader if all_text else _ValueLoader)  # noqa: S506 - both are safe loaders
    except RecursionError as error:
        raise UsageError(
            f"{path} is nested too deeply", "remove levels: a file of finops needs at most four"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(
            f"{path} is not YAML: {' '.join(str(error).split())}",
            "correct the line that the message names",
        ) from error


def faults_of(model_class: type[BaseModel], error: ValidationError, given: object) -> list[Fault]:
    """Translate pydantic's findings into faults, one for each path.

    The branches of a union each report the same value: their expectations are joined by "or". A
    message lists `limits.PROBLEMS` faults, so those behind are only counted: no key is guessed.
    """
    joined: dict[tuple[str | int, ...], Fault] = {}
    for detail in error.errors(include_url=False):
        if len(joined) >= limits.PROBLEMS and detail["type"] == "extra_forbidden":
            joined.setdefault(detail["loc"], Fault(detail["loc"], "is not a known key", "no key"))
            continue
        for fault in _faults_of_detail(model_class, detail, given):
            known = joined.setdefault(fault.path, fault)
            if fault.expected not in known.expected:
                joined[fault.path] = known._replace(
                    expected=f"{known.expected} or {fault.expected}"
                )
    return list(joined.values())


def _faults_of_detail(model_class: type[BaseModel], detail: Any, given: object) -> Iterator[Fault]:
    path = _path_in_file(detail["loc"], given, detail["type"])
    if detail["type"] == "extra_forbidden":
        yield _unknown_key(model_class, path)
    elif detail["type"] == "missing":
        yield Fault(path, "is missing", "a value")
    else:
        raised = detail.get("ctx", {}).get("error")
        if isinstance(raised, Faults):
            for fault in raised.faults:
                yield fault._replace(path=(*path, *fault.path))
        else:
            expected = str(raised) if isinstance(raised, ValueError) else describe_expected(detail)
            yield Fault(path, f"is {show(detail['input'])}", expected)


def _path_in_file(
    location: tuple[str | int, ...], given: object, error_type: str
) -> tuple[str | int, ...]:
    """Return the parts of pydantic's location that are keys or positions in the file.

    Pydantic also names the branches of a union (`str`, `Column`) and marks a key with `[key]`.
    """
    path: list[str | int] = []
    at: Any = given
    for part in location:
        if _has(at, part):
            path.append(part)
            at = at[part]
    if error_type == "missing":
        path.append(location[-1])
    return tuple(path)


def _has(value: object, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def _unknown_key(model_class: type[BaseModel], path: tuple[str | int, ...]) -> Fault:
    accepted = _keys_at(model_class, path[:-1])
    key = str(path[-1])
    near = get_close_matches(key, accepted, n=1)
    if not near:
        deeper = {each.rpartition(".")[2]: each for each in _keys_below(model_class)}
        near = [deeper[each] for each in get_close_matches(key, deeper, n=1)]
    hint = f" (did you mean {near[0]}?)" if near else ""
    return Fault(path, f"is not a known key{hint}", _one_of(accepted) or "no such key")


@lru_cache
def _keys_at(model_class: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that the object at `path` may have."""
    schema: Any = model_class.model_json_schema()
    definitions = schema.get("$defs", {})
    branches = [schema]
    for part in path:
        branches = [
            step
            for branch in branches
            for step in _schemas_below(_resolve(branch, definitions), part)
        ]
    objects = [each for branch in branches for each in _resolve(branch, definitions)]
    return list(dict.fromkeys(key for each in objects for key in each.get("properties", {})))


@lru_cache
def _keys_below(model_class: type[BaseModel]) -> tuple[str, ...]:
    """Return the paths of the keys that the objects directly below the top may have."""
    return tuple(
        f"{outer}.{inner}"
        for outer in _keys_at(model_class, ())
        for inner in _keys_at(model_class, (outer,))
    )


def _resolve(schema: Any, definitions: Mapping[str, Any]) -> list[Any]:
    """Return the alternatives of a schema, with references followed."""
    if "$ref" in schema:
        return _resolve(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives is None:
        return [schema]
    return [each for branch in alternatives for each in _resolve(branch, definitions)]


def _schemas_below(alternatives: Sequence[Any], part: str | int) -> Iterator[Any]:
    for schema in alternatives:
        if isinstance(part, int):
            if "items" in schema:
                yield schema["items"]
        elif part in schema.get("properties", {}):
            yield schema["properties"][part]
        elif isinstance(schema.get("additionalProperties"), dict):
            yield schema["additionalProperties"]


_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "keys with values",
    "mapping": "keys with values",
    "none": "nothing (null)",
    "finite": "a finite number",
    "path": "a path",
}
"""How the first word of a pydantic error type (`int_parsing`, `list_type`) is named."""

_BOUNDS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "a number from {} up"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "a number up to {}"),
    "multiple_of": ("multiple_of", "a multiple of {}"),
    "string_too_short": ("min_length", "text of at least {} characters"),
    "string_too_long": ("max_length", "text of at most {} characters"),
    "too_short": ("min_length", "at least {} entries"),
    "too_long": ("max_length", "at most {} entries"),
    "string_pattern_mismatch": ("pattern", "text of the form {}"),
    "literal_error": ("expected", "one of: {}"),
    "enum": ("expected", "one of: {}"),
}


def describe_expected(detail: Any) -> str:
    """Describe what a value of pydantic's error type has to be."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        bound = str(context[name])
        if kind in {"literal_error", "enum"}:
            bound = bound.replace("'", "").replace(" or ", ", ")
        return text.format(bound)
    if kind in {"model_type", "model_attributes_type"}:
        return "keys with values"
    return _KINDS.get(kind.split("_")[0], str(detail["msg"]).removeprefix("Input should be "))


def _one_of(words: Sequence[str]) -> str:
    return f"one of: {', '.join(words)}" if words else ""


def show(value: object) -> str:
    """Show a value of a file in a message, cut where it is long."""
    if isinstance(value, Mapping | list | tuple):
        return describe_size(value)
    if value is None:
        return "empty"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= limits.SHOWN_CHARS else f"{text[: limits.SHOWN_CHARS]}..."
