"""Read a Modelfile, in the complete format of Ollama.

A line is an instruction, spaces and a value. The value ends with its line, or is in "quotes" or in
three of them; then it may span lines, up to the line that ends with the closing quotes. There are
no single quotes and no escapes. Case does not matter for instructions. `#` starts a comment line.
Ollama silently uses the last of two SYSTEM lines or of two equal parameters; finops refuses them.

One comment is for finops: `# finops: thinks` marks a model that reasons before it answers, so that
its prompt ends where the reasoning begins.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.files.settings_text import read_settings
from finops_cli.models.ollama_options import Value, typed

Role = Literal["system", "user", "assistant"]

_ONCE = ("TEMPLATE", "SYSTEM", "RENDERER", "PARSER", "REQUIRES")
_MANY = ("FROM", "PARAMETER", "ADAPTER", "LICENSE", "MESSAGE", "DRAFT")
_NAMES = ("FROM", "ADAPTER", "DRAFT", "RENDERER", "PARSER", "REQUIRES")
"""Instructions whose value is a name or a path, on one line and not empty."""
_DIRECTIVE = "# finops:"
_QUOTES = ('"""', '"')
_SPLIT = re.compile(r"([^ \t]+)[ \t]*(.*)", re.DOTALL)
_SEMVER = re.compile(r"v?[0-9]+(\.[0-9]+(\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)?)?")


class Message(Struct, frozen=True):
    """One message of the conversation that the model starts with."""

    role: Role
    content: str


class Modelfile(Struct, frozen=True, kw_only=True):
    """The contents of a Modelfile, in file order."""

    path: Path
    bases: tuple[str, ...]
    """The values of FROM; at least one."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Names in lower case, and their texts. A name may occur twice (stop)."""
    lines: tuple[int, ...] = ()
    """The line numbers of the parameters."""
    template: str | None = None
    system: str | None = None
    adapters: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    renderer: str | None = None
    parser: str | None = None
    requires: str | None = None
    """Without its `v`."""
    drafts: tuple[str, ...] = ()
    thinks: bool = False

    @property
    def prompt(self) -> str:
        """Return the system prompt.

        Raises UsageError if the file has none.
        """
        if self.system is None:
            raise UsageError(
                f"{self.path}: SYSTEM is missing; give the prompt that the model was trained with"
            )
        return self.system


def read_modelfile(path: Path) -> Modelfile:
    """Read the Modelfile at `path`.

    Raises UsageError that names file, line and accepted values.
    """
    once: dict[str, str] = {}
    many: dict[str, list[_Instruction]] = {name: [] for name in (*_MANY, _DIRECTIVE)}
    for given in _read_instructions(path):
        _refuse_unusable(path, given)
        if given.name in many:
            many[given.name].append(given)
        elif given.name in once:
            raise UsageError(
                f"{path}:{given.line}: {given.name} is given twice", "remove one of them"
            )
        else:
            once[given.name] = (
                _parse_version(path, given) if given.name == "REQUIRES" else given.value
            )
    if not many["FROM"]:
        raise UsageError(
            f"{path}: FROM is missing; give the GGUF file or the model that this one is made from"
        )
    texts = {name: tuple(given.value for given in found) for name, found in many.items()}
    return Modelfile(
        path=path,
        bases=texts["FROM"],
        parameters=tuple(_parse_parameter(path, given) for given in many["PARAMETER"]),
        lines=tuple(given.line for given in many["PARAMETER"]),
        adapters=texts["ADAPTER"],
        licenses=texts["LICENSE"],
        messages=tuple(_parse_message(path, given) for given in many["MESSAGE"]),
        drafts=texts["DRAFT"],
        template=once.get("TEMPLATE"),
        system=once.get("SYSTEM"),
        renderer=once.get("RENDERER"),
        parser=once.get("PARSER"),
        requires=once.get("REQUIRES"),
        thinks=bool(many[_DIRECTIVE]),
    )


def typed_parameters(modelfile: Modelfile) -> dict[str, Value]:
    """Convert the parameters to the types of the API: numbers, and every `stop` in one list.

    The API ignores unknown parameters and does not convert values. So this raises UsageError,
    naming file, line and parameter, for an unknown name, a value of another type, and a repeated
    one.
    """
    values: dict[str, Value] = {}
    for (name, text), line in zip(modelfile.parameters, modelfile.lines, strict=True):
        place = f"{modelfile.path}:{line}: PARAMETER {name}"
        value, before = typed(place, name, text), values.get(name)
        if isinstance(value, list) and isinstance(before, list):
            before += value
        elif before is not None:
            raise UsageError(f"{place} is given twice", "remove one of them")
        else:
            values[name] = value
    return values


class _Instruction(NamedTuple):
    line: int
    name: str
    head: str
    """The first word of PARAMETER (the name) and MESSAGE (the role); empty for other instructions.
    """
    value: str


def _read_instructions(path: Path) -> Iterator[_Instruction]:
    lines = enumerate(_read_text(path).split("\n"), start=1)
    for number, line in lines:
        if line.startswith(_DIRECTIVE):
            yield _Instruction(number, _DIRECTIVE, "", line.removeprefix(_DIRECTIVE).strip())
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        name, rest = _split_first_word(line.lstrip(" \t"))
        if name.upper() not in _ONCE + _MANY:
            raise UsageError(
                f"{path}:{number}: {name[: limits.SHOWN_CHARS]} is not an instruction. Expected one"
                f" of: {', '.join(sorted(_ONCE + _MANY))}"
            )
        head = ""
        if name.upper() in ("PARAMETER", "MESSAGE"):
            head, rest = _split_first_word(rest)
        if not rest.strip():
            raise UsageError(
                f"{path}:{number}: {line.strip()[: limits.SHOWN_CHARS]} has no value; write an"
                " empty value as two quotes"
            )
        yield _Instruction(number, name.upper(), head, _read_value(path, number, rest, lines))


def _read_text(path: Path) -> str:
    """Read the text of the file, with `\\n` between lines on every system."""
    raw = read_settings(path)
    encoding = (
        "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    )
    try:
        return raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: {error}", "save it as UTF-8") from error


def _split_first_word(text: str) -> tuple[str, str]:
    found = _SPLIT.fullmatch(text)
    return (found[1], found[2]) if found else ("", "")


def _read_value(path: Path, number: int, rest: str, lines: Iterator[tuple[int, str]]) -> str:
    """Return the value that starts with `rest`, with further lines while its quotes are open."""
    quote = next((quote for quote in _QUOTES if rest.startswith(quote)), None)
    if quote is None:
        return rest.strip()
    parts, length = [rest], len(rest.rstrip())
    while not (length >= 2 * len(quote) and parts[-1].rstrip().endswith(quote)):
        _, line = next(lines, (0, None))
        if line is None:
            raise UsageError(
                f"{path}:{number}: the text that starts here has no closing {quote} at the end of a"
                " line"
            )
        parts.append(line)
        length += 1 + len(line)
    return "\n".join(parts).rstrip()[len(quote) : -len(quote)]


def _refuse_unusable(path: Path, given: _Instruction) -> None:
    if given.name == _DIRECTIVE and given.value != "thinks":
        raise UsageError(
            f"{path}:{given.line}: {_DIRECTIVE} {given.value[: limits.SHOWN_CHARS]} is unknown;"
            f" accepted: {_DIRECTIVE} thinks"
        )
    if given.name in _NAMES and (not given.value.strip() or "\n" in given.value):
        raise UsageError(f"{path}:{given.line}: {given.name} takes a name or a path, on this line")


def _parse_parameter(path: Path, given: _Instruction) -> tuple[str, str]:
    if not given.value:
        raise UsageError(
            f"{path}:{given.line}: PARAMETER takes a name and a value, as in PARAMETER num_ctx 2048"
        )
    return given.head.lower(), given.value


def _parse_message(path: Path, given: _Instruction) -> Message:
    for role in get_args(Role):
        if given.head.lower() == role:
            return Message(role, given.value)
    roles = ", ".join(get_args(Role))
    raise UsageError(
        f"{path}:{given.line}: MESSAGE takes a role ({roles}) and a text;"
        f" {given.head[: limits.SHOWN_CHARS]} is not a role"
    )


def _parse_version(path: Path, given: _Instruction) -> str:
    if not _SEMVER.fullmatch(given.value):
        raise UsageError(
            f"{path}:{given.line}: REQUIRES takes a version of Ollama such as 0.30.0, not"
            f" {given.value[: limits.SHOWN_CHARS]}"
        )
    return given.value.removeprefix("v")
