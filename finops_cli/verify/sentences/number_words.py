"""Write the numbers of a text that are in words as digits: "twelve thousand shares"."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from finops_cli.domain.money import plain

_UNITS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SMALL_NUMBERS = {word: value for value, word in enumerate(_UNITS)}
"""The words that are numbers of the answer only next to a label or a unit."""
_VALUES = SMALL_NUMBERS | {word: 10 * value for value, word in enumerate(_TENS, start=2)}
_VALUES |= {"fourty": 40, "dozen": 12}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_HUNDRED = 100
_WORDS = frozenset((*_VALUES, "hundred", *_SCALES))
_WORD = rf"(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})"
_NUMBER = re.compile(
    r"(?<![\d.])(?<!\d[ ])\b(?:(?P<article>an?)[ ])?"
    rf"(?P<number>{_WORD}(?:(?:[ -]|[ ]and[ ]){_WORD}){{0,15}})\b"
    r"(?P<point>[ ]point(?:[ ](?:zero|one|two|three|four|five|six|seven|eight|nine)){1,6}\b"
    r"(?:[ ](?P<scale>thousand|million|billion)\b)?)?",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"[ -](?:(?:settlement|business|trading|calendar|full|more|further|whole)[ -])?"
    r"(?:days?|d|shares?|shs?|per ?cent|pct|percentage|points?|dollars?|usd"
    r"|receives|receipts?|ftrs?|chases|steps|sources|recalls|borrows|legs|flags?|counterpart(?:y|ies)|brokers|participants|parties)\b",
    re.IGNORECASE,
)
_A_DAY = re.compile(r"\ban? (?=day (?:late|overdue|past|after|beyond|old)\b)", re.IGNORECASE)
_STEP = re.compile(rf"\bstep ({'|'.join(_UNITS[1:11])})\b", re.IGNORECASE)
_EMPHASIS = re.compile(r"\*\*|__|`")
_PRODUCT = re.compile(r"(?<=\d)[ ]?[*x\u00d7][ ]?(?=\d)")
_POINTS = re.compile(r"(?<=\d)(?:pts?|points?)\b", re.IGNORECASE)
_DAY = re.compile(r"\bT[ ]?(?:plus[ ]|\+)\Z", re.IGNORECASE)
"""The beginning of a day: "T plus thirteen"."""
_NEAR = 8
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "eighth": 8, "tenth": 10}
_FRACTION = re.compile(
    r"\b(?:(?P<count>an?|one|two|three|four|seven)[ -])?"
    r"(?P<part>half|third|quarter|fifth|eighth|tenth)s?[ ]of[ ](?=the|our|all|it)",
    re.IGNORECASE,
)
_PERCENT_DIGITS = 3


def write_digits(text: str) -> str:
    """Replace numbers in words by digits.

    A small number is replaced only before a unit, because "two fails" and "one of them" say nothing
    that the record holds: "ten days" becomes "10 days".
    """
    text = _PRODUCT.sub(" x ", _EMPHASIS.sub("", text))
    text = _STEP.sub(lambda found: f"step {SMALL_NUMBERS[found[1].lower()]}", text)
    text = _POINTS.sub(" points", text)
    lowered = text.lower()
    if "a day " in lowered:
        text = _A_DAY.sub("1 ", text)
    if " of " in lowered and any(part in lowered for part in _PARTS):
        text = _FRACTION.sub(_replace_fraction, text)
    if not any(word in lowered for word in _WORDS):
        return text  # the search below takes longer than the rest of the check
    return _NUMBER.sub(_replace, text)


def _replace_fraction(found: re.Match[str]) -> str:
    """Write "a quarter of the" as "25% of the"; a recurring fraction is rounded half-up."""
    count = (found["count"] or "a").lower()
    percent = Decimal(100 * _VALUES.get(count, 1)) / _PARTS[found["part"].lower()]
    rounded = percent.quantize(Decimal(10) ** -_PERCENT_DIGITS, ROUND_HALF_UP).normalize()
    return f"{plain(rounded)}% of "


def _replace(found: re.Match[str]) -> str:
    words = found["number"].lower().replace("-", " ").split()
    if found["article"] and words[0] not in ("hundred", "dozen", *_SCALES):
        return found[0]
    value = _value_of(words)
    if _DAY.search(found.string, max(0, found.start() - _NEAR), found.start()):
        return str(value)
    counted = _COUNTED.match(found.string, found.end())
    if found["point"] is None and value < len(SMALL_NUMBERS) and not counted:
        return found[0]
    point = "".join(
        str(_VALUES[word]) for word in (found["point"] or "").lower().split()[1:] if word in _VALUES
    )
    scale = f" {found['scale'].lower()}" if found["scale"] else ""
    return f"{value}{'.' if point else ''}{point}{scale}"


def _value_of(words: list[str]) -> int:
    total = group = 0
    for word in words:
        if word == "and":
            continue
        if word in _SCALES:
            total += max(group, 1) * _SCALES[word]
            group = 0
        elif word == "hundred":
            group = max(group, 1) * _HUNDRED
        elif word == "dozen":
            group = max(group, 1) * _VALUES[word]
        else:
            group += _VALUES[word]
    return total + group
