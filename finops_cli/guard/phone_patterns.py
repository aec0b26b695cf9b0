"""The ways in which telephone numbers are written."""

from __future__ import annotations

from finops_cli.guard import fragments as part
from finops_cli.guard.normalise import MASKED
from finops_cli.guard.pattern import Pattern


def phones(no_unit: str) -> tuple[Pattern, ...]:
    """Make the patterns of telephone numbers, with a name beside them and without."""
    return (*_phones(no_unit), *_named_phones(no_unit))


def _phones(no_unit: str) -> tuple[Pattern, ...]:
    international = (
        rf"(?<![0-9{MASKED}])(?<![Tt])\+[ ]?"
        rf"(?:1(?:{part.TIGHT}[0-9]){{10}}|(?!1)[0-9](?:{part.TIGHT}[0-9]){{8,14}})"
    )
    dialled = (
        r"(?<!\w)(?<!\w[-./,])(?:00|011)(?=[0-9]*[-./ (][0-9(])"
        rf"[-./ ]?[1-9](?:{part.TIGHT}[0-9]){{7,13}}"
    )
    end = f"{part.EXTENSION}{part.RIGHT}{no_unit}"
    return (
        Pattern(
            name="phone_grouped",
            kind="PHONE",
            regexes=tuple(f"{grouped}{no_unit}" for grouped in part.PHONE_GROUPED),
            matches=("(212) 555-0123", "212-555-0123 ext. 42", "212.555.0123", "+1 212 555 0123"),
            rejects=("212 555 0123", "212-555-01234"),
        ),
        Pattern(
            name="phone_spaced",
            kind="PHONE",
            regexes=(f"{part.PHONE_SPACED}{no_unit}",),
            matches=("212 555 0123", "212 555\n0123"),
            rejects=("112 555 0123", "212 555 0123 shares"),
        ),
        Pattern(
            name="phone_pairs",
            kind="PHONE",
            regexes=(f"{part.PHONE_PAIRS}{end}",),
            matches=("01 23 45 67 89", "06.12.34.56.78"),
            rejects=("11 23 45 67 89", "01 23.45 67 89"),
        ),
        Pattern(
            name="phone_international",
            kind="PHONE",
            regexes=(f"{international}{end}", f"{dialled}{end}"),
            matches=("+44 20 7946 0958", "011 44 20 7946 0958"),
            rejects=("T+4420794609580", "+44 20 79"),
        ),
    )


def _named_phones(no_unit: str) -> tuple[Pattern, ...]:
    bare = (
        rf"(?:1?[2-9][0-9]{{9}}|[2-9][0-9]{{2}}{part.BREAK}[0-9]{{7}}"
        rf"|[2-9][0-9]{{5}}{part.BREAK}[0-9]{{4}})"
    )
    national = rf"(?:\(0[0-9]{{0,4}}\)|0[0-9]{{1,4}})(?:{part.US_NEXT}?[0-9]){{6,11}}"
    left = rf"(?<![^\W_]){part.PHONE_LEFT}"
    end = f"{part.EXTENSION}{part.RIGHT}{no_unit}"
    return (
        Pattern(
            name="phone_bare",
            kind="PHONE",
            regexes=(f"{left}{bare}{end}",),
            matches=("2125550123", "212 5550123"),
            rejects=("1125550123", "2125550123 shares"),
        ),
        Pattern(
            name="phone_national",
            kind="PHONE",
            regexes=(f"{left}{national}{end}",),
            matches=("020 7946 0958", "(020) 79460958", "(0)171 5113127"),
            rejects=("120 7946 0958", "020 79"),
        ),
        Pattern(
            name="phone_marked",
            kind="PHONE",
            regexes=tuple(f"{left}{number}{end}" for number in part.PHONE_MARKED),
            matches=("212:555:0123", "212 - 555 - 0123", "[212] 555-0123"),
            rejects=("212:555*0123", "500:300:2000 shares"),
        ),
        Pattern(
            name="phone_named",
            kind="PHONE",
            regexes=tuple(f"{left}{number}{end}" for number in part.PHONE_NAMED),
            matches=("5550123", "212 . 555 . 0123", "212:555*0123", "612 34 56 78"),
            rejects=("5550100", "lender called 5550123", "500 300 2000"),
        ),
        Pattern(
            name="phone_local",
            kind="PHONE",
            regexes=(rf"{part.PHONE_LEFT}[2-9][0-9]{{2}}[-.][0-9]{{4}}{end}",),
            matches=("555-0123",),
            rejects=("155-0123", "$555.0123"),
        ),
    )
