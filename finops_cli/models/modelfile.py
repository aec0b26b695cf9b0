"""Reads a Modelfile, all of Ollama's format: what a model is built from, its parameters, prompts
and messages.

An instruction, blanks, a value: bare to the end of its line, or in "quotes" or in three of them,
and then over as many lines as it takes to the line that ends with the closing quote. There are no
single quotes and no escapes. Instructions know no case, `#` starts a comment line. Where Ollama
lets the last of two SYSTEM lines or of two equal parameters win in silence, they are refused here.

One comment speaks to finops: `# finops: thinks`, of a model that reasons before it answers, so that
its prompt ends where it begins to.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.models.ollama_options import Value, typed

Role = Literal["system", "user", "assistant"]

_ONCE = ("TEMPLATE", "SYSTEM", "RENDERER", "PARSER", "REQUIRES")
_MANY = ("FROM", "PARAMETER", "ADAPTER", "LICENSE", "MESSAGE", "DRAFT")
_NAMES = ("FROM", "ADAPTER", "DRAFT", "RENDERER", "PARSER", "REQUIRES")
"""Instructions whose value is a name or a path: one line, not empty."""
_DIRECTIVE = "# finops:"
_QUOTES = ('"""', '"')
_SPLIT = re.compile(r"([^ \t]+)[ \t]*(.*)", re.DOTALL)
_SEMVER = re.compile(r"v?[0-9]+(\.[0-9]+(\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)?)?")


class Message(Struct, frozen=True):
    """One turn of the conversation that the model starts with."""

    role: Role
    content: str


class Modelfile(Struct, frozen=True, kw_only=True):
    """The content of the file, in file order. Of `bases` (FROM) there is at least one; `requires`
    is without its `v`.

    `parameters` are names in lower case and texts as they stand, `lines` the lines that they stand
    on; a name may come twice (stop).
    """

    path: Path
    bases: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    lines: tuple[int, ...] = ()
    template: str | None = None
    system: str | None = None
    adapters: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    renderer: str | None = None
    parser: str | None = None
    requires: str | None = None
    drafts: tuple[str, ...] = ()
    thinks: bool = False

    @property
    def prompt(self) -> str:
        """The system prompt of a model that has to have one.

        Raises UsageError when the file has none.
        """
        if self.system is None:
            raise UsageError(
                f"{self.path}: SYSTEM is missing; it is the prompt that the model was trained with"
            )
        return self.system


def read_modelfile(path: Path) -> Modelfile:
    """The Modelfile at `path`. Raises UsageError naming file, line and what is accepted."""
    once: dict[str, str] = {}
    many: dict[str, list[_Instruction]] = {name: [] for name in (*_MANY, _DIRECTIVE)}
    for given in _read_instructions(path):
        _refuse_unusable(path, given)
        if given.name in many:
            many[given.name].append(given)
        elif given.name in once:
            raise UsageError(
                f"{path}:{given.line}: {given.name} is given twice", "leave one of them"
            )
        else:
            once[given.name] = (
                _parse_version(path, given) if given.name == "REQUIRES" else given.value
            )
    if not many["FROM"]:
        raise UsageError(
            f"{path}: FROM is missing; it names the GGUF file or the model that this one is made"
            " from"
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
    """The parameters as the API takes them: numbers as numbers, every `stop` in one list.

    Raises UsageError naming file, line and parameter for a name that Ollama does not know, a value
    of another type, and one given twice: the API itself neither checks nor converts, it ignores
    what it does not know.
    """
    values: dict[str, Value] = {}
    for (name, text), line in zip(modelfile.parameters, modelfile.lines, strict=True):
        place = f"{modelfile.path}:{line}: PARAMETER {name}"
        value, before = typed(place, name, text), values.get(name)
        if isinstance(value, list) and isinstance(before, list):
            value = before + value
        elif before is not None:
            raise UsageError(f"{place} is given twice", "leave one of them")
        values[name] = value
    return values


class _Instruction(NamedTuple):
    line: int
    name: str
    head: str
    """The first word of PARAMETER and MESSAGE: the parameter's name, the role; empty for the
    others.
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
                f"{path}:{number}: {name} is none of {', '.join(sorted(_ONCE + _MANY))}"
            )
        head = ""
        if name.upper() in ("PARAMETER", "MESSAGE"):
            head, rest = _split_first_word(rest)
        if not rest.strip():
            raise UsageError(
                f"{path}:{number}: {line.strip()} has no value; an empty one is written as two"
                " quotes"
            )
        yield _Instruction(number, name.upper(), head, _read_value(path, number, rest, lines))


def _read_text(path: Path) -> str:
    """The text of the file with `\\n` between lines, whatever the system that wrote it."""
    raw = path.read_bytes()
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
    """The value that begins with `rest`; takes further lines while its quote is open."""
    quote = next((quote for quote in _QUOTES if rest.startswith(quote)), None)
    if quote is None:
        return rest.strip()
    text = rest
    while not (len(text.rstrip()) >= 2 * len(quote) and text.rstrip().endswith(quote)):
        _, line = next(lines, (0, None))
        if line is None:
            raise UsageError(
                f"{path}:{number}: the text that starts here has no closing {quote} at the end of a"
                " line"
            )
        text += "\n" + line
    return text.rstrip()[len(quote) : -len(quote)]


def _refuse_unusable(path: Path, given: _Instruction) -> None:
    if given.name == _DIRECTIVE and given.value != "thinks":
        raise UsageError(
            f"{path}:{given.line}: {_DIRECTIVE} {given.value} tells finops nothing; accepted:"
            f" {_DIRECTIVE} thinks"
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
        f"{path}:{given.line}: MESSAGE takes a role ({roles}) and a text; {given.head} is no role"
    )


def _parse_version(path: Path, given: _Instruction) -> str:
    if not _SEMVER.fullmatch(given.value):
        raise UsageError(
            f"{path}:{given.line}: REQUIRES takes a version of Ollama such as 0.30.0, not"
            f" {given.value}"
        )
    return given.value.removeprefix("v")
