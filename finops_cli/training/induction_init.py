"""Initial weights that make a tiny model copy tokens, because small models learn copying slowly.

Digits are single tokens, so nearly every number of an answer is copied digit by digit from a text
full of equal digits. The circuit for copying needs two layers, and neither layer is useful without
the other. From random weights, a model of a few layers does not find it for thousands of steps. So
these parts are set, and everything else is random:

* All tokens share one direction. With it the heads of layer 0 find the token 1, 2, 3 ... places
  back by position alone.
* The heads of layer 1 attend to places where the previous tokens equal the previous tokens here,
  and copy the token of that place (an induction head: Olsson et al., In-context Learning and
  Induction Heads, 2022).
* In later layers queries and keys start equal (after Trockman and Kolter, Mimetic Initialization
  of Self-Attention Layers, 2023).
* All other layers start by adding 0 to the residual stream.

Training may change all weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Generator, Tensor

_POSITION_PAIRS = 3
"""Number of fast rotary pairs. With them a head distinguishes neighbouring positions."""
_WORD, _SPREAD, _WRITTEN = 0.5, 0.02, 0.5
"""Scales of token vectors, of the output layer, of noise, and of the output of prepared layers."""
_GAIN, _PREPARED_GAIN = 1.5, 2.0
"""Query and key norms. With the usual 1, a head of 32 dimensions cannot attend to one token among
hundreds.
"""


class Shape(NamedTuple):
    """The shape of a Qwen3 model."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int
    theta: float
    content_from: int
    """The first rotary pair slow enough to compare distant tokens by content."""


def read_shape(config: Any, content_from: int) -> Shape:
    """Read the shape from a configuration of transformers' Qwen3."""
    return Shape(
        vocabulary=config.vocab_size,
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_width=config.head_dim,
        inner=config.intermediate_size,
        theta=config.rope_parameters["rope_theta"],
        content_from=content_from,
    )


def make_initial_weights(shape: Shape, seed: int) -> dict[str, Tensor]:
    """Make the weights of `shape`, with the names of transformers' Qwen3ForCausalLM."""
    import torch

    random = torch.Generator().manual_seed(seed)
    common = torch.randint(0, 2, (shape.width,), generator=random).float() * 2 - 1
    words = torch.randn(shape.vocabulary, shape.width, generator=random) * _WORD
    made = {
        "model.embed_tokens.weight": _remove_direction(words, common) + _WORD * common,
        "lm_head.weight": torch.randn(shape.vocabulary, shape.width, generator=random) * _SPREAD,
        "model.norm.weight": torch.ones(shape.width),
    }
    behind: list[Tensor] = []
    for number in range(shape.layers):
        layer = _make_random_layer(shape, random)
        if number == 0:
            behind = _attend_to_previous_tokens(layer, shape, common, random)
        elif number == 1:
            _attend_to_matches(layer, shape, behind, random)
        else:
            layer["self_attn.q_proj"] = _repeat_per_query_head(layer["self_attn.k_proj"], shape)
        made |= {f"model.layers.{number}.{name}.weight": weight for name, weight in layer.items()}
    return made


def _make_random_layer(shape: Shape, random: Generator) -> dict[str, Tensor]:
    import torch

    s, scale = shape, 1 / math.sqrt(shape.width)
    queries, keys = s.heads * s.head_width, s.kv_heads * s.head_width
    sizes = {"self_attn.q_proj": queries, "self_attn.k_proj": keys, "self_attn.v_proj": keys}
    sizes |= {"mlp.gate_proj": s.inner, "mlp.up_proj": s.inner}
    layer = {
        name: torch.randn(size, s.width, generator=random) * scale for name, size in sizes.items()
    }
    layer["self_attn.o_proj"] = torch.zeros(s.width, queries)
    layer["mlp.down_proj"] = torch.zeros(s.width, s.inner)
    layer |= {
        name: torch.full((s.head_width,), _GAIN)
        for name in ("self_attn.q_norm", "self_attn.k_norm")
    }
    layer |= {name: torch.ones(s.width) for name in ("input_layernorm", "post_attention_layernorm")}
    return layer


def _attend_to_previous_tokens(
    layer: dict[str, Tensor], shape: Shape, common: Tensor, random: Generator
) -> list[Tensor]:
    """Make head h attend to the token h+1 places back.

    Returns the matrices that read the value of this token, of the previous one, and so on, from the
    residual stream. Shape of each: (head width, width).
    """
    import torch

    s, half = shape, shape.head_width // 2
    turning = s.theta ** (-torch.arange(half) / half)
    ahead = torch.zeros(half)
    ahead[:_POSITION_PAIRS] = 1
    key = torch.cat((ahead, torch.zeros(half)))
    layer["self_attn.k_proj"] = (
        layer["self_attn.k_proj"] * 0.1 + key.repeat(s.kv_heads)[:, None] * common / s.width
    )
    asked = [
        torch.cat((ahead * (back * turning).cos(), -ahead * (back * turning).sin()))
        for back in range(1, s.heads + 1)
    ]
    layer["self_attn.q_proj"] = (
        layer["self_attn.q_proj"] * 0.1 + torch.cat(asked)[:, None] * common / s.width
    )
    value = _remove_direction(layer["self_attn.v_proj"][: s.head_width], common)
    layer["self_attn.v_proj"] = value.repeat(s.kv_heads, 1)
    written = torch.randn(s.width, s.heads * s.head_width, generator=random) * (
        _WRITTEN / math.sqrt(s.head_width)
    )
    layer["self_attn.o_proj"] = written
    layer |= {
        name: torch.full((s.head_width,), _PREPARED_GAIN)
        for name in ("self_attn.q_norm", "self_attn.k_norm")
    }
    alike = math.sqrt(s.head_width) / (_WRITTEN * 2 * math.sqrt(s.width)) * 2
    return [value, *(part.T * alike for part in written.split(s.head_width, dim=1))]


def _attend_to_matches(
    layer: dict[str, Tensor], shape: Shape, behind: list[Tensor], random: Generator
) -> None:
    """Make the heads of key head k attend to matching places.

    A place matches if the tokens k+1 and k+2 places before it equal the tokens k and k+1 places
    before the current one.
    """
    import torch

    s, half = shape, shape.head_width // 2
    slow = half - s.content_from

    def reading(nearer: int, farther: int) -> Tensor:
        rows = torch.randn(s.head_width, s.width, generator=random) * _SPREAD
        rows[s.content_from : half] = behind[nearer][:slow]
        rows[half + s.content_from :] = behind[farther][slow : 2 * slow]
        return rows

    layer["self_attn.k_proj"] = torch.cat([reading(1 + k, 2 + k) for k in range(s.kv_heads)])
    group = s.heads // s.kv_heads
    layer["self_attn.q_proj"] = torch.cat(
        [reading(head // group, head // group + 1) for head in range(s.heads)]
    )
    layer["self_attn.o_proj"] = (
        _repeat_per_query_head(layer["self_attn.v_proj"], shape).T * _WRITTEN
    )
    layer |= {
        name: torch.full((s.head_width,), _PREPARED_GAIN)
        for name in ("self_attn.q_norm", "self_attn.k_norm")
    }


def _repeat_per_query_head(weight: Tensor, shape: Shape) -> Tensor:
    """Repeat the rows of each key head for every query head that it serves."""
    parts = weight.split(shape.head_width)
    import torch

    return torch.cat([part for part in parts for _ in range(shape.heads // shape.kv_heads)])


def _remove_direction(rows: Tensor, direction: Tensor) -> Tensor:
    """Remove the part of each row that points in `direction`, a vector of 1 and -1."""
    return rows - (rows @ direction)[:, None] * direction / len(direction)
