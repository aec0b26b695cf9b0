"""The compiled knowledge base: one typed object, with one part for each chapter."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from finops_cli.kb import entries
from finops_cli.kb.chapters.book import BookRules, compile_book
from finops_cli.kb.chapters.clock import ClockRules, compile_clock
from finops_cli.kb.chapters.evaluation import EvaluationSettings, compile_evaluation
from finops_cli.kb.chapters.guard import GuardSettings, compile_guard
from finops_cli.kb.chapters.handoff import HandoffRules, compile_handoff
from finops_cli.kb.chapters.imports import ImportSettings, compile_imports
from finops_cli.kb.chapters.input import InputRules, compile_input
from finops_cli.kb.chapters.joins import JoinRules, compile_joins
from finops_cli.kb.chapters.machines.cluster import ClusterSettings, compile_cluster
from finops_cli.kb.chapters.market_calendar import CalendarRules, compile_calendar
from finops_cli.kb.chapters.messages import MessageRules, compile_messages
from finops_cli.kb.chapters.models import ModelSettings, compile_models
from finops_cli.kb.chapters.monitoring import MonitoringSettings, compile_monitoring
from finops_cli.kb.chapters.net import NetRules, compile_net
from finops_cli.kb.chapters.quantization import QuantizationSettings, compile_quantization
from finops_cli.kb.chapters.scoring import ScoringRules, compile_scoring
from finops_cli.kb.chapters.sentiment import SentimentSettings, compile_sentiment
from finops_cli.kb.chapters.serve import ServeSettings, compile_serve
from finops_cli.kb.chapters.training_data import DatasetSettings, compile_datasets
from finops_cli.kb.chapters.triage import TriageRules, compile_triage
from finops_cli.kb.chapters.waterfall import WaterfallRules, compile_waterfall
from finops_cli.kb.chapters.wording.headline import HeadlineRules, compile_headline
from finops_cli.kb.chapters.wording.letters import LetterRules, compile_letters
from finops_cli.kb.chapters.wording.sentences import SentenceRules, compile_sentences
from finops_cli.kb.compiler import Compiler
from finops_cli.kb.factors import FACTORS, Factor


class KnowledgeBase(Struct, frozen=True, eq=False, kw_only=True):
    """All rules of the desk."""

    version: str
    """The release, and the first digits of `sha256`."""
    sha256: str
    """The SHA-256 of every file; empty for rules that no folder holds."""
    entries: Mapping[str, entries.AnyEntry]
    scoring: ScoringRules
    triage: TriageRules
    input: InputRules
    handoff: HandoffRules
    waterfall: WaterfallRules
    datasets: DatasetSettings
    models: ModelSettings
    guard: GuardSettings
    quantization: QuantizationSettings
    evaluation: EvaluationSettings
    monitoring: MonitoringSettings
    calendar: CalendarRules
    clock: ClockRules
    headline: HeadlineRules
    imports: ImportSettings
    joins: JoinRules
    letters: LetterRules
    messages: MessageRules
    book: BookRules
    net: NetRules
    sentences: SentenceRules
    sentiment: SentimentSettings
    serve: ServeSettings
    cluster: ClusterSettings
    tolerance: Decimal
    phrases: frozenset[str]


def compile_kb(
    version: str,
    all_entries: Mapping[str, entries.AnyEntry],
    factors: tuple[Factor, ...] = FACTORS,
    sha256: str = "",
) -> KnowledgeBase:
    """Compile `all_entries`. Raises KnowledgeError when one does not fit."""
    return compile_with(version, Compiler(all_entries), all_entries, factors, sha256)


def compile_with(
    version: str,
    c: Compiler,
    all_entries: Mapping[str, entries.AnyEntry],
    factors: tuple[Factor, ...] = FACTORS,
    sha256: str = "",
) -> KnowledgeBase:
    """Compile `all_entries` with the compiler `c`, which remembers the ids that were read."""
    return KnowledgeBase(
        version=version,
        sha256=sha256,
        entries=all_entries,
        scoring=compile_scoring(c, factors),
        triage=compile_triage(c),
        input=compile_input(c),
        handoff=compile_handoff(c),
        waterfall=compile_waterfall(c),
        datasets=compile_datasets(c),
        models=compile_models(c),
        guard=compile_guard(c),
        quantization=compile_quantization(c),
        evaluation=compile_evaluation(c),
        monitoring=compile_monitoring(c),
        calendar=compile_calendar(c),
        clock=compile_clock(c, all_entries),
        headline=compile_headline(c),
        imports=compile_imports(c),
        joins=compile_joins(c),
        letters=compile_letters(c),
        messages=compile_messages(c),
        book=compile_book(c),
        net=compile_net(c),
        sentences=compile_sentences(c),
        sentiment=compile_sentiment(c),
        serve=compile_serve(c),
        cluster=compile_cluster(c),
        tolerance=c.number("check.tolerance"),
        phrases=c.words("check.phrases"),
    )
