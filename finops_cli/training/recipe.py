"""A training recipe assembled from layers: bundled recipe < preset < file < options.

A key is a dotted path (`training.batch`). Each value keeps the name of the layer that it came from.
All faults of all layers are reported at once, each with origin, key, value and accepted values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from msgspec import Struct
from pydantic import ValidationError

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.files.user_files import Fault, faults_of, json_schema, read_yaml, show
from finops_cli.kb.load import bundled_dir
from finops_cli.training.recipe_rules import broken_rules
from finops_cli.training.recipe_schema import Section, Settings


class Setting(Struct, frozen=True):
    """One row of the table of resolved settings."""

    key: str
    value: Any
    origin: str
    """The layer that the value came from, such as `preset 16gb` or `--set`."""


class ResolvedRecipe(NamedTuple):
    """A complete recipe: typed, and as a table of all keys in the order of the recipe."""

    stage: StageName
    preset: str | None
    settings: Settings
    table: list[Setting]


class RecipeRequest(NamedTuple):
    """The recipe that a command requests."""

    stage: StageName
    preset: str | None
    config: Path | None
    options: Sequence[tuple[str, str]]
    """The name of each option, and the setting that it makes (`training.batch=4`)."""


class _Layer(NamedTuple):
    """The values of one origin by dotted key, and the faults that were found on the way."""

    origin: str
    values: dict[str, Any]
    faults: list[Fault]


class _Located(NamedTuple):
    """A fault, and the origin of the value that is at fault."""

    origin: str
    fault: Fault


_CURE = "correct the setting where it was given; `finops schema recipe` lists the keys"


def resolve_recipe(request: RecipeRequest) -> ResolvedRecipe:
    """Assemble the requested recipe.

    Raises UsageError that lists every fault, or every broken rule.
    """
    layers = _layers(request)
    table = _merge(layers)
    faults = [_Located(layer.origin, fault) for layer in layers for fault in layer.faults]
    nested = _nest(table)
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        found = faults_of(Settings, error, nested)
        faults += [_Located(_origin(fault.path, table), fault) for fault in found]
        raise UsageError(_describe(faults), _CURE) from error
    if faults:
        raise UsageError(_describe(faults), _CURE)
    _refuse_contradictions(settings, table)
    final = [Setting(each.key, _value(settings, each.key), each.origin) for each in table]
    return ResolvedRecipe(request.stage, request.preset, settings, final)


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a `--config` file, for editors. A file may leave any key out."""
    schema = json_schema(Settings)
    for part in (schema, *schema["$defs"].values()):
        part.pop("required", None)
    return {**schema, "title": "Training recipe"}


def _layers(request: RecipeRequest) -> list[_Layer]:
    shipped = bundled_dir("training") / f"{request.stage}.yaml"
    document, name = _read_mapping(shipped), f"training/{shipped.name}"
    layers = [_layer(name, document["recipe"])]
    if request.preset is not None:
        presets = document["presets"]
        if request.preset not in presets:
            hint = _hint(request.preset, presets)
            raise UsageError(
                f"{name}: unknown preset {request.preset}{hint}. Expected one of:"
                f" {', '.join(presets)}.",
                "give one of these presets, or none",
            )
        layers.append(_layer(f"preset {request.preset}", presets[request.preset]))
    if request.config is not None:
        layers.append(_layer(str(request.config), _read_mapping(request.config)))
    _refuse_repeated_keys(request.options)
    return [*layers, *(_option_layer(option, text) for option, text in request.options)]


def _refuse_repeated_keys(options: Sequence[tuple[str, str]]) -> None:
    """Raise UsageError where two options set one key: the last would win silently."""
    seen: dict[str, str] = {}
    for option, text in options:
        key = text.partition("=")[0].strip()
        given = f"{option} {text}"
        if key in seen:
            raise UsageError(
                f"{key} is set twice: {seen[key]} and {given}. Expected one value.",
                "keep the one that you mean",
            )
        seen[key] = given


def _read_mapping(path: Path) -> dict[str, Any]:
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise UsageError(
            f"{path} has no keys. Expected one of: {', '.join(_names(Settings))}.", _CURE
        )
    return document


def _layer(origin: str, given: Mapping[str, Any]) -> _Layer:
    layer = _Layer(origin, {}, [])
    _flatten(given, layer, Settings, ())
    return layer


def _option_layer(option: str, text: str) -> _Layer:
    """Read one KEY=VALUE; the value is YAML."""
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals:
        raise UsageError(
            f"{option} {text} has no value. Expected KEY=VALUE.", f"write {text}=VALUE"
        )
    if not key.strip():
        raise UsageError(
            f"{option} {text} has no key. Expected KEY=VALUE.",
            "write the key first, such as training.batch=4",
        )
    try:
        parsed = yaml.safe_load(value) if value else None
    except (yaml.YAMLError, ValueError, RecursionError):
        # PyYAML reports an impossible date, thousands of digits or deep nesting as errors of Python
        fault = Fault(path, f"is {show(value)}", "a value that YAML can read")
        return _Layer(option, {}, [fault])
    given: Any = parsed
    for part in reversed(path):
        given = {part: given}
    return _layer(option, given)


def _flatten(
    given: Mapping[str, Any], layer: _Layer, within: type[Section], path: tuple[str, ...]
) -> None:
    """Add nested keys to `layer` as dotted ones; report each key that `within` does not have."""
    sections = _sections(within)
    for name, value in given.items():
        here = (*path, str(name))
        section = sections.get(name)
        if name not in within.model_fields:
            layer.faults.append(_unknown_key(here, within))
        elif section is not None and isinstance(value, dict):
            _flatten(value, layer, section, here)
        elif section is not None and (value is not None or within is Settings):
            expected = f"keys with values: {', '.join(_names(section))}"
            layer.faults.append(Fault(here, f"is {show(value)}", expected))
        else:
            layer.values[".".join(here)] = value


def _merge(layers: Sequence[_Layer]) -> list[Setting]:
    """Merge the layers. A later layer overrides an earlier one.

    A section that a later layer sets to null loses its keys. A null section that gets keys is no
    longer null.
    """
    merged: dict[str, Setting] = {}
    for layer in layers:
        for key, value in layer.values.items():
            for other in list(merged):
                if other.startswith(f"{key}.") or key.startswith(f"{other}."):
                    del merged[other]
            merged[key] = Setting(key, value, layer.origin)
    return sorted(merged.values(), key=lambda setting: _POSITIONS[setting.key])


def _nest(table: Iterable[Setting]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for setting in table:
        place = nested
        *outer, last = setting.key.split(".")
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = setting.value
    return nested


def _value(settings: Settings, key: str) -> Any:
    """Return the typed value of a key.

    For example, YAML reads `2e-4` as text, and the recipe has it as a number.
    """
    place: Any = settings
    for name in key.split("."):
        place = getattr(place, name)
    return place


def _refuse_contradictions(settings: Settings, table: Sequence[Setting]) -> None:
    """Raise UsageError that lists every broken rule, with the values and their origins."""
    rules = broken_rules(settings)
    if rules:
        texts = [f"{rule.text} ({_values_of(rule.keys, table)})" for rule in rules]
        raise UsageError("the recipe contradicts itself: " + "; ".join(texts), _CURE)


def _values_of(keys: Iterable[str], table: Sequence[Setting]) -> str:
    """Show the settings that a rule names: `training.packing=true from --set`."""
    shown = []
    for key in keys:
        own = [each for each in table if each.key == key]
        inside = [each for each in table if each.key.startswith(f"{key}.")]
        shown += [f"{key}={show(each.value)} from {each.origin}" for each in own]
        shown += [f"{key} from {inside[-1].origin}"] if inside else []
    return ", ".join(shown)


def _describe(faults: Sequence[_Located]) -> str:
    lines = [f"{origin}: {fault.sentence()}" for origin, fault in faults]
    if len(lines) == 1:
        return lines[0]
    return "\n  ".join([f"the recipe has {len(lines)} faults:", *lines])


def _origin(path: Sequence[str | int], table: Iterable[Setting]) -> str:
    """Find the layer that a value came from."""
    for setting in table:
        parts = setting.key.split(".")
        if list(path[: len(parts)]) == parts:
            return setting.origin
    return "the recipe"


def _names(within: type[Section]) -> list[str]:
    return list(within.model_fields)


def _sections(within: type[Section]) -> dict[str, type[Section]]:
    """Return the fields of `within` that are sections themselves, optional or not."""
    return {
        name: kind
        for name, field in within.model_fields.items()
        for kind in (get_args(field.annotation) or (field.annotation,))
        if isinstance(kind, type) and issubclass(kind, Section)
    }


def _all_keys(within: type[Section] = Settings, prefix: str = "") -> Iterator[str]:
    sections = _sections(within)
    for name in within.model_fields:
        if within is not Settings:
            yield f"{prefix}{name}"
        if name in sections:
            yield from _all_keys(sections[name], f"{prefix}{name}.")


_POSITIONS = {key: position for position, key in enumerate(_all_keys())}


def _unknown_key(path: tuple[str, ...], within: type[Section]) -> Fault:
    """Describe an unknown key, with the key that was probably meant.

    That is a similar name in the same section, or the same name in another one.
    """
    key, prefix = ".".join(path), "".join(f"{part}." for part in path[:-1])
    siblings = [f"{prefix}{name}" for name in within.model_fields]
    elsewhere = [known for known in _POSITIONS if known.rpartition(".")[2] == path[-1]]
    near = (
        get_close_matches(key, siblings, n=1)
        or elsewhere
        or get_close_matches(key, _POSITIONS, n=1)
    )
    hint = f" (did you mean {near[0]}?)" if near else ""
    return Fault(path, f"is not a known key{hint}", f"one of: {', '.join(_names(within))}")


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
