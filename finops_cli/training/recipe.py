"""A recipe put together from its layers: recipe < preset < file < flags. Each value remembers the
layer that it came from.

A key is a dotted path (`training.batch`). What a layer names that is no key, or gives a value that
a key does not take, is refused with the layer's name, the key, what is accepted, and the nearest
key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import Struct

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.training.recipe_schema import Section, Settings, refuse_contradictions


class Layer(NamedTuple):
    """Values by dotted key, and what people call their origin."""

    origin: str
    values: dict[str, Any]


class Setting(Struct, frozen=True):
    """One row of the resolved table."""

    key: str
    value: Any
    origin: str


class Resolved(NamedTuple):
    """A recipe ready to be followed: typed, and as a table of every key in the recipe's order."""

    stage: StageName
    preset: str | None
    settings: Settings
    table: list[Setting]


class Chosen(NamedTuple):
    """What a call says about its recipe.

    `flags`: the name of each flag, and what it sets (`training.batch=4`).
    """

    stage: StageName
    preset: str | None
    config: Path | None
    flags: Sequence[tuple[str, str]]


def resolve(chosen: Chosen) -> Resolved:
    """The recipe of a stage as a call wants it.

    Raises UsageError for an unknown preset, key or value, and for contradictions.
    """
    shipped = bundled_dir("training") / f"{chosen.stage}.yaml"
    document = _mapping(shipped)
    name = f"training/{shipped.name}"
    if set(document) != {"recipe", "presets"}:
        raise UsageError(f"{name}: holds `recipe` and `presets`, nothing else")
    layers = [Layer(name, flat(document["recipe"], name))]
    if chosen.preset is not None:
        layers.append(_preset(chosen.preset, document["presets"], name))
    if chosen.config is not None:
        layers.append(Layer(str(chosen.config), flat(_mapping(chosen.config), str(chosen.config))))
    layers += [_flag(*flag) for flag in chosen.flags]
    given = _merged(layers)
    settings = _typed(given)
    refuse_contradictions(settings)
    table = [
        Setting(key, _value(settings, key), origin)
        for key, _, origin in map(msgspec.structs.astuple, given)
    ]
    return Resolved(chosen.stage, chosen.preset, settings, table)


def presets(stage: StageName) -> list[str]:
    """The names of the presets of a stage."""
    return list(_mapping(bundled_dir("training") / f"{stage}.yaml")["presets"])


def _preset(wanted: str, all_presets: Mapping[str, Any], name: str) -> Layer:
    if wanted not in all_presets:
        raise UsageError(
            f"{name}: there is no preset {wanted}", _nearest(wanted, list(all_presets))
        )
    origin = f"preset {wanted}"
    return Layer(origin, flat(all_presets[wanted], f"{name}, {origin}"))


_UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)
"""PyYAML answers a date that there is not, a number of thousands of digits and deep nesting with
Python's own errors.
"""


def _flag(flag: str, text: str) -> Layer:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{flag} {text}: takes KEY=VALUE, such as training.batch=4")
    try:
        read = yaml.safe_load(value) if value else None
    except _UNREADABLE as error:
        raise UsageError(f"{flag} {text}: {value} cannot be read as a value") from error
    parts: dict[str, Any] = {}
    place = parts
    *outer, last = key.strip().split(".")
    for part in outer:
        place = place.setdefault(part, {})
    place[last] = read
    return Layer(flag, flat(parts, flag))


def _mapping(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except _UNREADABLE as error:
        raise UsageError(f"{path}: is not YAML: {error}") from error
    if not isinstance(read, dict):
        raise UsageError(f"{path}: holds no keys")
    return read


def flat(
    given: Mapping[str, Any], origin: str, within: type[Section] = Settings, prefix: str = ""
) -> dict[str, Any]:
    """Nested keys as dotted ones. Raises UsageError for one that is none of `within`."""
    found: dict[str, Any] = {}
    kinds = _sections(within)
    for name, value in given.items():
        key = f"{prefix}{name}"
        if name not in within.__struct_fields__:
            raise UsageError(f"{origin}: {key} is not a key", _nearest_key(key, within, prefix))
        inner = kinds.get(name)
        if inner is not None and isinstance(value, dict):
            found |= flat(value, origin, inner, f"{key}.")
        elif inner is not None and (value is not None or within is Settings):
            raise UsageError(
                f"{origin}: {key} is {value!r}; it takes {', '.join(inner.__struct_fields__)}"
            )
        else:
            found[key] = value
    return found


def _merged(layers: Sequence[Layer]) -> list[Setting]:
    """Later layers win.

    A part that a later layer sets to null loses its keys, one that it gives keys is null no more.
    """
    values: dict[str, Setting] = {}
    for origin, given in layers:
        for key, value in given.items():
            for other in list(values):
                if other.startswith(f"{key}.") or key.startswith(f"{other}."):
                    del values[other]
            values[key] = Setting(key, value, origin)
    return sorted(values.values(), key=lambda setting: _ORDER[setting.key])


def _value(settings: Settings, key: str) -> Any:
    """The value of a key as it is followed: `2e-4`, which YAML reads as a text, is a number
    there.
    """
    place: Any = settings
    for name in key.split("."):
        place = getattr(place, name)
    return place


def _typed(table: Sequence[Setting]) -> Settings:
    nested: dict[str, Any] = {}
    for setting in table:
        place = nested
        *outer, last = setting.key.split(".")
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = setting.value
    try:
        return msgspec.convert(nested, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(_explained(str(error), table)) from error


def _explained(problem: str, table: Sequence[Setting]) -> str:
    """msgspec's sentence, with the key, the value and its origin in front."""
    what, _, place = problem.partition(" - at ")
    key = re.sub(r"\[\d+\]$", "", place.strip("`").removeprefix("$."))
    words = _words().get(key)
    wanted = f"accepted: {', '.join(words)}" if words else f"{what[0].lower()}{what[1:]}"
    for setting in table:
        if setting.key == key:
            return f"{setting.origin}: {key} is {setting.value!r}; {wanted}"
    return f"{key or 'the recipe'}: {what[0].lower()}{what[1:]}"


def _words(within: type[Section] = Settings, prefix: str = "") -> dict[str, tuple[str, ...]]:
    """The closed lists of words that keys take."""
    kinds = _sections(within)
    found: dict[str, tuple[str, ...]] = {}
    for name, hint in get_type_hints(within).items():
        if get_origin(hint) is Literal:
            found[f"{prefix}{name}"] = get_args(hint)
        elif name in kinds:
            found |= _words(kinds[name], f"{prefix}{name}.")
    return found


def _sections(within: type[Section]) -> dict[str, type[Section]]:
    """The fields of `within` that are parts themselves, optional or not."""
    found: dict[str, type[Section]] = {}
    for name, hint in get_type_hints(within).items():
        for kind in get_args(hint) or (hint,):
            if isinstance(kind, type) and issubclass(kind, Section):
                found[name] = kind
    return found


def _keys(within: type[Section] = Settings, prefix: str = "") -> Iterator[str]:
    kinds = _sections(within)
    for name in within.__struct_fields__:
        if within is not Settings:
            yield f"{prefix}{name}"
        if name in kinds:
            yield from _keys(kinds[name], f"{prefix}{name}.")


_ORDER = {key: place for place, key in enumerate(_keys())}


def _nearest_key(key: str, within: type[Section], prefix: str) -> str:
    here = [f"{prefix}{name}" for name in within.__struct_fields__]
    last = key.rpartition(".")[2]
    elsewhere = [known for known in _ORDER if known.rpartition(".")[2] == last]
    near = get_close_matches(key, here, n=1) or elsewhere or get_close_matches(key, _ORDER, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return (
        f"{meant}accepted{f' in {prefix[:-1]}' if prefix else ''}:"
        f" {', '.join(within.__struct_fields__)}"
    )


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"{f'did you mean {near[0]}? ' if near else ''}accepted: {', '.join(known)}"
