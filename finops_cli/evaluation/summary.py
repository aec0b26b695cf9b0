"""An evaluation for a terminal of 80 columns, missed criticals first."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from textwrap import fill

from finops_cli.evaluation.baselines import Baselines
from finops_cli.evaluation.evaluate import Evaluation, MadeFrom, Reference
from finops_cli.evaluation.figures import Figures
from finops_cli.evaluation.shares import Share

_LABEL = 18
_STRATA, _FIELDS = 6, 2


def summary(evaluation: Evaluation) -> str:
    """What an analyst reads first."""
    return "\n".join(_rows(evaluation))


def _rows(evaluation: Evaluation) -> Iterator[str]:
    made, f = evaluation.made_from, evaluation.figures
    yield fill(evaluation.worth.sentence, 79)
    yield ""
    if f is not None:
        yield from _of_answers(made, f)
        yield from _speed(f)
        yield from _engine(evaluation.engine)
    yield from _baselines(evaluation.baselines)


def _of_answers(made: MadeFrom, f: Figures) -> Iterator[str]:
    model = made.models.triage if f.stage == "triage" else made.models.resolver
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


def _fields(f: Figures) -> Iterator[str]:
    flawed = {name: each for name, each in f.fields.items() if each.count < each.of}
    if f.score_within is not None and "priority_score" in flawed:
        yield _row("score", f"exact {_share(f.fields['priority_score'])}")
        yield _row("", f"within {_share(f.score_within)}")
    for place, (name, each) in enumerate(
        sorted(flawed.items(), key=lambda item: (item[1].pct or Decimal(0), item[0]))
    ):
        yield _row("fields" if not place else "", f"{name:<23} {_share(each)}")


def _strata(f: Figures) -> Iterator[str]:
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


def _speed(f: Figures) -> Iterator[str]:
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


def _share(share: Share) -> str:
    """1 of 20, 5.0 % (0.9 to 23.6)."""
    if share.pct is None:
        return "none to count"
    return (
        f"{share.count:,} of {share.of:,}, {share.pct:.1f} % ({share.low_pct:.1f} to"
        f" {share.high_pct:.1f})"
    )


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL}} {text}".rstrip()
