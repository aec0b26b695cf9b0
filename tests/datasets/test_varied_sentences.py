"""Training rows of sentiment in other words (`data.format=varied`)."""

from __future__ import annotations

import random

import pytest

from finops_cli.datasets.sentiment.examples import text_split
from finops_cli.datasets.sentiment.rows import sentence_of, sentence_row
from finops_cli.datasets.sentiment.variations import load_classes, varied_row, vary
from finops_cli.datasets.writer import DatasetOptions
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.sentiment.features import build_lexicon
from finops_cli.training.data.formats import open_format
from finops_cli.training.recipe import RecipeRequest, resolve_recipe

ALWAYS = {"swap_pct": 100, "dropout_pct": 100}
NEVER = {"swap_pct": 0, "dropout_pct": 0}


def test_word_becomes_another_word_of_its_class() -> None:
    """Words of a class change within it, words without a class go; negations, contrasts, names and
    numbers stay.
    """
    lexicon, draw = build_lexicon(load_classes()), random.Random(1)
    text = "Margins did not rise to 4.1% at Harrowmere, but costs fell."
    assert vary(text, draw, NEVER) == text
    changed = vary(text, draw, ALWAYS)
    first, *_, last = changed.removesuffix(".").split()
    assert (lexicon.class_of(first.lower()), lexicon.class_of(last)) == ("asset", "down")
    assert first[0].isupper()
    for kept in ("not", "4.1%", "Harrowmere,", "but"):
        assert kept in changed.split()
    assert "did" not in changed


def test_varied_rows_are_for_training_only(kb: KnowledgeBase) -> None:
    """Rows of the eval split stay as they are; a training row keeps its label, and its text belongs
    to the train split. Equal arguments give equal rows.
    """
    changed = 0
    for index in range(200):
        plain = sentence_row(index, 3, kb, "coverage")
        varied = varied_row(index, 3, kb, "coverage")
        assert varied == varied_row(index, 3, kb, "coverage")
        if plain.split == "eval":
            assert varied == plain
            continue
        text = sentence_of(varied).text
        assert (varied.answer, varied.id, varied.split) == (plain.answer, plain.id, "train")
        assert text_split(text) == "train"
        changed += text != sentence_of(plain).text
    assert changed > 100


def test_other_stages_have_no_varied_rows(kb: KnowledgeBase) -> None:
    """data.format=varied is refused for a stage whose rows have no word classes."""
    data = resolve_recipe(RecipeRequest("triage", None, None, ())).settings.data
    options = DatasetOptions(
        stage="triage", rows=0, seed=1, profile="coverage", kb_dir=bundled_kb_dir()
    )
    given = data.model_copy(update={"format": "varied"})
    with pytest.raises(UsageError, match=r"data\.format=varied does not exist for triage"):
        open_format(options, given, kb)
