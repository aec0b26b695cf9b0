"""The two networks that are written here, Qwen3 and Qwen3.5 (text), by the settings of config.json;
and their settings in GGUF.

Names and values of the settings in GGUF restate what llama.cpp's converter writes
(`conversion/base.py` and `conversion/qwen.py`, MIT, The ggml authors; Qwen3.5 by
ggml-org/llama.cpp#19468). Whatever would make another network than these is refused, not passed
over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from finops_cli.errors import UsageError
from finops_cli.models.gguf import Pair
from finops_cli.weights.checkpoint import number_in

Name = Literal["qwen3", "qwen35"]
ARCHITECTURES: dict[str, Name] = {
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3_5ForCausalLM": "qwen35",
    "Qwen3_5ForConditionalGeneration": "qwen35",
}
_Size = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""As far as llama.cpp counts."""
_ROPE_SECTIONS = [11, 11, 10]
_ROTARY_SHARE = 0.25
"""Both as transformers has them where a checkpoint does not say."""
_FIXED: dict[str, tuple[object, ...]] = {
    "attention_bias": (False,),
    "hidden_act": ("silu",),
    "use_sliding_window": (False,),
    "attn_output_gate": (True,),
}
"""Settings that llama.cpp knows one value of. They may be absent."""


_AS_IT_CAME = "take the config.json that came with the model"


class LinearAttention(Struct, frozen=True):
    """The Gated DeltaNet layers of Qwen3.5.

    `interval`: one layer in so many is a full attention.
    """

    key_heads: int
    value_heads: int
    head_dim: int
    kernel: int
    interval: int


class Architecture(Struct, frozen=True, kw_only=True):
    """Sizes of a network.

    `tied`: what reads tokens also predicts them. `linear` is None for Qwen3.
    """

    name: Name
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope_base: float
    tied: bool
    rope_dimensions: int = 0
    rope_sections: tuple[int, ...] = ()
    linear: LinearAttention | None = None

    def is_linear(self, layer: int) -> bool:
        """Whether `layer`, counted from 0, is a linear attention."""
        return self.linear is not None and (layer + 1) % self.linear.interval != 0


class _Config(Struct, frozen=True):
    """What config.json must say of either network."""

    num_hidden_layers: _Size
    hidden_size: _Size
    intermediate_size: _Size
    num_attention_heads: _Size
    num_key_value_heads: _Size
    head_dim: _Size
    vocab_size: _Size
    max_position_embeddings: _Size
    rms_norm_eps: Annotated[float, Meta(gt=0, lt=1)]


class _LinearConfig(Struct, frozen=True):
    linear_num_key_heads: _Size
    linear_num_value_heads: _Size
    linear_key_head_dim: _Size
    linear_value_head_dim: _Size
    linear_conv_kernel_dim: _Size
    layer_types: list[str]


def architecture_of(config: dict[str, Any], place: Path) -> Architecture:
    """The network of `config`, from the file `place`.

    Raises UsageError for any other than the two, and for settings not known here.
    """
    names = config.get("architectures")
    given = names[0] if isinstance(names, list) and names else None
    name = ARCHITECTURES.get(given) if isinstance(given, str) else None
    if name is None:
        raise UsageError(
            f"{place}: {given or 'no architecture'}; {', '.join(ARCHITECTURES)} are converted here",
            "convert any other with llama.cpp's convert_hf_to_gguf.py, and give --gguf FILE",
        )
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    _refuse_unknown(text, place)
    sizes = _read(text, _Config, place)
    rope = _rope(text, place)
    linear = (
        _linear(_read(text, _LinearConfig, place), sizes.num_hidden_layers, place)
        if name == "qwen35"
        else None
    )
    if linear is None and any(kind != "full_attention" for kind in text.get("layer_types") or ()):
        raise UsageError(
            f"{place}: layer_types: a Qwen3 whose layers are not all full_attention is not"
            " converted here"
        )
    given = {"partial_rotary_factor": _ROTARY_SHARE, **text, **rope}
    share = number_in(given, "partial_rotary_factor")
    if share is None or not 0 < share <= 1:
        raise UsageError(
            f"{place}: partial_rotary_factor is {given['partial_rotary_factor']!r:.40}; a part of 1"
            " is expected"
        )
    return Architecture(
        name=name,
        layers=sizes.num_hidden_layers,
        width=sizes.hidden_size,
        feed_forward=sizes.intermediate_size,
        heads=sizes.num_attention_heads,
        kv_heads=sizes.num_key_value_heads,
        head_dim=sizes.head_dim,
        vocabulary=sizes.vocab_size,
        context=sizes.max_position_embeddings,
        norm_epsilon=sizes.rms_norm_eps,
        rope_base=rope["rope_theta"],
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        rope_dimensions=int(sizes.head_dim * share) if linear else 0,
        rope_sections=_sections(rope, place) if linear else (),
        linear=linear,
    )


def settings(network: Architecture) -> dict[str, Pair]:
    """The settings of the network as GGUF has them."""
    pairs: dict[str, Pair] = {
        "block_count": network.layers,
        "context_length": network.context,
        "embedding_length": network.width,
        "feed_forward_length": network.feed_forward,
        "attention.head_count": network.heads,
        "attention.head_count_kv": network.kv_heads,
        "attention.key_length": network.head_dim,
        "attention.value_length": network.head_dim,
        "attention.layer_norm_rms_epsilon": float(network.norm_epsilon),
        "rope.freq_base": network.rope_base,
    }
    if network.linear is not None:
        linear = network.linear
        pairs |= {
            "rope.dimension_sections": list(network.rope_sections),
            "rope.dimension_count": network.rope_dimensions,
            "ssm.conv_kernel": linear.kernel,
            "ssm.state_size": linear.head_dim,
            "ssm.group_count": linear.key_heads,
            "ssm.time_step_rank": linear.value_heads,
            "ssm.inner_size": linear.value_heads * linear.head_dim,
            "attention.recurrent_layers": [
                network.is_linear(layer) for layer in range(network.layers)
            ],
            "full_attention_interval": linear.interval,
        }
    return {f"{network.name}.{key}": value for key, value in pairs.items()}


class _Said(Struct, frozen=True):
    """What the head of a GGUF file must say of a Qwen3, by the last part of its keys."""

    block_count: _Size
    context_length: _Size
    embedding_length: _Size
    feed_forward_length: _Size
    head_count: _Size
    head_count_kv: _Size
    key_length: _Size
    layer_norm_rms_epsilon: Annotated[float, Meta(gt=0, lt=1)]
    freq_base: Annotated[float, Meta(gt=0)]


def network_of(pairs: dict[str, Any], vocabulary: int, tied: bool) -> Architecture:
    """The Qwen3 that `settings` were written of.

    Raises msgspec.ValidationError where they are not whole.
    """
    said = msgspec.convert(
        {key.rpartition(".")[2]: value for key, value in pairs.items() if key.startswith("qwen3.")},
        _Said,
    )
    return Architecture(
        name="qwen3",
        layers=said.block_count,
        width=said.embedding_length,
        feed_forward=said.feed_forward_length,
        heads=said.head_count,
        kv_heads=said.head_count_kv,
        head_dim=said.key_length,
        vocabulary=vocabulary,
        context=said.context_length,
        norm_epsilon=said.layer_norm_rms_epsilon,
        rope_base=said.freq_base,
        tied=tied,
    )


def _read(text: dict[str, Any], shape: Any, place: Path) -> Any:
    try:
        return msgspec.convert(text, shape)
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {error}", _AS_IT_CAME) from error


def _refuse_unknown(text: dict[str, Any], place: Path) -> None:
    for key, accepted in _FIXED.items():
        if text.get(key, accepted[0]) not in accepted:
            raise UsageError(
                f"{place}: {key} is {text[key]!r}; only {accepted[0]!r} is converted here"
            )


def _rope(text: dict[str, Any], place: Path) -> dict[str, Any]:
    """The settings of the rotary embedding, in transformers' new form or its old one, with
    `rope_theta`.
    """
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise UsageError(f"{place}: rope_parameters is {rope!r}", _AS_IT_CAME)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise UsageError(
            f"{place}: rope scaling {kind!r} is not converted here, only 'default'",
            "take the model without it",
        )
    given = {**text, **rope}
    theta = number_in(given, "rope_theta")
    if theta is None or theta <= 0:
        raise UsageError(
            f"{place}: rope_theta is {given.get('rope_theta')!r:.40}; a number above 0 is expected"
        )
    if rope.get("mrope_interleaved", True) is not True:
        raise UsageError(
            f"{place}: mrope_interleaved is {rope['mrope_interleaved']!r}; only True is converted"
            " here"
        )
    return {**rope, "rope_theta": theta}


def _sections(rope: dict[str, Any], place: Path) -> tuple[int, ...]:
    """The sections of the rotary embedding; llama.cpp wants four."""
    sections = rope.get("mrope_section", _ROPE_SECTIONS)
    if (
        not isinstance(sections, list)
        or not 1 <= len(sections) <= 4
        or not all(isinstance(each, int) for each in sections)
    ):
        raise UsageError(
            f"{place}: mrope_section is {sections!r}; up to four whole numbers are expected"
        )
    return (*sections, 0, 0, 0)[:4]


def _linear(config: _LinearConfig, layers: int, place: Path) -> LinearAttention:
    """The linear layers. llama.cpp asks for keys and values of one size, and for the pattern of
    full attentions to be regular.
    """
    if config.linear_key_head_dim != config.linear_value_head_dim:
        raise UsageError(
            f"{place}: linear_key_head_dim and linear_value_head_dim differ; llama.cpp has no such"
            " network"
        )
    if (
        config.linear_num_key_heads < 1
        or config.linear_num_value_heads % config.linear_num_key_heads
    ):
        raise UsageError(f"{place}: linear_num_value_heads is no multiple of linear_num_key_heads")
    kinds = config.layer_types
    interval = kinds.index("full_attention") + 1 if "full_attention" in kinds else 0
    if len(kinds) != layers:
        raise UsageError(
            f"{place}: layer_types: names {len(kinds):,} layers; num_hidden_layers is {layers:,}"
        )
    regular = [
        "full_attention" if interval and (i + 1) % interval == 0 else "linear_attention"
        for i in range(layers)
    ]
    if not interval or kinds != regular:
        raise UsageError(
            f"{place}: layer_types: {layers} layers with a full_attention at a regular interval are"
            " expected"
        )
    return LinearAttention(
        key_heads=config.linear_num_key_heads,
        value_heads=config.linear_num_value_heads,
        head_dim=config.linear_key_head_dim,
        kernel=config.linear_conv_kernel_dim,
        interval=interval,
    )
