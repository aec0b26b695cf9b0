"""The ways in which personal data is written (kb: `guard.scores`): a table of patterns.

Each row holds examples that its regexes match and examples that they reject; a test runs them all.
A pattern proposes a place; check digits, the words around it and the desk's own numbers decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from finops_cli.guard import fragments as part
from finops_cli.guard.normalise import MASKED
from finops_cli.kb.chapters.guard import GuardSettings, Kind

_LEFT, _RIGHT, _ALONE, _END = part.LEFT, part.RIGHT, part.ALONE, part.END


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """One way in which a kind of personal data is written."""

    name: str
    """The key of its score in the knowledge base."""
    kind: Kind
    regexes: tuple[str, ...]
    """Alternatives; they are compiled without regard to case."""
    crosses_lines: bool = True
    """A line end within a run of its digits is ignored."""
    matches: tuple[str, ...]
    """Texts in which one of the regexes finds a place."""
    rejects: tuple[str, ...]
    """Texts in which none of the regexes finds a place."""


def patterns(settings: GuardSettings) -> tuple[Pattern, ...]:
    """Make the table of patterns. `settings` gives the lengths of account numbers and the units of
    quantities.
    """
    units = "|".join(map(re.escape, sorted(settings.units)))
    no_unit = rf"(?![ ]?(?:(?:{units})(?!-?[^\W_])|%|@[ 0-9$]|[.,][0-9]))"
    return (
        *_emails(settings),
        *_social_security_numbers(no_unit),
        *_individual_taxpayer_numbers(no_unit),
        *_cards_and_ibans(no_unit),
        *_documents(no_unit),
        *_phones(no_unit),
        *_named_phones(no_unit),
        *_accounts(settings, no_unit),
        *_accounts_in_groups(settings, no_unit),
    )


def _emails(settings: GuardSettings) -> tuple[Pattern, ...]:
    prices = "|".join(map(re.escape, sorted(settings.orders)))
    no_order = rf"(?![0-9][0-9,.]{{0,14}}[KMB]?@(?:{prices})(?![^\W_]))"
    return (
        Pattern(
            name="email",
            kind="EMAIL",
            regexes=(f"{no_order}{part.EMAIL}", part.EMAIL_AT_HOST),
            matches=("jane.doe@bank.com", "jane (at) bank (dot) com", "jane@[192.168.0.1]"),
            rejects=("jane @ bank.com", "jane@bank"),
        ),
        Pattern(
            name="email_spaced",
            kind="EMAIL",
            regexes=part.EMAIL_SPACED,
            matches=("jane.doe @ bank.com", "jane.doe@bank.\ncom"),
            rejects=("BRK.B @ limit", "jane @ bank.com"),
        ),
        Pattern(
            name="email_named",
            kind="EMAIL",
            regexes=(part.EMAIL_NAMED,),
            matches=("jane @ bank.com",),
            rejects=("jane@bank.com", "jane @ bank"),
        ),
        Pattern(
            name="email_local",
            kind="EMAIL",
            regexes=(part.EMAIL_LOCAL,),
            matches=("jane@bank",),
            rejects=("5000@12", "jane @ bank"),
        ),
    )


def _social_security_numbers(no_unit: str) -> tuple[Pattern, ...]:
    first, second = "[0-9]{3}", "[0-9]{2}"
    return (
        Pattern(
            name="ssn_grouped",
            kind="SSN",
            regexes=(*part.group_taxpayer_number(first, second), part.SSN_SPELLED),
            matches=("123-45-6789", "123-45\n6789", "1 2 3 - 4 5 - 6 7 8 9"),
            rejects=("123 45 6789", "123-45-67890"),
        ),
        Pattern(
            name="ssn_spaced",
            kind="SSN",
            regexes=(f"{part.space_taxpayer_number(first, second)}{no_unit}",),
            matches=("123 45 6789", "123 45\n6789"),
            rejects=("123\n45\n6789", "123 45 6789 shares"),
        ),
        Pattern(
            name="ssn_loose",
            kind="SSN",
            regexes=(f"{part.SSN_LOOSE}{no_unit}",),
            matches=("123456789", "12345-6789", "123-456789"),
            rejects=("1234567890", "123456789 shares"),
        ),
        Pattern(
            name="ssn_named",
            kind="SSN",
            regexes=(rf"{_LEFT}[0-9](?:{part.ANY}[0-9]){{8}}{_RIGHT}{no_unit}",),
            matches=("12-34/56.789",),
            rejects=("12-34/56.78", "12-34/56.789 shares"),
        ),
    )


def _individual_taxpayer_numbers(no_unit: str) -> tuple[Pattern, ...]:
    first, second = "9[0-9]{2}", part.ITIN_GROUP
    return (
        Pattern(
            name="itin_named",
            kind="ITIN",
            regexes=(rf"{_LEFT}9(?:{part.ANY}[0-9]){{8}}{_RIGHT}{no_unit}",),
            matches=("91-27/03.456",),
            rejects=("81-27/03.456",),
        ),
        Pattern(
            name="itin_grouped",
            kind="ITIN",
            regexes=part.group_taxpayer_number(first, second),
            matches=("912-70-3456",),
            rejects=("812-70-3456", "912-69-3456"),
        ),
        Pattern(
            name="itin_spaced",
            kind="ITIN",
            regexes=(f"{part.space_taxpayer_number(first, second)}{no_unit}",),
            matches=("912 70 3456",),
            rejects=("912 69 3456", "912 70 3456 shares"),
        ),
        Pattern(
            name="itin_loose",
            kind="ITIN",
            regexes=(f"{part.ITIN_LOOSE}{no_unit}",),
            matches=("912703456", "912-703456"),
            rejects=("912693456", "912703456 shares"),
        ),
    )


def _cards_and_ibans(no_unit: str) -> tuple[Pattern, ...]:
    return (
        Pattern(
            name="card",
            kind="CARD",
            regexes=part.CARDS,
            matches=("4111 1111 1111 1111", "3782-822463-10005", "4111111111111111"),
            rejects=("4000/5000/2500/3000", "1111 1111 1111 1111"),
        ),
        Pattern(
            name="card_labelled",
            kind="CARD",
            regexes=(rf"{_ALONE}[0-9]{{4}}(?:[-. ]?[0-9]){{8,15}}{_END}{no_unit}",),
            matches=("1234 5678 9012 3456",),
            rejects=("1234 5678 901", "1234567890123456 shares"),
        ),
        Pattern(
            name="iban",
            kind="IBAN",
            regexes=(part.IBAN,),
            matches=("DE89 3704 0044 0532 0130 00", "IBANNO9386011117947"),
            rejects=("DE89 3704", "D8937040044053201300"),
        ),
        Pattern(
            name="iban_labelled",
            kind="IBAN",
            regexes=(part.IBAN_LABELLED,),
            matches=("XX12 3456 7890 1234",),
            rejects=("XX12 3456", "1234 5678 9012"),
        ),
    )


def _documents(no_unit: str) -> tuple[Pattern, ...]:
    birth = tuple(rf"(?:(?<!\w)|(?<=dob)|(?<=born)){date}(?!\w)" for date in part.BORN)
    return (
        Pattern(
            name="passport",
            kind="PASSPORT",
            regexes=(r"(?<!\w)[A-Za-z]{0,2}[0-9]{6,9}(?!\w)",),
            matches=("C01234567", "123456789"),
            rejects=("ABC123456", "12345"),
        ),
        Pattern(
            name="passport_named",
            kind="PASSPORT",
            regexes=(
                r"(?<!\w)(?=(?:[A-Za-z]{0,4}[0-9]){4})[A-Za-z0-9]{8,9}(?!\w)",
                rf"{_LEFT}[0-9]{{2,3}}(?:[ -][0-9]{{3,4}}){{2}}{_RIGHT}{no_unit}",
            ),
            matches=("C01X0006H", "123 456 789"),
            rejects=("ABCDEFGH1", "123 456 789 shares"),
        ),
        Pattern(
            name="license_grouped",
            kind="LICENSE",
            regexes=(rf"(?<!\w)[A-Za-z]?[0-9]{{2,4}}(?:[ ][0-9]{{2,4}}){{2,3}}{_RIGHT}{no_unit}",),
            matches=("D123 4567 8901",),
            rejects=("D123 4567", "123 4567 8901 shares"),
        ),
        Pattern(
            name="license",
            kind="LICENSE",
            regexes=(
                (
                    rf"(?<!\w){part.DL_QUANTITY}(?=(?:[A-Za-z-]{{0,6}}[0-9]){{4}})"
                    rf"[A-Za-z0-9](?:-?[A-Za-z0-9]){{4,18}}(?!\w)"
                ),
            ),
            matches=("D1234567", "S530-4609-0123"),
            rejects=("DL 500000", "ABCDE"),
        ),
        Pattern(
            name="dob",
            kind="DOB",
            regexes=birth,
            matches=("03/12/1961", "born19610312", "1961, March 12"),
            rejects=("19611312", "12/1961"),
        ),
    )


def _phones(no_unit: str) -> tuple[Pattern, ...]:
    international = (
        rf"(?<![0-9{MASKED}])(?<![Tt])\+[ ]?"
        rf"(?:1(?:{part.TIGHT}[0-9]){{10}}|(?!1)[0-9](?:{part.TIGHT}[0-9]){{8,14}})"
    )
    dialled = (
        r"(?<!\w)(?<!\w[-./,])(?:00|011)(?=[0-9]*[-./ (][0-9(])"
        rf"[-./ ]?[1-9](?:{part.TIGHT}[0-9]){{7,13}}"
    )
    end = f"{part.EXTENSION}{_RIGHT}{no_unit}"
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
    national = rf"(?:\(0[0-9]{{1,4}}\)|0[0-9]{{1,4}})(?:{part.US_NEXT}?[0-9]){{6,9}}"
    left = rf"(?<![^\W_]){part.PHONE_LEFT}"
    end = f"{part.EXTENSION}{_RIGHT}{no_unit}"
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
            matches=("020 7946 0958", "(020) 79460958"),
            rejects=("120 7946 0958", "020 79"),
        ),
        Pattern(
            name="phone_named",
            kind="PHONE",
            regexes=tuple(f"{left}{number}{end}" for number in part.PHONE_NAMED),
            matches=("5550123", "212 . 555 . 0123"),
            rejects=("5550100", "lender called 5550123"),
        ),
        Pattern(
            name="phone_local",
            kind="PHONE",
            regexes=(rf"{part.PHONE_LEFT}[2-9][0-9]{{2}}[-.][0-9]{{4}}{end}",),
            matches=("555-0123",),
            rejects=("155-0123", "$555.0123"),
        ),
    )


def _accounts(settings: GuardSettings, no_unit: str) -> tuple[Pattern, ...]:
    digits = settings.account_digits
    longest = digits["longest"]
    alone, end = r"(?<![\w+])(?<!\w[-./,])", r"(?!\w)(?![-./,]\w)"
    not_thousands = rf"(?![0-9]{{0,{longest}}}000(?![0-9]))"
    return (
        Pattern(
            name="account_long",
            kind="ACCOUNT",
            regexes=(rf"{alone}[0-9]{{{digits['long_min']},{longest}}}{end}{no_unit}",),
            crosses_lines=False,
            matches=("1234567890",),
            rejects=("123456789", "1234567890 shares"),
        ),
        Pattern(
            name="account_near",
            kind="ACCOUNT",
            regexes=(
                (
                    rf"{alone}{part.CHECKED}{not_thousands}"
                    rf"[0-9]{{{digits['near_min']},{longest}}}{end}{no_unit}"
                ),
            ),
            crosses_lines=False,
            matches=("12345678",),
            rejects=("12345000", "checking 12345600"),
        ),
        Pattern(
            name="account_adjacent",
            kind="ACCOUNT",
            regexes=(
                rf"{_ALONE}{part.CHECKED}[0-9]{{{digits['shortest']},{longest}}}{_END}{no_unit}",
            ),
            matches=("12345", "acct12345"),
            rejects=("1234", "checking 1200000"),
        ),
    )


def _accounts_in_groups(settings: GuardSettings, no_unit: str) -> tuple[Pattern, ...]:
    digits = settings.account_digits
    longest = digits["longest"]
    spaced = r"[0-9]{2,4}(?:[ ][0-9]{2,4}){1,5}(?:[ ][0-9])?"
    spelled = r"[0-9](?:[ ][0-9]){5,23}"
    dotted = r"[0-9]{1,5}(?:\.[0-9]{1,8}){2,5}"
    dashed = r"[0-9]{1,12}(?:[-/][0-9]{1,12}){1,4}(?:[ ][0-9]{6,10})?"
    enough_digits = rf"(?=(?:[-/. ]?[0-9]){{{digits['shortest']}}})"
    has_letter = rf"(?=[0-9-]{{0,{longest}}}[A-Za-z])"
    has_digits = rf"(?=(?:[A-Za-z-]{{0,6}}[0-9]){{{digits['mixed']}}})"
    group = rf"[A-Za-z0-9]{{1,{longest}}}"
    mixed = rf"{has_letter}{has_digits}{group}(?:-{group}){{0,4}}"
    return (
        Pattern(
            name="account_grouped",
            kind="ACCOUNT",
            regexes=tuple(
                rf"{_ALONE}{enough_digits}{shape}{_END}{no_unit}"
                for shape in (spaced, spelled, dotted, dashed)
            ),
            matches=("1234 5678", "1 2 3 4 5 6", "12.345.678", "12345-678"),
            rejects=("12-34", "1234 5678 shares"),
        ),
        Pattern(
            name="account_mixed",
            kind="ACCOUNT",
            regexes=(rf"(?<!\w){mixed}(?!\w){no_unit}",),
            matches=("AB12-3456", "U1234567"),
            rejects=("12345678", "ABC123"),
        ),
    )
