"""The table of guard patterns: each row has examples, and its regular expressions do what the
examples say.
"""

from __future__ import annotations

import re

import pytest

from finops_cli.guard.pattern import Pattern
from finops_cli.guard.patterns import patterns
from finops_cli.kb.chapters.guard import PATTERN_NAMES
from finops_cli.kb.load import bundled_kb_dir, load_kb

ROWS = patterns(load_kb(bundled_kb_dir()).guard)


def find(row: Pattern, text: str) -> str | None:
    """The first piece of `text` that one of the regexes of `row` matches."""
    found = (re.search(regex, text, re.IGNORECASE) for regex in row.regexes)
    return next((match.group() for match in found if match), None)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_pattern_finds_its_matches_and_not_its_rejects(row: Pattern) -> None:
    """Each pattern has examples of both kinds. It finds all its `matches` and none of its
    `rejects`.
    """
    assert row.matches
    assert row.rejects
    assert {text: find(row, text) for text in row.matches if find(row, text) is None} == {}
    assert {text: find(row, text) for text in row.rejects if find(row, text) is not None} == {}


def test_pattern_table_has_one_row_for_each_kb_score() -> None:
    """The table of patterns and the knowledge base name the same patterns, each once."""
    assert sorted(row.name for row in ROWS) == sorted(PATTERN_NAMES)
