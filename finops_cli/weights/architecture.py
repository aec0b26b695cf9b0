"""The networks Qwen3, Qwen3.5 (text) and Mistral: from config.json, and as GGUF settings.

A setting that would change the network is refused, never ignored.

Source: llama.cpp's converter, `conversion/base.py`, `conversion/qwen.py` and `conversion/llama.py`
(MIT, The ggml authors; Qwen3.5: ggml-org/llama.cpp#19468).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from finops_cli.errors import UsageError
from finops_cli.models.gguf import Pair
from finops_cli.weights.checkpoint import read_number

Name = Literal["qwen3", "qwen35", "llama"]
"""The names of llama.cpp. A Mistral has the layout of its network `llama`."""
ARCHITECTURES: dict[str, Name] = {
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3_5ForCausalLM": "qwen35",
    "Qwen3_5ForConditionalGeneration": "qwen35",
    "MistralForCausalLM": "llama",
}
_Size = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""The largest count, because llama.cpp counts in 32 bits."""
_ROPE_SECTIONS = [11, 11, 10]
_ROTARY_PROPORTION = 0.25
"""The defaults of transformers for settings that a checkpoint omits."""
_FIXED: dict[str, tuple[object, ...]] = {
    "attention_bias": (False,),
    "hidden_act": ("silu",),
    "use_sliding_window": (False,),
    "attn_output_gate": (True,),
}
"""Settings for which llama.cpp supports one value only. They may be absent."""


_ORIGINAL_CONFIG = "use the config.json that came with the model"


class LinearAttention(Struct, frozen=True, kw_only=True):
    """The sizes of the Gated DeltaNet layers of Qwen3.5."""

    key_heads: int
    value_heads: int
    head_dim: int
    kernel: int
    interval: int
    """One layer in this many is a full attention."""


class Architecture(Struct, frozen=True, kw_only=True):
    """The sizes of a network."""

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
    """The input embedding is also the output layer."""
    rope_dimensions: int = 0
    rope_sections: tuple[int, ...] = ()
    linear: LinearAttention | None = None
    """None for Qwen3 and Mistral."""

    @property
    def has_head_norms(self) -> bool:
        """Return true if each head of queries and keys has a norm."""
        return self.name != "llama"

    @property
    def has_paired_rotation(self) -> bool:
        """Return true if llama.cpp rotates neighbouring numbers of a head, where transformers
        rotates the two halves.
        """
        return self.name == "llama"

    def is_linear(self, layer: int) -> bool:
        """Return true if `layer`, counted from 0, is a linear attention."""
        return self.linear is not None and (layer + 1) % self.linear.interval != 0


class _Config(Struct, frozen=True, kw_only=True):
    """The required settings of config.json for both networks."""

    num_hidden_layers: _Size
    hidden_size: _Size
    intermediate_size: _Size
    num_attention_heads: _Size
    num_key_value_heads: _Size
    head_dim: _Size
    vocab_size: _Size
    max_position_embeddings: _Size
    rms_norm_eps: Annotated[float, Meta(gt=0, lt=1)]


class _LinearConfig(Struct, frozen=True, kw_only=True):
    """The required settings of config.json for Qwen3.5."""

    linear_num_key_heads: _Size
    linear_num_value_heads: _Size
    linear_key_head_dim: _Size
    linear_value_head_dim: _Size
    linear_conv_kernel_dim: _Size
    layer_types: list[str]


def read_architecture(config: dict[str, Any], place: Path) -> Architecture:
    """Read the network from a config.json, whose path is `place`.

    Raises UsageError for any other network and for unknown settings.
    """
    name = _read_name(config, place)
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    _refuse_unknown(text, place)
    if name == "llama":
        text = _complete_mistral(text, place)
    sizes = _convert(text, _Config, place)
    rope = _read_rope(text, place)
    rotary_proportion = _read_rotary_proportion({**text, **rope}, place)
    linear = _read_linear_attention(name, text, sizes.num_hidden_layers, place)
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
        rope_dimensions=int(sizes.head_dim * rotary_proportion) if linear else 0,
        rope_sections=_read_rope_sections(rope, place) if linear else (),
        linear=linear,
    )


def gguf_settings(network: Architecture) -> dict[str, Pair]:
    """Return the settings of the network as GGUF names them."""
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
    if network.name == "llama":
        pairs |= {
            "rope.dimension_count": network.head_dim,
            "vocab_size": network.vocabulary,
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


class _GgufConfig(Struct, frozen=True, kw_only=True):
    """The required settings of a Qwen3 in a GGUF file, by the last part of each key."""

    block_count: _Size
    context_length: _Size
    embedding_length: _Size
    feed_forward_length: _Size
    head_count: _Size
    head_count_kv: _Size
    key_length: _Size
    layer_norm_rms_epsilon: Annotated[float, Meta(gt=0, lt=1)]
    freq_base: Annotated[float, Meta(gt=0)]


def architecture_from_gguf(pairs: dict[str, Any], vocabulary: int, tied: bool) -> Architecture:
    """Read a Qwen3 from the settings of a GGUF file.

    Raises msgspec.ValidationError when settings are missing.
    """
    sizes = msgspec.convert(
        {key.rpartition(".")[2]: value for key, value in pairs.items() if key.startswith("qwen3.")},
        _GgufConfig,
    )
    return Architecture(
        name="qwen3",
        layers=sizes.block_count,
        width=sizes.embedding_length,
        feed_forward=sizes.feed_forward_length,
        heads=sizes.head_count,
        kv_heads=sizes.head_count_kv,
        head_dim=sizes.key_length,
        vocabulary=vocabulary,
        context=sizes.context_length,
        norm_epsilon=sizes.layer_norm_rms_epsilon,
        rope_base=sizes.freq_base,
        tied=tied,
    )


def _read_name(config: dict[str, Any], place: Path) -> Name:
    names = config.get("architectures")
    given = names[0] if isinstance(names, list) and names else None
    name = ARCHITECTURES.get(given) if isinstance(given, str) else None
    if name is None:
        raise UsageError(
            f"{place}: {given or 'no architecture'} is not supported. Expected one of:"
            f" {', '.join(ARCHITECTURES)}",
            "convert any other with llama.cpp's convert_hf_to_gguf.py, and give --gguf FILE",
        )
    return name


def _complete_mistral(text: dict[str, Any], place: Path) -> dict[str, Any]:
    """Return the settings with the size of a head, which a Mistral may leave out.

    Raises UsageError for a sliding window, which llama.cpp does not have in this network.
    """
    window, context = text.get("sliding_window"), text.get("max_position_embeddings")
    if window is not None and not (
        isinstance(window, int) and isinstance(context, int) and window >= context
    ):
        raise UsageError(
            f"{place}: sliding_window is {window!r}. Expected null: llama.cpp attends over the"
            " whole context of a Mistral.",
            "give a Mistral without it, such as Mistral-7B-Instruct-v0.3",
        )
    width, heads = text.get("hidden_size"), text.get("num_attention_heads")
    if text.get("head_dim") is None and isinstance(width, int) and isinstance(heads, int) and heads:
        return {**text, "head_dim": width // heads}
    return text


def _read_rotary_proportion(given: dict[str, Any], place: Path) -> float:
    """Return the proportion of each head that the rotary embedding turns."""
    given = {"partial_rotary_factor": _ROTARY_PROPORTION, **given}
    proportion = read_number(given, "partial_rotary_factor")
    if proportion is None or not 0 < proportion <= 1:
        raise UsageError(
            f"{place}: partial_rotary_factor is {given['partial_rotary_factor']!r:.40}. Expected a"
            " number above 0 and up to 1."
        )
    return proportion


def _convert(text: dict[str, Any], shape: Any, place: Path) -> Any:
    try:
        return msgspec.convert(text, shape)
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {error}; {_ORIGINAL_CONFIG}") from error


def _refuse_unknown(text: dict[str, Any], place: Path) -> None:
    for key, accepted in _FIXED.items():
        if text.get(key, accepted[0]) not in accepted:
            raise UsageError(f"{place}: {key} is {text[key]!r}; only {accepted[0]!r} is supported")


def _read_rope(text: dict[str, Any], place: Path) -> dict[str, Any]:
    """Read the settings of the rotary embedding, in transformers' new or old form."""
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise UsageError(f"{place}: rope_parameters is {rope!r}; {_ORIGINAL_CONFIG}")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise UsageError(
            f"{place}: rope scaling {kind!r} is not supported",
            "use the model without it ('default')",
        )
    given = {**text, **rope}
    theta = read_number(given, "rope_theta")
    if theta is None or theta <= 0:
        raise UsageError(
            f"{place}: rope_theta is {given.get('rope_theta')!r:.40}. Expected a number above 0."
        )
    if rope.get("mrope_interleaved", True) is not True:
        raise UsageError(
            f"{place}: mrope_interleaved is {rope['mrope_interleaved']!r}; only True is supported"
        )
    return {**rope, "rope_theta": theta}


def _read_rope_sections(rope: dict[str, Any], place: Path) -> tuple[int, ...]:
    """Read the sections of the rotary embedding; llama.cpp needs four."""
    sections = rope.get("mrope_section", _ROPE_SECTIONS)
    if (
        not isinstance(sections, list)
        or not 1 <= len(sections) <= 4
        or not all(isinstance(each, int) for each in sections)
    ):
        raise UsageError(
            f"{place}: mrope_section is {sections!r}. Expected one to four whole numbers."
        )
    return (*sections, 0, 0, 0)[:4]


def _read_linear_attention(
    name: Name, text: dict[str, Any], layers: int, place: Path
) -> LinearAttention | None:
    """Read the linear attention layers; None for Qwen3 and Mistral.

    llama.cpp needs keys and values of one size and full attentions at a regular interval.
    """
    if name != "qwen35":
        if any(kind != "full_attention" for kind in text.get("layer_types") or ()):
            raise UsageError(
                f"{place}: layer_types: {name} needs full_attention in every layer",
                "give an unchanged model",
            )
        return None
    config: _LinearConfig = _convert(text, _LinearConfig, place)
    if config.linear_key_head_dim != config.linear_value_head_dim:
        raise UsageError(
            f"{place}: linear_key_head_dim and linear_value_head_dim differ; llama.cpp does not"
            " support that",
            "give a Qwen model whose two dimensions are equal",
        )
    if (
        config.linear_num_key_heads < 1
        or config.linear_num_value_heads % config.linear_num_key_heads
    ):
        raise UsageError(
            f"{place}: linear_num_value_heads is not a multiple of linear_num_key_heads",
            "give the config.json that belongs to the weights",
        )
    interval = _read_interval(config.layer_types, layers, place)
    return LinearAttention(
        key_heads=config.linear_num_key_heads,
        value_heads=config.linear_num_value_heads,
        head_dim=config.linear_key_head_dim,
        kernel=config.linear_conv_kernel_dim,
        interval=interval,
    )


def _read_interval(kinds: list[str], layers: int, place: Path) -> int:
    """Return the interval of the full attentions among the layers."""
    interval = kinds.index("full_attention") + 1 if "full_attention" in kinds else 0
    if len(kinds) != layers:
        raise UsageError(
            f"{place}: layer_types has {len(kinds):,} layers; num_hidden_layers is {layers:,}",
            "give the config.json that belongs to the weights",
        )
    regular = [
        "full_attention" if interval and (i + 1) % interval == 0 else "linear_attention"
        for i in range(layers)
    ]
    if not interval or kinds != regular:
        raise UsageError(
            f"{place}: layer_types: expected {layers} layers with a full_attention at a regular"
            " interval"
        )
    return interval
