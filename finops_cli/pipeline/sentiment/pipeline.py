"""Labels texts: one output line for each input line, whatever its content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Literal

from msgspec import UNSET

from finops_cli.domain.enums import GuardMode, OnViolation, Status
from finops_cli.domain.finding import Damage, Problem
from finops_cli.domain.sentiment import ConfidenceSource, Flag, Sentiment
from finops_cli.domain.stage_names import StageName
from finops_cli.files.jsonl import InputLine
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.sentiment.baseline import BaselineClassifier
from finops_cli.models.sentiment.classifier import STAGE, Classifier
from finops_cli.pipeline.input_source import default_fail_id
from finops_cli.pipeline.line_pipeline import InputShares, LineType, ProcessedLine, RunIdentity
from finops_cli.pipeline.output import rejection
from finops_cli.pipeline.parse import ParseResult
from finops_cli.pipeline.redaction import RedactionPolicy, WithholdText, redaction_policy
from finops_cli.pipeline.sentiment.labeller import LabelledText, Labeller
from finops_cli.pipeline.sentiment.output import (
    SentimentLine,
    SentimentPart,
    SentimentProvenance,
    count_sentiment_line,
    name_of_line,
    read_sentiment_line,
)
from finops_cli.pipeline.sentiment.parse import TextParser, TextRecord
from finops_cli.pipeline.sentiment.sentences import split_sentences
from finops_cli.pipeline.sentiment.weighing import weigh

Split = Literal["none", "sentences"]


_OBJECTS = TextParser()


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentConfig:
    """Everything that a process needs to set up its own pipeline with the baseline."""

    kb_dir: Path
    timed: bool
    guard: GuardMode | None = None
    """None: `require`."""
    parser: TextParser = _OBJECTS
    split: Split = "none"
    keeps_raw: bool = False
    on_violation: OnViolation = "fallback"
    baseline: Path | None = None
    clock: None = None

    def open(self) -> SentimentPipeline:
        """Open a pipeline with the baseline."""
        return self.open_with(BaselineClassifier(self.baseline), load_kb(self.kb_dir))

    def open_with(self, classifier: Classifier, kb: KnowledgeBase) -> SentimentPipeline:
        """Open a pipeline with a backend."""
        redaction = redaction_policy(self.guard or "require", classifier.origin.is_model, kb)
        return SentimentPipeline(self, classifier, kb, redaction)


class SentimentPipeline:
    """Labels texts with a backend. The baseline answers where a language model gives no label."""

    def __init__(
        self,
        config: SentimentConfig,
        classifier: Classifier,
        kb: KnowledgeBase,
        redaction: RedactionPolicy | None,
    ) -> None:
        self.backend = classifier
        self.kb = kb
        self.keeps_raw = config.keeps_raw
        self.is_quick = False
        self.redaction = redaction
        self.models: tuple[StageName, ...] = (STAGE,)
        self.line_type = LineType(
            read_sentiment_line, name_of_line, count_sentiment_line, config.parser.id_fields
        )
        self._config = config
        self._labeller = Labeller(
            classifier, kb.sentiment.low_confidence, config.on_violation, config.baseline
        )

    @property
    def identity(self) -> RunIdentity:
        """Describe the options that change lines, for the note of a run."""
        parser = self._config.parser
        options = f"{parser.form}, field {parser.field}, split {self._config.split}"
        return RunIdentity(STAGE, options=f"{options}, on violation {self._config.on_violation}")

    def parse(self, line: bytes) -> ParseResult[TextRecord]:
        """Parse an input line."""
        return self._config.parser.parse_line(line)

    def count_shares(self, line: InputLine) -> InputShares:
        """Return nothing: a text owes no shares."""
        return InputShares(0)

    def name(self, given_id: str) -> str:
        """Return the `id` that the output gives to a text named `given_id`."""
        return given_id if self.redaction is None else self.redaction.name(given_id)

    def process(self, number: int, line: InputLine) -> ProcessedLine[SentimentLine]:
        """Return the output of input line `number` (counted from 1)."""
        started = perf_counter_ns() if self._config.timed else 0
        if isinstance(line, Damage):
            made = self._rejected(line.line, line.fail_id, list(line.problems), None)
            return ProcessedLine(made, line.fail_id, 0)
        parsed = self.parse(line)
        record, given_id, problems = parsed.value, parsed.fail_id, parsed.problems
        if record is None:
            made = self._rejected(number, given_id, problems, line)
        else:
            made = self._label(number, record, started)
        return ProcessedLine(made, given_id, 0)

    def reject(self, number: int, name: str, problem: Problem) -> SentimentLine:
        """Return the output of a line that repeats the `id` of another line."""
        return self._rejected(number, name, [problem], None)

    def _rejected(
        self, number: int, given_id: str | None, problems: list[Problem], line: bytes | None
    ) -> SentimentLine:
        masks: tuple[str, ...] | None = None
        if self.redaction is not None:
            parser = self._config.parser
            is_object = parser.form == "objects"
            parse: Callable[[Any], ParseResult[Any]] | None = parser.parse if is_object else None
            problems, masks = self.redaction.redact_problems(
                line if is_object else None, given_id, problems, parse
            )
        return SentimentLine(
            id=self._line_name(number, given_id),
            status="rejected",
            sentiment=None,
            flags=[],
            pii=list(masks or ()),
            provenance=self._provenance(0, "none", 0),
            error=rejection(number, problems),
        )

    def _line_name(self, number: int, given_id: str | None) -> str:
        return default_fail_id(number) if given_id is None else self.name(given_id)

    def _label(self, number: int, record: TextRecord, started: int) -> SentimentLine:
        text, kinds = record.text, tuple[str, ...]()
        if text is not None and self.redaction is not None:
            text, kinds = self.redaction.text(text)
        parts: list[LabelledText] = []
        skipped = None if text is not None else f"the record has no {self._config.parser.field}"
        if isinstance(self.redaction, WithholdText):
            skipped = skipped or "the text is withheld: the guard is not installed"
        elif text is not None:
            parts = [self._labeller.label(part) for part in self._split(text)]
        whole = weigh([(each.text, each.sentiment) for each in parts])
        status: Status = "failed" if skipped and text else _worst(parts)
        took_ns = perf_counter_ns() - started if self._config.timed else 0
        return SentimentLine(
            id=self._line_name(number, record.id),
            status=status,
            sentiment=whole,
            flags=self._flags_of(whole, parts),
            pii=list(kinds),
            expected=record.expected or UNSET,
            parts=self._place(parts) if self._config.split != "none" and parts else UNSET,
            skipped=skipped or UNSET,
            provenance=self._provenance(took_ns, _source_of(parts), _attempts(parts), parts),
            raw=self._raw(text, parts) or UNSET,
        )

    def _split(self, text: str) -> list[str]:
        return split_sentences(text) if self._config.split == "sentences" else [text]

    def _flags_of(self, whole: Sentiment | None, parts: list[LabelledText]) -> list[Flag]:
        """Return the flags of a text: its own confidence, and what happened to any part."""
        found: set[Flag] = {flag for part in parts for flag in part.flags}
        found.discard("low_confidence")
        found.update(self._labeller.flags(whole, is_truncated=False))
        order: tuple[Flag, ...] = ("low_confidence", "invalid_label", "truncated")
        return [flag for flag in order if flag in found]

    def _place(self, parts: list[LabelledText]) -> list[SentimentPart]:
        placed, start = [], 0
        for part in parts:
            end = start + len(part.text)
            shown = SentimentPart(
                start=start, end=end, sentiment=part.sentiment, flags=list(part.flags)
            )
            placed.append(shown)
            start = end
        return placed

    def _provenance(
        self,
        took_ns: int,
        source: ConfidenceSource,
        attempts: int,
        parts: list[LabelledText] | None = None,
    ) -> SentimentProvenance:
        origin = self.backend.origin
        errors = dict.fromkeys(part.error for part in parts or () if part.error is not None)
        warnings = dict.fromkeys(rule for part in parts or () for rule in part.format_warnings)
        return SentimentProvenance(
            backend=origin.name,
            models=origin.models,
            kb=self.kb.version,
            prompt_sha256=origin.prompt_sha256,
            attempts=attempts,
            latency_ms=round(took_ns / 1e6, 3) if self._config.timed else None,
            confidence=source,
            digests=UNSET if origin.digests is None else origin.digests,
            errors=tuple(errors) or UNSET,
            format_warnings=tuple(warnings) or UNSET,
        )

    def _raw(self, text: str | None, parts: list[LabelledText]) -> dict[str, Any]:
        """Return the masked text and the replies with --keep-raw, else a reply without a label."""
        kept = [
            part.reply
            for part in parts
            if part.reply is not None and (self.keeps_raw or part.status != "ok")
        ]
        replies = [self._mask(reply) for reply in kept]
        raw: dict[str, Any] = {"text": text} if self.keeps_raw and text is not None else {}
        return {**raw, "replies": replies} if replies else raw

    def _mask(self, reply: str) -> str:
        return reply if self.redaction is None else self.redaction.text(reply)[0]


def _worst(parts: list[LabelledText]) -> Status:
    order: tuple[Status, ...] = ("ok", "fallback", "failed")
    return max((part.status for part in parts), key=order.index, default="ok")


def _source_of(parts: list[LabelledText]) -> ConfidenceSource:
    """Return how the confidence of a text was had: the least exact of its parts."""
    order: tuple[ConfidenceSource, ...] = ("exact", "calibrated", "top_k", "none")
    return max((part.source for part in parts), key=order.index, default="none")


def _attempts(parts: list[LabelledText]) -> int:
    return max((part.attempts for part in parts), default=0)
