"""Count the parameters of a base and of its adapter, without memory for the weights.

The layers are built on torch's meta device.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config

from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.training.recipe_schema import Adapter, Scratch, Settings


class Counts(Struct, frozen=True, kw_only=True):
    """Numbers of parameters and layers."""

    total: int
    trainable: int
    quantizable: int
    """Parameters in linear layers, which can be quantized to 4 bits."""
    hidden_size: int
    vocabulary: int
    layers: int
    touched_layers: int
    """Layers with trained parameters."""
    linear_attention: bool
    """The base has linear-attention layers."""


def count_parameters(settings: Settings, tokens: int | None) -> Counts | None:
    """Count the base and adapter of a recipe; None if the recipe names no shape.

    `tokens` is the size of a vocabulary that must be learned first.

    Raises UsageError for a folder without config.json and for targets that the base does not have.
    """
    config = read_config(settings, tokens)
    if config is None:
        return None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    total = sum(each.numel() for each in model.parameters())
    linear = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head")
    ]
    text = config.get_text_config()
    trained = model if settings.adapter.method == "full" else add_adapter(model, settings.adapter)
    names = [name for name, each in trained.named_parameters() if each.requires_grad]
    return Counts(
        total=total,
        trainable=sum(each.numel() for each in trained.parameters() if each.requires_grad),
        quantizable=sum(module.weight.numel() for module in linear),
        hidden_size=text.hidden_size,
        vocabulary=text.vocab_size,
        layers=text.num_hidden_layers,
        touched_layers=len(
            {name.split(".layers.")[1].split(".")[0] for name in names if ".layers." in name}
        ),
        linear_attention=has_linear_attention(config),
    )


def read_config(settings: Settings, tokens: int | None) -> Any:
    """Read the configuration of the base: its folder, else `scratch`, else a bundled shape.

    Returns None if the recipe has none of the three.
    """
    base = settings.base
    if base.folder is not None:
        if not (Path(base.folder) / "config.json").is_file():
            raise UsageError(
                f"{base.folder} has no config.json. Expected a Hugging Face folder of"
                f" {base.name} (--base)."
            )
        return AutoConfig.from_pretrained(
            base.folder, local_files_only=True, trust_remote_code=False
        )
    if base.scratch is not None:
        return make_scratch_config(base.scratch, tokens) if tokens is not None else None
    if base.shape is None:
        return None
    path = bundled_dir("training") / "shapes" / f"{base.shape}.json"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.json"))
        raise UsageError(f"base.shape is {base.shape}. Expected one of: {', '.join(known)}.")
    return AutoConfig.for_model(**json.loads(path.read_bytes())["config"])


def make_scratch_config(shape: Scratch, tokens: int) -> Any:
    """Make the configuration of a model with random weights and a vocabulary of `tokens`."""
    return Qwen3Config(
        vocab_size=tokens,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
    )


def add_adapter(model: Any, adapter: Adapter) -> Any:
    """Add LoRA matrices to `model` at the adapter's targets.

    Raises UsageError that lists the linear layers of the model when a target is not one of them.
    """
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    absent = [name for name in adapter.targets if name not in linear]
    if absent:
        raise UsageError(
            f"adapter.targets: the base has no {absent[0]}. Expected some of:"
            f" {', '.join(sorted(linear - {'lm_head'}))}."
        )
    on_meta = next(model.parameters()).is_meta
    return get_peft_model(model, make_lora_config(adapter), low_cpu_mem_usage=on_meta)


def make_lora_config(adapter: Adapter) -> Any:
    """Make the configuration of PEFT for an adapter."""
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        bias="none",
        target_modules=list(adapter.targets),
        task_type="CAUSAL_LM",
    )


def has_linear_attention(config: Any) -> bool:
    """Return whether some layers keep a running state instead of attending.

    Without special kernels this state leaks from one packed row into the next.
    """
    return "linear_attention" in (getattr(config.get_text_config(), "layer_types", None) or ())
