"""Normalises a text: one spelling for digits, dashes, blanks and HTML entities, without invisible
characters, and with the positions in the original.
"""

from __future__ import annotations

import html
import html.entities
import re
import unicodedata
from dataclasses import dataclass
from typing import get_args

from finops_cli.kb.chapters.guard import Kind

MASKED = "\u16a0"
"""The sign for a placeholder: a letter (RUNIC FEHU) of no pattern, so that a text and its masked
text read alike around it.
"""
_LINE_ENDS = "\r\n\x0b\x0c\x85\u2028\u2029"
_NAMED = sorted(
    name for name, sign in html.entities.html5.items() if name.endswith(";") and len(sign) == 1
)
_PIECE = re.compile(
    r"(?P<plain>[!-$'-Z\\-~]+)"
    rf"|(?P<placeholder>\[(?:{'|'.join(get_args(Kind))})\])"
    rf"|&(?:amp;){{0,3}}(?P<entity>#[0-9]{{1,7}};?|#[xX][0-9a-fA-F]{{1,6}};?|"
    rf"(?:{'|'.join(_NAMED)}))"
    r"|(?P<at>%40(?=[a-zA-Z\])}]))"
    r"|(?P<percent>(?<=[0-9A-Za-z])%(?:2[0dDeEfF]|3[aA]|5[fF])(?=[0-9A-Za-z% ]))"
    r"|(?P<dash>(?<=[0-9])\u00ad(?=[0-9]))"
    r"|(?P<capital_at>(?<=[^\W_A-Z])[ ]AT[ ](?=[A-Za-z][\w-]{0,62}\.[A-Za-z]{2}))"
    rf"|(?P<blank>[ \t]++(?![{_LINE_ENDS}]))"
    rf"|(?P<break>[ \t]*[{_LINE_ENDS}](?:[ \t>|{_LINE_ENDS}])*)"
    r"|(?P<other>.)",
    re.DOTALL,
)
"""Blanks and the marks of a quoted mail behind a line end belong to it.

Each alternative reads a sign once: the whole is linear.
"""
_FIXED = {
    "placeholder": MASKED,
    "at": "@",
    "dash": "-",
    "capital_at": "@",
    "blank": " ",
    "break": "\n",
}
_READ_AS = {"Pd": "-", "Zs": " "}
_INVISIBLE = frozenset(("Cf", "Mn", "Me", "Cc", "Cs"))
_ASCII_MARKS = {
    "\u2212": "-",
    "\u2043": "-",
    "\u02d7": "-",
    "\u30fc": "-",
    "\uff70": "-",
    "\u2019": "'",
    "\u2018": "'",
    "\u02bc": "'",
    "\t": " ",
    "\u2800": " ",
} | dict.fromkeys("\u00b7\u2022\u2027\u2219\u22c5\u30fb\u3002\uff0e\u2024", ".")
_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5")
_BLANKS = frozenset(" \n")
_JOINED = re.compile(
    r"(?<=[0-9])\n(?=[0-9])|(?<=[0-9]-)\n(?=[0-9])|(?<=[0-9])\n(?=-[0-9])"
    r"|(?<=[0-9][/.:*~_])\n(?=[0-9])|(?<=[0-9]--)\n(?=[0-9])|(?<=[A-Za-z]-)\n(?=[0-9]{2})"
    r"|(?<=[^A-Za-z][A-Z])\n(?=[0-9]{2})|(?<=[^A-Za-z][A-Z]{2})\n(?=[0-9]{2})"
    r"|(?<=[ ]@)\n(?=\w)|(?<=\w@)\n(?=\w)|(?<=\w)\n(?=@[ \w])"
    r"|(?<=\w)\n(?=\.[ ]\w)|(?<=[ ]\.)\n(?=\w)"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A normalised text: `text[i]` is `original[starts[i]:ends[i]]`.

    `placeholders` maps positions in `text` to the kinds of data that were masked before.
    """

    text: str
    starts: list[int]
    ends: list[int]
    placeholders: dict[int, str]


def read(original: str) -> Reading:
    """Normalise `original`."""
    signs: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    placeholders: dict[int, str] = {}
    for piece in _PIECE.finditer(original):
        start, end = piece.span()
        what = piece.lastgroup or ""
        if what == "plain":
            signs.extend(piece.group())
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
            continue
        if what == "placeholder":
            placeholders[len(signs)] = piece.group()[1:-1]
        sign = _FIXED.get(what) or _sign(_decode(what, piece))
        if sign in _BLANKS and signs and signs[-1] in _BLANKS:
            signs[-1] = "\n" if "\n" in (sign, signs[-1]) else " "
        elif sign:
            signs.append(sign)
            starts.append(start)
            ends.append(end)
    return Reading("".join(signs), starts, ends, placeholders)


def _decode(what: str, piece: re.Match[str]) -> str:
    """Decode an HTML entity or a percent sign with two digits."""
    if what == "entity":
        return html.unescape(f"&{piece['entity']}")
    return chr(int(piece.group()[1:], 16)) if what == "percent" else piece.group()


def _sign(character: str) -> str:
    """Normalise one character: nothing for an invisible one, a blank for an entity of several
    characters.
    """
    if len(character) != 1:  # an entity of a control character has no text
        return " " if character else ""
    if character in _ASCII_MARKS:
        return _ASCII_MARKS[character]
    category = unicodedata.category(character)
    if character in _LINE_ENDS or category in _READ_AS:
        return "\n" if character in _LINE_ENDS else _READ_AS[category]
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category in _INVISIBLE or character in _INVISIBLE_LETTERS:
        return ""
    same = unicodedata.normalize("NFKC", character)
    return same if len(same) == 1 else character


def joined(reading: Reading) -> tuple[str, list[int]]:
    """Remove the line ends that cut a number or an address in two.

    Returns the text and the positions of its characters in `reading.text`; both are empty if no
    line end does that.
    """
    text = reading.text
    cuts = {cut.start() for cut in _JOINED.finditer(text)}
    places = [place for place in range(len(text)) if place not in cuts] if cuts else []
    return "".join(text[place] for place in places), places
