"""The table of patterns: every row has examples, and they do what the table says."""

from __future__ import annotations

import re

import pytest

from finops_cli.guard.patterns import Pattern, patterns
from finops_cli.kb.chapters.guard import PATTERN_NAMES
from finops_cli.kb.load import bundled_kb_dir, load_kb

ROWS = patterns(load_kb(bundled_kb_dir()).guard)


def find(row: Pattern, text: str) -> str | None:
    """The first piece of `text` that one of the regexes of `row` matches."""
    found = (re.search(regex, text, re.IGNORECASE) for regex in row.regexes)
    return next((match.group() for match in found if match), None)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_pattern_finds_its_matches_and_not_its_rejects(row: Pattern) -> None:
    """Each row has an example of both; each of its regexes is compiled without regard to case."""
    assert row.matches
    assert row.rejects
    assert {text: find(row, text) for text in row.matches if find(row, text) is None} == {}
    assert {text: find(row, text) for text in row.rejects if find(row, text) is not None} == {}


def test_every_score_has_its_pattern() -> None:
    """The table and the knowledge base name the same patterns, each once."""
    assert sorted(row.name for row in ROWS) == sorted(PATTERN_NAMES)
