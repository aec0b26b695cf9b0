"""The ways in which personal data is written (kb: `guard.scores`): a table of patterns.

Each row holds examples that its regexes match and examples that they reject; a test runs them all.
A pattern proposes a place; check digits, the words around it and the desk's own numbers decide.
"""

from __future__ import annotations

import re

from finops_cli.guard import fragments as part
from finops_cli.guard.account_patterns import accounts
from finops_cli.guard.pattern import Pattern
from finops_cli.guard.phone_patterns import phones
from finops_cli.kb.chapters.guard import GuardSettings

_LEFT, _RIGHT, _ALONE, _END = part.LEFT, part.RIGHT, part.ALONE, part.END


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
        *phones(no_unit),
        *accounts(settings, no_unit),
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
        *_spelled_emails(settings),
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


def _spelled_emails(settings: GuardSettings) -> tuple[Pattern, ...]:
    return (
        Pattern(
            name="email_words",
            kind="EMAIL",
            regexes=(part.EMAIL_WORDS,),
            matches=("jane at bank dot com", "jane.doe -at- bank -dot- com", "J_AT_BANK_DOT_COM"),
            rejects=("look at bank.com", "at bank dot com"),
        ),
        Pattern(
            name="email_blanks",
            kind="EMAIL",
            regexes=_emails_with_blanks(settings),
            matches=(
                "jane @ bank.com",
                "jane . doe @ bank . com",
                "jane@bank. com",
                "jane.doe at bank.com",
            ),
            rejects=("look at bank.com", "MSFT @ market.now", "MSFT @ limit.de", "MSFT @ bank. it"),
        ),
    )


def _emails_with_blanks(settings: GuardSettings) -> tuple[str, ...]:
    """Addresses with blanks around the sign or a full stop, and the ending of a real domain."""
    prices = "|".join(map(re.escape, sorted(settings.orders)))
    endings = "|".join(sorted(settings.domains))
    host = rf"(?!(?:{prices})(?![^\W_])){part.HOST_SPACED}"
    return (
        rf"{part.PERSON_SPACED}[ ]?@[ ]?{host}(?:[ ]?\.|[ ]\.[ ])(?:{endings})(?![^\W_])",
        rf"{part.PERSON}[ ]at[ ]{host}\.(?:{endings})(?![^\W_])",
        rf"{part.PERSON_SPACED}@{host}\.[ ](?:com|org|net|edu)(?![^\W_])",
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
            matches=("12-34/56.789", "119:36:6413", "(119) 36*6413"),
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
            matches=(
                *("4111 1111 1111 1111", "3782-822463-10005", "4111111111111111"),
                *("41 11 11 11 11 11 11 11", "41111111:11111111", "37828 22463 10005"),
            ),
            rejects=("4000/5000/2500/3000", "1111 1111 1111 1111"),
        ),
        Pattern(
            name="card_labelled",
            kind="CARD",
            regexes=(rf"{_ALONE}[0-9](?:{part.ANY}[0-9]){{11,18}}{_END}{no_unit}",),
            matches=("1234 5678 9012 3456", "1234:5678:9012:3456"),
            rejects=("1234 5678 901", "1234567890123456 shares"),
        ),
        Pattern(
            name="iban",
            kind="IBAN",
            regexes=(part.IBAN,),
            matches=(
                *("DE89 3704 0044 0532 0130 00", "IBANNO9386011117947"),
                "DE8 937 040 044 053 201 300 0",
            ),
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
    documents = (f"{part.ID_MARKED}{no_unit}", f"{part.ID_SPACED}{no_unit}")
    birth = tuple(rf"(?:(?<![^\W_])|(?<=dob)|(?<=born)){date}(?!\w)" for date in part.BORN)
    return (
        Pattern(
            name="passport",
            kind="PASSPORT",
            regexes=(r"(?<![^\W_])[A-Za-z]{0,2}[0-9]{6,9}(?!\w)",),
            matches=("C01234567", "123456789"),
            rejects=("ABC123456", "12345"),
        ),
        Pattern(
            name="passport_named",
            kind="PASSPORT",
            regexes=documents,
            matches=("C01X0006H", "123 456 789", "A-1234567", "AB 123 4567", "12-AB-34567"),
            rejects=("ABCDEFGH1", "12 34"),
        ),
        Pattern(
            name="license_grouped",
            kind="LICENSE",
            regexes=documents,
            matches=("D123 4567 8901", "D.123.456.789", "D 123 456 789"),
            rejects=("D123", "12 34", "4567"),
        ),
        Pattern(
            name="license",
            kind="LICENSE",
            regexes=(
                (
                    rf"(?<![^\W_]){part.DL_QUANTITY}(?=(?:[A-Za-z-]{{0,6}}[0-9]){{4}})"
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
            matches=(
                *("03/12/1961", "born19610312", "1961, March 12", "12. M\u00e4rz 1961"),
                *("3 de mayo de 1961", "12:03:1961", "12031961"),
            ),
            rejects=("19611399", "12/1961"),
        ),
    )
