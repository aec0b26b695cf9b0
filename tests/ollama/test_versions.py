"""Versions of Ollama: read as numbers, and what an old one lacks."""

from __future__ import annotations

import pytest

from finops_cli.errors import MissingPiece
from finops_cli.models.ollama.versions import gates, known, parse_version, refuse_too_old
from tests.support.cures import cured_by


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.33.0", (0, 33, 0)),
        ("v0.33.1-rc1", (0, 33, 1)),
        ("0.33.0+abc", (0, 33, 0)),
        ("0.33", None),
        ("", None),
        ("x0.1.2", None),
    ],
)
def test_a_version_is_three_numbers(text: str, numbers: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == numbers


def test_gates_are_what_an_old_version_lacks() -> None:
    """Compared as numbers (0.9 is before 0.32.10), oldest first; none where the version does not
    say its age.
    """
    assert [gate.since for gate in gates("0.32.9")] == [(0, 32, 10), (0, 32, 15)]
    assert [gate.version for gate in gates("0.30.0")] == ["0.30.9", "0.31.2", "0.32.10", "0.32.15"]
    assert len(gates("0.9.0")) == len(gates("0.1.0")) > len(gates("0.30.0"))
    assert (gates("0.0.0"), gates("nightly"), known("0.0.0"), known("nightly")) == (
        [],
        [],
        False,
        False,
    )
    with pytest.raises(MissingPiece, check=cured_by(r"0\.30\.0 or newer")):
        refuse_too_old("0.9.0")
