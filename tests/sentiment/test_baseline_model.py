"""The baseline: features, calibrated probabilities, and the file that ships."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain.sentiment import LABELS, Label, scores_of, sentiment_of
from finops_cli.errors import UsageError
from finops_cli.models.sentiment.calibration import (
    calibration_error,
    fit_general_temperature,
    fit_temperature,
    softmax,
)
from finops_cli.models.sentiment.features import build_lexicon, features
from finops_cli.models.sentiment.tfidf import Tfidf, bundled_path, load_tfidf

MODEL = load_tfidf(bundled_path())
LEXICON = build_lexicon(
    {"up": ["rise", "rose"], "down": ["fall"], "burden": ["cost", "no longer"], "but": ["but"],
     "though": ["although"], "neg": ["not"]}
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Costs rose.", ["=burden", "=up", "=burden up"]),
        ("It did not rise", ["=neg", "=up", "=neg up"]),
        ("It didn't fall", ["=neg", "=down", "=neg down"]),
        ("no longer", ["=burden"]),
        ("A cost, but falling", ["=burden", "=but", "=down", "!down"]),
        ("Although costs rose, it falls", ["=though", "!down"]),
        ("from $1.2 million to $900 thousand", ["=<drop>"]),
        ("from 5 to 7", ["=<rise>"]),
        ("3.0 against 3.0", []),
        ("", []),
    ],
)
def test_features_of_a_text_have_its_classes(text: str, expected: list[str]) -> None:
    """Words give their class, in sequence; a contrast marks the main clause; amounts give a
    direction.
    """
    found = [name for name in features(text, LEXICON) if name[0] in "=!"]
    assert [name for name in expected if name not in found] == []
    assert len(found) >= len(expected)


@given(st.text())
def test_probabilities_of_any_text_add_up_to_one(text: str) -> None:
    """Every text has a label and three probabilities whose sum is exactly 1."""
    scores = MODEL.scores(text)
    assert scores.negative + scores.neutral + scores.positive == 1
    found = sentiment_of(scores)
    assert found.label in LABELS
    assert found.confidence == max(scores.negative, scores.neutral, scores.positive)


@given(st.lists(st.floats(0.0001, 1), min_size=3, max_size=3))
def test_scores_are_rounded_to_an_exact_sum(values: list[float]) -> None:
    """Rounding moves no probability by more than one step of the last decimal."""
    given_values: dict[Label, float] = dict(zip(LABELS, values, strict=True))
    scores = scores_of(given_values)
    assert sum(getattr(scores, label) for label in LABELS) == 1
    for label in LABELS:
        exact = given_values[label] / sum(values)
        assert abs(float(getattr(scores, label)) - exact) <= 0.0001 + 1e-9


@pytest.mark.slow
@given(st.floats(0.2, 8), st.integers(0, 2**32))
def test_temperature_of_scaled_logits_is_found(scale: float, seed: int) -> None:
    """The temperature does not depend on the scale of the logits, so that the labels stay and the
    probabilities are the same.
    """
    import random

    draw = random.Random(seed)
    rows = [([draw.gauss(0, 2) for _ in range(3)], draw.randrange(3)) for _ in range(60)]
    rows += [([2.0, 0.0, 0.0], 0)] * 30
    one = fit_temperature(rows)
    other = fit_temperature(
        [([scale * value for value in logits], right) for logits, right in rows]
    )
    if 0.06 < one < 2:  # away from the ends of the search
        assert other == pytest.approx(one * scale, rel=0.01)


def test_temperature_has_the_smallest_log_loss() -> None:
    """Rule: no other temperature of a fine grid has a smaller log loss, also at the two ends."""

    def measure(rows: list[tuple[list[float], int]], temperature: float) -> float:
        return -sum(math.log(softmax(logits, temperature)[right]) for logits, right in rows)

    mixed = [([2.0, 0.0, 0.5], 0)] * 6 + [([1.0, 3.0, 0.0], 0)] * 3 + [([0.1, 0.0, 4.0], 2)] * 2
    grid = [0.05 * 400 ** (step / 2000) for step in range(2001)]
    best = min(grid, key=lambda temperature: measure(mixed, temperature))
    assert fit_temperature(mixed) == pytest.approx(best, rel=0.004)
    assert fit_temperature([([5.0, 0.0, 0.0], 0)]) == 0.05
    assert fit_temperature([([5.0, 0.0, 0.0], 1)]) == 20.0
    assert fit_temperature([]) == 1.0


def test_temperature_of_one_faulty_group_is_not_taken() -> None:
    """Rule: where one group alone needs another temperature than 1, the result is 1. Where every
    group needs it, the result is the fitted temperature.
    """
    fine = [([2.0, 0.0, 0.0], 0)] * 39 + [([2.0, 0.0, 0.0], 1)] * 6 + [([2.0, 0.0, 0.0], 2)] * 5
    bold = [([6.0, 0.0, 0.0], 0)] * 8 + [([6.0, 0.0, 0.0], 1)] * 2
    groups = [f"group {number % 5}" for number in range(50)]
    one = fine + bold
    assert fit_temperature(one) > 1.05
    assert fit_general_temperature(one, [*groups, *["faulty"] * 10]) == 1.0
    every = bold * 6
    spread = [f"group {number // 10}" for number in range(60)]
    assert fit_general_temperature(every, spread) == fit_temperature(every) > 2
    assert fit_general_temperature([], []) == 1.0


def test_calibration_error_compares_confidence_with_accuracy() -> None:
    """The error is 0 where half of the answers at 0.5 are right, and the gap where none is."""
    assert calibration_error([(0.5, True), (0.5, False)]) == 0
    assert calibration_error([(0.9, False)] * 4) == Decimal("0.9")
    assert calibration_error([]) is None
    assert softmax([1.0, 1.0, 1.0]) == pytest.approx([1 / 3] * 3)


def test_baseline_loads_neither_numpy_nor_sklearn() -> None:
    """The baseline is used without any package of an extra, and without pickle."""
    program = (
        "import sys; from finops_cli.models.sentiment.baseline import BaselineClassifier;"
        "print(BaselineClassifier().classify('Profit rose.').sentiment.label);"
        "print([name for name in ('numpy', 'sklearn', 'scipy', 'pickle') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.splitlines() == ["positive", "[]"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"{}", "is not a baseline model"), (b"\xff", "is not a baseline")],
)
def test_baseline_file_that_is_unusable_is_refused(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    """A file that is missing or has another content is refused by its name."""
    path = tmp_path / "model.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_tfidf(path)


def test_model_of_another_format_is_refused(tmp_path: Path) -> None:
    """A model of a later version of finops is refused, not misread."""
    path = tmp_path / "model.json"
    path.write_bytes(bundled_path().read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(UsageError, match="has format 2"):
        load_tfidf(path)


def test_repeated_words_do_not_change_the_label_by_their_number() -> None:
    """A word twice counts less than twice: the logits stay finite and near."""
    once, twice = MODEL.logits("profit rose"), MODEL.logits("profit rose profit rose")
    assert all(abs(a - b) < 5 for a, b in zip(once, twice, strict=True))
    assert isinstance(MODEL, Tfidf)
