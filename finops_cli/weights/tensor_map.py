"""Every tensor of a network: its names in a checkpoint and in GGUF, its shape, and its conversion.

A checkpoint groups the value heads of a linear attention by their key head (`k0v0 k0v1 k1v0 k1v1`).
ggml repeats the key heads as a whole, so it needs them as tiles (`k0v0 k1v0 k0v1 k1v1`).

Source: llama.cpp's `conversion/qwen.py` and `conversion/llama.py` (MIT, The ggml authors;
ggml-org/llama.cpp#19468) for the names, the order of the value heads, the changes to norms and
decay, and the rows of queries and keys of a Mistral.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finops_cli.weights.architecture import Architecture, LinearAttention

Change = Literal["none", "add_one", "neg_exp"]


class TensorSpec(NamedTuple):
    """A tensor of the GGUF file and its source in the checkpoint."""

    source: str
    """The name in the checkpoint."""
    source_shape: tuple[int, ...]
    name: str
    """The name in the file."""
    shape: tuple[int, ...]
    exact: bool
    """Float32 in a file of any precision, as llama.cpp needs norms, biases and convolutions."""
    change: Change = "none"
    """add_one: x + 1. neg_exp: -exp(x)."""
    rows: NDArray[np.intp] | None = None
    """The row of the checkpoint at each place; None where the order is the same."""
    columns: NDArray[np.intp] | None = None


def list_tensors(network: Architecture) -> list[TensorSpec]:
    """List all tensors of `network`, in the order of the file."""
    embedding = (network.vocabulary, network.width)
    found = [
        _plain("model.embed_tokens.weight", "token_embd.weight", embedding),
        _norm(network, "model.norm.weight", "output_norm.weight", network.width),
    ]
    if not network.tied:
        found.append(_plain("lm_head.weight", "output.weight", embedding))
    for layer in range(network.layers):
        found += _list_layer(network, layer)
    return found


def _list_layer(network: Architecture, layer: int) -> Iterator[TensorSpec]:
    source, name = f"model.layers.{layer}.", f"blk.{layer}."
    width, feed_forward = network.width, network.feed_forward
    after = "ffn_norm" if network.linear is None else "post_attention_norm"
    yield _norm(network, f"{source}input_layernorm.weight", f"{name}attn_norm.weight", width)
    yield _norm(network, f"{source}post_attention_layernorm.weight", f"{name}{after}.weight", width)
    if network.linear is not None and network.is_linear(layer):
        yield from _list_linear_attention(network.linear, width, f"{source}linear_attn.", name)
    else:
        yield from _list_attention(network, f"{source}self_attn.", name)
    yield _plain(f"{source}mlp.gate_proj.weight", f"{name}ffn_gate.weight", (feed_forward, width))
    yield _plain(f"{source}mlp.up_proj.weight", f"{name}ffn_up.weight", (feed_forward, width))
    yield _plain(f"{source}mlp.down_proj.weight", f"{name}ffn_down.weight", (width, feed_forward))


def _list_attention(network: Architecture, source: str, name: str) -> Iterator[TensorSpec]:
    """List a full attention; in Qwen3.5 each query has a gate beside it."""
    width, size = network.width, network.head_dim
    queries = network.heads * size * (1 if network.linear is None else 2)
    for kind, heads in (("q", queries // size), ("k", network.kv_heads)):
        yield _plain(
            f"{source}{kind}_proj.weight", f"{name}attn_{kind}.weight", (heads * size, width)
        )._replace(rows=_pair_order(heads, size) if network.has_paired_rotation else None)
    yield _plain(f"{source}v_proj.weight", f"{name}attn_v.weight", (network.kv_heads * size, width))
    yield _plain(
        f"{source}o_proj.weight", f"{name}attn_output.weight", (width, network.heads * size)
    )
    if not network.has_head_norms:
        return
    yield _norm(network, f"{source}q_norm.weight", f"{name}attn_q_norm.weight", size)
    yield _norm(network, f"{source}k_norm.weight", f"{name}attn_k_norm.weight", size)


def _list_linear_attention(
    linear: LinearAttention, width: int, source: str, name: str
) -> Iterator[TensorSpec]:
    heads, size = linear.value_heads, linear.head_dim
    keys, values = linear.key_heads * size, heads * size
    mixed = 2 * keys + values
    each, tiled = _tile_order(linear, 1), _tile_order(linear, size)
    behind = None if tiled is None else np.concatenate([np.arange(2 * keys), 2 * keys + tiled])
    yield from _list_states(linear, source, name, each, behind)
    yield _plain(f"{source}in_proj_qkv.weight", f"{name}attn_qkv.weight", (mixed, width))._replace(
        rows=behind
    )
    yield _plain(f"{source}in_proj_z.weight", f"{name}attn_gate.weight", (values, width))._replace(
        rows=tiled
    )
    yield _plain(f"{source}in_proj_a.weight", f"{name}ssm_alpha.weight", (heads, width))._replace(
        rows=each
    )
    yield _plain(f"{source}in_proj_b.weight", f"{name}ssm_beta.weight", (heads, width))._replace(
        rows=each
    )
    yield _plain(f"{source}out_proj.weight", f"{name}ssm_out.weight", (width, values))._replace(
        columns=tiled
    )


def _list_states(
    linear: LinearAttention,
    source: str,
    name: str,
    each: NDArray[np.intp] | None,
    behind: NDArray[np.intp] | None,
) -> Iterator[TensorSpec]:
    """List the small tensors of a linear attention, which stay exact."""
    heads, size = linear.value_heads, linear.head_dim
    mixed = 2 * linear.key_heads * size + heads * size
    yield TensorSpec(
        source=f"{source}A_log",
        source_shape=(heads,),
        name=f"{name}ssm_a",
        shape=(heads,),
        exact=True,
        change="neg_exp",
        rows=each,
    )
    yield TensorSpec(
        source=f"{source}dt_bias",
        source_shape=(heads,),
        name=f"{name}ssm_dt.bias",
        shape=(heads,),
        exact=True,
        rows=each,
    )
    kernel = linear.kernel
    yield TensorSpec(
        source=f"{source}conv1d.weight",
        source_shape=(mixed, 1, kernel),
        name=f"{name}ssm_conv1d.weight",
        shape=(mixed, kernel),
        exact=True,
        rows=behind,
    )
    # unlike the other norms, this one is not centred at zero
    yield TensorSpec(
        source=f"{source}norm.weight",
        source_shape=(size,),
        name=f"{name}ssm_norm.weight",
        shape=(size,),
        exact=True,
    )


def _plain(source: str, name: str, shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(source=source, source_shape=shape, name=name, shape=shape, exact=False)


def _norm(network: Architecture, source: str, name: str, length: int) -> TensorSpec:
    """Describe a norm; Qwen3.5 stores the difference of each factor from 1."""
    return TensorSpec(
        source=source,
        source_shape=(length,),
        name=name,
        shape=(length,),
        exact=True,
        change="none" if network.linear is None else "add_one",
    )


def _pair_order(heads: int, size: int) -> NDArray[np.intp]:
    """Return the source index of each row of queries or keys.

    The rows of a head come in pairs, one of each half. Shape: (heads * size,) intp.
    """
    return np.arange(heads * size).reshape(heads, 2, size // 2).swapaxes(1, 2).reshape(-1)


def _tile_order(linear: LinearAttention, size: int) -> NDArray[np.intp] | None:
    """Return the source index of each number of the value heads; None where the order is the same.

    `size` is the numbers per head. Shape: (value heads * size,) intp.
    """
    groups, each = linear.key_heads, linear.value_heads // linear.key_heads
    if each == 1:
        return None
    return np.arange(groups * each * size).reshape(groups, each, size).swapaxes(0, 1).reshape(-1)
