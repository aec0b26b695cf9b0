"""Grading of answers: when an answer of a model is valid, exact and the same decision."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from finops_cli.datasets.grading import NO_ANSWER, Scores, total
from finops_cli.datasets.rows import Row, resolver_row, triage_row
from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.datasets.sentiment.rows import sentiment_row
from finops_cli.datasets.stages import grade
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.cures import cured_by


@pytest.fixture
def row(kb: KnowledgeBase) -> Row:
    return triage_row(0, 7, kb, "coverage")


def test_grade_of_own_completion_is_valid_exact_and_decided(kb: KnowledgeBase) -> None:
    """The completion of each row is valid, exact and the same decision. Other text has none of
    these grades.
    """
    rows = [
        triage_row(1, 7, kb, "coverage"),
        resolver_row(1, 7, kb),
        sentiment_row("S", Sentence("Up.", "positive", "phrasebank", "")),
    ]
    for row in rows:
        assert grade(row, row.completion[0].content, kb) == (True, True, True)
        assert grade(row, "I would rather not say", kb) == (False, False, False)


def test_grade_of_a_wrong_number_is_valid_but_not_exact(kb: KnowledgeBase, row: Row) -> None:
    """An answer with a wrong number is valid but not exact, in every stage."""
    content = row.completion[0].content
    assert grade(row, content.replace('"age_factor":', '"age_factor":1'), kb) == (True, False, True)
    other = resolver_row(2, 7, kb)
    assert grade(resolver_row(1, 7, kb), other.completion[0].content, kb)[1] is False
    sentence = sentiment_row("S", Sentence("Up.", "positive", "phrasebank", ""))
    assert grade(sentence, "negative", kb) == (True, False, False)


def test_total_counts_a_missing_answer_as_asked(kb: KnowledgeBase, row: Row) -> None:
    """A missing answer counts in the total as asked and as nothing else."""
    content = grade(row, row.completion[0].content, kb)
    assert total([content, NO_ANSWER, content]) == Scores(3, 2, 2, 2)


def test_grade_of_a_row_without_a_valid_record_is_refused(kb: KnowledgeBase, row: Row) -> None:
    """A row whose record does not have the shape of its stage raises UsageError with a fix."""
    with pytest.raises(
        UsageError, match="does not have the shape of stage triage", check=cured_by("generate")
    ):
        grade(replace(row, record='{"fail_id": 3}'), "{}", kb)


def test_scores_rank_by_exact_then_decided_then_valid() -> None:
    """Scores are ranked by exact answers, then decisions, then valid answers. The loss decides only
    between equals.
    """
    rising = [
        Scores(9, 9, 0, 9),
        Scores(9, 1, 1, 1),
        Scores(9, 1, 1, 2),
        Scores(9, 2, 1, 2),
        Scores(9, 9, 9, 9),
    ]
    ranks = [
        scores.rank(loss) for scores, loss in zip(rising, (0.0, 9.0, 5.0, 5.0, 99.0), strict=True)
    ]
    assert ranks == sorted(ranks)
    assert rising[0].rank(0.1) > rising[0].rank(0.2)
