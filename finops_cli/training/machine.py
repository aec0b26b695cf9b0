"""The machine that trains: its GPU, or its processor, and what a recipe asks of it."""

from __future__ import annotations

import torch

from finops_cli.training.recipe_schema import Settings


def device() -> str:
    """Where weights go: `cuda`, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    return str(torch.cuda.get_device_name()) if device() == "cuda" else "cpu"


def gpu_bytes() -> int | None:
    """The memory of the GPU; None without one."""
    return int(torch.cuda.get_device_properties(0).total_memory) if device() == "cuda" else None


def hardware_blockers(settings: Settings) -> list[str]:
    """What this machine cannot do that the recipe asks for, each with its cure."""
    training = settings.training
    if device() == "cuda":
        faults = (
            ["this GPU has no bf16; set training.precision=fp16"]
            if not torch.cuda.is_bf16_supported()
            else []
        )
        return faults if training.precision == "bf16" else []
    wrong = {
        f"there is no GPU here, and training.precision={training.precision} needs one; train"
        f" on a GPU, or take preset tiny-cpu": (training.precision != "fp32"),
        f"training.optimizer={training.optimizer} needs a GPU; set"
        f" training.optimizer=adamw_torch": training.optimizer.endswith("8bit"),
    }
    return [text for text, holds in wrong.items() if holds]
