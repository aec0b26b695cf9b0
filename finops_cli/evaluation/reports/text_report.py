"""Renders an evaluation, a comparison and a drift report for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from textwrap import fill

from finops_cli.evaluation.baselines import Baselines
from finops_cli.evaluation.compare import Comparison, PairedMetric
from finops_cli.evaluation.drift import DimensionDrift, Drift
from finops_cli.evaluation.metrics import Metrics
from finops_cli.evaluation.reports.columns import COLUMNS
from finops_cli.evaluation.run import Evaluation, MadeFrom, Reference
from finops_cli.evaluation.sentiment import SentimentMetrics
from finops_cli.evaluation.stats import Proportion
from finops_cli.files.terminal import printable
from finops_cli.kb.chapters.evaluation import EvaluationSettings

_LABEL = 18
_STRATA, _FIELDS = 6, 2


def evaluation_text(evaluation: Evaluation, settings: EvaluationSettings) -> str:
    """Render an evaluation, missed criticals first."""
    return "\n".join(_rows(evaluation, settings))


def _rows(evaluation: Evaluation, settings: EvaluationSettings) -> Iterator[str]:
    made, metrics = evaluation.made_from, evaluation.metrics
    yield fill(evaluation.verdict.sentence, 79)
    yield ""
    if metrics is not None:
        yield from _answers(made, metrics, settings)
        yield from _speed(metrics)
        yield from _engine(evaluation.engine)
    if evaluation.sentiment is not None:
        yield from _sentiment(evaluation.sentiment)
    yield from _baselines(evaluation.baselines)


def _sentiment(found: SentimentMetrics) -> Iterator[str]:
    """Render the accuracy, the report of each class and the calibration of a backend."""
    answers = found.answers
    yield _row("right", _proportion(answers.classified.right))
    for name, each in answers.classified.classes.items():
        yield _row("", f"{name}: precision {_pct(each.precision)}  recall {_pct(each.recall)}")
    for expected, said in answers.classified.confusion.items():
        counts = "  ".join(f"{name} {count:,}" for name, count in said.items())
        yield _row("confusion", f"{expected}: {counts}")
    yield _row("confidence", "  ".join(f"{name} {n:,}" for name, n in found.confidence.items()))
    if found.calibration_error is not None:
        yield _row("calibration", f"expected error {found.calibration_error}")
        yield _row("", f"confident (0.9 and more): {_proportion(found.confident)}")
        yield _row("", f"right of these: {_proportion(found.confident_right)}")
    if answers.p50_ms is not None:
        yield _row("latency ms", f"p50 {answers.p50_ms:,}  p95 {answers.p95_ms:,}")


def _pct(part: Proportion) -> str:
    return "none" if part.pct is None else f"{part.pct:.1f} %"


def _answers(made: MadeFrom, metrics: Metrics, settings: EvaluationSettings) -> Iterator[str]:
    model = made.models.get(metrics.stage)
    yield _row("evaluated", f"{made.backend}{f' {model}' if model else ''}, {metrics.stage}")
    yield _row("records", f"{metrics.valid_records:,} ({made.records})")
    if metrics.criticals is not None:
        c = metrics.criticals
        yield _row("missed criticals", _proportion(c.missed))
        if c.unanswered:
            yield _row("", c.silence)
        yield _row("false alarms", _proportion(c.false_alarms))
    if metrics.shares is not None:
        s = metrics.shares
        yield _row(
            "shares lost", f"{s.lost:,} of {s.coverable:,} coverable; overstated {s.overstated:,}"
        )
        yield _row("plans without loss", _proportion(s.without_loss))
    first = metrics.first_answers
    right, wrong, none = (f"{first[name]:,}" for name in ("right", "wrong", "none"))
    yield _row("first answers", f"right {right}, wrong {wrong}, no answer {none}")
    for column in COLUMNS:
        proportion = column.proportion(metrics, settings)
        if proportion is not None:
            yield _row(column.label, _proportion(proportion))
    if metrics.rejected:
        yield _row("rejected", f"{metrics.rejected:,} records that cannot be used")
    yield from _fields(metrics)
    yield from _list(
        "rules broken", [f"{rule} {share.count:,}" for rule, share in metrics.rules.items()]
    )
    yield from _list(
        "no answer for", [f"{rule} {count:,}" for rule, count in metrics.no_answer.items()]
    )
    yield from _strata(metrics)


def _fields(metrics: Metrics) -> Iterator[str]:
    flawed = {name: each for name, each in metrics.fields.items() if each.count < each.of}
    if metrics.score_within is not None and "priority_score" in flawed:
        yield _row("score", f"exact {_proportion(metrics.fields['priority_score'])}")
        yield _row("", f"within {_proportion(metrics.score_within)}")
    for place, (name, each) in enumerate(
        sorted(flawed.items(), key=lambda item: (item[1].pct or Decimal(0), item[0]))
    ):
        yield _row("fields" if not place else "", f"{name:<23} {_proportion(each)}")


def _strata(metrics: Metrics) -> Iterator[str]:
    worse = [stratum for stratum in metrics.strata if stratum.flagged]
    for place, stratum in enumerate(worse[:_STRATA]):
        yield _row("worse where" if not place else "", f"{stratum.dimension}: {stratum.group}")
        yield _row("", f"  right {_proportion(stratum.right)}")
        if stratum.worst:
            yield _row("", f"  wrong: {', '.join(list(stratum.worst)[:_FIELDS])}")
        if stratum.unanswered:
            yield _row("", f"  {stratum.unanswered:,} no answer")
    if len(worse) > _STRATA:
        yield _row("", f"and {len(worse) - _STRATA} more groups in the report")


def _baselines(ran: Baselines) -> Iterator[str]:
    for place, each in enumerate(ran.results):
        took = "" if each.p50_ms is None else f"; {each.p50_ms:,} ms"
        yield _row("baselines" if not place else "", f"{each.target}: {each.name}")
        yield _row("", f"  right {_proportion(each.classified.right)}{took}")


def _speed(metrics: Metrics) -> Iterator[str]:
    s = metrics.speed
    if s.p50_ms is not None:
        rate = "" if s.tokens_per_second is None else f"; {s.tokens_per_second:,} tokens/s"
        yield _row(
            "latency ms", f"p50 {s.p50_ms:,.1f}  p95 {s.p95_ms:,.1f}  p99 {s.p99_ms:,.1f}{rate}"
        )


def _engine(engine: Reference | None) -> Iterator[str]:
    if engine is not None and engine.p50_ms is not None:
        yield _row("engine ms", f"p50 {engine.p50_ms:,}  p95 {engine.p95_ms:,}")


def _list(label: str, items: list[str]) -> Iterator[str]:
    for place, item in enumerate(items):
        yield _row(label if not place else "", item)


def _proportion(part: Proportion) -> str:
    """Format a proportion, for example `1 of 20, 5.0 % (0.9 to 23.6)`."""
    if part.pct is None:
        return "none to count"
    return (
        f"{part.count:,} of {part.of:,}, {part.pct:.1f} % ({part.low_pct:.1f} to"
        f" {part.high_pct:.1f})"
    )


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL}} {text}".rstrip()


def comparison_text(comparison: Comparison, first: str, second: str) -> str:
    """Render a comparison of two evaluations."""
    return "\n".join(_comparison_rows(comparison, first, second))


def _comparison_rows(c: Comparison, first: str, second: str) -> Iterator[str]:
    first, second = printable(first), printable(second)
    yield f"first        {first}"
    yield f"second       {second}"
    alone = c.unpaired_first + c.unpaired_second
    yield (
        f"pairs        {c.pairs:,} {c.stage}"
        f" records{f'; {alone:,} are in one of the two alone' if alone else ''}"
    )
    told = "  ".join(f"{name} {count:,}" for name, count in c.answered.items() if count)
    yield f"answered     {told}  {_p(c.answered_p)}"
    if c.metrics:
        yield ""
        yield f"{'':<18}{'first':>8}{'second':>8}  first less second, % (interval)    p"
    for metric in c.metrics:
        yield (
            f"{metric.name:<18}{metric.first_right:>8,}{metric.second_right:>8,} "
            f" {_difference(metric)}"
        )
    yield ""
    if c.shares_lost is not None:
        yield f"shares lost  first {c.shares_lost['first']:,}  second {c.shares_lost['second']:,}"
    if c.faster_p is not None:
        yield (
            f"faster       first {c.faster['first']:,}  second {c.faster['second']:,} "
            f" {_p(c.faster_p)}"
        )
    yield from _verdict(c, first, second)


def _difference(metric: PairedMetric) -> str:
    told = f"{metric.difference_pct:+} ({metric.low_pct:+} to {metric.high_pct:+})"
    return f"{told:<35}{_p(metric.p_corrected)}"


def _verdict(c: Comparison, first: str, second: str) -> Iterator[str]:
    """Say which evaluation is better.

    A missing answer is worse than a wrong one, so it is compared first.
    """
    names = {"first": first, "second": second}
    if c.answers_more:
        yield (
            f"{names[c.answers_more]} answers more often (exact paired test, {_p(c.answered_p)})."
        )
    if not c.metrics:
        yield "No record was answered by both."
        return
    main, where = c.metrics[0], "Where both answer, " if c.answered["both"] < c.pairs else ""
    if main.better:
        yield (
            f"{where}{names[main.better]} is right more often (exact paired test, {_p(main.p)})."
        )
        return
    sentence = f"{where}no difference is shown (exact paired test, {_p(main.p)})."
    yield sentence[0].upper() + sentence[1:]


def _p(p: Decimal) -> str:
    return "p < 0.000001" if not p else f"p = {p.normalize():f}"


def drift_text(found: Drift) -> str:
    """Render a drift report."""
    window = f"; windows of {found.window:,}" if found.window else ""
    rows = [
        fill(found.sentence, 79),
        "",
        (
            f"{found.records:,} records against {found.baseline_records:,}; threshold"
            f" {found.threshold} nats{window}"
        ),
        "",
        f"{'':<8}{'':<19}{'whole':>7}{'worst window' if found.window else '':>14}".rstrip(),
    ]
    return "\n".join([*rows, *(row for each in found.dimensions for row in _drift_rows(each))])


def _drift_rows(each: DimensionDrift) -> Iterator[str]:
    verdict = "DRIFT" if each.drifted else "as was"
    worst = (
        ""
        if each.worst is None
        else f"{each.worst.divergence:>14.3f}  records {each.worst.first:,} to {each.worst.last:,}"
    )
    yield f"{verdict:<8}{each.name:<19}{each.divergence:>7.3f}{worst}"
    if each.drifted:
        yield (
            f"{'':<8}  {printable(' '.join(each.moved.split()))} was {each.from_pct} %, is"
            f" {each.to_pct} % of the whole"
        )
        window = "" if each.worst is None else f", {each.worst.by_chance:.3f} in such a window"
        yield f"{'':<8}  chance alone gives about {each.by_chance:.3f} in the whole{window}"
