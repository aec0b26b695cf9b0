"""A second, independent generator of personal data, with other sentences, formats and numbers than
`personal_data.py`. It measures the guard, which was not developed with it.
"""

from __future__ import annotations

from tests.support import look_alikes, personal_data
from tests.support.personal_data import Draw, Makes, Planted, digits, fill


def _email(draw: Draw) -> str:
    name = draw.choice(
        ("t.nguyen", "Ops_Desk7", "k-okafor", "settlements.emea", "x9", "anna.b.lee")
    )
    return (
        f"{name}@"
        f"{draw.choice(('clearing-house.com', 'fund.lu', 'sub.dept.firm.org', 'xn--mnchen-3ya.de', 'brokers.example'))}"  # noqa: E501
    )


def _grouped(draw: Draw, number: str, sizes: tuple[int, ...], marks: tuple[str, ...]) -> str:
    mark, parts, at = draw.choice(marks), [], 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return mark.join(parts)


def _ssn(draw: Draw) -> str:
    return _grouped(
        draw, personal_data.ssn_bare(draw), (3, 2, 4), ("-", "\u2011", "\u2013", "/", " - ")
    )


def _card(draw: Draw) -> str:
    number = "".join(sign for sign in personal_data.card(draw) if sign.isdigit())
    sizes = (4, 4, 4, 4) if len(number) == 16 else (4, 6, 5)
    return _grouped(draw, number, sizes, ("", ".", "\u00a0", "  "))


def _phone(draw: Draw) -> str:
    return fill(
        draw,
        draw.choice(
            (
                "1.^##.^##.####",
                "(^##) ^## ####",
                "^##/^##-####",
                "^## ^## ####",
                "+1 (^##) ^##-####",
                "^##-^##-#### ext. ##",
            )
        ),
    )


def _abroad(draw: Draw) -> str:
    return fill(
        draw,
        draw.choice(
            (
                "+41 44 ### ## ##",
                "+353 1 ### ####",
                "+852 #### ####",
                "011 44 20 #### ####",
                "+55 (11) 9####-####",
                "+61-2-####-####",
            )
        ),
    )


def _account(draw: Draw) -> str:
    return fill(
        draw,
        draw.choice(
            (
                "0########",
                "###-#####-#",
                "AA######",
                "#########",
                "A-######",
                "######-##",
                "##########A",
            )
        ),
    )


PLANTED: dict[str, list[tuple[Makes, tuple[str, ...]]]] = {
    "EMAIL": [
        (
            _email,
            (
                "No reply by {} since Tue.",
                "fwd: {}: shares recalled",
                "<{}> confirms 2,500",
                "cc {} on the DK notice;",
            ),
        )
    ],
    "SSN": [
        (
            _ssn,
            (
                "Estate of holder {}: transfer held.",
                "box empty, {} per client file",
                "({})",
                "DK-12: beneficial owner {} unknown",
            ),
        ),
        (
            personal_data.ssn_bare,
            (
                "Soc sec no {} does not match",
                "his SSN was {}, ours differs",
                "tax id: {}; qty mismatch",
            ),
        ),
    ],
    "ITIN": [
        (
            personal_data.itin,
            ("per ITIN {} withheld", "taxpayer {} (nonresident)", "ITIN no. {} expired"),
        )
    ],
    "CARD": [
        (
            _card,
            (
                "paid by Mastercard {} - not us",
                "reads {} from the card",
                "{} exp 09/28",
                "card no {} was emailed in clear",
            ),
        )
    ],
    "PHONE": [
        (
            _phone,
            (
                "No pickup on {}, try DTC-0352",
                "fax {} the DK notice",
                "desk line {} / 177.25 bid",
                "ph: {}; 40 shs short",
            ),
        ),
        (
            _abroad,
            (
                "Zurich: {}, 14:30 their time",
                "try {} before 2026-11-30",
                "contact {} re the recall",
            ),
        ),
    ],
    "IBAN": [
        (
            personal_data.iban,
            (
                "beneficiary bank {}, net USD 45,000",
                "returned: {} invalid name",
                "refund to {} 200 shs case",
            ),
        )
    ],
    "ACCOUNT": [
        (
            _account,
            (
                "Belongs in acct. {}.",
                "from account {} into box",
                "acc: {} / 594918104",
                "cust. a/c {} frozen",
                "accounts {} blocked by compliance",
            ),
        )
    ],
    "PASSPORT": [
        (
            personal_data.passport,
            ("Passport: {}", "ID check: passport # {} expired", "his passport ({}) was scanned"),
        )
    ],
    "LICENSE": [
        (
            personal_data.license_,
            ("drivers license {} scanned", "driving licence: {}", "Driver's License # {} attached"),
        )
    ],
    "DOB": [
        (personal_data.born, ("D.O.B. {}", "dob={} per W-9", "client, date of birth {}, called"))
    ],
}


def planted(draw: Draw, kind: str) -> Planted:
    make, templates = draw.choice(PLANTED[kind])
    what = make(draw)
    return Planted(kind, what, draw.choice(templates).format(what))


def _quantity(draw: Draw) -> str:
    count = draw.randrange(1, 10 ** draw.randrange(1, 10))
    return draw.choice((f"{count}", f"{count:,}", f"{count / 1000:.1f}K"))


LOOK_ALIKES: dict[str, tuple[Makes, tuple[str, ...]]] = {
    "CUSIP": (
        look_alikes.a_cusip,
        (
            "{}: no locate",
            "recall out on {} and 67066G104",
            "spoke to desk, {} comes Thursday",
            "Cusip#{} vs ours",
            "client sold {} early",
            "({})",
        ),
    ),
    "ISIN": (
        look_alikes.an_isin,
        (
            "line {} unmatched at Euroclear",
            "ISIN:{}",
            "client wants {} bought in",
            "{} v CUSIP 594918104",
        ),
    ),
    "DTC": (
        lambda draw: f"DTC-{digits(draw, 4)}",
        (
            "cover from {}",
            "{}, DTC-0005 and DTC-0161 wait for each other",
            "phone {} again",
            "DK from {}",
        ),
    ),
    "shares": (
        _quantity,
        (
            "have {} shares, need 9,000",
            "deliver {} today",
            "long {}",
            "{} shs go to the client account",
            "owe {} of 594918104",
            "{} @ market",
            "borrowed {} this morning",
            "QTY: {}",
        ),
    ),
    "price": (
        look_alikes.price,
        ("bid {}", "executed {} vs {}", "contract price {} disputed by client", "marked at {}"),
    ),
    "date": (
        look_alikes.date,
        ("TD {}", "expected {}, not in", "client away until {}", "{} 10:40 chased", "ex-date {}"),
    ),
    "reference": (
        lambda draw: draw.choice(
            (
                f"D-{digits(draw, 4)}",
                f"trade ref {digits(draw, 12)}",
                f"T+{draw.randrange(1, 36)}",
                f"order {digits(draw, 8)}",
                f"TRX{digits(draw, 10)}",
                f"MX-{digits(draw, 5)}",
            )
        ),
        ("matches {}", "{}: DK", "client says {}", "dup of {}?"),
    ),
    "rate": (
        lambda draw: draw.choice(
            (
                f"{draw.randrange(1, 999)} bps",
                f"{draw.randrange(1, 9)}.{digits(draw, 3)}%",
                f"${draw.randrange(1, 900)}K",
                f"$ {digits(draw, 9)}",
                f"{draw.randrange(1, 900):,}.{digits(draw, 2)} USD",
            )
        ),
        ("rebate {}", "fail rate {}", "MV {} exposed", "charge of {} to client"),
    ),
}


def look_alike(draw: Draw, what: str) -> str:
    make, templates = LOOK_ALIKES[what]
    template = draw.choice(templates)
    return template.format(*(make(draw) for _ in range(template.count("{}"))))
