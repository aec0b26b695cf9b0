"""The prepared initial weights of a tiny model, which contain the parts for copying (needs the
extra train).
"""

from __future__ import annotations

import math

import pytest

from finops_cli.training.induction_init import Shape, make_initial_weights

SHAPE = Shape(
    vocabulary=300,
    width=128,
    layers=3,
    heads=4,
    kv_heads=2,
    head_width=32,
    inner=64,
    theta=1e6,
    content_from=6,
)


def test_initial_weights_are_equal_for_the_same_seed() -> None:
    """The same seed gives the same weights, and another seed gives others."""
    torch = pytest.importorskip("torch")
    first, again, other = (
        make_initial_weights(SHAPE, 1),
        make_initial_weights(SHAPE, 1),
        make_initial_weights(SHAPE, 2),
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_initial_head_h_attends_to_the_token_h_plus_1_back() -> None:
    """In layer 0 the head number h attends to the token h + 1 places back."""
    torch = pytest.importorskip("torch")
    weights = make_initial_weights(SHAPE, 1)
    words = weights["model.embed_tokens.weight"][:20]
    stream = words / words.pow(2).mean(1, keepdim=True).sqrt()
    half = SHAPE.head_width // 2
    angles = torch.arange(20)[:, None] * SHAPE.theta ** (-torch.arange(half) / half)

    def heads(name: str) -> list[object]:
        rows = (stream @ weights[f"model.layers.0.self_attn.{name}_proj.weight"].T).split(
            SHAPE.head_width, dim=1
        )
        turned = []
        for row in rows:
            x, y = (row / row.pow(2).mean(1, keepdim=True).sqrt() * 2).split(half, dim=1)
            cos, sin = angles.cos(), angles.sin()
            turned.append(torch.cat((x * cos - y * sin, y * cos + x * sin), dim=1))
        return turned

    queries, keys = heads("q"), heads("k")
    for head, query in enumerate(queries):
        looks = (query[-1] @ keys[head // 2].T) / math.sqrt(SHAPE.head_width)
        assert 19 - int(looks.argmax()) == head + 1
