"""Read a model that transformers saved: a folder with config.json, tokenizer and weight files."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import UsageError
from finops_cli.weights.safetensors import Tensor, read_tensors

_ONE, _INDEX, WEIGHTS = "model.safetensors", "model.safetensors.index.json", ".safetensors"
_TEXT_PREFIX = "model.language_model."
_NOT_NEEDED = re.compile(r"(model\.)?(visual|mtp)\.|.*\.rotary_emb\.inv_freq$")
"""Tensors that the text model does not need: the vision tower of Qwen3.5, its speculative layers,
and tables that are computed from the settings.
"""
_LARGEST = sys.float_info.max


class Checkpoint(NamedTuple):
    """A model in a folder."""

    folder: Path
    config: dict[str, Any]
    """The content of config.json."""
    tensors: dict[str, Tensor]
    """The tensors of the text model by their names in a text-only model."""
    files: tuple[Path, ...]
    """All files that are read: config, index and weights."""


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the model in `folder`.

    Raises UsageError if it is not a model, is incomplete or quantized, or has a tensor twice.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: no such folder. Expected the folder with the model's config.json."
        )
    config = read_json(folder / "config.json")
    _refuse_quantized(folder, config)
    files = _find_weight_files(folder)
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in read_tensors(file).items():
            if _NOT_NEEDED.match(name):
                continue
            known = text_model_name(name)
            if known in tensors:
                raise UsageError(
                    f"{folder}: {known} is stored twice, in {tensors[known].path.name} and"
                    f" {file.name}",
                    "remove one of the two files",
                )
            tensors[known] = tensor
    index = folder / _INDEX
    _refuse_index_mismatch(index, tensors)
    read = [folder / "config.json", *([index] if len(files) > 1 or index.is_file() else []), *files]
    return Checkpoint(folder, config, tensors, tuple(read))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises UsageError if the file is missing or is not a JSON object.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; the folder is not a complete model or adapter",
            "download or copy the model again",
        )
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except UNREADABLE as error:
        raise UsageError(
            f"{path} is not a JSON object: {error}", "download or copy the model again"
        ) from error


def is_quantized(config: dict[str, Any]) -> bool:
    """Return true if a config.json states that all weights, or those of the text model, are
    quantized.
    """
    parts = (config, config.get("text_config"))
    return any(isinstance(part, dict) and bool(part.get("quantization_config")) for part in parts)


def read_number(given: dict[str, Any], key: str) -> float | None:
    """Return the number under `key`; None if the value is not a number that fits a float."""
    value = given.get(key)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not -_LARGEST <= value <= _LARGEST
    ):
        return None
    return float(value)


def text_model_name(name: str) -> str:
    """Return the name that a tensor of a model with a vision tower has in the text-only model."""
    return f"model.{name.removeprefix(_TEXT_PREFIX)}" if name.startswith(_TEXT_PREFIX) else name


def _refuse_quantized(folder: Path, config: dict[str, Any]) -> None:
    """Raise UsageError for a quantized model. Merging into 4 bits would round the adapter away."""
    if is_quantized(config):
        raise UsageError(
            f"{folder} is a quantized model (quantization_config)",
            "give the 16-bit model that it was made from",
        )


def _find_weight_files(folder: Path) -> list[Path]:
    one, index = folder / _ONE, folder / _INDEX
    if one.is_file() and index.is_file():
        raise UsageError(f"{folder} has {_ONE} and {_INDEX}", "delete the one that is out of date")
    if one.is_file():
        return [one]
    if not index.is_file():
        raise UsageError(
            f"{folder} has neither {_ONE} nor {_INDEX}", "save the model as safetensors"
        )
    names = sorted(set(_read_weight_map(index).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"{folder}: {missing[0]} is missing, which {_INDEX} names", "download it")
    return [folder / name for name in names]


def _refuse_index_mismatch(index: Path, tensors: dict[str, Tensor]) -> None:
    """Raise UsageError if a tensor is not in the file that the index names.

    Then the folder contains files of two models.
    """
    if not index.is_file():
        return
    indexed = {
        text_model_name(name): file
        for name, file in _read_weight_map(index).items()
        if not _NOT_NEEDED.match(name)
    }
    found = {name: tensor.path.name for name, tensor in tensors.items()}
    for name in sorted(indexed.keys() | found.keys()):
        if indexed.get(name) != found.get(name):
            where = indexed.get(name, "no file")
            raise UsageError(
                f"{index}: {name} should be in {where}, but is in {found.get(name, 'none')}",
                "save the model again",
            )


def _read_weight_map(index: Path) -> dict[str, str]:
    given = read_json(index).get("weight_map")
    if (
        not isinstance(given, dict)
        or not given
        or not all(isinstance(name, str) for name in given.values())
    ):
        raise UsageError(f"{index} has no weight_map", "download or copy the model again")
    if any(Path(name).name != name for name in given.values()):
        raise UsageError(
            f"{index} names a file in another folder",
            "give a folder that holds all the files of the model",
        )
    return given
