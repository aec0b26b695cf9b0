"""Look-alikes of personal data that belong to the desk: identifiers with correct check digits,
quantities, prices, dates, references and rates.
"""

from __future__ import annotations

import string

from finops_cli.domain import cusip
from finops_cli.guard.desk_tokens import luhn
from tests.support.personal_data import Draw, Makes, digits, fill


def a_cusip(draw: Draw) -> str:
    eight = fill(draw, draw.choice(("########", "###A##1#", "#####A10")))
    return eight + cusip.check_digit(eight)


def an_isin(draw: Draw) -> str:
    body = f"US{a_cusip(draw)}"
    number = "".join(str(int(sign, 36)) for sign in body)
    return body + next(last for last in string.digits if luhn(number + last))


def shares(draw: Draw) -> str:
    count = draw.choice((1, 100)) * draw.randrange(1, 10 ** draw.randrange(2, 8))
    return draw.choice((f"{count}", f"{count:,}"))


def price(draw: Draw) -> str:
    return draw.choice(
        (
            f"{draw.randrange(1, 5000)}.{digits(draw, 2)}",
            f"${draw.randrange(1, 900)}.{digits(draw, 4)}",
            f"${draw.randrange(1, 9)}.{digits(draw, 1)}M",
        )
    )


def date(draw: Draw) -> str:
    month, day = draw.randrange(1, 13), draw.randrange(1, 29)
    return draw.choice(
        (
            f"2026-{month:02}-{day:02}",
            f"{month}/{day}/2026",
            f"2026{month:02}{day:02}",
            f"{day} Nov 2026",
            f"Nov {day}, 2026",
            f"{month:02}/{day:02}/26",
        )
    )


LOOK_ALIKES: dict[str, tuple[Makes, tuple[str, ...]]] = {
    "CUSIP": (
        a_cusip,
        (
            "CUSIP {} is threshold.",
            "chased re {}, partial today",
            "{} short since Monday",
            "wrong account, should be in {}",
            "Called on {}: in the box",
            "trade in {} unknown",
        ),
    ),
    "ISIN": (
        an_isin,
        (
            "ISIN {} not eligible",
            "they have {} on their side",
            "{}/DTC-0161 unmatched",
            "asks to re-send {}",
        ),
    ),
    "DTC": (
        lambda draw: f"DTC{draw.choice('- ')}{digits(draw, 4)}",
        ("{} delivers tomorrow", "called {} twice", "account with {} is short", "chase {}; T+13"),
    ),
    "shares": (
        shares,
        (
            "short {} shares since Monday",
            "box {} , recall tomorrow",
            "qty {} vs 5000 in the confirm",
            "sold {} @ 177.00",
            "{} shs in the box",
            "partial of {} expected",
            "position -{}",
            "account short {} shares",
        ),
    ),
    "price": (
        price,
        (
            "price mismatch: {} vs 171.00",
            "they have {}",
            "account agrees at {}",
            "px {} on the call",
        ),
    ),
    "date": (
        date,
        ("settles {}", "account opened {}", "called {} at 10:40", "due {} or T+13", "recall of {}"),
    ),
    "reference": (
        lambda draw: draw.choice(
            (
                f"F-{digits(draw, 4)}",
                f"Ref {digits(draw, 5)}",
                f"trade {digits(draw, 9)}",
                f"T+{draw.randrange(1, 36)}",
                f"ticket {digits(draw, 10)}",
            )
        ),
        ("{} still open", "see {}: quantity mismatch", "account matched, {}", "call on {}"),
    ),
    "rate": (
        lambda draw: draw.choice(
            (
                f"{draw.randrange(1, 99)}%",
                f"{draw.randrange(1, 99)}.{digits(draw, 2)}%",
                f"${draw.randrange(1, 900)},{digits(draw, 3)},{digits(draw, 3)}",
                f"USD {digits(draw, 7)}",
            )
        ),
        ("coverage {}", "call at {}", "account worth {}", "net {} differs"),
    ),
}


def look_alike(draw: Draw, what: str) -> str:
    """A sentence that holds nothing personal."""
    make, templates = LOOK_ALIKES[what]
    return draw.choice(templates).format(make(draw))
