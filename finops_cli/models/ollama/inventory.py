"""The version and the models of a server, with stage and memory use of each model."""

from __future__ import annotations

from collections.abc import Mapping

from finops_cli.models.listing import ListedModel, ModelSource
from finops_cli.models.ollama import api


def inventory(url: str, stages: Mapping[str, str]) -> ModelSource:
    """List the models of the server at `url`.

    `stages` maps the name of a model to its stage. Raises MissingPiece if no server answers.
    """
    version = api.version(url)
    loaded = {model.name: model for model in api.list_loaded(url)}
    models = [
        _listed(url, model, loaded.get(model.name), stages.get(model.name))
        for model in api.list_installed(url)
    ]
    return ModelSource(url, version, models)


def _listed(
    url: str, model: api.Installed, loaded: api.Loaded | None, stage: str | None
) -> ListedModel:
    card = api.card(url, model.name, model)
    return ListedModel(
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
