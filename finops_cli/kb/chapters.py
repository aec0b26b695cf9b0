"""Which entry of the knowledge base becomes which field of which book."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import cast, get_args

from finops_cli.domain import vocabulary as words
from finops_cli.errors import KnowledgeError
from finops_cli.kb import entries
from finops_cli.kb.answering import AnsweringBook, Outside
from finops_cli.kb.bands import BandTable
from finops_cli.kb.book import (
    Book,
    Compiler,
    DataBook,
    HandoffBook,
    ScoringBook,
    TriageBook,
    WaterfallBook,
)
from finops_cli.kb.evaluating import EvaluationBook
from finops_cli.kb.guarding import FORMS, GuardBook, Kind
from finops_cli.kb.quantizing import QuantizingBook

_LONGEST_SECONDS = 7 * 86_400
_FARTHEST = 200


def compile_book(version: str, all_entries: Mapping[str, entries.AnyEntry]) -> Book:
    """The typed books of `all_entries`. Raises KnowledgeError when one does not fit."""
    return compile_with(version, Compiler(all_entries), all_entries)


def compile_with(version: str, c: Compiler, all_entries: Mapping[str, entries.AnyEntry]) -> Book:
    return Book(
        version=version,
        entries=all_entries,
        scoring=_scoring(c),
        triage=_triage(c),
        handoff=_handoff(c),
        waterfall=_waterfall(c),
        data=_data(c),
        answering=_answering(c),
        guard=_guard(c),
        quantizing=_quantizing(c),
        evaluation=_evaluation(c),
        tolerance=c.number("check.tolerance"),
        phrases=c.words("check.phrases"),
    )


def _scoring(c: Compiler) -> ScoringBook:
    return ScoringBook(
        weights=c.scores("score.base", ("age", "value", "regulatory", "cp_history")),
        age_factor=c.score_bands("score.age_factor"),
        value_factor=c.score_bands("score.value_factor"),
        regulatory_factor=c.scores("score.regulatory_factor", get_args(words.RegShoStatus)),
        cp_history_factor=c.score_bands("score.cp_history_factor"),
        inventory_modifier=c.score_bands("score.inventory_modifier"),
        concentration=c.scores(
            "score.concentration_modifier",
            ("THRESHOLD", "NOT_CNS_ELIGIBLE", "SECURITY_FAIL_RATE", "CP_FAIL_RATE"),
        ),
        concentration_cap=c.number("score.concentration_cap", highest=100),
        security_rate_over=c.number("score.security_rate_over"),
        cp_rate_over=c.number("score.cp_rate_over"),
        cap=c.number("score.cap", highest=1000),
        decimals=c.whole("score.decimals", highest=6),
        tier=cast(BandTable[words.Tier], c.word_bands("tier.band", words.Tier)),
        cns_floor=cast(words.Tier, c.choice("tier.cns_floor", words.Tier)),
        escalation=cast(
            Mapping[str, words.EscalationLevel],
            c.texts("tier.escalation", get_args(words.Tier), words.EscalationLevel),
        ),
        compliance=cast(words.EscalationLevel, c.choice("tier.compliance", words.EscalationLevel)),
    )


def _triage(c: Compiler) -> TriageBook:
    return TriageBook(
        ftr_monitor_to=c.whole("action.ftr_monitor_to"),
        dvp_deliver_from=c.number("action.dvp_deliver_from"),
        problem_cp_over=c.number("flag.problem_cp_over"),
        high_value_from=c.number("flag.high_value_from"),
        aged_from=c.whole("flag.aged_from"),
        close_out_from=c.whole("regsho.close_out_from"),
        approaching_from=c.whole("regsho.approaching_from"),
        deadline_standard=c.whole("deadline.standard", highest=999),
        deadline_threshold=c.whole("deadline.threshold", highest=999),
    )


def _handoff(c: Compiler) -> HandoffBook:
    return HandoffBook(
        lifecycle=cast(
            Mapping[str, words.HandoffLifecycleState],
            c.texts(
                "handoff.lifecycle", get_args(words.LifecycleState), words.HandoffLifecycleState
            ),
        ),
        new_to=c.whole("handoff.new_to"),
        escalation=cast(
            Mapping[str, words.HandoffEscalationLevel],
            c.texts(
                "handoff.escalation", get_args(words.EscalationLevel), words.HandoffEscalationLevel
            ),
        ),
        flags=c.texts("handoff.flags", get_args(words.Flag)),
        large_position_from=c.whole("handoff.large_position_from"),
    )


def _data(c: Compiler) -> DataBook:
    book = _data_book(c)
    for id, shares in (("data.categories", book.categories), ("data.ftr_counts", book.ftr_counts)):
        if sum(shares.values()) != 100:
            raise KnowledgeError(f"kb entry {id}: its members must add up to 100")
    if book.eval_every < 2:
        raise KnowledgeError(
            "kb entry data.eval_every: at least one example in two must be for training"
        )
    return book


def _data_book(c: Compiler) -> DataBook:
    return DataBook(
        sizes=c.wholes("data.sizes", ("triage", "resolver", "sentiment")),
        eval_every=c.whole("data.eval_every"),
        categories=c.wholes("data.categories", get_args(words.Category)),
        participants=c.wholes(
            "data.participants", ("high_volume", "highest_number", "uses_each", "per_examples")
        ),
        ftr_counts=c.wholes("data.ftr_counts", ("simple", "medium", "complex")),
        ftr_tiers=c.wholes(
            "data.ftr_tiers",
            (
                *(
                    f"{tier}_{end}"
                    for tier in ("simple", "medium", "complex")
                    for end in ("from", "to")
                ),
                "complex_brokers",
                "tokens",
            ),
        ),
        ftr_ages=c.numbers(
            "data.ftr_ages",
            ("tail", "tail_from", "tail_to", "normal_from", "normal_to", "centre", "deviation"),
        ),
        missing=c.wholes("data.missing", ("no_position", "notes", "at_edge")),
        market_values=c.quantiles("data.market_values"),
        market_ages=c.quantiles("data.market_ages"),
    )


def _waterfall(c: Compiler) -> WaterfallBook:
    return WaterfallBook(
        chase_steps=c.whole("waterfall.chase_steps", highest=400),
        offset_older_by=c.whole("offset.older_by"),
        offset_settles_by=c.whole("offset.settles_by"),
        partial_deadline_days=c.whole("partial.deadline_days"),
        recall_notice_days=c.whole("recall.notice_days"),
        b2b_notice_from=c.whole("b2b.notice_from"),
        coverage_decimals=c.whole("coverage.decimals", highest=6),
        gridlock_brokers_from=c.whole("gridlock.brokers_from"),
        gridlock_attempts_from=c.whole("gridlock.attempts_from"),
        gridlock_aged_from=c.whole("gridlock.aged_from"),
        gridlock_similar_ratio=c.number("gridlock.similar_ratio"),
    )


def _answering(c: Compiler) -> AnsweringBook:
    book = AnsweringBook(
        judgements=c.words("answer.judgements"),
        attempts=c.wholes("answer.attempts", ("structural", "retry"), highest=10),
        models=c.texts("answer.models", ("triage", "resolver")),
        seed=c.whole("answer.seed", highest=2**31),
        tokens=c.wholes(
            "answer.tokens", ("triage_reserve", "resolver_reserve", "floor_pct", "calibration_from")
        ),
        seconds=c.floats(
            "answer.seconds", ("probe", "connect", "load", "triage", "resolver", "silence")
        ),
        retries=c.wholes("answer.retries", ("crashed", "server"), highest=100),
        backoff=c.floats("answer.backoff", ("first", "factor", "longest", "jitter")),
        breaker=c.numbers(
            "answer.breaker",
            ("failures", "open", "factor", "longest", "probes"),
            highest=_LONGEST_SECONDS,
        ),
        chunk=c.whole("answer.chunk", highest=100_000),
        keep_alive_minutes=c.whole("answer.keep_alive", highest=_LONGEST_SECONDS),
        single_slot=c.words("answer.single_slot"),
        outside=cast(Outside, c.choice("answer.outside", Outside)),
        memory_pct=c.whole("answer.memory_pct", highest=100),
    )
    at_least_one: dict[str, Decimal | int] = {
        "answer.attempts": min(book.attempts.values()),
        "answer.breaker": min(
            book.breaker["failures"], book.breaker["probes"], book.breaker["factor"]
        ),
        "answer.chunk": book.chunk,
    }
    for id, value in at_least_one.items():
        if value < 1:
            raise KnowledgeError(f"kb entry {id}: {value} must be at least 1")
    for id, pause in (
        ("answer.seconds", min(book.seconds.values())),
        ("answer.breaker", float(book.breaker["open"])),
    ):
        if pause <= 0:
            raise KnowledgeError(f"kb entry {id}: times must be above 0")
    if (
        max(*book.seconds.values(), book.backoff["longest"], float(book.breaker["longest"]))
        > _LONGEST_SECONDS
    ):
        raise KnowledgeError("kb entry answer.seconds: no time may be above a week")
    if not 0 <= book.backoff["jitter"] <= 1:
        raise KnowledgeError("kb entry answer.backoff: jitter must be from 0 to 1")
    return book


def _evaluation(c: Compiler) -> EvaluationBook:
    book = EvaluationBook(
        rows=c.wholes(
            "evaluate.rows",
            ("triage", "resolver", "sentiment", "baseline_train", "timed"),
            highest=10_000_000,
        ),
        z=c.number("evaluate.interval", highest=10),
        score_within=c.number("evaluate.score_within"),
        stratum_from=c.whole("evaluate.strata"),
        significance=c.number("evaluate.significance", highest=1),
        worth=c.numbers("evaluate.worth", ("missed_pct", "stands_pct"), highest=100),
        baselines=c.wholes(
            "evaluate.baselines",
            ("ngrams", "features", "trees", "leaf", "iterations", "seed"),
            highest=2**31,
        ),
        drift_threshold=c.number("drift.threshold"),
        drift_smoothing=c.number("drift.smoothing"),
        drift_window=c.whole("drift.window"),
        health=c.numbers(
            "monitor.health", ("errors", "replaced", "latency", "throughput"), highest=100
        ),
        health_limits=c.numbers(
            "monitor.limits",
            (
                "errors_pct",
                "replaced_pct",
                "latency_from",
                "latency_to",
                "throughput_pct",
                "seconds",
                "write_seconds",
            ),
        ),
    )
    limits = book.health_limits
    if not book.drift_smoothing:
        raise KnowledgeError(
            "kb entry drift.smoothing: must be above 0, or a value that is new makes the divergence"
            " infinite"
        )
    if limits["latency_to"] <= limits["latency_from"] or not all(limits.values()):
        raise KnowledgeError(
            "kb entry monitor.limits: all above 0, and latency_to above latency_from"
        )
    if min(book.rows.values()) < 1 or min(book.baselines.values()) < 1:
        raise KnowledgeError("kb entries evaluate.rows, evaluate.baselines: must be at least 1")
    return book


def _guard(c: Compiler) -> GuardBook:
    book = GuardBook(
        scores=c.floats("guard.scores", FORMS),
        context=c.floats("guard.context", ("adjacent", "near", "desk")),
        thresholds=c.floats("guard.thresholds", ("text", "reference")),
        reach=c.wholes("guard.reach", ("before", "after")),
        account_digits=c.wholes(
            "guard.account_digits", ("shortest", "near_from", "long_from", "longest", "mixed")
        ),
        passes=c.whole("guard.passes", highest=100),
        linking=c.words("guard.words_linking"),
        desk_linking=c.words("guard.words_desk_linking"),
        units=c.words("guard.words_units"),
        orders=c.words("guard.words_orders"),
        desk=c.words("guard.words_desk"),
        names={kind: c.words(f"guard.words_{kind.lower()}") for kind in get_args(Kind)},
    )
    for id, scores in (
        ("scores", book.scores),
        ("context", book.context),
        ("thresholds", book.thresholds),
    ):
        if max(scores.values()) > 1:
            raise KnowledgeError(f"kb entry guard.{id}: a score must be from 0 to 1")
    if (
        min(book.thresholds.values()) <= 0
        or book.passes < 1
        or max(book.reach.values()) > _FARTHEST
    ):
        raise KnowledgeError(
            "kb entries guard.thresholds, guard.passes, guard.reach: above 0, at least 1, and at"
            f" most {_FARTHEST} characters"
        )
    lists = [
        *book.names.items(),
        ("desk", book.desk),
        ("units", book.units),
        ("orders", book.orders),
        ("linking", book.linking),
        ("desk_linking", book.desk_linking),
    ]
    for kind, words_of_kind in lists:
        if any(
            not word.isascii() or word != word.lower().strip() or not word for word in words_of_kind
        ):
            raise KnowledgeError(
                f"kb entry guard.words_{kind.lower()}: words must be small letters of ASCII"
            )
    digits = book.account_digits
    if (
        not 0
        < digits["shortest"]
        <= digits["near_from"]
        <= digits["long_from"]
        <= digits["longest"]
        <= _FARTHEST
    ):
        raise KnowledgeError(
            "kb entry guard.account_digits: shortest, near_from, long_from, longest must rise, up"
            f" to {_FARTHEST}"
        )
    return book


def _quantizing(c: Compiler) -> QuantizingBook:
    book = QuantizingBook(
        rows=c.whole("quantize.rows", highest=1_000_000),
        loss=c.numbers("quantize.loss", ("valid", "exact"), highest=100),
    )
    if book.rows < 1:
        raise KnowledgeError(f"kb entry quantize.rows: {book.rows} must be at least 1")
    return book
