"""Versions of Ollama: their numbers, and the fixes that an old version lacks."""

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
def test_ollama_version_is_read_as_three_numbers(
    text: str, numbers: tuple[int, int, int] | None
) -> None:
    """A version is read as three numbers, without prefix and suffix. Another text gives None."""
    assert parse_version(text) == numbers


def test_ollama_gates_list_the_fixes_after_a_version() -> None:
    """The gates of a version are the later fixes, oldest first and compared as numbers. An unknown
    version has none.
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
