"""Cut a text into items: phrases of the lexicon, names, numbers, days and marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

from finops_cli.kb.chapters.wording.sentences import Meanings, SentenceRules, stem
from finops_cli.verify.sentences.number_words import SMALL_NUMBERS

Kind = Literal["phrase", "word", "number", "aside", "party", "cusip", "day", "level", "mark"]
_PATTERN = re.compile(
    r"""
    (?P<word>(?<!\w)(?!(?:DTC|USD|participant|broker|member|level|T|L)(?!\w))[^\W\d_]+(?![\w+*@#]))
    |(?P<party>\bDTC[ #:-]{0,2}(?:no\.?[ ])?(?P<dtc>\d{1,4})(?![\d%]|\.\d)\b
      |\b(?:participant|broker|member)[ ](?P<member>\d{4})(?![\d%]|\.\d)\b)
    |(?P<cusip>\b(?=[0-9A-Z*@\#]{0,8}\d)[0-9A-Z*@\#]{8}\d\b(?![,.]?\d))
    |(?P<day>\bT\s?(?:\+|plus|(?P<ago>-|minus))\s?(?P<n>\d{1,6})\b)
    |(?P<level>\b(?:L|level[ ])(?P<l>\d)\b)
    |(?P<range>(?<![\w.,])\$?\d{1,4}(?:\.\d+)?[kmb%]?[ ]?-
      [ ]?\$?\d{1,4}(?:\.\d+)?[kmb%]?(?![\w,]|\.\d))
    |(?P<number>(?P<usd>\$\s?|\bUSD\s?)?(?P<minus>(?<![\w)])-)?
      (?P<digits>\d{1,3}(?:[,\u2009'\u2019]\d{3})+(?!\d)
        |(?<![\w.,])[1-9]\d{0,2}(?:[ ]\d{3})+(?![\d,.]\d)|\d+)
      (?P<fraction>\.\d+)?
      (?P<suffix>[ ]?(?:thousand|million|billion|mln|mn|bn|mm|[kmb])(?![\w]))?
      (?P<unit>[- \u2009]?(?:(?:settlement|business|trading|calendar)[ ])?
        (?:%|per[ ]?cent\b|pct\b|days?\b|d\b|shares?\b|shs?\b)
        |[ ](?P<dollars>(?:us[ ])?dollars?\b|usd\b))?)
    |(?P<part>[^\W\d_]+)
    |(?P<mark>\.\.\.|[-=]>|[\u2192\u21d2]|\u2026|[.,;:!?()/=<>"]|(?<=[ ])[-+](?=[ ]))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_UNITS = {"d": "days", "s": "shares", "%": "percent", "p": "percent"}
_SCALES = {"k": 3, "t": 3, "m": 6, "b": 9}
_NOTHING: Meanings = {}
_BAND: Meanings = {"neutral": ("range",)}
_NOT = re.compile(r"n['\u2019]t\b|\bcannot\b", re.IGNORECASE)
_POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s?\b", re.IGNORECASE)


class Item(NamedTuple):
    """A piece of a text with its possible meanings."""

    kind: Kind
    text: str
    meanings: Meanings = _NOTHING
    value: Decimal | str = ""
    """Of a number, its value; of a name or a day, the name as records write it."""
    unit: str = ""
    """Of a number: days, shares, percent, usd or empty."""

    def means(self, role: str) -> tuple[str, ...]:
        """List the values that the item may have in a role."""
        return self.meanings.get(role, ())


def read_items(text: str, rules: SentenceRules) -> list[Item]:
    """Cut `text`. The time is proportional to its length."""
    if "'" in text or "\u2019" in text or "annot" in text:
        text = _POSSESSIVE.sub("", _NOT.sub(_spell_not, text))
    raw = list(_raw_items(text))
    stems = [stem(item.text) if item.kind == "word" else "" for item in raw]
    found: list[Item] = []
    at = 0
    while at < len(raw):
        item = raw[at]
        length = 1
        for phrase in rules.phrases.get(stems[at], ()) if stems[at] else ():
            length = len(phrase.stems)
            if tuple(stems[at : at + length]) == phrase.stems:
                text_of = " ".join(each.text for each in raw[at : at + length])
                item = Item("phrase", text_of, phrase.meanings)
                break
            length = 1
        found.append(item)
        at += length
        is_one = len(found) > 1 and found[-2].text.lower() in ("old", "new", "last")
        if item.text.lower() in SMALL_NUMBERS and not is_one:
            following = raw[at].kind if at < len(raw) else "mark"
            if following == "mark" and _ends_with_label(found[:-1], rules):
                value = SMALL_NUMBERS[item.text.lower()]
                found[-1] = Item("number", str(value), value=Decimal(value))
    return found


def _ends_with_label(items: list[Item], rules: SentenceRules) -> bool:
    """Test for the words before a number: "modifier", "the modifier is"."""
    at = len(items) - 1
    while at >= 0 and stem(items[at].text) in rules.grammar["copula"]:
        at -= 1
    return at >= 0 and bool(items[at].means("number"))


def _spell_not(found: re.Match[str]) -> str:
    return "can not" if found[0].lower() == "cannot" else " not"


def _raw_items(text: str) -> Iterator[Item]:
    for found in _PATTERN.finditer(text):
        kind = found.lastgroup
        if kind in ("word", "part"):
            yield Item("word", found[0])
        elif kind == "mark":
            yield Item("mark", found[0])
        elif kind == "number":
            yield _number(found)
        elif kind == "party":
            yield Item("party", found[0], value=f"DTC-{int(found['dtc'] or found['member']):04}")
        elif kind == "cusip":
            yield Item("cusip", found[0], value=found[0].upper())
        elif kind == "day":
            sign = "-" if found["ago"] else "+"
            yield Item("day", found[0], value=f"T{sign}{int(found['n'])}")
        elif kind == "level":
            yield Item("level", found[0], value=f"L{found['l']}")
        else:
            yield Item("phrase", found[0], _BAND)


def _number(found: re.Match[str]) -> Item:
    digits = re.sub(r"\D", "", found["digits"])
    if len(digits) == 4 and digits[0] == "0" and not found["fraction"] and not found["unit"]:
        return Item("party", found[0], value=f"DTC-{digits}")
    suffix = (found["suffix"] or "").strip().lower()
    value = Decimal(f"{found['minus'] or ''}{digits}{found['fraction'] or ''}")
    if suffix:
        value = value.scaleb(_SCALES[suffix[0]])
    unit = (found["unit"] or "").strip(" -\u2009").lower().split(" ")[-1]
    counted = "percent" if unit.startswith(("cent", "per")) else _UNITS.get(unit[:1], "")
    return Item(
        "number", found[0], value=value, unit="usd" if found["usd"] or found["dollars"] else counted
    )


def amount(item: Item) -> Decimal:
    """Return the value of a number; 0 for one that is not read, such as a CUSIP."""
    return item.value if isinstance(item.value, Decimal) else Decimal(0)
