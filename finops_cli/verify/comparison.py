"""Compare values with those that a rule gives, and report each difference as a finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from finops_cli.domain.finding import Finding
from finops_cli.verify.schemas import show_value


def mismatch(rule: str, path: str, expected: Any, actual: Any, because: str = "") -> Finding:
    """Return the finding that `actual` at `path` is not `expected`.

    `because` explains the expected value.
    """
    why = f" ({because})" if because else ""
    return Finding(
        rule=rule,
        path=path,
        expected=expected,
        actual=actual,
        message=f"{path[1:]} is {_render(actual)}; {rule} gives {_render(expected)}{why}",
    )


def _render(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else show_value(value)


def equal_within(expected: Any, actual: Any, tolerance: Decimal) -> bool:
    """Test equality. Numbers may differ by `tolerance` (kb: `check.tolerance`)."""
    if expected == actual:
        return True
    return (
        isinstance(expected, Decimal)
        and isinstance(actual, Decimal)
        and abs(expected - actual) < tolerance
    )


def compare(
    expected: msgspec.Struct,
    actual: msgspec.Struct,
    rules: Mapping[str, str],
    prefix: str,
    tolerance: Decimal,
) -> Iterator[Finding]:
    """Yield a finding for each field in `rules` (field to rule) that differs between the two."""
    for field, rule in rules.items():
        wanted, got = getattr(expected, field), getattr(actual, field)
        if not equal_within(wanted, got, tolerance):
            yield mismatch(rule, f"{prefix}/{field}", wanted, got)
