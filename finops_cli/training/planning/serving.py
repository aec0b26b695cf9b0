"""Say, before a training run starts, which backends can serve its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.training.recipe_schema import Settings
from finops_cli.weights.architecture import ARCHITECTURES
from finops_cli.weights.checkpoint import read_json

_TYPES = {"qwen3": "Qwen3ForCausalLM", "mistral": "MistralForCausalLM"}
"""Networks of the shapes that ship (training/shapes/), by their `model_type`."""


def describe_serving(settings: Settings) -> str:
    """Return a sentence about the backends that serve a model of this base."""
    name = _architecture(settings)
    kind = ARCHITECTURES.get(name)
    if kind is None:
        return (
            f"{name or 'a base of unknown architecture'}: finops quantize does not convert it; only"
            " --backend transformers serves the result"
        )
    if kind == "llama":
        return (
            f"{name}: finops quantize converts it for --backend llama-cpp; --backend transformers"
            " serves it too, --backend ollama does not (its prompts are ChatML)"
        )
    return (
        f"{name}: finops quantize converts it; --backend llama-cpp, ollama and transformers serve"
        " the result"
    )


def _architecture(settings: Settings) -> str:
    """Return the name of the network in transformers; empty if it is not known."""
    base = settings.base
    if base.scratch is not None:
        return "Qwen3ForCausalLM"
    try:
        if base.folder is not None:
            names = read_json(Path(base.folder) / "config.json").get("architectures")
            return str(names[0]) if isinstance(names, list) and names else ""
        if base.shape is not None:
            shape = bundled_dir("training") / "shapes" / f"{base.shape}.json"
            config: dict[str, Any] = read_json(shape)["config"]
            kind = str(config.get("model_type"))
            return _TYPES.get(kind, _by_type(kind))
    except (UsageError, KeyError):
        return ""  # the inspection reports what is wrong with it
    return ""


def _by_type(kind: str) -> str:
    """Return the supported network whose name in transformers is that of `kind`."""
    plain = kind.replace("_", "").removesuffix("text").lower()
    return next(
        (name for name in ARCHITECTURES if name.lower().replace("_", "").startswith(plain)), ""
    )
