"""A model on Ollama servers as a sentiment backend."""

from __future__ import annotations

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.ollama.connect import open_ollama
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.models.sentiment.request import SentimentRequest
from finops_cli.models.sentiment.servers import classify_by, server_request


def open_classifier(
    request: SentimentRequest, kb: KnowledgeBase
) -> tuple[LanguageClassifier, tuple[str, ...]]:
    """Open the model of `request` on its servers, with notices about servers that are not used.

    Raises MissingPiece or UsageError if no server can answer.
    """
    model, notices = open_ollama(server_request(request, "ollama"), kb)
    return classify_by(model, request, kb), notices
