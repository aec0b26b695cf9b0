"""Regex fragments from which the patterns of personal data are built (`guard.patterns`).

Each fragment takes linear time. The text is normalised first (`guard.normalise`): every blank is a
space or a line end, every dash is `-`, and a placeholder is `MASKED`.
"""

from __future__ import annotations

from finops_cli.guard.desk_tokens import DATE, DAY, MONTH, YEAR
from finops_cli.guard.normalise import MASKED

ALONE = rf"(?<![0-9{MASKED}])"
LEFT = rf"{ALONE}(?<![0-9{MASKED}]-)"
END = rf"(?![0-9{MASKED}])"
RIGHT = rf"{END}(?!-[0-9{MASKED}])"
DASH = r"[ \n]?[-_][ \n]?"
DOT = r"\.\n?"
"""Alike on both sides: 177.25 5000 is a price and a quantity."""
BLANK = r"(?:[ \n]?[-/_][ \n]?|[ ])"
BREAK = r"(?:[ \n]?[-/_][ \n]?|[ \n])"
"""At most one of two gaps is a mere line end: quantities stand below each other."""
CARD_GAP = r"(?:[ \n]?[-._][ \n]?|[ \n])"
CARD_MARK = r"(?:[-./,_|]|[ \n])?"
"""Also where one of the gaps is missing, or is the bar between two fields of a record."""
NOT_ROUND = rf"(?=(?:[0-9]{{4}}{CARD_MARK}){{0,3}}[0-9]{{3}}[1-9])"
"""4000/5000/2500/3000 are quantities, whatever their check digit."""
ANY = r"(?:[ ]?[-./,_|]{1,2}[ ]?|[ ])?"
"""Allowed between any two digits where a name proves them."""
TIGHT = r"(?:[ \n-]?\(|\)[ \n-]?|[ ]?/[ ]?|[-. \n])?"
"""Allowed between any two digits of an international number."""

LOCAL = r"[\w.!#$%&'*+/=?^`~-]"
AT = r"(?:@|[ ]?[\[({<][ ]?at[ ]?[\])}>][ ]?)"
PERIOD = r"(?:\.|[ ]?[\[({<][ ]?dot[ ]?[\])}>][ ]?)"
EMAIL = (
    rf"(?:{LOCAL}{{1,64}}+|\"[^\"\n]{{1,64}}\"){AT}(?:[^\W_][\w-]{{0,62}}+{PERIOD}){{1,8}}"
    rf"(?:xn--[\w-]{{2,59}}|[^\W\d_]{{2,24}})"
)
EMAIL_AT_HOST = rf"{LOCAL}{{1,64}}+@\[[0-9a-f.:]{{7,40}}\]"
PERSON = r"(?<![\w.])[^\W\d_][\w-]{0,40}+(?:\.[^\W\d_][\w-]{1,40}+){1,3}"
SPACED = r"(?:[ ]@[ ]?|@[ ])"
HOST = r"[^\W\d_][\w-]{0,62}+(?:\.[^\W_][\w-]{1,62}+){0,4}\.[^\W\d_]{2,24}(?!\w)"
EMAIL_SPACED = (
    rf"{PERSON}{SPACED}{HOST}",
    rf"{PERSON}@[^\W\d_][\w-]{{0,62}}+\.\n(?-i:[a-z]{{2,24}})(?!\w)",
)
"""The part before the sign is written like a person: BRK.B @ limit is an order."""
EMAIL_NAMED = rf"(?<![\w.])[^\W\d_][\w.-]{{0,63}}+{SPACED}{HOST}"
EMAIL_LOCAL = r"[^\W\d_][\w.-]{0,63}+@[^\W\d_][\w-]{1,62}"

ITIN_GROUP = r"(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])"
SSN_LOOSE = (
    rf"{LEFT}(?:[0-9]{{5}}[-. ][0-9]{{4}}|[0-9]{{3}}[-. ][0-9]{{6}}|[0-9]{{9}}"
    rf"|[0-9](?:[ ][0-9]){{8}}){RIGHT}"
)
SSN_SPELLED = (
    rf"{LEFT}[0-9](?:[ ][0-9]){{2}}[ ]?-[ ]?[0-9][ ][0-9][ ]?-[ ]?[0-9](?:[ ][0-9]){{3}}{RIGHT}"
)
ITIN_LOOSE = (
    rf"{LEFT}9[0-9]{{2}}(?:{ITIN_GROUP}[-. ]?[0-9]{{4}}|[-. ]{ITIN_GROUP}[0-9]{{4}}){RIGHT}"
)

CARDS = (
    rf"{ALONE}[2-6][0-9]{{3}}(?:{CARD_GAP}[0-9]{{4}}){{3}}{END}",
    rf"{ALONE}[2-6][0-9]{{3}}(?:{CARD_GAP}[0-9]{{4}}){{3}}{CARD_GAP}[0-9]{{1,3}}{END}",
    rf"{ALONE}3[0-9]{{3}}{CARD_GAP}[0-9]{{6}}{CARD_GAP}[0-9]{{4,5}}{END}",
    rf"{ALONE}[2-6][0-9]{{12,18}}{END}",
    rf"{ALONE}[2-6](?:[ .-][0-9]){{12,18}}{END}",
    rf"{ALONE}{NOT_ROUND}[2-6][0-9]{{3}}(?:{CARD_MARK}[0-9]{{4}}){{3}}{END}",
    rf"{ALONE}3[0-9]{{3}}{CARD_MARK}[0-9]{{6}}{CARD_MARK}[0-9]{{5}}{END}",
)
IBAN = (
    rf"(?:(?<![A-Za-z0-9{MASKED}])|(?<=IBAN))[A-Za-z]{{2}}[0-9]{{2}}"
    r"(?:[ \n./_|-]?[A-Za-z0-9]){11,30}"
)
IBAN_LABELLED = (
    rf"(?<![A-Za-z0-9{MASKED}])[A-Za-z]{{2}}[0-9]{{2}}(?:[ .-]?[A-Za-z0-9]{{4}}){{2}}"
    r"(?:[ .-]?(?=[A-Za-z]*[0-9])[A-Za-z0-9]{4}){0,5}"
    r"(?:[ .-]?[0-9]{1,3})?(?![A-Za-z0-9])"
)

EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ ]?[0-9]{1,6})?"
PHONE_LEFT = rf"{LEFT}(?<![0-9{MASKED}]\.)(?<!\$)"
US_NEXT = r"(?:[ \n]?[-./_][ \n]?|[ \n])"
US_CODE = rf"(?:\(?\+?1\)?{US_NEXT}?)?"
PHONE_GROUPED = (
    (
        rf"{PHONE_LEFT}{US_CODE}\([0-9]{{3}}\){US_NEXT}?[0-9]{{3}}{US_NEXT}?[0-9]{{4}}"
        rf"{EXTENSION}{RIGHT}"
    ),
    (
        rf"{PHONE_LEFT}{US_CODE}[0-9]{{3}}{DASH}[0-9]{{3}}"
        rf"(?:{DASH}|[ \n.])[0-9]{{4}}{EXTENSION}{RIGHT}"
    ),
    rf"{PHONE_LEFT}{US_CODE}[0-9]{{3}}\n[0-9]{{3}}{DASH}[0-9]{{4}}{EXTENSION}{RIGHT}",
    rf"{PHONE_LEFT}{US_CODE}[0-9]{{3}}{DOT}[0-9]{{3}}{DOT}[0-9]{{4}}{EXTENSION}{RIGHT}",
    (
        rf"{PHONE_LEFT}\+1{US_NEXT}?[0-9]{{3}}{US_NEXT}[0-9]{{3}}{US_NEXT}[0-9]{{4}}"
        rf"{EXTENSION}{RIGHT}"
    ),
)
PHONE_SPACED = (
    rf"{PHONE_LEFT}{US_CODE}[2-9][0-9]{{2}}(?:{BLANK}[2-9][0-9]{{2}}{BREAK}"
    rf"|\n[2-9][0-9]{{2}}{BLANK})[0-9]{{4}}"
    rf"{EXTENSION}{RIGHT}"
)
PHONE_NAMED = (
    r"[2-9][0-9]{2}[ ]?\.[ ]?[0-9]{3}[ ]?\.[ ]?[0-9]{4}",
    r"[2-9][0-9]{2}\.[0-9]{7}",
    r"(?<!called )(?<!calling )(?<!reach )(?![0-9]{5}00)[2-9][0-9]{6}",
)
"""The last has seven digits: not a round quantity, nor a quantity that a lender called or that a
position will reach.
"""
CHECKED = r"(?!(?<=\bchecking )[0-9]{1,22}00(?![0-9]))"
"""Checking is a kind of account and a verb: checking 1200000 against the box."""
DL_QUANTITY = r"(?!(?:(?<=\bDL[ :])|(?<=\bDL: ))[0-9]{1,6}(?!\w))"
"""DL names a licence, but nobody's has six digits or less without a letter."""
BORN = (
    DATE,
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])",
    r"[0-9]{1,2}[ ][0-9]{1,2}[ ](?:19|20)[0-9]{2}",
    r"[0-9]{1,2}[-./][0-9]{1,2}[-./]'[0-9]{2}",
    rf"{YEAR},?[ ]{MONTH},?[ ]{DAY}",
)
"""Dates only behind a name of one of birth: 19610312 is a quantity elsewhere."""


def group_taxpayer_number(first: str, second: str) -> tuple[str, ...]:
    """Three groups of a taxpayer's number with marks between; a line end may replace one."""
    ways = ((DASH, rf"(?:{DASH}|\n)"), (r"\n", DASH), (DOT, DOT))
    return tuple(
        rf"{LEFT}{first}{one}{second}{two}[0-9]{{4}}{RIGHT}(?!\.[0-9])" for one, two in ways
    )


def space_taxpayer_number(first: str, second: str) -> str:
    """Three groups of a taxpayer's number with a blank in at least one of the two gaps."""
    return rf"{LEFT}{first}(?:{BLANK}{second}{BREAK}|\n{second}{BLANK})[0-9]{{4}}{RIGHT}"
