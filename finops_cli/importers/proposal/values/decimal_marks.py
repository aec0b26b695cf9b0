"""Find from the values of a file which mark is decimal, and the unit of its percentages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from finops_cli.importers.mapped_rows.number_text import Marks, NumberFault, parse_number

_NOISE = re.compile(r"^(?:US\$|USD|\$)\s*|\s*(?:USD|%|[KMBkmb])$")
_NO_BREAK = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
_NUMBER = re.compile(
    r"""
    [0-9]+ | [0-9]* [.,] [0-9]+             # 5000; 12.5; 12,5; .5
    | [0-9]{1,3} (?: ([.,' ]) [0-9]{3} )    # 12.000; 1 234
      (?: \1 [0-9]{3} )* (?: (?!\1) [.,] [0-9]+ )?  # 1.234.567; 1.234,56
    """,
    re.VERBOSE,
)
"""A date such as 13.11.2026 and a number of a version are not numbers."""
_BLANKS = re.compile(rf"[{_NO_BREAK}]")
_OTHER = {".": ",", ",": "."}


class Proof(NamedTuple):
    """The first cells that prove a decimal mark, and those that could mean either."""

    dot: tuple[str, ...]
    comma: tuple[str, ...]
    either_dot: tuple[str, ...]
    """Such as 12.000: twelve or twelve thousand."""
    either_comma: tuple[str, ...]
    grouping: str
    """The mark between groups where cells prove one, such as the blank of `1 234,56`."""


def strip_number(text: str) -> tuple[str, int]:
    """Return the digits and marks of a number, and its sign. Empty where it is not a number."""
    core, sign = text.strip(), 1
    if core.startswith("(") and core.endswith(")"):
        core, sign = core[1:-1].strip(), -1
    core = _NOISE.sub("", _NOISE.sub("", core)).strip()
    if core[:1] in {"-", "+", "\N{MINUS SIGN}"}:
        core, sign = core[1:].strip(), sign if core[0] == "+" else -sign
    elif core.endswith("-"):
        core, sign = core[:-1].strip(), -sign
    core = _NOISE.sub("", core).strip()
    core = _BLANKS.sub(" ", core)
    return (core, sign) if _NUMBER.fullmatch(core) else ("", 1)


def prove(texts: Iterable[str]) -> Proof:
    """Sort the numbers of `texts` by what they prove."""
    found: dict[str, list[str]] = {".": [], ",": [], "?.": [], "?,": []}
    grouping = ""
    for text in texts:
        core, _ = strip_number(text)
        if not core:
            continue
        verdict, group = _judge(core)
        grouping = grouping or group
        if verdict and text not in found[verdict]:
            found[verdict].append(text)
    dot, comma, either_dot, either_comma = (tuple(texts) for texts in found.values())
    return Proof(dot, comma, either_dot, either_comma, grouping)


def _judge(core: str) -> tuple[str, str]:
    """Return the mark that a number proves to be decimal (`?` before it: it may also group).

    The second text is the mark that it proves to group.
    """
    marks = [sign for sign in core if not sign.isdigit()]
    if not marks:
        return "", ""
    last, before = marks[-1], set(marks[:-1])
    if last in " '":
        return ("", last) if before <= {last} else ("", "")
    whole, _, fraction = core.rpartition(last)
    if before - {last} and last not in before:  # 1.234,56: the last of two kinds is decimal
        return last, next(iter(before))
    if before:  # 1.234.567: a mark that repeats groups
        return _OTHER[last], last
    if len(fraction) == 3 and 1 <= len(whole) <= 3 and whole != "0":
        return f"?{last}", ""
    return last, ""


def choose_marks(proof: Proof) -> Marks | None:
    """Return the marks that the cells prove; None where they prove neither or both."""
    if bool(proof.dot) == bool(proof.comma):
        return None
    if proof.comma:
        return Marks(",", proof.grouping or ("." if proof.either_dot else ""))
    return Marks(".", proof.grouping or ",")


def read_number(text: str, marks: Marks) -> Decimal | None:
    """Read a number under `marks`, with its sign and its K, M or B; None where it is not one."""
    try:
        return parse_number(text, marks).value
    except NumberFault:
        return None
