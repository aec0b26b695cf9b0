"""What counts as a valid, an exact and a right decision, wherever the answers of a model
come from.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from finops_cli.errors import UsageError
from finops_cli.foundry.judging import NOT_HEARD, Scores, counted, judged
from finops_cli.foundry.rows import Row, resolver_row, sentiment_row, triage_row
from finops_cli.foundry.sentiment import Sentence
from finops_cli.kb.book import Book


@pytest.fixture
def row(book: Book) -> Row:
    return triage_row(0, 7, book, "coverage")


def test_the_right_answers_pass_the_examination(book: Book) -> None:
    """Every row's own completion is valid, exact and decided; what is not an answer is nothing of
    it.
    """
    rows = [
        triage_row(1, 7, book, "coverage"),
        resolver_row(1, 7, book),
        sentiment_row("S", Sentence("Up.", "positive", "phrasebank", "")),
    ]
    for row in rows:
        assert judged(row, row.completion[0].content, book) == (True, True, True)
        assert judged(row, "I would rather not say", book) == (False, False, False)


def test_a_wrong_figure_is_valid_and_not_exact(book: Book, row: Row) -> None:
    said = row.completion[0].content
    assert judged(row, said.replace('"age_factor":', '"age_factor":1'), book) == (True, False, True)
    other = resolver_row(2, 7, book)
    assert judged(resolver_row(1, 7, book), other.completion[0].content, book)[1] is False
    sentence = sentiment_row("S", Sentence("Up.", "positive", "phrasebank", ""))
    assert judged(sentence, "negative", book) == (True, False, False)


def test_silence_counts_as_asked(book: Book, row: Row) -> None:
    said = judged(row, row.completion[0].content, book)
    assert counted([said, NOT_HEARD, said]) == Scores(3, 2, 2, 2)


def test_a_record_that_is_none_is_refused(book: Book, row: Row) -> None:
    with pytest.raises(UsageError, match="does not have the shape of stage triage; generate"):
        judged(replace(row, record='{"fail_id": 3}'), "{}", book)


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
