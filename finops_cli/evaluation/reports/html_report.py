"""Render an evaluation as a self-contained HTML page.

The order is: the verdict, missed criticals, groups with more errors, all details.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import get_args

from finops_cli.domain import enums
from finops_cli.evaluation.baselines import Baselines
from finops_cli.evaluation.metrics import Metrics, PlanTotals, Stratum
from finops_cli.evaluation.reports.columns import COLUMNS, Column
from finops_cli.evaluation.reports.svg import Bar, bars, matrix
from finops_cli.evaluation.run import Evaluation, MadeFrom, Reference
from finops_cli.evaluation.stats import Proportion
from finops_cli.kb.chapters.evaluation import EvaluationSettings

_ORDERS = {
    "priority_tier": get_args(enums.Tier),
    "category": get_args(enums.Category),
    "action": get_args(enums.Action),
    "escalation_level": get_args(enums.EscalationLevel),
    "fallback_strategy": get_args(enums.Fallback),
    "residual_action": get_args(enums.ResidualAction),
    "gridlock_detected": ("yes", "no"),
}
_STYLE = """
:root { --ink: #1c2430; --soft: #667085; --line: #d7dce3; --good: #2f6fb3; --bad: #c2410c;
  --panel: #f5f7fa }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; margin: 2rem auto; max-width: 58rem;
  padding: 0 1rem; color: var(--ink) }
h1 { font-size: 1.45rem; margin-bottom: .2rem }
h2 { margin: 2.4rem 0 .6rem; font-size: 1.15rem }
h3 { font-size: 1rem; margin: 1.3rem 0 .3rem }
p { margin: .3rem 0 } .soft, .axis { color: var(--soft); fill: var(--soft) }
.verdict { font-size: 1.1rem; padding: .8rem 1rem; background: var(--panel);
  border-left: 4px solid var(--soft) }
.verdict.no { border-color: var(--bad) } .verdict.yes { border-color: var(--good) }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0 }
.card { flex: 1 1 11rem; background: var(--panel); padding: .7rem .9rem }
.card b { display: block; font-size: 1.55rem; line-height: 1.2; font-variant-numeric: tabular-nums }
.card.alarm b { color: var(--bad) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top }
th:first-child, td:first-child, .left { text-align: left }
th { font-weight: 600 }
.alarm td:first-child { color: var(--bad); font-weight: 600 }
svg { max-width: 100%; min-width: 34rem; height: auto; display: block }
svg text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink) }
svg text.axis { fill: var(--soft) }
svg text.head { font-size: 11px }
.good { fill: var(--good) }
.bad { fill: var(--bad) }
.none { fill: #98a2b3 } svg text.pale { fill: #fff }
.grid { stroke: var(--line) }
.whisker { stroke: var(--ink); fill: none; stroke-width: 1.4 }
.cell { fill: var(--panel) }
details { margin: .6rem 0 }
summary { cursor: pointer; color: var(--good) }
code { font-size: .9em; overflow-wrap: anywhere }
"""
_SHOWN_STRATA = 12


def page(evaluation: Evaluation, settings: EvaluationSettings) -> str:
    """Render an evaluation as a page that loads nothing from the network."""
    made, metrics = evaluation.made_from, evaluation.metrics
    if metrics is None:
        title = f"{made.stage}: {_name_of(made)} against the baselines"
    else:
        model = made.models.get(metrics.stage)
        title = f"{made.stage}: {model or made.backend} against the rules"
    kind = {True: "yes", False: "no", None: ""}[evaluation.verdict.earned]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="verdict {kind}">{escape(evaluation.verdict.sentence)}</p>',
    ]
    if metrics is not None:
        parts += _answers(metrics, settings)
    parts += [*_baselines(_with_model(evaluation), evaluation.engine), *_made_from(made)]
    head = (
        '<meta charset="utf-8"><meta name="viewport"'
        f' content="width=device-width"><title>{escape(title)}</title>'
    )
    return (
        "<!doctype html><html"
        f" lang=en><head>{head}<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _name_of(made: MadeFrom) -> str:
    return made.models.get(made.stage) or made.backend


def _with_model(evaluation: Evaluation) -> Baselines:
    """Put a sentiment backend before the baselines: all have the same measures."""
    ran, found = evaluation.baselines, evaluation.sentiment
    if found is None:
        return ran
    return Baselines(ran.train_rows, [found.answers, *ran.results])


def _answers(metrics: Metrics, settings: EvaluationSettings) -> Iterator[str]:
    yield from _cards(metrics, settings)
    yield from _where(metrics.strata)
    yield from _fields(metrics)
    yield from _matrices(metrics)
    yield from _plans(metrics)
    yield from _rules(metrics)
    yield from _all_strata(metrics.strata)


def _cards(metrics: Metrics, settings: EvaluationSettings) -> Iterator[str]:
    """Render the main metrics, missed criticals first."""
    cards = []
    if metrics.criticals is not None:
        c = metrics.criticals
        told = "; ".join(filter(None, (_interval(c.missed), c.silence)))
        alarm = bool(c.missed.count or c.unanswered)
        cards.append(
            _card("missed criticals", f"{c.missed.count:,} of {c.missed.of:,}", told, alarm)
        )
    if metrics.shares is not None:
        told = (
            f"of {metrics.shares.coverable:,} coverable; {metrics.shares.overstated:,} overstated"
        )
        cards.append(
            _card("shares lost", f"{metrics.shares.lost:,}", told, bool(metrics.shares.lost))
        )
    first, *others = (_column_card(column, metrics, settings) for column in COLUMNS)
    wrong, none = metrics.first_answers["wrong"], metrics.first_answers["none"]
    split = f"{wrong:,} wrong, {none:,} no answer"
    counts = _card("first answers", f"{metrics.first_answers['right']:,} right", split)
    cards += [first, counts, *others]
    s = metrics.speed
    if s.p50_ms is not None:
        rate = "" if s.tokens_per_second is None else f", {s.tokens_per_second:,} tokens/s"
        cards.append(
            _card(
                "latency p50",
                f"{s.p50_ms:,.1f} ms",
                f"p95 {s.p95_ms:,.1f}, p99 {s.p99_ms:,.1f}{rate}",
            )
        )
    yield f"<div class=cards>{''.join(cards)}</div>"
    if metrics.criticals is not None:
        yield from _criticals(metrics)


def _column_card(column: Column, metrics: Metrics, settings: EvaluationSettings) -> str:
    """Render the card of a column; empty if the stage does not have the column."""
    proportion = column.proportion(metrics, settings)
    if proportion is None:
        return ""
    return _card(column.title, _percent(proportion), _interval(proportion))


def _criticals(metrics: Metrics) -> Iterator[str]:
    c, e = metrics.criticals, metrics.escalation
    assert c is not None  # noqa: S101 - the caller checks this
    if c.missed.count:
        told = ", ".join(f"{count:,} as {tier}" for tier, count in c.missed_as.items())
        first = ", ".join(c.missed_ids)
        yield f"<p>Criticals were missed: {told}. The first: <code>{escape(first)}</code></p>"
    yield f"<p class=soft>False alarms {c.false_alarms.count:,} of {c.false_alarms.of:,}.</p>"
    if e is not None:
        levels = [
            Bar("escalation too low", e.too_low, bad=True),
            Bar("right level", e.right),
            Bar("too high", e.too_high, bad=True),
        ]
        yield bars(levels, "escalation levels")


def _where(strata: Sequence[Stratum]) -> Iterator[str]:
    worse = [stratum for stratum in strata if stratum.flagged]
    if not worse:
        yield "<h2>Where it is worse</h2><p>No group of records is worse than chance explains.</p>"
        return
    told = (
        f"{_groups(len(worse))} with more wrong or missing answers than chance explains. The bars"
        " show the proportion of right answers"
    )
    yield f"<h2>Where it is worse</h2><p class=soft>{told}.</p>"
    yield bars(
        [_stratum_bar(stratum) for stratum in worse[:_SHOWN_STRATA]], "groups with more errors"
    )
    if len(worse) > _SHOWN_STRATA:
        yield (
            f"<p class=soft>And {_groups(len(worse) - _SHOWN_STRATA, 'more ')} below, under All"
            " groups.</p>"
        )


def _groups(count: int, which: str = "") -> str:
    return f"{count:,} {which}group{'' if count == 1 else 's'}"


def _stratum_bar(stratum: Stratum) -> Bar:
    note = _silence(stratum) if stratum.flagged_unanswered else next(iter(stratum.worst), "")
    return Bar(f"{stratum.dimension}: {stratum.group}", stratum.right, note, stratum.flagged)


def _fields(metrics: Metrics) -> Iterator[str]:
    yield (
        "<h2>Field by field</h2><p class=soft>Proportion of readable answers; the whisker is the"
        " interval (kb: evaluate.confidence_z).</p>"
    )
    rows = [Bar(name, each, bad=each.count < each.of) for name, each in metrics.fields.items()]
    if metrics.score_within is not None:
        rows.append(
            Bar(
                "score close",
                metrics.score_within,
                bad=metrics.score_within.count < metrics.score_within.of,
            )
        )
    yield bars(rows, "proportion of answers in which each field is right")


def _matrices(metrics: Metrics) -> Iterator[str]:
    yield "<h2>Confusion matrices</h2>"
    for name, counts in metrics.confusion.items():
        flawed = any(said != expected for expected, row in counts.items() for said in row)
        opened = " open" if flawed else ""
        told = "" if flawed else " (no errors)"
        yield (
            f"<details{opened}><summary>{escape(name)}{told}"
            f"</summary>{matrix(counts, _ORDERS[name], name)}</details>"
        )


def _plans(metrics: Metrics) -> Iterator[str]:
    if metrics.shares is None:
        return
    yield (
        "<h2>Shares by number of fails to"
        " receive</h2><table><tr><th>FTRs<th>plans<th>owed<th>coverable<th>lost<th>overstated"
    )
    yield "<th>no answer</tr>"
    for name, totals in ({**metrics.shares_by_ftr_count, "all": metrics.shares}).items():
        yield _plan_row(name, totals)
    yield "</table>"


def _plan_row(name: str, t: PlanTotals) -> str:
    numbers = "".join(
        f"<td>{n:,}" for n in (t.plans, t.owed, t.coverable, t.lost, t.overstated, t.unanswered)
    )
    return f"<tr{' class=alarm' if t.lost else ''}><td>{escape(name)}{numbers}</tr>"


def _rules(metrics: Metrics) -> Iterator[str]:
    yield "<h2>Rules that first answers broke</h2>"
    if metrics.rules:
        yield bars(
            [Bar(rule, each, bad=True) for rule, each in metrics.rules.items()], "rules broken"
        )
    else:
        yield "<p>None.</p>"
    if metrics.no_answer:
        counts = ", ".join(
            f"<code>{escape(rule)}</code> {count:,}" for rule, count in metrics.no_answer.items()
        )
        yield f"<p>No answer, by reason: {counts}.</p>"
    counts = ", ".join(f"{status} {count:,}" for status, count in metrics.statuses.items() if count)
    yield f"<p class=soft>Answers after repair: {counts}.</p>"


def _all_strata(strata: Sequence[Stratum]) -> Iterator[str]:
    yield "<h2>All groups</h2>"
    for dimension in dict.fromkeys(
        stratum.dimension for stratum in sorted(strata, key=lambda s: s.dimension)
    ):
        mine = [stratum for stratum in strata if stratum.dimension == dimension]
        rows = [
            Bar(stratum.group, stratum.right, _silence(stratum), stratum.flagged)
            for stratum in mine
        ]
        yield f"<details><summary>{escape(dimension)}</summary>{bars(rows, dimension)}</details>"


def _silence(stratum: Stratum) -> str:
    return f"{stratum.unanswered:,} no answer" if stratum.unanswered else ""


def _baselines(ran: Baselines, engine: Reference | None) -> Iterator[str]:
    yield "<h2>Baselines</h2>"
    if engine is not None and engine.p50_ms is not None:
        yield (
            "<p>The engine applies the rules, so it is right by definition:"
            f" {engine.p50_ms:.3f} ms a record.</p>"
        )
    if ran.not_run is not None:
        yield f"<p>{escape(ran.not_run[:1].upper() + ran.not_run[1:])}.</p>"
        return
    yield (
        f"<p class=soft>TF-IDF classifiers trained on {ran.train_rows:,} rows of the train split,"
        " on the same records.</p>"
    )
    yield bars(
        [
            Bar(f"{each.target}: {each.name}", each.classified.right, _timed(each.p50_ms))
            for each in ran.results
        ],
        "baselines",
    )
    for each in ran.results:
        order = _ORDERS.get(each.target, tuple(each.classified.classes))
        drawn = matrix(each.classified.confusion, order, each.name)
        report = "".join(
            f"<tr><td>{escape(name)}<td>{_percent(c.precision)}<td>{_percent(c.recall)}"
            f"<td>{c.f1_pct or 0:.1f}"
            " %</tr>"
            for name, c in each.classified.classes.items()
        )
        head = "<tr><th>class<th>precision<th>recall<th>F1</tr>"
        yield (
            f"<details><summary>{escape(each.target)}:"
            f" {each.name}</summary><table>{head}{report}</table>{drawn}</details>"
        )


def _timed(p50_ms: object) -> str:
    return "" if p50_ms is None else f"{p50_ms:.2f} ms each"


def _made_from(made: MadeFrom) -> Iterator[str]:
    told = {
        "records": f"{made.records}; sha256 {made.records_sha256[:12]}",
        "backend": made.backend,
        "models": (", ".join(name for name in made.models.values() if name) or "none"),
        "digests": (
            ", ".join(d[:12] for d in (made.digests.values() if made.digests else ()) if d)
            or "none"
        ),
        "prompts": (made.prompt_sha256 or "none")[:12],
        "rules": made.kb,
        "free text": made.guard or "unchanged",
        "finops": made.finops,
    }
    rows = "".join(
        f"<tr><td>{name}<td class=left>{escape(text)}</tr>" for name, text in told.items()
    )
    yield f"<h2>Made from</h2><table>{rows}</table>"
    yield (
        "<p class=soft>Every number can be computed again from <code>outcomes.jsonl</code>."
        " Explanations: "
    )
    yield "<code>finops kb search evaluate</code>.</p>"


def _card(name: str, value: str, note: str, alarm: bool = False) -> str:
    return (
        f'<div class="card{" alarm" if alarm else ""}">{escape(name)}<b>{value}</b><span'
        f" class=soft>{escape(note)}</span></div>"
    )


def _percent(part: Proportion) -> str:
    return "none" if part.pct is None else f"{part.pct:.1f} %"


def _interval(part: Proportion) -> str:
    return "none to count" if part.pct is None else f"{part.low_pct:.1f} to {part.high_pct:.1f} %"
