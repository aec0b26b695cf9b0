"""The machine that trains: its GPU or its processor, and its limits."""

from __future__ import annotations

import torch

from finops_cli.training.recipe_schema import Settings


def find_device() -> str:
    """Return the device for the weights: `cuda`, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def read_device_name() -> str:
    """Return the name of the GPU, else `cpu`."""
    return str(torch.cuda.get_device_name()) if find_device() == "cuda" else "cpu"


def read_gpu_bytes() -> int | None:
    """Return the memory of the GPU; None without one."""
    return (
        int(torch.cuda.get_device_properties(0).total_memory) if find_device() == "cuda" else None
    )


def find_hardware_blockers(settings: Settings) -> list[str]:
    """Return the settings that this machine cannot do, each with its fix."""
    training = settings.training
    if find_device() == "cuda":
        if training.precision == "bf16" and not torch.cuda.is_bf16_supported():
            return ["this GPU has no bf16; set training.precision=fp16"]
        return []
    blockers = []
    if training.precision != "fp32":
        blockers.append(
            f"training.precision={training.precision} needs a GPU, but this machine has none;"
            " train on a GPU, or use preset tiny-cpu"
        )
    if training.optimizer.endswith("8bit"):
        blockers.append(
            f"training.optimizer={training.optimizer} needs a GPU; set"
            " training.optimizer=adamw_torch"
        )
    return blockers
