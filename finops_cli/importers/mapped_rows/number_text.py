"""Numbers as files write them: marks, signs, parentheses, currency and percent signs.

A text that could be a thousand times larger under another decimal mark is refused until the mapping
says which mark is decimal: `12.000` is twelve, or twelve thousand.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import cache
from typing import NamedTuple


class Marks(NamedTuple):
    """The mark before the decimals, and the one between groups of three digits (may be empty)."""

    decimal: str
    grouping: str

    def describe(self) -> str:
        """Write the marks as a mapping has them."""
        return f'numbers: {{decimal: "{self.decimal}", grouping: "{self.grouping}"}}'


class Number(NamedTuple):
    """A number and the unit that is written beside it."""

    value: Decimal
    unit: str
    """`$`, `%`, `K`, `M` or `B`; both a dollar sign and a letter are `$K`; or empty."""


class NumberFault(ValueError):
    """Why a text is not a number, or not one number only."""

    def __init__(self, why: str = "", fix: str = "", marks: Marks | None = None) -> None:
        super().__init__(why)
        self.why = why
        """It completes "CELL is TEXT, "; or is empty."""
        self.fix = fix
        """How to read the text; or empty."""
        self.marks = marks
        """The marks that would read the text, where no others would."""


US_MARKS, EUROPEAN_MARKS = Marks(".", ","), Marks(",", ".")
_KNOWN_MARKS = (
    US_MARKS,
    EUROPEAN_MARKS,
    Marks(".", " "),
    Marks(",", " "),
    Marks(".", "'"),
    Marks(",", "'"),
)
"""The marks that a message proposes, the likeliest first."""
_DIGITS = 30
_COMMON_US = re.compile(
    r"""
    (\(?) (\$?)
    ( (?: [1-9][0-9]{0,2} (?:,[0-9]{3}){1,9} | [0-9]{1,30} ) (\.[0-9]{1,30})? )
    ([%KMB]?) (\)?)
    """,
    re.VERBOSE,
)
"""The forms of most cells, which are read at once; the rest takes ten times longer."""
_ONE = Decimal(1)
_EXACT = Context(prec=4 * _DIGITS, traps=[Inexact, InvalidOperation])
_SCALES = {"K": Decimal(10) ** 3, "M": Decimal(10) ** 6, "B": Decimal(10) ** 9}
_BLANKS = re.compile("[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}]")
_DOLLARS = ("US$", "USD", "$")
_FOREIGN_SIGNS = {"€": "EUR", "£": "GBP", "¥": "JPY"}
_FOREIGN_CODE = re.compile(r"([A-Z]{3}|[€£¥]) *[-(]*[0-9]|[0-9][)-]* *([A-Z]{3}|[€£¥])\)?$")
_SCIENTIFIC = re.compile(r"[-+]?[0-9](?:[.,][0-9]+)?[Ee][-+]?[0-9]{1,3}")
_EITHER = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
"""12.000: a thousand times larger where the full stop groups digits."""


def parse_number(text: str, marks: Marks | None) -> Number:
    """Parse a number; parentheses and a minus before or after it make it negative.

    `marks` None is an undecided mark: a text that US marks read is accepted, except one that could
    be a thousand times larger. Raises NumberFault.
    """
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return Number(Decimal(text), "")
    if marks is None or marks == US_MARKS:
        common = _COMMON_US.fullmatch(text)
        if common is not None:
            bracket, dollar, body, decimals, letter, end = common.groups()
            is_decided = not decimals or marks is not None or not _EITHER.fullmatch(body)
            if is_decided and len(bracket) == len(end) and not (dollar and letter == "%"):
                number = Decimal(body.replace(",", ""))
                if letter in _SCALES:
                    number = multiply(number, _SCALES[letter])
                return Number(number.copy_negate() if bracket else number, dollar + letter)
    tidy = _BLANKS.sub(" ", text).replace("\N{MINUS SIGN}", "-").strip()
    parts = _undress(tidy)
    if parts is None or (not parts.body[:1].isdigit() and parts.body[:1] not in (".", ",")):
        raise _explain_other(tidy)
    body = parts.body.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    number = _read_body(body, tidy, marks, has_letter=parts.unit[-1:] in _SCALES)
    number = multiply(number, _SCALES.get(parts.unit[-1:], _ONE))
    return Number(number.copy_negate() if parts.is_negative else number, parts.unit)


def multiply(one: Decimal, other: Decimal) -> Decimal:
    """Multiply exactly. Raises NumberFault for more digits than any amount has."""
    try:
        return one if other == 1 else _EXACT.multiply(one, other)
    except ArithmeticError as error:
        raise NumberFault("a number with too many digits") from error


class _Parts(NamedTuple):
    body: str
    is_negative: bool
    unit: str


def _undress(text: str) -> _Parts | None:
    """Take sign, currency, percent sign and unit from a number; None where one is repeated."""
    signs: list[str] = []
    dollar = letter = ""
    if text.startswith("(") and text.endswith(")"):
        signs.append("-")
        text = text[1:-1].strip()
    while text:
        start = next((each for each in ("-", "+", *_DOLLARS) if text.startswith(each)), "")
        if not start:
            break
        text = text[len(start) :].lstrip()
        if start in "-+":
            signs.append(start)
        elif dollar:
            return None
        else:
            dollar = "$"
        if text.startswith("(") and text.endswith(")"):  # $(5,000)
            signs.append("-")
            text = text[1:-1].strip()
    while text:
        end = next((each for each in ("-", "%", *_DOLLARS) if text.endswith(each)), "")
        end = end or (text[-1] if text[-1].upper() in _SCALES and not letter else "")
        if not end:
            break
        text = text[: -len(end)].rstrip()
        if end == "-":
            signs.append(end)
        elif end in _DOLLARS:
            if dollar:
                return None
            dollar = "$"
        elif letter:
            return None
        else:
            letter = end.upper()
    if len(signs) > 1 or (dollar and letter == "%"):
        return None
    return _Parts(text, signs == ["-"], dollar + letter)


def _explain_other(text: str) -> NumberFault:
    """Explain a text that is not digits and marks."""
    if _SCIENTIFIC.fullmatch(text):
        return NumberFault(
            "in scientific notation, which may have lost digits",
            "format the column as a number without exponent, and save the file again",
        )
    found = _FOREIGN_CODE.search(text)
    code = (found[1] or found[2]) if found else ""
    if code and code != "USD":
        name = _FOREIGN_SIGNS.get(code, code)
        return NumberFault(f"an amount in {name}", "convert the amounts to US dollars")
    return NumberFault()


def _read_body(body: str, text: str, marks: Marks | None, *, has_letter: bool) -> Decimal:
    number = _read_with(body, marks or US_MARKS)
    if marks is None and number is not None and not has_letter and _EITHER.fullmatch(body):
        raise NumberFault(
            f"which is {body} or, where the full stop groups digits, {body.replace('.', '')}",
            f"write {US_MARKS.describe()} or {EUROPEAN_MARKS.describe()} in the mapping",
        )
    if number is not None:
        return number
    fitting = next((each for each in _KNOWN_MARKS if _read_with(body, each) is not None), None)
    if fitting is None:
        raise _explain_other(text)
    what = f"a number where {fitting.decimal!r} is decimal and {fitting.grouping!r} groups digits"
    fix = f"write {fitting.describe()} in the mapping, if all numbers of the file are written so"
    raise NumberFault(what, f"{fix}; else correct the cell", fitting)


def _read_with(body: str, marks: Marks) -> Decimal | None:
    found = _pattern(marks).fullmatch(body)
    if found is None:
        return None
    whole, fraction = found[1] or "0", found[2] or found["only"] or ""
    digits = whole.replace(marks.grouping, "") if marks.grouping else whole
    return Decimal(f"{digits}.{fraction}") if fraction else Decimal(digits)


@cache
def _pattern(marks: Marks) -> re.Pattern[str]:
    decimal, group = re.escape(marks.decimal), re.escape(marks.grouping)
    grouped = f"[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}}){{1,9}}|" if group else ""
    number = f"({grouped}[0-9]{{1,{_DIGITS}}})(?:{decimal}([0-9]{{1,{_DIGITS}}}))?"
    return re.compile(f"{number}|(?<![0-9]){decimal}(?P<only>[0-9]{{1,{_DIGITS}}})")
