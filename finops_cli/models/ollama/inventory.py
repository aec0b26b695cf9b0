"""One server at a glance: its version and its models, with the stage that each serves and whether
it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from finops_cli.models.ollama import admin


class Listed(Struct, frozen=True):
    """A model of the server. `context_length` in tokens; `gpu_pct` is the share in GPU memory, null
    while it is not loaded.

    A model with a `remote_host` is answered for by a cloud: fail records may not go there.
    """

    name: str
    stage: str | None
    architecture: str | None
    quantization: str | None
    size_bytes: int
    context_length: int | None
    loaded: bool
    gpu_pct: int | None
    digest: str
    remote_host: str | None


class Server(Struct, frozen=True):
    """Where models are: an Ollama server; `host` null: with finops itself, for --backend
    llama-cpp.
    """

    host: str | None
    version: str
    models: list[Listed]


def inventory(url: str, stages: Mapping[str, str]) -> Server:
    """What the server at `url` has; `stages` says which model name serves which stage.

    Raises MissingPiece when nothing answers.
    """
    version = admin.version(url)
    loaded = {model.name: model for model in admin.loaded(url)}
    models = [
        _listed(url, model, loaded.get(model.name), stages.get(model.name))
        for model in admin.installed(url)
    ]
    return Server(url, version, models)


def _listed(
    url: str, model: admin.Installed, loaded: admin.Loaded | None, stage: str | None
) -> Listed:
    card = admin.card(url, model.name, model)
    return Listed(
        name=model.name,
        stage=stage,
        architecture=(card.architecture if card else None) or model.architecture,
        quantization=model.quantization,
        size_bytes=model.size,
        context_length=card.context_length if card else None,
        loaded=loaded is not None,
        gpu_pct=round(100 * loaded.size_vram / loaded.size) if loaded and loaded.size else None,
        digest=model.digest,
        remote_host=card.remote_host if card else model.remote_host,
    )
