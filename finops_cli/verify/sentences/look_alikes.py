"""Find characters and words that a person reads and the check does not.

A person reads LOW with a Cyrillic letter as a tier, and a zero that is a letter O, or XLII, as a
part of a number. The check does not, so it cannot judge a text with one of them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from finops_cli.domain import limits

_INVISIBLE = frozenset("\xad\u200b\u200c\u200d\u2060\ufeff\ufe0f")
"""Characters without a shape, which divide words, join signs or choose the colour of one."""
_BLANKS = frozenset("\t\n\r")
_READ = frozenset(("Po", "Pd", "Ps", "Pe", "Pi", "Pf", "Pc", "Sm", "Sk", "So", "Zs", "No"))
"""Unicode categories of the marks and signs that a text may have. The check of numbers refuses
those of No. Sc is left out, because an answer has no other currency than the dollar.
"""
_OTHER_UNITS = frozenset("\u2030\u2031")
"""Signs for thousandths and less, which no number of an answer has."""
_FULL_WIDTH = range(0xFF01, 0xFF5F)
_FLAGS = range(0x1F1E6, 0x1F200)
"""Letters that flags are made of."""
_UNIT = r"(?:shares?|shs?|days?|d|per ?cent|pct|%)(?!\w)"
_WORD = re.compile(r"(?:\d+[.,](?=\d))*[\w*@#]+")
_READ_WORD = re.compile(
    r"""
    [\d.,]+(?:k|mm?|mn|mln|bn?|thousand|million|billion)?
      (?:d|days?|shs?|shares?|x|pct|percent|st|nd|rd|e\d+)?   # 12k, 5d, 1e6
    |x\d+|L\d|T\d+|DTC\d{1,4}|USD\d+(?:k|mm?|mn|bn?)?
    |[\dA-Z*@\#]{8}\d                                       # a CUSIP
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Words of letters and digits that the check reads."""
_LOOK_ALIKE = re.compile(
    rf"""
    \d[.,][OoIlSB]+(?!\w)                      # 1.O, 12,OOO
    |(?<!\w)[^\W\d_],\d{{3}}(?!\d)             # S,000
    |(?<!\w)[OISBZ]+(?:d|shs?)(?!\w)           # Sd
    |(?<!\w)T[ ]?\+[ ]?[^\W\d_]\w*             # T+O
    |(?<!\w)[Tt][ ]?\+[ ]?\d+[ ]?[+*x\u00d7^]    # T+6+1
    |\d[)>\]="'`]+[ ]?(?:</?\w+>[ ]?)?{_UNIT}    # aged (100) days
    |\d</?\w+>                                # <b>100</b> days
    |\d[ ]?(?:[-=]>|[\u2192\u21d2!\u2026]|\.\.\.)[ ]?\$?\d  # 12,000 -> 8,000
    |(?<![-=])(?<!<[a-z])[<>\u2264\u2265\u2248~\u00b1][ ]?\$?\d(?![\d,]*>)   # >32,000
    |\d\+(?!\s?\d)                            # 32,000+
    |(?<![\d)%][ ])(?<!\S)\+\$?\d               # a position of +32,000
    |(?<!\w)[^\W\d_](?:[ .-][^\W\d_]){{2,}}(?!\w)   # H-I-G-H
    |\d[ ]hundred(?!\w)
    |(?<!\w)(?i:minus)[ ]\$?\d                 # scores minus 83.2
    |(?<!\w)(?i:level[ ][ivx]+)(?!\w)           # level iii
    |(?<![\w/'\u2019])[lOo](?![\w/'\u2019])    # a single letter
    |(?<!\w)I(?=[ ]{_UNIT}|[.,;)]|\Z)
    |(?<![\w'\u2019])(?![aA][ ])[^\W\d_][ -]{_UNIT}     # B days
    |(?<!\w)(?<!\d[ ])(?!(?:CD|MM|MV)\b)(?=[MDCLXVI]{{2}})  # XLII, but not the terms CD, MM, MV
      M{{0,3}}(?:CM|CD|D?C{{0,3}})(?:XC|XL|L?X{{0,3}})(?:IX|IV|V?I{{0,3}})(?!\w)
    """,
    re.VERBOSE,
)


def fold_characters(text: str) -> str:
    """Write letters, digits and marks in other shapes as the plain ones.

    These are full width, mathematical and accented letters, and the digits of any script. A mark on
    another character than a letter is left where it is.
    """
    if text.isascii():
        return text
    return "".join(map(_fold, unicodedata.normalize("NFC", text)))


@lru_cache(maxsize=1024)
def _fold(sign: str) -> str:
    if sign.isascii():
        return sign
    if unicodedata.category(sign) == "Nd":
        return str(unicodedata.decimal(sign))
    if sign.isalpha() or ord(sign) in _FULL_WIDTH:
        parts = unicodedata.normalize("NFKD", sign)
        return "".join(part for part in parts if not unicodedata.combining(part))
    return sign


def find_look_alike(text: str) -> str | None:
    """Name the first character or word of a folded `text` that may be taken for another.

    Phrases whose numbers claim nothing, such as B2B, must have been removed.
    """
    if not (text.isascii() and text.isprintable()):
        for sign in text:
            if not _is_read(sign):
                return f"the character U+{ord(sign):04X} {unicodedata.name(sign, '')}".rstrip()
    for word in _WORD.findall(text):
        is_mixed = any(map(str.isdigit, word)) and any(map(str.isalpha, word))
        if is_mixed and not _READ_WORD.fullmatch(word):
            return f"the word {word[: limits.SHOWN_CHARS]}"
    found = _LOOK_ALIKE.search(text)
    return None if found is None else f"the word {found[0][: limits.SHOWN_CHARS]}"


@lru_cache(maxsize=1024)
def _is_read(sign: str) -> bool:
    if sign.isascii():
        return sign.isprintable() or sign in _BLANKS
    if sign in _INVISIBLE:
        return True
    is_plain = not any(map(_is_of_words, unicodedata.normalize("NFKD", sign)))
    return (
        unicodedata.category(sign) in _READ
        and sign not in _OTHER_UNITS
        and ord(sign) not in _FLAGS
        and (is_plain or unicodedata.category(sign) == "No")
    )


def _is_of_words(sign: str) -> bool:
    """Test for a letter, or a mark that changes a number: a circled L, a superscript plus."""
    return sign.isalpha() or sign in "+-="
