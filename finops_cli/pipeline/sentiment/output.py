"""The output line of `finops sentiment`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.enums import Status
from finops_cli.domain.sentiment import ConfidenceSource, Flag, Label, Sentiment
from finops_cli.models.protocol import ModelNames
from finops_cli.monitoring.latencies import step_of
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline.output import Rejection

FORMAT = 1


class SentimentPart(Struct, frozen=True, kw_only=True):
    """The sentiment of one sentence of a text."""

    start: int
    """The first character of the sentence in the masked text, counted from 0."""
    end: int
    """The character after the last."""
    sentiment: Sentiment | None
    flags: list[Flag]


class SentimentProvenance(Struct, kw_only=True):
    """The origin of an answer."""

    backend: str
    models: ModelNames
    kb: str
    prompt_sha256: str | None
    attempts: int
    latency_ms: float | None
    """Null if the run does not measure time."""
    confidence: ConfidenceSource
    """How the confidence was had (docs: sentiment)."""
    digests: ModelNames | UnsetType = UNSET
    errors: tuple[str, ...] | UnsetType = UNSET
    """Rules (`reply.*`) of the failures for which the baseline answered."""
    format_warnings: tuple[str, ...] | UnsetType = UNSET
    """Rules (`reply.*`) of what was tolerated in an answer, such as a missing constraint."""


class SentimentLine(Struct, frozen=True, kw_only=True):
    """An output line of `finops sentiment`."""

    id: str
    status: Status
    format: int = FORMAT
    sentiment: Sentiment | None
    """Null for a line that is rejected, failed or has no text."""
    flags: list[Flag]
    pii: list[str]
    """The kinds of personal data that the guard masked; empty when none."""
    expected: Label | UnsetType = UNSET
    """The label that the input gives."""
    parts: list[SentimentPart] | UnsetType = UNSET
    """With --split: each sentence of the text."""
    skipped: str | UnsetType = UNSET
    """The reason why a record has no sentiment."""
    provenance: SentimentProvenance
    error: Rejection | UnsetType = UNSET
    raw: dict[str, Any] | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(SentimentLine)


def read_sentiment_line(line: bytes) -> SentimentLine:
    """Decode an output line that was written earlier.

    Raises msgspec.DecodeError if it is not an output line of `finops sentiment`.
    """
    return _DECODER.decode(line)


def name_of_line(line: SentimentLine) -> str:
    """Return the name by which a line answers its input."""
    return line.id


def count_sentiment_line(
    summary: RunSummary, line: SentimentLine, owed: int, is_model: bool
) -> None:
    """Count one output line. `owed` is 0: a text owes no shares."""
    summary.statuses[line.status] += 1
    if line.provenance.latency_ms is not None and line.status != "rejected":
        summary.latency[step_of(line.provenance.latency_ms)] += 1
    if line.sentiment is not None:
        summary.labels[line.sentiment.label] += 1
    summary.flags.update(line.flags)
    summary.masked.update(line.pii)
    if line.provenance.errors:
        summary.server.update(line.provenance.errors)
    if isinstance(line.error, Struct):
        summary.problems.update(problem.rule for problem in line.error.problems)
