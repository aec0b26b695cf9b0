"""The ways in which account numbers are written, which have no form of their own."""

from __future__ import annotations

from finops_cli.guard import fragments as part
from finops_cli.guard.pattern import Pattern
from finops_cli.kb.chapters.guard import GuardSettings

_ALONE, _END = part.ALONE, part.END


def accounts(settings: GuardSettings, no_unit: str) -> tuple[Pattern, ...]:
    """Make the patterns of account numbers; `settings` gives their lengths."""
    return (*_accounts(settings, no_unit), *_accounts_in_groups(settings, no_unit))


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
    spaced = r"(?:(?-i:[A-Z]{1,2})[ ]?)?[0-9]{1,4}(?:[ ][0-9]{2,6}){1,5}(?:[ ][0-9])?"
    spelled = r"[0-9](?:[ ][0-9]){5,23}"
    dotted = r"(?:[0-9]{1,5}(?:\.[0-9]{1,8}){2,5}|[0-9]{4,8}\.[0-9]{3,8})"
    dashed = r"[0-9]{1,12}(?:[-/_:*~\\][0-9]{1,12}){1,4}(?:[ ][0-9]{6,10})?"
    enough_digits = rf"(?=(?:(?-i:[A-Z]{{1,2}}))?(?:[-/. _:*~\\]?[0-9]){{{digits['shortest']}}})"
    has_letter = rf"(?=[0-9./_:*~-]{{0,{longest}}}[A-Za-z])"
    has_digits = rf"(?=(?:[A-Za-z./_:*~-]{{0,6}}[0-9]){{{digits['mixed']}}})"
    group = rf"[A-Za-z0-9]{{1,{longest}}}"
    marked = r"[./_:*~](?=[A-Za-z]{0,3}[0-9])"
    mixed = rf"{has_letter}{has_digits}{group}(?:(?:-|{marked}){group}){{0,4}}"
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
