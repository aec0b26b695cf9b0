"""Reads a Modelfile: what a model is built from, its parameters, and its system prompt.

The format is line-based: an instruction, blanks, a value that stands bare, in "quotes" or in three of them over several lines.
Instructions know no case, `#` starts a comment line, `PARAMETER stop` may be given more than once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from finops_cli.errors import UsageError

_ONCE = ("FROM", "TEMPLATE", "SYSTEM", "RENDERER", "PARSER", "REQUIRES")
_MANY = ("PARAMETER", "ADAPTER", "LICENSE", "MESSAGE")
_FENCE = '"""'


class Modelfile(Struct, frozen=True):
    """`parameters` in file order; a name may come twice (stop)."""

    base: str
    system: str
    parameters: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...] = ()


def read_modelfile(path: Path) -> Modelfile:
    """The Modelfile at `path`. Raises UsageError naming file and line."""
    once: dict[str, str] = {}
    many: list[tuple[str, str]] = []
    for number, instruction, value in _instructions(path):
        if instruction in _MANY:
            many.append((instruction, value))
        elif instruction not in _ONCE:
            raise UsageError(f"{path}:{number}: {instruction} is none of {', '.join(_ONCE + _MANY)}")
        elif instruction in once:
            raise UsageError(f"{path}:{number}: {instruction} is given twice")
        else:
            once[instruction] = value
    missing = [name for name in ("FROM", "SYSTEM") if name not in once]
    if missing:
        raise UsageError(f"{path}: {missing[0]} is missing")
    parameters = tuple(_parameter(path, value) for instruction, value in many if instruction == "PARAMETER")
    others = [(name, value) for name, value in once.items() if name not in ("FROM", "SYSTEM")]
    others += [(name, value) for name, value in many if name != "PARAMETER"]
    return Modelfile(once["FROM"], once["SYSTEM"], parameters, tuple(others))


def _parameter(path: Path, value: str) -> tuple[str, str]:
    name, blank, setting = value.partition(" ")
    if not blank or not setting.strip():
        raise UsageError(f"{path}: PARAMETER {value}: a name and a value are expected")
    return name.lower(), _unquoted(setting.strip())


def _instructions(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, instruction and value of each instruction."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        instruction, _, value = line.strip().partition(" ")
        value = value.strip()
        if value.startswith(_FENCE) and not (value.endswith(_FENCE) and len(value) >= 2 * len(_FENCE)):
            value = "\n".join([value, *_to_fence(path, number, lines)])
        yield number, instruction.upper(), _unquoted(value)


def _to_fence(path: Path, opened: int, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        yield line
        if line.rstrip().endswith(_FENCE):
            return
    raise UsageError(f"{path}:{opened}: the text that starts here has no closing {_FENCE}")


def _unquoted(value: str) -> str:
    for quote in (_FENCE, '"'):
        if value.startswith(quote) and value.rstrip().endswith(quote) and len(value.rstrip()) >= 2 * len(quote):
            return value.rstrip()[len(quote) : -len(quote)]
    return value
