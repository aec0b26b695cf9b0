"""Regex fragments from which the patterns of personal data are built (`guard.patterns`).

Each fragment takes linear time. The text is normalised first (`guard.normalise`): every blank is a
space or a line end, every dash is `-`, and a placeholder is `MASKED`.
"""

from __future__ import annotations

from finops_cli.guard.desk_tokens import DATE, YEAR
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
CARD_MARK = r"(?:[-./,_|:;*~\\+=]{1,2}|[ \n])?"
"""Also where one of the gaps is missing, or is the bar between two fields of a record."""
NOT_ROUND = rf"(?=(?:[0-9]{{4}}{CARD_MARK}){{0,3}}[0-9]{{3}}[1-9])"
"""4000/5000/2500/3000 are quantities, whatever their check digit."""
ANY = r"(?:[ ]?[-./,_|:;*~\\+='#()\[\]<>^!]{1,2}[ ]?|[ ])?"
"""Allowed between any two digits where a name proves them."""
ID_MARK = r"[-./_:*~\\]"
_GROUP = r"(?=[A-Za-z]{0,6}[0-9])[A-Za-z0-9]{1,20}+"
ID_MARKED = (
    rf"(?<![^\W_])(?![0-9]{{1,5}}(?!\w|{ID_MARK}\w))(?=(?:[^\s0-9]{{0,4}}[0-9]){{4}})"
    rf"(?:[A-Za-z]{{1,4}}{ID_MARK})?"
    rf"{_GROUP}(?:{ID_MARK}(?:[A-Za-z]{{1,3}}{ID_MARK})?{_GROUP}){{0,5}}"
    rf"(?:{ID_MARK}[A-Za-z])?(?!\w)"
)
"""The number of a document: groups of letters and digits with marks between."""
ID_SPACED = (
    r"(?<![^\W_])(?=(?:[^\n0-9]{0,3}[0-9]){6})(?:"
    r"(?:(?-i:[A-Z]{1,3})[ ]?)?(?-i:[0-9]{1,4}[A-Z]{0,2})"
    r"(?:[ \n-](?-i:(?=[A-Z]{0,3}[0-9])[A-Z0-9]{1,8})){1,5}"
    r"|(?-i:[A-Z]{1,3})[ ][0-9]{5,9})(?!\w)(?!-[0-9])"
)
"""The number of a document with blanks between: its letters are capitals."""
TIGHT = r"(?:[ \n-]?\(|\)[ \n-]?|[ ]?/[ ]?|[-. \n])?"
"""Allowed between any two digits of an international number."""

LOCAL = r"[\w.!#$%&'*+/=?^`~-]"
AT = (
    r"(?:@|[ ]?[-_]at[-_][ ]?"
    r"|[ \n]?[\[({<][ ]?(?:at|@|\u00e4t|arobase|arroba|chiocciola)[ ]?[\])}>][ \n]?)"
)
_SPELLED_DOT = r"(?:[ ]?[\[({<][ ]?(?:dot|\.|punkt|point|punto)[ ]?[\])}>][ ]?|[ _-]dot[ _-])"
PERIOD = rf"(?:\.|{_SPELLED_DOT})"
EMAIL = (
    rf"(?:(?:[^\W_][\w.-]{{0,30}}+{_SPELLED_DOT}){{0,2}}{LOCAL}{{1,64}}+|\"[^\"\n]{{1,64}}\"){AT}(?:[^\W_][\w-]{{0,62}}+{PERIOD}){{1,8}}"
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
_JOINT = r"(?:[ \n]|[-_]{1,2}|[ ]-|-[ ]|[ ]-[ ])"
_WORD = r"[^\W_]{1,40}+(?:['.-]{1,2}[^\W_]{1,40}+){0,4}\.?"
EMAIL_WORDS = (
    rf"(?<![^\W_])(?<![.-]){_WORD}(?:{_JOINT}dot{_JOINT}{_WORD}){{0,3}}-?{_JOINT}at{_JOINT}"
    rf"{_WORD}(?:{_JOINT}dot{_JOINT}{_WORD}){{0,3}}{_JOINT}dot-?{_JOINT}[^\W\d_]{{2,24}}(?!\w)"
)
"""As in jane at bank dot com, and jane -at- bank -dot- com."""
_DOTTED = r"(?:[ ]\.[ ]|\.)"
HOST_SPACED = rf"[^\W\d_][\w-]{{0,62}}+(?:{_DOTTED}[^\W_][\w-]{{1,62}}+){{0,4}}"
PERSON_SPACED = r"(?<![^\W_])(?<!\.)(?:[^\W_][\w-]{0,40}+[ ]\.[ ]){0,2}[^\W\d_][\w.'+-]{0,63}+"
EMAIL_NAMED = (
    rf"{PERSON_SPACED}(?:(?:{SPACED}|[ ]at[ ]){HOST}"
    rf"|[ ]?@[ ]?{HOST_SPACED}(?:[ ]\.|\.[ ]|[ ]\.[ ])[^\W\d_]{{2,24}}(?!\w))"
)
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

_SAME = r"(?P<gap>[-._|:;*~\\+=/]{1,2}|[ ][-/][ ]|[ ])"
_REGROUPED = (
    rf"{ALONE}(?!(?:[0-9]{{0,9}}0[^0-9\n]{{1,3}}){{1,6}}[0-9]{{0,9}}0{END})[2-6][0-9]{{1,9}}{_SAME}[0-9]{{2,10}}(?P=gap)(?:[0-9]{{2,10}}(?P=gap)){{0,5}}"
    rf"[0-9]{{1,10}}{END}"
)
"""Groups of unusual sizes with one mark in all gaps: pairs, threes, fives."""
_IN_TWO = rf"{ALONE}[2-6][0-9]{{5,7}}[-.:_][0-9]{{8,10}}{END}"
"""Not after a comma: two order numbers can be in a list."""

CARDS = (
    rf"{ALONE}[2-6][0-9]{{3}}(?:{CARD_GAP}[0-9]{{4}}){{3}}{END}",
    rf"{ALONE}[2-6][0-9]{{3}}(?:{CARD_GAP}[0-9]{{4}}){{3}}{CARD_GAP}[0-9]{{1,3}}{END}",
    rf"{ALONE}3[0-9]{{3}}{CARD_GAP}[0-9]{{6}}{CARD_GAP}[0-9]{{4,5}}{END}",
    rf"{ALONE}[2-6][0-9]{{12,18}}{END}",
    rf"{ALONE}[2-6](?:[ .-][0-9]){{12,18}}{END}",
    rf"{ALONE}{NOT_ROUND}[2-6][0-9]{{3}}(?:{CARD_MARK}[0-9]{{4}}){{3}}{END}",
    rf"{ALONE}3[0-9]{{3}}{CARD_MARK}[0-9]{{6}}{CARD_MARK}[0-9]{{5}}{END}",
    _REGROUPED,
    _IN_TWO,
)
_IBAN_MARK = r"(?:[ ]?[\n./_|:;,*~\\+=-]{1,2}[ ]?|[ ])?"
IBAN = (
    rf"(?:(?<![A-Za-z0-9{MASKED}])|(?<=IBAN))[A-Za-z]{_IBAN_MARK}[A-Za-z]{_IBAN_MARK}[0-9]"
    rf"{_IBAN_MARK}[0-9](?:{_IBAN_MARK}[A-Za-z0-9]){{11,30}}"
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
    rf"{PHONE_LEFT}[2-9][0-9]{{2}}\)[ -]?[0-9]{{3}}-[0-9]{{4}}{EXTENSION}{RIGHT}",
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
PHONE_PAIRS = rf"{PHONE_LEFT}0[1-9](?P<gap>[ .-])[0-9]{{2}}(?:(?P=gap)[0-9]{{2}}){{3}}"
"""A French number: no quantity begins with 0."""
_GROUPS = r"[0-9]{2,4}(?P<gap>[ ]?[-./_:*~\\,][ ]?|[ ])[0-9]{2,4}(?:(?P=gap)[0-9]{2,4}){1,4}"
_NOT_LIST = r"(?![0-9]{1,5}(?:[ ]?[ ,/.-][ ]?[0-9]{0,4}0){1,4}(?![0-9]))"
"""500/300/2000 are quantities."""
_DIALLED = rf"[2-9][0-9]{{2}}(?:{ANY}[0-9]){{7}}"
PHONE_MARKED = (
    r"[1-9][0-9]{2}(?P<gap>[ .-])[0-9]{2}(?:(?P=gap)[0-9]{2}){2}",
    rf"{_NOT_LIST}[2-9][0-9]{{2}}(?P<gap>[:*~_\\=;]|--|\.\.|[ ]-[ ])[0-9]{{3}}(?P=gap)[0-9]{{4}}",
    rf"\[[0-9]{{3}}\]{US_NEXT}?[0-9]{{3}}{US_NEXT}?[0-9]{{4}}",
)
PHONE_NAMED = (
    rf"{_NOT_LIST}\(?{_DIALLED}",
    rf"\(?0(?:{ANY}[0-9]){{7,12}}",
    rf"(?=(?:[^\n0-9]{{0,3}}[0-9]){{8}}){_NOT_LIST}{_GROUPS}",
    r"[1-9][0-9]{8}(?<!00)",
    r"[2-9][0-9]{2}[ ]?\.[ ]?[0-9]{3}[ ]?\.[ ]?[0-9]{4}",
    r"[2-9][0-9]{2}\.[0-9]{7}",
    r"(?<!called )(?<!calling )(?<!reach )(?![0-9]{5}00)[2-9][0-9]{6}(?![ ]back)",
)
"""The last has seven digits: not a round quantity, nor a quantity that a lender called or that a
position will reach.
"""
CHECKED = r"(?!(?<=\bchecking )[0-9]{1,22}00(?![0-9]))"
"""Checking is a kind of account and a verb: checking 1200000 against the box."""
DL_QUANTITY = r"(?!(?:(?<=\bDL[ :])|(?<=\bDL: ))[0-9]{1,6}(?!\w))"
"""DL names a licence, but nobody's has six digits or less without a letter."""
_MONTH = (
    r"(?:jan|feb|f[e\u00e9]v|mar|m[a\u00e4]r|apr|avr|abr|may|mai|mag|jun|jui|giu|jul|lug|aug|ao[u\u00fb]|ago"
    r"|sep|set|oct|okt|ott|nov|dec|d[e\u00e9]c|dez|dic|gen|ene)[^\W\d_]{0,7}"
)
"""A month in English, German, French, Spanish or Italian."""
_DAY = r"[0-9]{1,2}(?:st|nd|rd|th|er|\.)?"
_OF = r"(?:[ ](?:of|de|del|di)[ ]|[-_/., \n]{0,2})"
_MARK = r"(?:[ ]?[-./,_:;|*~\\][ ]?|[ ])"
_SHORT_YEAR = r"(?:'[ ]?)?[0-9]{2}"
BORN = (
    DATE,
    rf"{YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])",
    rf"[0-3][0-9][0-3][0-9]{YEAR}",
    rf"[0-9]{{1,2}}{_MARK}[0-9]{{1,2}}{_MARK}(?:{YEAR}|{_SHORT_YEAR})",
    rf"{YEAR}{_MARK}[0-9]{{1,2}}{_MARK}[0-9]{{1,2}}",
    rf"{_DAY}{_OF}{_MONTH}{_OF}(?:{YEAR}|{_SHORT_YEAR})",
    rf"{_MONTH}{_OF}{_DAY}{_OF}(?:{YEAR}|{_SHORT_YEAR})",
    rf"{YEAR}{_OF}{_MONTH}{_OF}{_DAY}",
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
