"""The choice of a token by the settings of a request."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from finops_cli.models.llama_cpp.messages import Sampling

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.slow,  # importing torch takes seconds
    pytest.mark.filterwarnings("default"),  # torch and its friends warn of their own plans
]
LOGITS = (1.0, 3.0, 2.0, 0.0)
OPEN: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def draw(count: int, seed: int = 1, **settings: Any) -> list[int]:
    from finops_cli.models.transformers.worker.sampling import TokenSampler

    sampler = TokenSampler(Sampling(**{**OPEN, **settings}), seed)
    return [sampler.choose(torch.tensor(LOGITS)) for _ in range(count)]


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.1}, {"min_p": 1.0}]
)
def test_narrow_settings_choose_the_likeliest_token(settings: dict[str, float]) -> None:
    """Each setting at its narrowest leaves the likeliest token alone."""
    assert set(draw(50, **settings)) == {1}


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 2}, {1, 2}),
        ({"top_p": 0.8}, {1, 2}),  # 0.64 alone does not reach it
        ({"min_p": 0.1}, {0, 1, 2}),  # e^-2 is above, e^-3 is below
    ],
)
def test_settings_keep_the_tokens_that_they_name(
    settings: dict[str, float], kept: set[int]
) -> None:
    """Top-k, top-p and min-p keep exactly the tokens of their definition."""
    assert set(draw(600, **settings)) == kept


def test_frequencies_follow_the_probabilities() -> None:
    """At temperature 1 tokens are drawn by their softmax; a higher temperature levels it."""
    count = 4_000
    found = Counter(draw(count))
    for token, probability in enumerate(torch.tensor(LOGITS).softmax(0).tolist()):
        assert found[token] / count == pytest.approx(probability, abs=0.03)
    assert Counter(draw(count, temperature=4.0))[1] < found[1]


def test_equal_seeds_draw_equal_tokens() -> None:
    """A seed fixes the draws, and another seed gives others."""
    assert draw(40, seed=3) == draw(40, seed=3) != draw(40, seed=4)


def test_penalty_lowers_the_latest_tokens() -> None:
    """A token of the answer is penalised while it is among the latest ones: the greedy choice moves
    to the next token, and comes back.
    """
    settings = {"temperature": 0.0, "repeat_penalty": 2.0, "penalised": 1}
    assert draw(4, **settings) == [1, 2, 1, 2]
    assert draw(3, temperature=0.0, repeat_penalty=2.0, penalised=0) == [1, 1, 1]
