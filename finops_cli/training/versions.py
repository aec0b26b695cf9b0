"""The installed versions of the packages that training needs, without importing them."""

from __future__ import annotations

import platform
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from finops_cli import extras
from finops_cli.errors import MissingPiece
from finops_cli.training.recipe_schema import Settings
from finops_cli.version import __version__

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
"""Packages that a trained model depends on."""
_NEEDED = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "matplotlib")


def read_versions() -> dict[str, str | None]:
    """Return the version of each package; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "finops": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def find_missing(trainer: TrainerName, settings: Settings) -> list[MissingPiece]:
    """Return what is missing, each with its cure; empty when training can start."""
    eight_bit = settings.training.optimizer.endswith("8bit")
    needed = [
        *_NEEDED,
        *(["bitsandbytes"] if eight_bit or settings.base.quantization == "nf4" else []),
    ]
    absent = [package for package in needed if find_spec(package) is None]
    found = (
        [MissingPiece(f"training needs {', '.join(absent)}", extras.cure("train"))]
        if absent
        else []
    )
    if trainer == "unsloth" and find_spec("unsloth") is None:
        found.append(MissingPiece("--trainer unsloth needs unsloth", extras.cure("unsloth")))
    return found


def refuse_without_packages(trainer: TrainerName, settings: Settings) -> None:
    """Raises MissingPiece, with the cure, when a package that training needs is not installed."""
    found = find_missing(trainer, settings)
    if found:
        raise MissingPiece("; ".join(map(str, found)), "; ".join(each.cure for each in found))
