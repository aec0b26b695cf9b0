"""The model that is trained: random weights of a given shape, or a local Hugging Face folder, as it
is or in 4 bit.
"""

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
from finops_cli.training.induction_init import first_weights, shape_of
from finops_cli.training.initial_weights import WEIGHTS_OF_ONE
from finops_cli.training.machine import device
from finops_cli.training.planning.parameter_counts import config_of
from finops_cli.training.recipe_schema import Scratch, Settings
from finops_cli.training.versions import TrainerName
from finops_cli.weights.checkpoint import WEIGHTS, is_quantized, read_json
from finops_cli.weights.gguf_weights import is_gguf, open_gguf_weights, weights_of

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_READS, _PREDICTS = "model.embed_tokens.weight", "lm_head.weight"


def open_base(settings: Settings, tokenizer: Any, trainer: TrainerName) -> Any:
    """The base with its weights, on the device that trains.

    Raises UsageError when its folder cannot be read.
    """
    if settings.base.scratch is not None:
        set_seed(settings.training.seed)
        config = config_of(settings, len(tokenizer))
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        return _begun(Qwen3ForCausalLM(config), settings.base.scratch).to(device())
    try:
        return _by_unsloth(settings) if trainer == "unsloth" else _by_transformers(settings)
    except (OSError, ValueError) as error:
        raise UsageError(f"{settings.base.folder}: the base cannot be opened: {error}") from error


def _begun(model: Any, scratch: Scratch) -> Any:
    """`model` with the weights that it is to begin with.

    Raises UsageError where they are those of another shape.
    """
    if scratch.start is not None:
        model.load_state_dict(
            first_weights(shape_of(model.config, scratch.start.content_from), scratch.start.seed)
        )
    if scratch.weights is not None:
        place = Path(scratch.weights)
        file = place if is_gguf(place) else place / WEIGHTS_OF_ONE
        try:
            weights = _reopened(file) if is_gguf(place) else load_file(file)
            if scratch.tied:  # saved once, under the name of what reads tokens
                weights.setdefault(_PREDICTS, weights[_READS])
            model.load_state_dict(weights)
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise UsageError(
                f"{file}: is not the weights of a model of this shape and vocabulary: {error}"
            ) from error
    return model


def _reopened(file: Path) -> dict[str, Any]:
    return {
        name: torch.from_numpy(numbers)
        for name, numbers in weights_of(open_gguf_weights(file)).items()
    }


def _by_transformers(settings: Settings) -> Any:
    dtype = _DTYPES[settings.training.precision]
    return AutoModelForCausalLM.from_pretrained(
        settings.base.folder,
        dtype=dtype,
        quantization_config=_four_bit(dtype) if settings.base.quantization == "nf4" else None,
        device_map={"": device()},
        attn_implementation="sdpa",
        local_files_only=True,
        use_safetensors=True,  # a pickle runs what it likes, and has no digest in the record
        trust_remote_code=False,
    )


def _four_bit(dtype: Any) -> Any:
    """NF4 with double quantization, as the cards have it."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _by_unsloth(settings: Settings) -> Any:
    """The base with its adapter, as Unsloth patches both.

    `quiet.offline_and_quiet` has imported Unsloth before anything that it patches.
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


def base_digests(place: Path | None) -> dict[str, str]:
    """SHA-256 of the files that make a base: configuration and weights of a folder, by name; of a
    GGUF file, whatever its name is.

    Empty for random weights.
    """
    if place is None:
        return {}
    if place.is_file():
        return {"gguf": sha256_of_file(place)[0]}
    files = sorted([*place.glob("config.json"), *place.glob(f"*{WEIGHTS}")])
    return {file.name: sha256_of_file(file)[0] for file in files}


def merges_into(folder: Path, digests: Mapping[str, str]) -> dict[str, str]:
    """Which of a base's `digests` an adapter is merged into; none of a folder in 4 bit, since the
    merge takes the 16-bit model.
    """
    if is_quantized(read_json(folder / "config.json")):
        return {}
    return {name: digest for name, digest in digests.items() if name.endswith(WEIGHTS)}
