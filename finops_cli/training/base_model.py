"""Open the model to train: a new one, or a local folder, unchanged or in 4 bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen3ForCausalLM, set_seed

from finops_cli.errors import UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.training.induction_init import make_initial_weights, read_shape
from finops_cli.training.initial_weights import SINGLE_WEIGHTS_FILE
from finops_cli.training.machine import find_device
from finops_cli.training.planning.parameter_counts import read_config
from finops_cli.training.recipe_schema import Scratch, Settings
from finops_cli.training.versions import TrainerName
from finops_cli.weights.checkpoint import WEIGHTS, is_quantized, read_json
from finops_cli.weights.gguf_weights import is_gguf, open_gguf_weights, read_weights

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_READS, _PREDICTS = "model.embed_tokens.weight", "lm_head.weight"


def open_base(settings: Settings, tokenizer: Any, trainer: TrainerName) -> Any:
    """Open the base model with its weights on the training device.

    Raises UsageError if its folder cannot be read.
    """
    if settings.base.scratch is not None:
        set_seed(settings.training.seed)
        config = read_config(settings, len(tokenizer))
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        return _load_initial_weights(Qwen3ForCausalLM(config), settings.base.scratch).to(
            find_device()
        )
    try:
        return (
            _open_with_unsloth(settings)
            if trainer == "unsloth"
            else _open_with_transformers(settings)
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{settings.base.folder}: cannot be opened as a base: {error}",
            "give a complete model folder",
        ) from error


def _load_initial_weights(model: Any, scratch: Scratch) -> Any:
    """Load the initial weights that the recipe names into `model`.

    Raises UsageError when they belong to another shape.
    """
    if scratch.start is not None:
        model.load_state_dict(
            make_initial_weights(
                read_shape(model.config, scratch.start.content_from), scratch.start.seed
            )
        )
    if scratch.weights is not None:
        place = Path(scratch.weights)
        file = place if is_gguf(place) else place / SINGLE_WEIGHTS_FILE
        try:
            weights = _read_gguf_weights(file) if is_gguf(place) else load_file(file)
            if scratch.tied:  # saved once, under the name of the embedding
                weights.setdefault(_PREDICTS, weights[_READS])
            model.load_state_dict(weights)
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise UsageError(
                f"{file}: does not hold weights of this shape and vocabulary: {error}",
                "give the weights that belong to this configuration",
            ) from error
    return model


def _read_gguf_weights(file: Path) -> dict[str, Any]:
    return {
        name: torch.from_numpy(numbers)
        for name, numbers in read_weights(open_gguf_weights(file)).items()
    }


def _open_with_transformers(settings: Settings) -> Any:
    dtype = _DTYPES[settings.training.precision]
    return AutoModelForCausalLM.from_pretrained(
        settings.base.folder,
        dtype=dtype,
        quantization_config=_make_four_bit_config(dtype)
        if settings.base.quantization == "nf4"
        else None,
        device_map={"": find_device()},
        attn_implementation="sdpa",
        local_files_only=True,
        use_safetensors=True,  # a pickle can run code, and has no digest in the record
        trust_remote_code=False,
    )


def _make_four_bit_config(dtype: Any) -> Any:
    """Make the settings for NF4 with double quantization, as the published models use it."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _open_with_unsloth(settings: Settings) -> Any:
    """Open the base with its adapter, both patched by Unsloth.

    `environment.go_offline_and_quiet` has imported Unsloth before the packages that it patches.
    """
    from unsloth import FastLanguageModel

    model, _ = FastLanguageModel.from_pretrained(
        model_name=settings.base.folder,
        max_seq_length=settings.training.max_length,
        load_in_4bit=settings.base.quantization == "nf4",
        dtype=_DTYPES[settings.training.precision],
        full_finetuning=settings.adapter.method == "full",
        local_files_only=True,
    )
    if settings.adapter.method == "full":
        return model
    return FastLanguageModel.get_peft_model(
        model,
        r=settings.adapter.rank,
        lora_alpha=settings.adapter.alpha,
        lora_dropout=settings.adapter.dropout,
        target_modules=list(settings.adapter.targets),
        bias="none",
        use_gradient_checkpointing="unsloth" if settings.training.gradient_checkpointing else False,
        random_state=settings.training.seed,
    )


def digest_base(place: Path | None) -> dict[str, str]:
    """Return the SHA-256 of the files of a base by name; empty for random weights.

    These are the configuration and the weights of a folder, or one GGUF file, whatever its name.
    """
    if place is None:
        return {}
    if place.is_file():
        return {"gguf": sha256_of_file(place)[0]}
    files = sorted([*place.glob("config.json"), *place.glob(f"*{WEIGHTS}")])
    return {file.name: sha256_of_file(file)[0] for file in files}


def select_merge_base(folder: Path, digests: Mapping[str, str]) -> dict[str, str]:
    """Select the `digests` of the weights that an adapter is merged into.

    None for a folder in 4 bits, because an adapter is merged into the 16-bit model.
    """
    if is_quantized(read_json(folder / "config.json")):
        return {}
    return {name: digest for name, digest in digests.items() if name.endswith(WEIGHTS)}
