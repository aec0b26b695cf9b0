"""Check the folder of a model and of its adapter, without a package of an extra."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import UsageError
from finops_cli.files.digests import Identity, sha256_of_file

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
WEIGHTS = ".safetensors"
_CLASSIFIER = "ForSequenceClassification"


class ModelFolder(NamedTuple):
    """The files of a model, and of its adapter."""

    digest: str
    """The SHA-256 of the names and the digests of the files."""
    weights: dict[str, str]
    """The SHA-256 of each file of weights of the model, without its adapter."""
    identities: tuple[tuple[str, Identity], ...]
    size: int
    """Bytes of the weights."""
    positions: int | None
    """The most tokens of a text; None if the configuration does not say it."""
    is_classifier: bool
    """True for a network with one output a label, such as DistilBERT; false for a language model.
    """


def read_folder(stage: str, folder: Path, adapter: Path | None) -> ModelFolder:
    """Read the files of a model and hash them.

    Raises UsageError for a folder that is missing, incomplete or of another kind.
    """
    config = _read_config(stage, folder)
    files = [folder / CONFIG, *_weights_of(folder), *_tokenizer_of(stage, folder)]
    if adapter is not None:
        files += [_adapter_config(stage, adapter), *_weights_of(adapter)]
    hashed = [(path, *sha256_of_file(path)) for path in files]
    positions = config.get("max_position_embeddings")
    names = "".join(f"{digest} {path.name}\n" for path, digest, _ in hashed)
    return ModelFolder(
        digest=hashlib.sha256(names.encode()).hexdigest(),
        weights={
            path.name: digest
            for path, digest, _ in hashed
            if path.suffix == WEIGHTS and path.parent == folder
        },
        identities=tuple((str(path.resolve()), whose) for path, _, whose in hashed),
        size=sum(whose.size for path, _, whose in hashed if path.suffix == WEIGHTS),
        positions=positions if isinstance(positions, int) else None,
        is_classifier=any(name.endswith(_CLASSIFIER) for name in config.get("architectures") or ()),
    )


def _read_config(stage: str, folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise UsageError(
            f"--{stage}-dir {folder}: no such folder. Expected the folder of a model with"
            f" {CONFIG}. Names of a hub are not downloaded.",
            "give the path of a folder on this machine",
        )
    if not (folder / CONFIG).is_file():
        if (folder / ADAPTER_CONFIG).is_file():
            raise UsageError(
                f"--{stage}-dir {folder}: is an adapter, not a model",
                f"give its base as --{stage}-dir, and this folder as --{stage}-adapter",
            )
        raise UsageError(
            f"--{stage}-dir {folder}: has no {CONFIG}. Expected a model that transformers saved.",
            "give another folder",
        )
    try:
        return msgspec.json.decode((folder / CONFIG).read_bytes(), type=dict[str, Any])
    except (OSError, *UNREADABLE) as error:
        raise UsageError(
            f"{folder / CONFIG}: cannot be read ({error})", "copy the model again"
        ) from error


def _weights_of(folder: Path) -> list[Path]:
    """Return the files of weights. A pickle can run code, so only safetensors count."""
    found = sorted(folder.glob(f"*{WEIGHTS}"))
    if not found:
        raise UsageError(
            f"{folder}: has no weights (*{WEIGHTS}). Pickled weights (*.bin) are not opened,"
            " because they can run code.",
            "save the model again with safe_serialization=True",
        )
    return found


def _tokenizer_of(stage: str, folder: Path) -> list[Path]:
    found = [
        path
        for name in ("tokenizer.json", "tokenizer.model", "vocab.txt", "tokenizer_config.json")
        if (path := folder / name).is_file()
    ]
    if not found:
        raise UsageError(
            f"--{stage}-dir {folder}: has no tokenizer (tokenizer.json)",
            "copy the tokenizer's files into the folder",
        )
    return found


def _adapter_config(stage: str, adapter: Path) -> Path:
    path = adapter / ADAPTER_CONFIG
    if not path.is_file():
        raise UsageError(
            f"--{stage}-adapter {adapter}: has no {ADAPTER_CONFIG}. Expected a folder that PEFT"
            " saved.",
            "give the folder of the adapter, or leave the option out for a whole model",
        )
    return path
