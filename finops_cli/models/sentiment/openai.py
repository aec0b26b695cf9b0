"""A model on servers of OpenAI's API as a sentiment backend."""

from __future__ import annotations

from collections.abc import Callable

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.openai.connect import open_openai
from finops_cli.models.prompts import sentiment_prompt_sha256
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.models.sentiment.request import SentimentRequest


def open_classifier(
    request: SentimentRequest, kb: KnowledgeBase
) -> tuple[LanguageClassifier, tuple[str, ...], Callable[[], str]]:
    """Open the model of `request` on its servers, with notices about servers that are not used, and
    what says later what the servers cannot do.

    Raises MissingPiece or UsageError if no server can answer.
    """
    model, notices = open_openai(
        BackendRequest(
            backend="openai",
            stages=(STAGE,),
            hosts=request.hosts,
            models={STAGE: request.model} if request.model else {},
            timeout=request.timeout,
            workers=request.workers,
            api_key_file=request.api_key_file,
            api=request.api,
        ),
        kb,
    )
    origin = model.origin
    model.origin = origin._replace(
        models={STAGE: origin.models[STAGE]},
        prompt_sha256=sentiment_prompt_sha256(),
        settings=f"{origin.settings} {request.on_violation}",
    )
    classifier = LanguageClassifier(model, kb, has_choices=False)
    return classifier, notices, model.describe_sharing
