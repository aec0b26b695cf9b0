"""Language models as sentiment backends: labels, confidence, flags, and the fallback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finops_cli.domain.sentiment import LABELS
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.failures import TimedOut
from finops_cli.models.prompts import sentiment_text
from finops_cli.models.protocol import Completion, CompletionRequest, Origin
from finops_cli.models.sentiment.language_model import (
    LanguageClassifier,
    first_token_logits,
    read_label,
)
from finops_cli.models.sentiment.model_calibration import (
    ModelCalibration,
    calibration_path,
    read_temperature,
)
from finops_cli.pipeline.sentiment.output import SentimentLine
from finops_cli.pipeline.sentiment.pipeline import SentimentConfig

Reply = Callable[[CompletionRequest], Completion]


class Model:
    """A text model whose replies a test gives."""

    origin = Origin("test", is_model=True, models={"sentiment": "test"})
    concurrency = 1
    must_alternate = False

    def __init__(self, reply: Reply, context_size: int = 512) -> None:
        self.reply, self.size = reply, context_size
        self.asked: list[CompletionRequest] = []

    def prepare(self, stage: str) -> None: ...

    def modelfile(self, stage: str) -> str:
        return stage

    def context_size(self, stage: str) -> int:
        return self.size

    def complete(self, request: CompletionRequest) -> Completion:
        self.asked.append(request)
        return self.reply(request)

    def model_changes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None: ...


def label(
    reply: Reply, kb: KnowledgeBase, text: str = "Profit rose.", **options: Any
) -> tuple[SentimentLine, Model]:
    model = Model(reply)
    config = SentimentConfig(kb_dir=bundled_kb_dir(), timed=False, guard="off", **options)
    pipeline = config.open_with(LanguageClassifier(model, kb, has_choices=False), kb)
    line = pipeline.process(1, json.dumps({"text": text}).encode()).line
    return line, model


LISTED = (("positive", -0.1), ("neutral", -2.5), ("neg", -4.0))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("positive", "positive"),
        (" Negative.\n", "negative"),
        ('"neutral"', "neutral"),
        ("<think>\nIt fell.\n</think>\n\nnegative", "negative"),
        ("positive<|im_end|>\n<|im_start|>user", "positive"),
        ("bullish", None),
        ("not negative", None),
        ("", None),
    ],
)
def test_label_is_read_from_a_reply(reply: str, expected: str | None, kb: KnowledgeBase) -> None:
    """A reply is one of the three words, in any case and with quotation marks, or no label."""
    assert read_label(reply, kb.models) == expected


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (LISTED, (-0.1, -2.5, -4.0)),
        ((("pos", -1.0), ("x", -2.0)), (-1.0, -3.0, -3.0)),
        ((("n", -1.0),), None),  # begins two labels
        ((), None),
    ],
)
def test_first_tokens_give_the_logits_of_the_labels(
    listed: tuple[tuple[str, float], ...], expected: tuple[float, ...] | None
) -> None:
    """A first token counts for the label that it alone begins; a label that is not listed is less
    likely than each that is.
    """
    assert first_token_logits(listed) == expected


def test_listed_tokens_give_a_top_k_confidence(kb: KnowledgeBase) -> None:
    """A server that lists first tokens gives a confidence, and the line says how it was had."""
    line, model = label(lambda _: Completion("positive", first_logprobs=LISTED), kb)
    assert (line.status, line.provenance.confidence) == ("ok", "top_k")
    assert line.sentiment is not None
    assert line.sentiment.confidence is not None
    assert line.sentiment.confidence > line.sentiment.scores.neutral  # type: ignore[union-attr]
    assert model.asked[0].prompt == sentiment_text("Profit rose.")
    assert model.asked[0].top_logprobs == 20


def test_older_server_gives_a_label_without_confidence(kb: KnowledgeBase) -> None:
    """Without listed tokens the confidence is null, and low_confidence cannot be set."""
    line, _ = label(lambda _: Completion("negative"), kb)
    assert line.sentiment is not None
    assert (line.sentiment.label, line.sentiment.confidence) == ("negative", None)
    assert (line.flags, line.provenance.confidence) == ([], "none")


def test_reply_that_is_no_label_is_asked_again_in_a_schema(kb: KnowledgeBase) -> None:
    """A second request holds the model to the three words."""
    line, model = label(lambda request: Completion("neutral" if request.schema else "hm"), kb)
    assert (line.status, line.provenance.attempts) == ("ok", 2)
    assert [request.schema for request in model.asked] == [
        None,
        {"type": "string", "enum": list(LABELS)},
    ]


@pytest.mark.parametrize("policy", ["fallback", "reject"])
def test_model_without_a_label_is_replaced_or_fails(policy: str, kb: KnowledgeBase) -> None:
    """The baseline answers for a model that says something else, and its word is kept under raw;
    with `reject` the line fails.
    """
    line, _ = label(lambda _: Completion("bullish"), kb, on_violation=policy)
    assert (line.status, line.raw) == (
        "fallback" if policy == "fallback" else "failed",
        {"replies": ["bullish"]},
    )
    assert "invalid_label" in line.flags
    assert (line.sentiment is None) == (policy == "reject")


def test_request_that_fails_is_answered_by_the_baseline(kb: KnowledgeBase) -> None:
    """After a failure of the server the baseline answers, and the line names the rule."""

    def fail(_: CompletionRequest) -> Completion:
        raise TimedOut("too slow")

    line, _ = label(fail, kb)
    assert (line.status, line.provenance.errors) == ("fallback", ("reply.timeout",))
    assert line.sentiment is not None


def test_text_longer_than_the_context_is_flagged(kb: KnowledgeBase) -> None:
    """A model gets only the beginning of a text that its context has no room for."""
    line, model = label(lambda _: Completion("neutral"), kb, text="profit rose " * 2_000)
    assert line.flags == ["truncated"]
    assert len(model.asked[0].prompt) < 4_000


def test_temperature_belongs_to_one_file(tmp_path: Path) -> None:
    """A calibration counts only for the model file that it was fitted for."""
    gguf = tmp_path / "m.gguf"
    assert read_temperature(gguf, "a") is None
    made = ModelCalibration(temperature=2.5, model_sha256="a", rows=1, data="d", data_sha256="b")
    import msgspec

    calibration_path(gguf).write_bytes(msgspec.json.encode(made))
    assert (read_temperature(gguf, "a"), read_temperature(gguf, "b")) == (2.5, None)
