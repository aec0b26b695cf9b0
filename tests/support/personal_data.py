"""Planted personal data from a seeded generator: valid check digits, in the formats and sentences
of a desk.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import NamedTuple

from finops_cli.guard.desk_tokens import luhn

Draw = random.Random


class Planted(NamedTuple):
    kind: str
    what: str
    sentence: str


def digits(draw: Draw, count: int) -> str:
    return "".join(draw.choices(string.digits, k=count))


def fill(draw: Draw, pattern: str) -> str:
    """`#` a digit, `A` a capital letter, `^` a digit from 2."""
    made = {"#": string.digits, "A": string.ascii_uppercase, "^": "23456789"}
    return "".join(draw.choice(made[sign]) if sign in made else sign for sign in pattern)


def email(draw: Draw) -> str:
    first, last = (
        draw.choice(("jane", "raj", "o'neil", "li", "maria")),
        draw.choice(("smith", "patel", "brien", "wu", "garcia-lopez")),
    )
    local = draw.choice(
        (f"{first}.{last}", f"{first[0]}{last}{digits(draw, 2)}", f"{last}_{first}+fails", first)
    )
    domain = draw.choice(
        (
            "example.com",
            "mail.bigbank.co.uk",
            "bank-ops.local",
            "custody.bank",
            "BLOOMBERG.NET",
            "bank.internal",
        )
    )
    return f"{local}@{domain}"


def ssn(draw: Draw) -> str:
    area, group, serial = (
        f"{draw.randrange(1, 900):03}",
        f"{draw.randrange(1, 100):02}",
        f"{draw.randrange(1, 10000):04}",
    )
    return draw.choice("- .").join((area, group, serial))


def ssn_bare(draw: Draw) -> str:
    return f"{draw.randrange(1, 900):03}{draw.randrange(1, 100):02}{draw.randrange(1, 10000):04}"


def itin(draw: Draw) -> str:
    mark = draw.choice(("-", " ", ""))
    return mark.join(
        (
            f"9{digits(draw, 2)}",
            str(draw.choice([*range(50, 66), *range(70, 89), 90, 92, 94, 99])),
            digits(draw, 4),
        )
    )


def card(draw: Draw) -> str:
    stem, length = draw.choice(
        (
            ("4", 16),
            ("5" + str(draw.randrange(1, 6)), 16),
            ("2500", 16),
            ("37", 15),
            ("6011", 16),
            ("3566", 16),
            ("36", 14),
        )
    )
    body = stem + digits(draw, length - len(stem) - 1)
    number = body + next(last for last in string.digits if luhn(body + last))
    mark = draw.choice(("", " ", "-"))
    if length == 16:
        return mark.join(number[at : at + 4] for at in range(0, 16, 4))
    return mark.join((number[:4], number[4:10], number[10:]))


def phone(draw: Draw) -> str:
    shape = draw.choice(
        (
            "(^##) ^##-####",
            "^##-^##-####",
            "^##.^##.####",
            "+1 ^## ^## ####",
            "+1-^##-^##-####",
            "1-8##-^##-####",
            "+1^##^######",
            "(^##)^##-#### x###",
        )
    )
    return fill(draw, shape)


def phone_abroad(draw: Draw) -> str:
    shape = draw.choice(
        (
            "+44 20 7### ####",
            "+44 (0)20 7### ####",
            "+49 69 ########",
            "+33 1 ## ## ## ##",
            "+81-3-####-####",
            "0044 20 7### ####",
            "+91 98### #####",
            "+6569######",
        )
    )
    return fill(draw, shape)


_IBANS = {
    "DE": "#" * 18,
    "GB": "AAAA" + "#" * 14,
    "FR": "#" * 23,
    "ES": "#" * 20,
    "NL": "AAAA" + "#" * 10,
    "CH": "#" * 17,
    "NO": "#" * 11,
}


def iban(draw: Draw) -> str:
    country = draw.choice(list(_IBANS))
    rest = fill(draw, _IBANS[country])
    number = "".join(str(int(sign, 36)) for sign in f"{rest}{country}00")
    whole = f"{country}{98 - int(number) % 97:02}{rest}"
    return (
        whole
        if draw.random() < 0.5
        else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))
    )


def account(draw: Draw) -> str:
    return fill(
        draw,
        draw.choice(
            (
                "########",
                "##########",
                "############",
                "#####",
                "####-####",
                "A#######",
                "A##-######",
                "#AA-#####",
                "#### #### ####",
            )
        ),
    )


def passport(draw: Draw) -> str:
    return fill(draw, draw.choice(("#########", "A########")))


def license_(draw: Draw) -> str:
    return fill(draw, draw.choice(("A#######", "A###-####-####", "########", "A###-###-##-###-#")))


def born(draw: Draw) -> str:
    year, month, day = draw.randrange(1940, 2005), draw.randrange(1, 13), draw.randrange(1, 29)
    return draw.choice(
        (
            f"{month}/{day}/{year}",
            f"{year}-{month:02}-{day:02}",
            f"{day} Mar {year}",
            f"March {day}, {year}",
        )
    )


Makes = Callable[[Draw], str]
PLANTED: dict[str, list[tuple[Makes, tuple[str, ...]]]] = {
    "EMAIL": [
        (
            email,
            (
                "Emailed {} for the delivery date.",
                "chase {} again before cut-off",
                "cpty ops ({}) say partial today",
                "Reply from {}: short.",
            ),
        )
    ],
    "SSN": [
        (
            ssn,
            (
                "Client {} disputes the trade.",
                "SSN {} on the W-9, price mismatch",
                "holder's social is {}, 5,000 shares open",
                "DK: unknown client {}",
            ),
        ),
        (
            ssn_bare,
            (
                "SSN {} on the W-9, price mismatch",
                "social security number {} given by client",
                "client ({} SSN) says wrong account",
            ),
        ),
    ],
    "ITIN": [
        (
            itin,
            (
                "ITIN {} on file.",
                "client's ITIN is {}, 300 shs short",
                "W-7 shows {}; trade date differs",
            ),
        )
    ],
    "CARD": [
        (
            card,
            (
                "Client read out card {} on the call.",
                "charged to {} by mistake",
                "Visa {}, wrong desk; CUSIP 594918104",
            ),
        )
    ],
    "PHONE": [
        (
            phone,
            (
                "Called {} twice today: no answer.",
                "Left message at {}, ref 10293",
                "{} is their fails desk, DTC-0161",
                "call back {} before 10:40",
            ),
        ),
        (
            phone_abroad,
            (
                "Rang {} in London, no one there.",
                "their ops: {}, T+13 tomorrow",
                "use {} after hours; 5,000 shares",
            ),
        ),
    ],
    "IBAN": [
        (
            iban,
            (
                "Cash to IBAN {} please.",
                "wire refused by {}, net money differs",
                "{} 5000 shares still open",
                "pay {} on T+2",
            ),
        )
    ],
    "ACCOUNT": [
        (
            account,
            (
                "wrong account {}",
                "acct {} short since the recall",
                "book it to a/c no. {}, 500 shs",
                "Account number: {} is closed",
                "client acct # {}; CUSIP 67066G104",
            ),
        )
    ],
    "PASSPORT": [
        (
            passport,
            (
                "passport {} sent as proof",
                "copy of passport no. {} on file",
                "client's passport number is {}",
            ),
        )
    ],
    "LICENSE": [
        (
            license_,
            ("driver's license {} sent as proof", "Driver licence no. {} on file", "DL# {} by fax"),
        )
    ],
    "DOB": [
        (
            born,
            (
                "client DOB {} matches",
                "date of birth: {}, trade date 2026-11-20",
                "born {}; unknown trade",
            ),
        )
    ],
}


def planted(draw: Draw, kind: str) -> Planted:
    make, templates = draw.choice(PLANTED[kind])
    what = make(draw)
    return Planted(kind, what, draw.choice(templates).format(what))
