"""The faults of a rejected line as they may be shown: every value that they quote is read whole
before it is cut short.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from finops_cli.domain import limits
from finops_cli.domain.finding import Problem
from finops_cli.guard.records import Mask
from finops_cli.pipeline.intake import Taken, decode

Take = Callable[[Any], Taken[Any]]
"""From a decoded line to an input, or to its problems."""
_HEAD_BYTES = 4096
"""Of a line that is not JSON so much is read: far more than is shown of it."""
_ANYWHERE = ("text", "notes", "dk_reason", "origin")
"""Fields that hold free text, faulty or not."""


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")
_QUOTING = ("path", "value", "accepted", "message")


class Quoted(NamedTuple):
    """What may be said of a line that is no input.

    `masks` None: nothing of it was masked, and no guard read it.
    """

    problems: list[Problem]
    masks: tuple[str, ...] | None


def quoted(
    mask: Mask, line: bytes | None, given_id: str | None, problems: list[Problem], take: Take | None
) -> Quoted:
    """`line` and `take` None: the problems quote nothing but the name."""
    told = problems if line is None or take is None else _judged_again(mask, line, problems, take)
    mask.reference(given_id)  # what is masked in its name is told too
    if mask.reads:
        told = [
            replace(each, **{part: mask.some(getattr(each, part)) for part in _QUOTING})
            for each in told
        ]
    return Quoted(told, mask.kinds if mask.found or mask.reads else None)


def _judged_again(mask: Mask, line: bytes, problems: list[Problem], take: Take) -> list[Problem]:
    """The problems that the line has once it is masked.

    One that masking cures is told without its value.
    """
    given = decode(line)
    if isinstance(given, Problem):
        head = mask.some(_readable(line[:_HEAD_BYTES])).strip()
        return [replace(each, value=head[: limits.SHOWN_CHARS]) for each in problems]
    masked = _masked(mask, given, problems) if isinstance(given, dict) else mask.anything(given)
    if not mask.found:
        return problems
    again = take(masked).problems
    told = {each.path for each in again}
    return [*again, *(_without_value(mask, each) for each in problems if each.path not in told)]


def _readable(head: bytes) -> str:
    """The text of a line that is not JSON, its escapes undone: a number written with them is a
    number.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(
            head
        )  # a character cut at the end is left out
    except UnicodeDecodeError:
        text = head.decode("cp1252", "replace")  # saved by an old editor
    return (
        _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
        .encode("utf-8", "replace")
        .decode()
    )


def _masked(mask: Mask, given: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """`given` with every value masked that a fault is about, and its key; what is right stays what
    it is.
    """

    def faulty(name: str) -> bool:
        path = f"/{name[: limits.SHOWN_CHARS]}"
        return name in _ANYWHERE or any(
            each.path == path or each.path.startswith(f"{path}/") for each in problems
        )

    return {
        mask.some(name): mask.anything(value, name) if faulty(name) else value
        for name, value in given.items()
    }


def _without_value(mask: Mask, problem: Problem) -> Problem:
    """Its path is a key, cut short where it is long: shown only as far as a blank or a digit would
    not part it.
    """
    path = problem.path if len(problem.path) < limits.SHOWN_CHARS else ""
    field = mask.some(path[1:]) or "the line"
    message = (
        f"{field} does not hold what is accepted; its value is not shown, for it holds personal"
        " data"
    )
    return Problem(problem.rule, mask.some(path), "", "", message)
