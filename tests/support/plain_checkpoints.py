"""Tiny checkpoints written without PyTorch, with seeded noise as weights: for refusals and for
checks that need no PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finops_cli.weights.gguf_tokenizer import PATTERNS
from tests.support.tiny_gguf import CONTROL, THINK, _vocabulary

QWEN3: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 400,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "tie_word_embeddings": False,
}
QWEN35: dict[str, Any] = {
    **QWEN3,
    "architectures": ["Qwen3_5ForCausalLM"],
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
}
_TYPES = {"float32": "F32", "float16": "F16", "uint16": "BF16", "uint8": "U8"}
"""numpy's types as safetensors names them; numpy has no bfloat16, so its bits are read."""


def write_safetensors(path: Path, tensors: Mapping[str, Any]) -> Path:
    """The format's README by heart: length, JSON, numbers."""
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, array in tensors.items():
        head[name] = {
            "dtype": _TYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(head).encode()
    path.write_bytes(
        len(text).to_bytes(8, "little")
        + text
        + b"".join(array.tobytes() for array in tensors.values())
    )
    return path


def noise(config: Mapping[str, Any], seed: int = 1) -> dict[str, Any]:
    """Weights for the network of `config`, in float32."""
    import numpy as np

    from finops_cli.weights.architecture import read_architecture
    from finops_cli.weights.tensor_map import list_tensors

    draw = np.random.default_rng(seed)
    tensor_specs = list_tensors(read_architecture(dict(config), Path("config.json")))
    return {
        tensor.source: draw.normal(scale=0.05, size=tensor.source_shape).astype(np.float32)
        for tensor in tensor_specs
    }


def plain_tokenizer() -> dict[str, Any]:
    """tokenizer.json of the vocabulary that the tiny model of llama.cpp's tests has."""
    words, merges = _vocabulary()
    return {
        "model": {
            "type": "BPE",
            "vocab": {word: at for at, word in enumerate(words)},
            "merges": merges,
        },
        "added_tokens": [
            {"id": words.index(word), "content": word, "special": word in CONTROL}
            for word in (*CONTROL, *THINK)
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": PATTERNS["qwen2"]},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": False,
                    "use_regex": False,
                },
            ],
        },
        "post_processor": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": False,
            "use_regex": False,
        },
    }


def write_checkpoint(
    folder: Path, config: Mapping[str, Any] = QWEN3, tensors: Mapping[str, Any] | None = None
) -> Path:
    """A whole model in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(plain_tokenizer()))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    )
    write_safetensors(folder / "model.safetensors", noise(config) if tensors is None else tensors)
    return folder


LORA: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 8,
    "bias": "none",
    "target_modules": ["q_proj"],
}


def write_adapter(
    folder: Path,
    shapes: Mapping[str, tuple[int, int]],
    settings: Mapping[str, Any] = LORA,
    seed: int = 2,
) -> Path:
    """A LoRA adapter that changes the modules of `shapes` (rows, columns), such as
    `model.layers.0.self_attn.q_proj`.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    tensors = {}
    for module, (rows, columns) in shapes.items():
        for side, shape in (("A", (settings["r"], columns)), ("B", (rows, settings["r"]))):
            tensors[f"base_model.model.{module}.lora_{side}.weight"] = draw.normal(
                size=shape
            ).astype(np.float32)
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder
