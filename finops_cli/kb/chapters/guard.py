"""The settings that tell personal data and the desk's own numbers apart (kb: `guard.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_FARTHEST = 200

Kind = Literal[
    "EMAIL", "IBAN", "CARD", "ITIN", "SSN", "PHONE", "PASSPORT", "LICENSE", "DOB", "ACCOUNT"
]
"""The kinds of personal data, the most specific first."""
PATTERN_NAMES = (
    *("email", "email_spaced", "email_words", "email_blanks", "email_named", "email_local"),
    *("ssn_grouped", "ssn_spaced", "ssn_loose", "ssn_named"),
    *("itin_grouped", "itin_spaced", "itin_loose", "itin_named"),
    *("card", "card_labelled", "iban", "iban_labelled"),
    *("passport", "passport_named", "license", "license_grouped", "dob"),
    *("phone_grouped", "phone_spaced", "phone_pairs", "phone_international", "phone_bare"),
    *("phone_national", "phone_local", "phone_marked", "phone_named"),
    *("account_long", "account_near", "account_adjacent", "account_grouped", "account_mixed"),
)
"""The ways in which a kind is written."""


class GuardSettings(Struct, frozen=True, eq=False):
    """Scores from 0 to 1, reaches in characters, lengths in digits, and the words that name a
    number.
    """

    scores: Mapping[str, float]
    context: Mapping[str, float]
    thresholds: Mapping[str, float]
    reach: Mapping[str, int]
    account_digits: Mapping[str, int]
    fewest_digits: Mapping[str, int]
    """With fewer digits a text holds no number of the kind; most notes are read faster so."""
    passes: int
    linking: frozenset[str]
    glued: frozenset[str]
    desk_linking: frozenset[str]
    units: frozenset[str]
    orders: frozenset[str]
    domains: frozenset[str]
    desk: frozenset[str]
    names: Mapping[Kind, frozenset[str]]


def compile_guard(c: Compiler) -> GuardSettings:
    """Read the entries `guard.*`.

    Raises KnowledgeError naming the entry that holds a value out of its range.
    """
    settings = GuardSettings(
        scores=c.floats("guard.scores", PATTERN_NAMES),
        context=c.floats("guard.context", ("adjacent", "close", "near", "desk")),
        thresholds=c.floats("guard.thresholds", ("text", "reference")),
        reach=c.wholes("guard.reach", ("before", "after")),
        fewest_digits=c.wholes(
            "guard.fewest_digits", tuple(kind for kind in get_args(Kind) if kind != "EMAIL")
        ),
        account_digits=c.wholes(
            "guard.account_digits", ("shortest", "near_min", "long_min", "longest", "mixed")
        ),
        passes=c.whole("guard.passes", highest=100),
        linking=c.words("guard.words_linking"),
        glued=c.words("guard.words_glued"),
        desk_linking=c.words("guard.words_desk_linking"),
        units=c.words("guard.words_units"),
        orders=c.words("guard.words_orders"),
        domains=c.words("guard.words_domains"),
        desk=c.words("guard.words_desk"),
        names={kind: c.words(f"guard.words_{kind.lower()}") for kind in get_args(Kind)},
    )
    _check_numbers(settings)
    _check_words(settings)
    _check_account_digits(settings.account_digits)
    return settings


def _check_numbers(settings: GuardSettings) -> None:
    for id, scores in (
        ("scores", settings.scores),
        ("context", settings.context),
        ("thresholds", settings.thresholds),
    ):
        if max(scores.values()) > 1:
            raise KnowledgeError(f"kb entry guard.{id}: a score must be from 0 to 1")
    if (
        min(settings.thresholds.values()) <= 0
        or settings.passes < 1
        or max(settings.reach.values()) > _FARTHEST
    ):
        raise KnowledgeError(
            "kb entries guard.thresholds, guard.passes, guard.reach: above 0, at least 1, and at"
            f" most {_FARTHEST} characters"
        )


def _check_words(settings: GuardSettings) -> None:
    lists = [
        *settings.names.items(),
        ("desk", settings.desk),
        ("units", settings.units),
        ("orders", settings.orders),
        ("domains", settings.domains),
        ("linking", settings.linking),
        ("glued", settings.glued),
        ("desk_linking", settings.desk_linking),
    ]
    for name, words in lists:
        if any(
            not word.isascii() or word != word.lower().strip() or word[:1] in ("", "*")
            for word in words
        ):
            raise KnowledgeError(
                f"kb entry guard.words_{name.lower()}: words must be small letters of ASCII, and a"
                " star may only follow a letter"
            )


def _check_account_digits(digits: Mapping[str, int]) -> None:
    lengths = [digits[name] for name in ("shortest", "near_min", "long_min", "longest")]
    if lengths != sorted(lengths) or lengths[0] <= 0 or lengths[-1] > _FARTHEST:
        raise KnowledgeError(
            "kb entry guard.account_digits: shortest, near_min, long_min, longest must rise, up"
            f" to {_FARTHEST}"
        )
