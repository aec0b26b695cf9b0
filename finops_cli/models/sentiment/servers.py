"""The classifier of a model on servers, whatever their protocol."""

from __future__ import annotations

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.prompts import sentiment_prompt_sha256
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.models.sentiment.request import SentimentRequest
from finops_cli.models.servers.model import ServerModel


def server_request(request: SentimentRequest, backend: str) -> BackendRequest:
    """Return the request for the one model of `request` on the servers of `backend`."""
    return BackendRequest(
        backend=backend,
        stages=(STAGE,),
        hosts=request.hosts,
        models={STAGE: request.model} if request.model else {},
        timeout=request.timeout,
        workers=request.workers,
        api_key_file=request.api_key_file,
        api=request.api,
    )


def classify_by(
    model: ServerModel, request: SentimentRequest, kb: KnowledgeBase
) -> LanguageClassifier:
    """Return a classifier that asks `model`, whose origin then names its sentiment model alone."""
    origin = model.origin
    model.origin = origin._replace(
        models={STAGE: origin.models[STAGE]},
        digests=None if origin.digests is None else {STAGE: origin.digests[STAGE]},
        prompt_sha256=sentiment_prompt_sha256(),
        settings=f"{origin.settings} {request.on_violation}",
    )
    return LanguageClassifier(model, kb, has_choices=False)
