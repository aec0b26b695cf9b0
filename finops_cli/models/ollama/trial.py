"""Ask a new model one record, so that a model that answers nonsense is noticed at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal

from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import FinopsError, UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import ModelError
from finops_cli.models.ollama.connect import open_ollama
from finops_cli.models.ollama.model import OllamaModel
from finops_cli.models.protocol import Answer
from finops_cli.models.sentiment.classifier import STAGE as SENTIMENT
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.models.tasks import RUN_TASKS
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.verify.codecs import FAIL
from finops_cli.verify.sentences.check import UNVERIFIABLE

_TEXT = "Operating profit rose to $12.5 million, and the company raised its dividend."
_LABEL = "positive"
_NO_ANSWER = "reply."
"""The rules that begin so say why no answer could be read."""


class Trial(Struct, frozen=True):
    """The result of one record."""

    result: Literal["right", "wrong", "failed"]
    detail: str = ""
    """The rules that the answer broke, or the reason why the trial has no answer."""


def try_model(stage: StageName, name: str, url: str, kb: KnowledgeBase) -> Trial:
    """Ask the model `name` at `url` the record of `modelfiles/probe.json`, once."""
    request = BackendRequest(
        backend="ollama", stages=(stage,), hosts=(url,), models={stage: name}, on_violation="reject"
    )
    try:
        model, _ = open_ollama(request, kb)
        with closing(model):
            model.prepare(stage)
            return _classify(model, kb) if stage == SENTIMENT else _answer(model, stage, kb)
    except (FinopsError, ModelError) as error:
        return Trial("failed", str(error))


def _answer(model: OllamaModel, stage: StageName, kb: KnowledgeBase) -> Trial:
    """Judge the answer by the rules that it breaks."""
    fail = FAIL.read(exact_json.decode((bundled_dir("modelfiles") / "probe.json").read_bytes()))
    if fail is None:
        raise UsageError("modelfiles/probe.json is not a fail record", "install finops again")
    backend = VerifiedBackend(model, kb, "reject")
    ask: Callable[[Any], Answer[Any]] = backend.triage if stage == "triage" else backend.resolve
    answer = ask(RUN_TASKS[stage].record_of(fail, kb))
    rules = [each.rule for each in answer.findings if each.rule != UNVERIFIABLE]
    if not rules:
        return Trial("right")
    is_read = not all(rule.startswith(_NO_ANSWER) for rule in rules)
    return Trial("wrong" if is_read else "failed", ", ".join(dict.fromkeys(rules)))


def _classify(model: OllamaModel, kb: KnowledgeBase) -> Trial:
    """Judge the label of a positive text."""
    found = LanguageClassifier(model, kb, has_choices=False).classify(_TEXT)
    if found.sentiment is None:
        return Trial("failed", f"{found.reply!r} is not a label")
    label = found.sentiment.label
    return Trial("right") if label == _LABEL else Trial("wrong", f"{label}, not {_LABEL}")
