"""What counts as a valid, an exact and a right decision, wherever the answers of a model
come from.
"""

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


def test_the_right_answers_pass_the_examination(kb: KnowledgeBase) -> None:
    """Every row's own completion is valid, exact and decided; what is not an answer is nothing of
    it.
    """
    rows = [
        triage_row(1, 7, kb, "coverage"),
        resolver_row(1, 7, kb),
        sentiment_row("S", Sentence("Up.", "positive", "phrasebank", "")),
    ]
    for row in rows:
        assert grade(row, row.completion[0].content, kb) == (True, True, True)
        assert grade(row, "I would rather not say", kb) == (False, False, False)


def test_a_wrong_figure_is_valid_and_not_exact(kb: KnowledgeBase, row: Row) -> None:
    said = row.completion[0].content
    assert grade(row, said.replace('"age_factor":', '"age_factor":1'), kb) == (True, False, True)
    other = resolver_row(2, 7, kb)
    assert grade(resolver_row(1, 7, kb), other.completion[0].content, kb)[1] is False
    sentence = sentiment_row("S", Sentence("Up.", "positive", "phrasebank", ""))
    assert grade(sentence, "negative", kb) == (True, False, False)


def test_silence_counts_as_asked(kb: KnowledgeBase, row: Row) -> None:
    said = grade(row, row.completion[0].content, kb)
    assert total([said, NO_ANSWER, said]) == Scores(3, 2, 2, 2)


def test_a_record_that_is_none_is_refused(kb: KnowledgeBase, row: Row) -> None:
    with pytest.raises(
        UsageError, match="does not have the shape of stage triage", check=cured_by("generate")
    ):
        grade(replace(row, record='{"fail_id": 3}'), "{}", kb)


def test_exact_answers_count_before_everything_else() -> None:
    """Then decisions, then shape; the loss decides between equals only."""
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
