"""A model on servers of OpenAI's API as a sentiment backend."""

from __future__ import annotations

from collections.abc import Callable

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.openai.connect import open_openai
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.models.sentiment.request import SentimentRequest
from finops_cli.models.sentiment.servers import classify_by, server_request


def open_classifier(
    request: SentimentRequest, kb: KnowledgeBase
) -> tuple[LanguageClassifier, tuple[str, ...], Callable[[], str]]:
    """Open the model of `request` on its servers, with notices about servers that are not used, and
    what says later what the servers cannot do.

    Raises MissingPiece or UsageError if no server can answer.
    """
    model, notices = open_openai(server_request(request, "openai"), kb)
    return classify_by(model, request, kb), notices, model.describe_sharing
