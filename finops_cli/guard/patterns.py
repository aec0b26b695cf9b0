"""The ways in which personal data is written (kb: `guard.scores`), as patterns over a reading."""

from __future__ import annotations

import re
from typing import NamedTuple

from finops_cli.guard.desk_tokens import DATE, DAY, MONTH, YEAR
from finops_cli.guard.normalise import MASKED
from finops_cli.kb.chapters.guard import GuardSettings, Kind


class Pattern(NamedTuple):
    """`name` is the key of its score."""

    name: str
    kind: Kind
    patterns: tuple[str, ...]
    crosses_lines: bool = True
    """Whether a line end inside a run of its digits is looked past."""


_ALONE = rf"(?<![0-9{MASKED}])"
_LEFT = rf"{_ALONE}(?<![0-9{MASKED}]-)"
_END = rf"(?![0-9{MASKED}])"
_RIGHT = rf"{_END}(?!-[0-9{MASKED}])"
_DASH = r"[ \n]?[-_][ \n]?"
_DOT = r"\.\n?"
"""Alike on both sides: 177.25 5000 is a price and a quantity."""
_BLANK = r"(?:[ \n]?[-/_][ \n]?|[ ])"
_BREAK = r"(?:[ \n]?[-/_][ \n]?|[ \n])"
"""At most one of two gaps is a mere line end: quantities stand below each other."""
_CARD_GAP = r"(?:[ \n]?[-._][ \n]?|[ \n])"
_CARD_MARK = r"(?:[-./,_|]|[ \n])?"
"""Also where one of its gaps is missing, or the bar between two fields of a record stands in it."""
_NOT_ROUND = rf"(?=(?:[0-9]{{4}}{_CARD_MARK}){{0,3}}[0-9]{{3}}[1-9])"
"""4000/5000/2500/3000 are quantities, whatever their check digit."""
_ANY = r"(?:[ ]?[-./,_|]{1,2}[ ]?|[ ])?"
"""What may stand between any two digits where a name proves them."""
_TIGHT = r"(?:[ \n-]?\(|\)[ \n-]?|[ ]?/[ ]?|[-. \n])?"
"""What may stand between any two digits of an international number."""

_LOCAL = r"[\w.!#$%&'*+/=?^`~-]"
_AT = r"(?:@|[ ]?[\[({<][ ]?at[ ]?[\])}>][ ]?)"
_PERIOD = r"(?:\.|[ ]?[\[({<][ ]?dot[ ]?[\])}>][ ]?)"
_EMAIL = (
    rf"(?:{_LOCAL}{{1,64}}+|\"[^\"\n]{{1,64}}\"){_AT}(?:[^\W_][\w-]{{0,62}}+{_PERIOD}){{1,8}}"
    rf"(?:xn--[\w-]{{2,59}}|[^\W\d_]{{2,24}})"
)
_EMAIL_AT_HOST = rf"{_LOCAL}{{1,64}}+@\[[0-9a-f.:]{{7,40}}\]"
_PERSON = r"(?<![\w.])[^\W\d_][\w-]{0,40}+(?:\.[^\W\d_][\w-]{1,40}+){1,3}"
_SPACED = r"(?:[ ]@[ ]?|@[ ])"
_HOST = r"[^\W\d_][\w-]{0,62}+(?:\.[^\W_][\w-]{1,62}+){0,4}\.[^\W\d_]{2,24}(?!\w)"
_EMAIL_SPACED = (
    rf"{_PERSON}{_SPACED}{_HOST}",
    rf"{_PERSON}@[^\W\d_][\w-]{{0,62}}+\.\n(?-i:[a-z]{{2,24}})(?!\w)",
)
"""Written like a person: BRK.B @ limit is none."""
_EMAIL_NAMED = rf"(?<![\w.])[^\W\d_][\w.-]{{0,63}}+{_SPACED}{_HOST}"
_EMAIL_LOCAL = r"[^\W\d_][\w.-]{0,63}+@[^\W\d_][\w-]{1,62}"

_ITIN_GROUP = r"(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])"
_SSN_LOOSE = (
    rf"{_LEFT}(?:[0-9]{{5}}[-. ][0-9]{{4}}|[0-9]{{3}}[-. ][0-9]{{6}}|[0-9]{{9}}|[0-9](?:["
    rf" ][0-9]){{8}}){_RIGHT}"
)
_SSN_SPELLED = (
    rf"{_LEFT}[0-9](?:[ ][0-9]){{2}}[ ]?-[ ]?[0-9][ ][0-9][ ]?-[ ]?[0-9](?:[ ][0-9]){{3}}{_RIGHT}"
)
_ITIN_LOOSE = (
    rf"{_LEFT}9[0-9]{{2}}(?:{_ITIN_GROUP}[-. ]?[0-9]{{4}}|[-. ]{_ITIN_GROUP}[0-9]{{4}}){_RIGHT}"
)

_CARDS = (
    rf"{_ALONE}[2-6][0-9]{{3}}(?:{_CARD_GAP}[0-9]{{4}}){{3}}{_END}",
    rf"{_ALONE}[2-6][0-9]{{3}}(?:{_CARD_GAP}[0-9]{{4}}){{3}}{_CARD_GAP}[0-9]{{1,3}}{_END}",
    rf"{_ALONE}3[0-9]{{3}}{_CARD_GAP}[0-9]{{6}}{_CARD_GAP}[0-9]{{4,5}}{_END}",
    rf"{_ALONE}[2-6][0-9]{{12,18}}{_END}",
    rf"{_ALONE}[2-6](?:[ .-][0-9]){{12,18}}{_END}",
    rf"{_ALONE}{_NOT_ROUND}[2-6][0-9]{{3}}(?:{_CARD_MARK}[0-9]{{4}}){{3}}{_END}",
    rf"{_ALONE}3[0-9]{{3}}{_CARD_MARK}[0-9]{{6}}{_CARD_MARK}[0-9]{{5}}{_END}",
)
_IBAN = (
    rf"(?:(?<![A-Za-z0-9{MASKED}])|(?<=IBAN))[A-Za-z]{{2}}[0-9]{{2}}(?:["
    r" \n./_|-]?[A-Za-z0-9]){11,30}"
)
_IBAN_LABELLED = (
    rf"(?<![A-Za-z0-9{MASKED}])[A-Za-z]{{2}}[0-9]{{2}}(?:[ .-]?[A-Za-z0-9]{{4}}){{2}}(?:["
    r" .-]?(?=[A-Za-z]*[0-9])[A-Za-z0-9]{4}){0,5}"
    r"(?:[ .-]?[0-9]{1,3})?(?![A-Za-z0-9])"
)

_EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ ]?[0-9]{1,6})?"
_PHONE_LEFT = rf"{_LEFT}(?<![0-9{MASKED}]\.)(?<!\$)"
_US_NEXT = r"(?:[ \n]?[-./_][ \n]?|[ \n])"
_US_CODE = rf"(?:\(?\+?1\)?{_US_NEXT}?)?"
_PHONE_GROUPED = (
    (
        rf"{_PHONE_LEFT}{_US_CODE}\([0-9]{{3}}\){_US_NEXT}?[0-9]{{3}}{_US_NEXT}?[0-9]{{4}}"
        rf"{_EXTENSION}{_RIGHT}"
    ),
    (
        rf"{_PHONE_LEFT}{_US_CODE}[0-9]{{3}}{_DASH}[0-9]{{3}}(?:{_DASH}|["
        rf" \n.])[0-9]{{4}}{_EXTENSION}{_RIGHT}"
    ),
    rf"{_PHONE_LEFT}{_US_CODE}[0-9]{{3}}\n[0-9]{{3}}{_DASH}[0-9]{{4}}{_EXTENSION}{_RIGHT}",
    rf"{_PHONE_LEFT}{_US_CODE}[0-9]{{3}}{_DOT}[0-9]{{3}}{_DOT}[0-9]{{4}}{_EXTENSION}{_RIGHT}",
    (
        rf"{_PHONE_LEFT}\+1{_US_NEXT}?[0-9]{{3}}{_US_NEXT}[0-9]{{3}}{_US_NEXT}[0-9]{{4}}"
        rf"{_EXTENSION}{_RIGHT}"
    ),
)
_PHONE_SPACED = (
    rf"{_PHONE_LEFT}{_US_CODE}[2-9][0-9]{{2}}(?:{_BLANK}[2-9][0-9]{{2}}{_BREAK}"
    rf"|\n[2-9][0-9]{{2}}{_BLANK})[0-9]{{4}}"
    rf"{_EXTENSION}{_RIGHT}"
)
_PHONE_NAMED = (
    r"[2-9][0-9]{2}[ ]?\.[ ]?[0-9]{3}[ ]?\.[ ]?[0-9]{4}",
    r"[2-9][0-9]{2}\.[0-9]{7}",
    r"(?<!called )(?<!calling )(?<!reach )(?![0-9]{5}00)[2-9][0-9]{6}",
)
"""The last: seven digits that are no round quantity, nor what a lender called or a position will
reach.
"""
_CHECKED = r"(?!(?<=\bchecking )[0-9]{1,22}00(?![0-9]))"
"""Checking is a kind of account and a verb: checking 1200000 against the box."""
_DL_QUANTITY = r"(?!(?:(?<=\bDL[ :])|(?<=\bDL: ))[0-9]{1,6}(?!\w))"
"""DL names a licence, but nobody's has six digits or less without a letter."""
_BORN = (
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])",
    r"[0-9]{1,2}[ ][0-9]{1,2}[ ](?:19|20)[0-9]{2}",
    r"[0-9]{1,2}[-./][0-9]{1,2}[-./]'[0-9]{2}",
    rf"{YEAR},?[ ]{MONTH},?[ ]{DAY}",
)
"""Dates only behind a name of one of birth: 19610312 is a quantity elsewhere."""


def patterns(settings: GuardSettings) -> tuple[Pattern, ...]:
    """All forms. The lengths of account numbers and the units of quantities come from `book`."""
    units = "|".join(map(re.escape, sorted(settings.units)))
    no_unit = rf"(?![ ]?(?:(?:{units})(?!-?[^\W_])|%|@[ 0-9$]|[.,][0-9]))"
    return (
        Pattern("email", "EMAIL", (f"{_no_order(settings)}{_EMAIL}", _EMAIL_AT_HOST)),
        Pattern("email_spaced", "EMAIL", _EMAIL_SPACED),
        Pattern("email_named", "EMAIL", (_EMAIL_NAMED,)),
        Pattern("email_local", "EMAIL", (_EMAIL_LOCAL,)),
        Pattern("ssn_grouped", "SSN", (*_grouped("[0-9]{3}", "[0-9]{2}"), _SSN_SPELLED)),
        Pattern("ssn_spaced", "SSN", (f"{_spaced('[0-9]{3}', '[0-9]{2}')}{no_unit}",)),
        Pattern("ssn_loose", "SSN", (f"{_SSN_LOOSE}{no_unit}",)),
        Pattern("ssn_named", "SSN", (rf"{_LEFT}[0-9](?:{_ANY}[0-9]){{8}}{_RIGHT}{no_unit}",)),
        Pattern("itin_named", "ITIN", (rf"{_LEFT}9(?:{_ANY}[0-9]){{8}}{_RIGHT}{no_unit}",)),
        Pattern("itin_grouped", "ITIN", _grouped("9[0-9]{2}", _ITIN_GROUP)),
        Pattern("itin_spaced", "ITIN", (f"{_spaced('9[0-9]{2}', _ITIN_GROUP)}{no_unit}",)),
        Pattern("itin_loose", "ITIN", (f"{_ITIN_LOOSE}{no_unit}",)),
        Pattern("card", "CARD", _CARDS),
        Pattern(
            "card_labelled", "CARD", (rf"{_ALONE}[0-9]{{4}}(?:[-. ]?[0-9]){{8,15}}{_END}{no_unit}",)
        ),
        Pattern("iban", "IBAN", (_IBAN,)),
        Pattern("iban_labelled", "IBAN", (_IBAN_LABELLED,)),
        Pattern("passport", "PASSPORT", (r"(?<!\w)[A-Za-z]{0,2}[0-9]{6,9}(?!\w)",)),
        Pattern(
            "passport_named",
            "PASSPORT",
            (
                r"(?<!\w)(?=(?:[A-Za-z]{0,4}[0-9]){4})[A-Za-z0-9]{8,9}(?!\w)",
                rf"{_LEFT}[0-9]{{2,3}}(?:[ -][0-9]{{3,4}}){{2}}{_RIGHT}{no_unit}",
            ),
        ),
        Pattern(
            "license_grouped",
            "LICENSE",
            (rf"(?<!\w)[A-Za-z]?[0-9]{{2,4}}(?:[ ][0-9]{{2,4}}){{2,3}}{_RIGHT}{no_unit}",),
        ),
        Pattern(
            "license",
            "LICENSE",
            (
                (
                    rf"(?<!\w){_DL_QUANTITY}(?=(?:[A-Za-z-]{{0,6}}[0-9]){{4}})[A-Za-z0-9]"
                    rf"(?:-?[A-Za-z0-9]){{4,18}}(?!\w)"
                ),
            ),
        ),
        Pattern(
            "dob",
            "DOB",
            tuple(rf"(?:(?<!\w)|(?<=dob)|(?<=born)){way}(?!\w)" for way in (DATE, *_BORN)),
        ),
        *_phones(no_unit),
        *_accounts(settings, no_unit),
    )


def _no_order(settings: GuardSettings) -> str:
    """Not where a quantity and its price begin: 5000@limit.now."""
    prices = "|".join(map(re.escape, sorted(settings.orders)))
    return rf"(?![0-9][0-9,.]{{0,14}}[KMB]?@(?:{prices})(?![^\W_]))"


def _grouped(first: str, second: str) -> tuple[str, ...]:
    """Three groups of a taxpayer's number with marks between them, one of which a line end may have
    taken.
    """
    ways = ((_DASH, rf"(?:{_DASH}|\n)"), (r"\n", _DASH), (_DOT, _DOT))
    return tuple(
        rf"{_LEFT}{first}{one}{second}{two}[0-9]{{4}}{_RIGHT}(?!\.[0-9])" for one, two in ways
    )


def _spaced(first: str, second: str) -> str:
    return rf"{_LEFT}{first}(?:{_BLANK}{second}{_BREAK}|\n{second}{_BLANK})[0-9]{{4}}{_RIGHT}"


def _phones(no_unit: str) -> tuple[Pattern, ...]:
    international = (
        rf"(?<![0-9{MASKED}])(?<![Tt])\+["
        rf" ]?(?:1(?:{_TIGHT}[0-9]){{10}}|(?!1)[0-9](?:{_TIGHT}[0-9]){{8,14}})"
    )
    dialled = (
        r"(?<!\w)(?<!\w[-./,])(?:00|011)(?=[0-9]*[-./ (][0-9(])[-./"
        rf" ]?[1-9](?:{_TIGHT}[0-9]){{7,13}}"
    )
    bare = (
        rf"(?:1?[2-9][0-9]{{9}}|[2-9][0-9]{{2}}{_BREAK}[0-9]{{7}}"
        rf"|[2-9][0-9]{{5}}{_BREAK}[0-9]{{4}})"
    )
    end = f"{_EXTENSION}{_RIGHT}{no_unit}"
    return (
        Pattern(
            "phone_grouped", "PHONE", tuple(f"{grouped}{no_unit}" for grouped in _PHONE_GROUPED)
        ),
        Pattern("phone_spaced", "PHONE", (f"{_PHONE_SPACED}{no_unit}",)),
        Pattern("phone_international", "PHONE", (f"{international}{end}", f"{dialled}{end}")),
        Pattern("phone_bare", "PHONE", (rf"(?<![^\W_]){_PHONE_LEFT}{bare}{end}",)),
        Pattern(
            "phone_national",
            "PHONE",
            (
                (
                    rf"(?<![^\W_]){_PHONE_LEFT}(?:\(0[0-9]{{1,4}}\)|0[0-9]{{1,4}})"
                    rf"(?:{_US_NEXT}?[0-9]){{6,9}}{end}"
                ),
            ),
        ),
        Pattern(
            "phone_named",
            "PHONE",
            tuple(f"(?<![^\\W_]){_PHONE_LEFT}{number}{end}" for number in _PHONE_NAMED),
        ),
        Pattern("phone_local", "PHONE", (rf"{_PHONE_LEFT}[2-9][0-9]{{2}}[-.][0-9]{{4}}{end}",)),
    )


def _accounts(settings: GuardSettings, no_unit: str) -> tuple[Pattern, ...]:
    shortest, near, long, longest, mixed = (
        settings.account_digits[name]
        for name in ("shortest", "near_min", "long_min", "longest", "mixed")
    )
    alone, end = r"(?<![\w+])(?<!\w[-./,])", r"(?!\w)(?![-./,]\w)"
    spaced = r"[0-9]{2,4}(?:[ ][0-9]{2,4}){1,5}(?:[ ][0-9])?"
    spelled = r"[0-9](?:[ ][0-9]){5,23}"
    dotted = r"[0-9]{1,5}(?:\.[0-9]{1,8}){2,5}"
    dashed = r"[0-9]{1,12}(?:[-/][0-9]{1,12}){1,4}(?:[ ][0-9]{6,10})?"
    part = rf"[A-Za-z0-9]{{1,{longest}}}"
    token = (
        rf"(?=[0-9-]{{0,{longest}}}[A-Za-z])(?=(?:[A-Za-z-]{{0,6}}[0-9]){{{mixed}}}){part}"
        rf"(?:-{part}){{0,4}}"
    )
    enough = rf"(?=(?:[-/. ]?[0-9]){{{shortest}}})"
    return (
        Pattern(
            "account_long",
            "ACCOUNT",
            (rf"{alone}[0-9]{{{long},{longest}}}{end}{no_unit}",),
            crosses_lines=False,
        ),
        Pattern(
            "account_near",
            "ACCOUNT",
            (
                (
                    rf"{alone}{_CHECKED}(?![0-9]{{0,{longest}}}000"
                    rf"(?![0-9]))[0-9]{{{near},{longest}}}{end}{no_unit}"
                ),
            ),
            crosses_lines=False,
        ),
        Pattern(
            "account_adjacent",
            "ACCOUNT",
            (rf"{_ALONE}{_CHECKED}[0-9]{{{shortest},{longest}}}{_END}{no_unit}",),
        ),
        Pattern(
            "account_grouped",
            "ACCOUNT",
            tuple(
                rf"{_ALONE}{enough}{shape}{_END}{no_unit}"
                for shape in (spaced, spelled, dotted, dashed)
            ),
        ),
        Pattern("account_mixed", "ACCOUNT", (rf"(?<!\w){token}(?!\w){no_unit}",)),
    )
