"""How personal data is told from the desk's own numbers (kb: `guard.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "EMAIL", "IBAN", "CARD", "ITIN", "SSN", "PHONE", "PASSPORT", "LICENSE", "DOB", "ACCOUNT"
]
"""What is masked, the most specific first."""
FORMS = (
    *("email", "email_spaced", "email_named", "email_local"),
    *(
        "ssn_grouped",
        "ssn_spaced",
        "ssn_loose",
        "ssn_named",
        "itin_grouped",
        "itin_spaced",
        "itin_loose",
        "itin_named",
    ),
    *(
        "card",
        "card_labelled",
        "iban",
        "iban_labelled",
        "passport",
        "passport_named",
        "license",
        "license_grouped",
        "dob",
    ),
    *(
        "phone_grouped",
        "phone_spaced",
        "phone_international",
        "phone_bare",
        "phone_national",
        "phone_local",
        "phone_named",
    ),
    *("account_long", "account_near", "account_adjacent", "account_grouped", "account_mixed"),
)
"""The ways in which a kind is written."""


@dataclass(frozen=True, eq=False, slots=True)
class GuardBook:
    """Scores from 0 to 1, reaches in characters, lengths in digits, and the words that name a
    number.
    """

    scores: Mapping[str, float]
    context: Mapping[str, float]
    thresholds: Mapping[str, float]
    reach: Mapping[str, int]
    account_digits: Mapping[str, int]
    passes: int
    linking: frozenset[str]
    desk_linking: frozenset[str]
    units: frozenset[str]
    orders: frozenset[str]
    desk: frozenset[str]
    names: Mapping[Kind, frozenset[str]]
