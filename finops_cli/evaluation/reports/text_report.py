"""An evaluation for a terminal of 80 columns, missed criticals first."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from textwrap import fill

from finops_cli.evaluation.baselines import Baselines
from finops_cli.evaluation.compare import Comparison, Paired
from finops_cli.evaluation.drift import Drift, Drifted
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.evaluation.metrics import Metrics
from finops_cli.evaluation.run import Evaluation, MadeFrom, Reference
from finops_cli.evaluation.stats import Proportion
from finops_cli.files.terminal import printable

_LABEL = 18
_STRATA, _FIELDS = 6, 2


def summary(evaluation: Evaluation) -> str:
    """What an analyst reads first."""
    return "\n".join(_rows(evaluation))


def _rows(evaluation: Evaluation) -> Iterator[str]:
    made, f = evaluation.made_from, evaluation.figures
    yield fill(evaluation.verdict.sentence, 79)
    yield ""
    if f is not None:
        yield from _of_answers(made, f)
        yield from _speed(f)
        yield from _engine(evaluation.engine)
    yield from _baselines(evaluation.baselines)


def _of_answers(made: MadeFrom, f: Metrics) -> Iterator[str]:
    model = GRADED_STAGES[f.stage].model(made.models)
    yield _row("evaluated", f"{made.backend}{f' {model}' if model else ''}, {f.stage}")
    yield _row("records", f"{f.asked:,} ({made.records})")
    if f.criticals is not None:
        c = f.criticals
        yield _row("missed criticals", _share(c.missed))
        if c.unanswered:
            yield _row("", c.silence)
        yield _row("false alarms", _share(c.false_alarms))
    if f.shares is not None:
        s = f.shares
        yield _row(
            "shares lost", f"{s.lost:,} of {s.coverable:,} coverable; overstated {s.overstated:,}"
        )
        yield _row("plans without loss", _share(s.without_loss))
    yield _row(
        "first answers",
        f"right {f.first['right']:,}, wrong {f.first['wrong']:,}, no answer {f.first['none']:,}",
    )
    yield _row("right of answers", _share(f.right))
    yield _row("valid as it came", _share(f.valid_before))
    yield _row("stands after", _share(f.stands_after))
    if f.rejected:
        yield _row("rejected", f"{f.rejected:,} records that cannot be used")
    yield from _fields(f)
    yield from _told("rules broken", [f"{rule} {share.count:,}" for rule, share in f.rules.items()])
    yield from _told("no answer for", [f"{rule} {count:,}" for rule, count in f.no_answer.items()])
    yield from _strata(f)


def _fields(f: Metrics) -> Iterator[str]:
    flawed = {name: each for name, each in f.fields.items() if each.count < each.of}
    if f.score_within is not None and "priority_score" in flawed:
        yield _row("score", f"exact {_share(f.fields['priority_score'])}")
        yield _row("", f"within {_share(f.score_within)}")
    for place, (name, each) in enumerate(
        sorted(flawed.items(), key=lambda item: (item[1].pct or Decimal(0), item[0]))
    ):
        yield _row("fields" if not place else "", f"{name:<23} {_share(each)}")


def _strata(f: Metrics) -> Iterator[str]:
    worse = [stratum for stratum in f.strata if stratum.singled_out]
    for place, stratum in enumerate(worse[:_STRATA]):
        yield _row("worse where" if not place else "", f"{stratum.dimension}: {stratum.group}")
        yield _row("", f"  right {_share(stratum.right)}")
        if stratum.worst:
            yield _row("", f"  wrong: {', '.join(list(stratum.worst)[:_FIELDS])}")
        if stratum.unanswered:
            yield _row("", f"  {stratum.unanswered:,} no answer")
    if len(worse) > _STRATA:
        yield _row("", f"and {len(worse) - _STRATA} more groups in the report")


def _baselines(ran: Baselines) -> Iterator[str]:
    for place, each in enumerate(ran.list):
        took = "" if each.p50_ms is None else f"; {each.p50_ms:,} ms"
        yield _row("baselines" if not place else "", f"{each.target}: {each.name}")
        yield _row("", f"  right {_share(each.classified.right)}{took}")


def _speed(f: Metrics) -> Iterator[str]:
    s = f.speed
    if s.p50_ms is not None:
        rate = "" if s.tokens_per_second is None else f"; {s.tokens_per_second:,} tokens/s"
        yield _row(
            "latency ms", f"p50 {s.p50_ms:,.1f}  p95 {s.p95_ms:,.1f}  p99 {s.p99_ms:,.1f}{rate}"
        )


def _engine(engine: Reference | None) -> Iterator[str]:
    if engine is not None and engine.p50_ms is not None:
        yield _row("engine ms", f"p50 {engine.p50_ms:,}  p95 {engine.p95_ms:,}")


def _told(label: str, items: list[str]) -> Iterator[str]:
    for place, item in enumerate(items):
        yield _row(label if not place else "", item)


def _share(share: Proportion) -> str:
    """1 of 20, 5.0 % (0.9 to 23.6)."""
    if share.pct is None:
        return "none to count"
    return (
        f"{share.count:,} of {share.of:,}, {share.pct:.1f} % ({share.low_pct:.1f} to"
        f" {share.high_pct:.1f})"
    )


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL}} {text}".rstrip()


def comparison_text(comparison: Comparison, first: str, second: str) -> str:
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
    if c.figures:
        yield ""
        yield f"{'':<18}{'first':>8}{'second':>8}  first less second, % (interval)    p"
    for figure in c.figures:
        yield (
            f"{figure.name:<18}{figure.first_right:>8,}{figure.second_right:>8,} "
            f" {_difference(figure)}"
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


def _difference(figure: Paired) -> str:
    told = f"{figure.difference_pct:+} ({figure.low_pct:+} to {figure.high_pct:+})"
    return f"{told:<35}{_p(figure.p_corrected)}"


def _verdict(c: Comparison, first: str, second: str) -> Iterator[str]:
    """No answer is the worst of all, so it comes first."""
    names = {"first": first, "second": second}
    if c.answers_more:
        yield (
            f"{names[c.answers_more]} answers more often: chance alone would do this with"
            f" {_p(c.answered_p)}."
        )
    if not c.figures:
        yield "No record was answered by both."
        return
    main, where = c.figures[0], "Where both answer, " if c.answered["both"] < c.pairs else ""
    if main.better:
        yield (
            f"{where}{names[main.better]} is right more often: chance alone would do this with"
            f" {_p(main.p)}."
        )
        return
    told = f"{where}no difference is shown: chance alone would do this with {_p(main.p)}."
    yield told[0].upper() + told[1:]


def _p(p: Decimal) -> str:
    return "p < 0.000001" if not p else f"p = {p.normalize():f}"


def drift_text(found: Drift) -> str:
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


def _drift_rows(each: Drifted) -> Iterator[str]:
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
