"""A language model of a few hundred kilobytes for tests: the shape of Qwen3, seeded random weights,
a byte-level BPE vocabulary.

What it says is nonsense, but the same nonsense each time: equal arguments give equal bytes. The
file is written here, so that no package beyond Python is needed to make it.
"""

from __future__ import annotations

import struct
from array import array
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

GGUF_HEAD = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)
"""Magic, version, and the counts of a GGUF file that has neither settings nor tensors."""


CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THINK = ("<think>", "</think>")
_WORDS = (
    "the",
    "fail",
    "deliver",
    "category",
    "score",
    "reason",
    "action",
    "recall",
    "borrow",
    '":',
    '",',
)
_ALIGNED = 32
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _INT32 = 4, 6, 7, 8, 9, 5
_NORMAL, _IS_CONTROL, _IS_USER_DEFINED = 1, 3, 4


class Shape(NamedTuple):
    """Sizes of the network.

    `sharpness` scales the logits: the larger, the further apart the best two. `ends`: whether it
    ever ends.
    """

    layers: int = 2
    width: int = 64
    heads: int = 2
    feed_forward: int = 128
    context: int = 8192
    sharpness: float = 4.0
    ends: bool = True


def write_tiny_gguf(
    path: Path, seed: int = 7, shape: Shape | None = None, made_for: str | None = None
) -> Path:
    """Write the model to `path` and return it. `made_for`: the Modelfile that it names."""
    size = shape or Shape()
    vocabulary, merges = _vocabulary()
    pairs = _settings(size, vocabulary, merges)
    if made_for is not None:
        pairs["finops.modelfile"] = made_for
    tensors = _tensors(size, len(vocabulary), Random(seed))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(_text(name) + _value(value) for name, value in pairs.items())
    at = 0
    for name, (dimensions, data) in tensors.items():
        head += _text(name) + struct.pack(
            f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, 0, at
        )
        at += _padded(len(data))
    with path.open("wb") as file:
        file.write(head.ljust(_padded(len(head)), b"\0"))
        for _, data in tensors.values():
            file.write(data.ljust(_padded(len(data)), b"\0"))
    return path


def _settings(size: Shape, vocabulary: list[str], merges: list[str]) -> dict[str, Any]:
    kinds = [
        _IS_CONTROL if word in CONTROL else _IS_USER_DEFINED if word in THINK else _NORMAL
        for word in vocabulary
    ]
    return {
        "general.architecture": "qwen3",
        "general.name": "tiny",
        "qwen3.context_length": size.context,
        "qwen3.embedding_length": size.width,
        "qwen3.block_count": size.layers,
        "qwen3.feed_forward_length": size.feed_forward,
        "qwen3.attention.head_count": size.heads,
        "qwen3.attention.head_count_kv": size.heads,
        "qwen3.attention.key_length": size.width // size.heads,
        "qwen3.attention.value_length": size.width // size.heads,
        "qwen3.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen3.rope.freq_base": 10_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": vocabulary.index("<|im_end|>"),
        "tokenizer.ggml.padding_token_id": vocabulary.index("<|endoftext|>"),
        "tokenizer.ggml.add_bos_token": False,
    }


def _vocabulary() -> tuple[list[str], list[str]]:
    """Every byte, the beginnings of a few words, the control tokens; and the merges that make the
    words.
    """
    symbols = _byte_symbols()
    words: list[str] = []
    merges: list[str] = []
    for plain in _WORDS:
        for word in (plain, f"Ġ{plain}"):
            made = word[0]
            for letter in word[1:]:
                if f"{made} {letter}" not in merges:
                    merges.append(f"{made} {letter}")
                    words.append(made + letter)
                made += letter
    return [*symbols, *words, *CONTROL, *THINK], merges


def _byte_symbols() -> list[str]:
    """The printable fake Ollamas of GPT-2's vocabulary for the 256 bytes, byte 0 first."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _tensors(size: Shape, words: int, draw: Random) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Name, dimensions (innermost first, as GGUF has them) and float32 data of every tensor."""
    width, ones = size.width, array("f", [1.0])

    def weights(inner: int, outer: int, scale: float = 1.0) -> tuple[tuple[int, ...], bytes]:
        bound = scale * (3 / inner) ** 0.5
        return (inner, outer), array(
            "f", [draw.uniform(-bound, bound) for _ in range(inner * outer)]
        ).tobytes()

    tensors = {
        "token_embd.weight": weights(width, words, width**0.5),
        "output_norm.weight": ((width,), (ones * width).tobytes()),
        "output.weight": weights(width, words, size.sharpness),
    }
    if not size.ends:
        tensors["output.weight"] = _mute(tensors["output.weight"], words - len(THINK), len(CONTROL))
    for layer in range(size.layers):
        block = f"blk.{layer}."
        norms = {
            "attn_norm": width,
            "ffn_norm": width,
            "attn_q_norm": width // size.heads,
            "attn_k_norm": width // size.heads,
        }
        tensors |= {
            f"{block}{name}.weight": ((length,), (ones * length).tobytes())
            for name, length in norms.items()
        }
        squares = ("attn_q", "attn_k", "attn_v", "attn_output")
        tensors |= {f"{block}{name}.weight": weights(width, width, 2.0) for name in squares}
        tensors |= {
            f"{block}{name}.weight": weights(width, size.feed_forward, 2.0)
            for name in ("ffn_gate", "ffn_up")
        }
        tensors[f"{block}ffn_down.weight"] = weights(size.feed_forward, width, 2.0)
    return tensors


def _mute(
    weights: tuple[tuple[int, ...], bytes], before: int, count: int
) -> tuple[tuple[int, ...], bytes]:
    """`weights` with zeros in the `count` rows before row `before`: there is always a likelier
    token than those.
    """
    (inner, outer), data = weights
    row = 4 * inner
    return (inner, outer), data[: (before - count) * row] + bytes(count * row) + data[
        before * row :
    ]


def _padded(length: int) -> int:
    return -(-length // _ALIGNED) * _ALIGNED


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    """A value with its type in front."""
    if isinstance(value, list):
        kind = _STRING if isinstance(value[0], str) else _INT32
        items = b"".join(
            _text(item) if kind == _STRING else struct.pack("<i", item) for item in value
        )
        return struct.pack("<IIQ", _ARRAY, kind, len(value)) + items
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    return (
        struct.pack("<If", _FLOAT32, value)
        if isinstance(value, float)
        else struct.pack("<II", _UINT32, value)
    )
