"""The models of a server of OpenAI's API, with the stage of each."""

from __future__ import annotations

from collections.abc import Mapping

from finops_cli.models.listing import ListedModel, ModelSource
from finops_cli.models.openai.api import list_models
from finops_cli.models.openai.api_key import ApiKey


def inventory(url: str, stages: Mapping[str, str], key: ApiKey) -> ModelSource:
    """List the models of the server at `url`.

    `stages` maps the name of a model to its stage. The protocol tells neither digests nor sizes.
    Raises MissingPiece if no server answers.
    """
    listed = list_models(url, key)
    owners = ", ".join(sorted({model.owner for model in listed if model.owner}))
    models = [
        ListedModel(
            name=model.name,
            stage=stages.get(model.name.removesuffix(":latest")),
            architecture=None,
            quantization=None,
            size_bytes=None,
            context_length=model.context_length,
            loaded=None,
            gpu_pct=None,
            digest=None,
            remote_host=None,
        )
        for model in listed
    ]
    return ModelSource(url, None, models, f"OpenAI API ({owners})" if owners else "OpenAI API")
