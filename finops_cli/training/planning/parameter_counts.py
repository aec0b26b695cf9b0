"""Parameters of a base and of its adapter, counted on the meta device: layers are built without
memory for their weights.
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


class Counts(Struct, frozen=True):
    """Parameters in all and trained; those in the linear layers that 4-bit quantization takes;
    layers, and those that the adapter touches.
    """

    total: int
    trainable: int
    quantizable: int
    hidden_size: int
    vocabulary: int
    layers: int
    touched_layers: int
    linear_attention: bool


def count(settings: Settings, tokens: int | None) -> Counts | None:
    """The counts of a recipe's base and adapter; None when it names no shape. `tokens`: of a
    vocabulary that is to be learned.

    Raises UsageError for a folder without config.json and for targets that the base does not have.
    """
    config = config_of(settings, tokens)
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
    trained = model if settings.adapter.method == "full" else with_adapter(model, settings.adapter)
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


def config_of(settings: Settings, tokens: int | None) -> Any:
    """The configuration of the base: of its folder, else of random weights, else of the shape that
    ships. None where there is none.
    """
    base = settings.base
    if base.folder is not None:
        if not (Path(base.folder) / "config.json").is_file():
            raise UsageError(
                f"{base.folder}: holds no config.json; --base takes a Hugging Face folder of"
                f" {base.name}"
            )
        return AutoConfig.from_pretrained(
            base.folder, local_files_only=True, trust_remote_code=False
        )
    if base.scratch is not None:
        return scratch_config(base.scratch, tokens) if tokens is not None else None
    if base.shape is None:
        return None
    path = bundled_dir("training") / "shapes" / f"{base.shape}.json"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.json"))
        raise UsageError(f"base.shape is {base.shape}; accepted: {', '.join(known)}")
    return AutoConfig.for_model(**json.loads(path.read_bytes())["config"])


def scratch_config(shape: Scratch, tokens: int) -> Any:
    """The configuration of a model of random weights with a vocabulary of `tokens`."""
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


def with_adapter(model: Any, adapter: Adapter) -> Any:
    """`model` with LoRA matrices at the adapter's targets.

    Raises UsageError naming what the model has when there are none.
    """
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    absent = [name for name in adapter.targets if name not in linear]
    if absent:
        raise UsageError(
            f"adapter.targets: the base has no {absent[0]}; accepted:"
            f" {', '.join(sorted(linear - {'lm_head'}))}"
        )
    on_meta = next(model.parameters()).is_meta
    return get_peft_model(model, lora_config(adapter), low_cpu_mem_usage=on_meta)


def lora_config(adapter: Adapter) -> Any:
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        bias="none",
        target_modules=list(adapter.targets),
        task_type="CAUSAL_LM",
    )


def has_linear_attention(config: Any) -> bool:
    """Whether some layers keep a running state instead of attending: packed rows leak through it
    where its kernels are absent.
    """
    return "linear_attention" in (getattr(config.get_text_config(), "layer_types", None) or ())
