"""What is installed of the packages that training needs, told without importing any."""

from __future__ import annotations

import platform
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from finops_cli import __version__
from finops_cli.errors import MissingPiece
from finops_cli.training.recipe_schema import Settings

TrainerName = Literal["hf", "unsloth"]
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "bitsandbytes",
    "unsloth",
)
"""Packages whose versions a trained model depends on."""
_NEEDED = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "matplotlib")
_CURE = "pip install 'finops[train]'"
_UNSLOTH_CURE = (
    "pip install 'finops[unsloth]' in an environment of its own (its releases pin older trl than"
    " finops[train])"
)


def versions() -> dict[str, str | None]:
    """Version by package; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "finops": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def missing(trainer: TrainerName, settings: Settings) -> list[str]:
    """What is absent, each with its cure; nothing when training can begin."""
    eight_bit = settings.training.optimizer.endswith("8bit")
    needed = [
        *_NEEDED,
        *(["bitsandbytes"] if eight_bit or settings.base.quantization == "nf4" else []),
    ]
    absent = [package for package in needed if find_spec(package) is None]
    found = [f"training needs {', '.join(absent)}: {_CURE}"] if absent else []
    if trainer == "unsloth" and find_spec("unsloth") is None:
        found.append(f"--trainer unsloth needs unsloth: {_UNSLOTH_CURE}")
    return found


def refuse_without(trainer: TrainerName, settings: Settings) -> None:
    """Raises MissingPiece, with the cure, where a package that training needs is not installed."""
    found = missing(trainer, settings)
    if found:
        raise MissingPiece("; ".join(found))
