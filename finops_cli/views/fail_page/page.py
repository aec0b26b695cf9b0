"""The page of one fail: what to do, why, by when, and what the answer rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from finops_cli.domain.exact_json import encode
from finops_cli.domain.finding import Finding
from finops_cli.domain.money import plain
from finops_cli.domain.sentiment import Tone
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.earlier_lines import RULE as PROMISED
from finops_cli.views.columns import Columns, Row, fill_lines
from finops_cli.views.exports.plan_rows import write_action
from finops_cli.views.fail_page.clock import render_clock
from finops_cli.views.fail_page.line import FailLine, LineProvenance, PlanAnswer, TriageAnswer
from finops_cli.views.fail_page.pool_queue import render_queue
from finops_cli.views.fail_page.score import explain_tier, list_score_rows, write_points
from finops_cli.views.paint import Paint, leave_plain
from finops_cli.views.wording import clean

_INDENT = "  "
_LABEL = 14
_WIDEST_CELL = 44
"""Columns of a bar, or of a command."""

Section = Callable[[FailLine, KnowledgeBase, int], Iterator[str]]


def render_page(
    line: FailLine, kb: KnowledgeBase, width: int, paint: Paint = leave_plain
) -> Iterator[str]:
    """Yield the lines of the page. A section that has nothing to say is left out."""
    yield from _render_head(line, width, paint)
    for title, section in _SECTIONS:
        shown = list(section(line, kb, width))
        if shown:
            yield ""
            yield title
            yield from shown


def _render_head(line: FailLine, width: int, paint: Paint) -> Iterator[str]:
    parts = [clean(line.fail_id)]
    if line.triage is not None:
        tier = line.triage.priority_tier
        parts.append(f"{paint(tier, tier)} {write_points(line.triage.priority_score)}")
    if line.fail is not None:
        name = clean(line.fail.symbol or line.fail.cusip)
        parts.append(f"{line.fail.side} {line.fail.qty:,} of {name}")
    yield "  ".join(parts)
    error = None if line.error is None else line.error.message
    for text in (STATUSES.get(line.status), what_to_do(line), error):
        if text:
            yield from fill_lines(clean(text), width)


STATUSES = {
    "repaired": "Repaired: finops corrected the model's answer.",
    "fallback": "Fallback: the engine answered instead of the model.",
    "rejected": "Rejected: the record could not be used.",
    "failed": "Failed: no valid answer could be had.",
}


def what_to_do(line: FailLine) -> str | None:
    """Return the headline, else the reason of the triage, else the plan in words."""
    if line.headline is not None:
        return line.headline.text
    if line.triage is not None:
        return line.triage.reason
    return None if line.resolution is None else line.resolution.narrative


def _render_facts(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    for label, text in list_facts(line):
        yield from _render_fact(label, text, width)


def list_facts(line: FailLine) -> list[tuple[str, str]]:
    """List what is known of a fail as labels and texts; what is not known is left out."""
    fail, triage, origin = line.fail, line.triage, line.origin
    facts: list[tuple[str, str | None]] = []
    if fail is not None:
        facts += [
            ("security", " ".join(part for part in (fail.symbol, f"CUSIP {fail.cusip}") if part)),
            ("side", fail.side + ("" if triage is None else f", {_write_category(triage)}")),
            ("shares", f"{fail.qty:,}"),
            ("counterparty", " ".join(filter(None, (fail.counterparty, fail.counterparty_name)))),
            ("value", f"${fail.market_value:,.2f}"),
            ("age", f"{fail.age_days:,} settlement day{'' if fail.age_days == 1 else 's'}"),
        ]
    if triage is not None:
        facts += [
            ("state", write_words(triage.lifecycle_state)),
            ("flags", ", ".join(map(write_words, triage.flags))),
        ]
    if origin is not None:
        facts += [("derived", ", ".join(origin.derived)), ("assumed", ", ".join(origin.assumed))]
        facts.append(("as of", origin.as_of))
    if line.tone is not None:
        facts.append(("tone of notes", _write_tone(line.tone)))
    return [(label, text) for label, text in facts if text]


def _write_tone(tone: Tone) -> str:
    """Write the label of the notes, its confidence, its flags and who gave it."""
    if tone.sentiment is None:
        return f"not known: {tone.backend} gave none"
    confidence = tone.sentiment.confidence
    number = "" if confidence is None else f" {confidence:.2f}"
    flags = "".join(f", {write_words(flag)}" for flag in tone.flags)
    return f"{tone.sentiment.label}{number}, by {tone.backend}{flags}; it changes no score"


def _write_category(triage: TriageAnswer) -> str:
    direction = triage.cns_direction
    return write_words(triage.category) + ("" if direction == "N_A" else f", {direction}")


def write_words(name: str) -> str:
    """Write a word of a list for a person: CNS_FAIL is CNS fail."""
    return " ".join(_SHORT.get(word, word.lower()) for word in clean(name).split("_"))


_SHORT = {"REG": "Reg", "CP": "counterparty"} | {
    each: each for each in ("CNS", "DVP", "RVP", "DK", "FTD", "FTR", "SHO", "SPO")
}


def _render_fact(label: str, text: str, width: int) -> Iterator[str]:
    first = f"{_INDENT}{label:<{_LABEL}}"
    yield from fill_lines(f"{first}{clean(text)}", width, " " * len(first))


def _render_score(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    triage = line.triage
    if triage is None:
        return
    rows = list(list_score_rows(triage, kb.scoring))
    table = Columns(rows, width - len(_INDENT), indent=4, right={1}, widest=_WIDEST_CELL)
    for row in rows:
        yield from (f"{_INDENT}{each}" for each in table.render(row))
    tier = f"{triage.priority_tier}: {explain_tier(triage, kb.scoring)}"
    yield from _render_fact("tier", tier, width)
    if triage.escalation_level != "NONE":
        yield from _render_fact("escalate to", triage.escalation_level, width)


def _render_plan(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    plan = line.resolution
    if plan is None:
        if line.resolution_skipped:
            text = f"{_INDENT}None: {clean(line.resolution_skipped)}"
            yield from fill_lines(text, width, _INDENT)
        return
    rows = list(_list_steps(plan))
    table = Columns([_STEP_HEAD, *rows], width - len(_INDENT), indent=3, right={0, 3, 4, 5})
    yield from (f"{_INDENT}{each}" for each in table.render(_STEP_HEAD))
    for row in rows:
        yield from (f"{_INDENT}{each}" for each in table.render(Row(row.cells)))
        for note in row.notes:
            yield from fill_lines(f"     {note}", width, "     ")
    yield from _render_rest(plan, width)


_STEP_HEAD = Row(("#", "step", "with", "shares", "covered", "left"))


def _list_steps(plan: PlanAnswer) -> Iterator[Row]:
    for step in plan.resolution_steps:
        cells = (
            str(step.step),
            write_action(step.action),
            clean(step.dtc or ""),
            f"{step.qty:,}" if step.qty else "",
            f"{plain(step.coverage_after_step_pct)} %",
            f"{step.remaining_short:,}",
        )
        yield Row(cells, (clean(step.rationale),))


_FALLBACKS = {"INITIATE_RECALL": "recall", "SOURCE_BORROW": "borrow"}


def _render_rest(plan: PlanAnswer, width: int) -> Iterator[str]:
    for label, text in list_rest(plan):
        yield from _render_fact(label, text, width)


def list_rest(plan: PlanAnswer) -> Iterator[tuple[str, str]]:
    """Yield labels and texts of what follows the steps: the fallbacks, and what is uncovered."""
    then = [
        f"{_FALLBACKS.get(action, clean(action))} {qty:,} shares"
        for action, qty in (
            (plan.fallback_strategy, plan.fallback_qty),
            (plan.secondary_fallback, plan.secondary_fallback_qty),
        )
        if action != "NONE"
    ]
    if then:
        yield "then", "; ".join(then)
    if plan.additional_ftrs_chased:
        yield "also chased", f"{plan.additional_ftrs_chased:,} more receives"
    if plan.gridlock_detected and plan.gridlock_parties:
        yield "gridlock", ", ".join(plan.gridlock_parties)
    left = f"{plan.residual_short:,} shares have no source"
    if not plan.residual_short:
        left = "nothing: the plan covers each share"
    elif plan.residual_action != "NONE":
        left += f": {write_action(plan.residual_action).lower()}"
    yield "uncovered", left
    if plan.escalation_required and plan.escalation_reason:
        yield "escalation", plan.escalation_reason


def _render_findings(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    for stage, found in line.findings():
        yield from _render_finding(found, f"{found.rule} in {stage}", width)
        for label, value in (("the model said", found.actual), ("the rule gives", found.expected)):
            yield from _render_value(label, value, width)


def _render_warnings(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    for found in line.warnings:
        if found.rule != PROMISED:
            yield from _render_finding(found, found.rule, width)


def _render_promised(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    for found in line.warnings:
        if found.rule == PROMISED:
            yield from fill_lines(f"{_INDENT}{clean(found.message)}", width, _INDENT)
            yield from fill_lines(f"{_INDENT}finops book promises each share once", width, _INDENT)


def _render_finding(found: Finding, name: str, width: int) -> Iterator[str]:
    text = f"{_INDENT}{clean(name)} {clean(found.path)}: {clean(found.message)}"
    yield from fill_lines(text, width, _INDENT * 2)


def _render_value(label: str, value: object, width: int) -> Iterator[str]:
    first = f"{_INDENT * 2}{label:<{_LABEL + 2}}"
    yield from fill_lines(f"{first}{clean(write_value(value))}", width, " " * len(first))


def write_value(value: object) -> str:
    """Write a value of a finding; a value other than a text is JSON."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value if isinstance(value, str) else encode(value).decode()


def _render_texts(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    for text in (
        None if line.triage is None else line.triage.reason,
        None if line.resolution is None else line.resolution.narrative,
    ):
        if text and text != what_to_do(line):
            yield from fill_lines(f"{_INDENT}{clean(text)}", width, _INDENT)


def _render_received(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    """Yield the stages whose answer was kept; `--format json` shows it whole."""
    for stage, kept in (line.raw or {}).items():
        text = clean(write_value(kept))
        short = text if len(text) <= _KEPT else f"{text[:_KEPT]}... ({len(text):,} characters)"
        yield from _render_fact(clean(stage), short, width)


_KEPT = 300
"""Characters of an unusable answer that a page shows."""


def _render_sources(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    made = line.provenance
    if made is not None:
        rules = made.kb if made.kb == kb.version else f"{made.kb}; the titles are of {kb.version}"
        yield from _render_fact("rules", rules, width)
        yield from _render_fact("answered by", write_backend(made), width)
        if made.masked:
            yield from _render_fact("masked", ", ".join(made.masked), width)
    rules_named = [each for each in line.rules if each in kb.entries]
    rows = [Row((f"finops kb show {each}", kb.entries[each].title)) for each in rules_named]
    table = Columns(rows, width - len(_INDENT), indent=4, widest=_WIDEST_CELL)
    for row in rows:
        yield from (f"{_INDENT}{each}" for each in table.render(row))


def write_backend(made: LineProvenance) -> str:
    """Name the backend, its models, and the attempts that it took."""
    models = [f"{stage} {name}" for stage, name in (made.models or {}).items() if name]
    attempts = f"{made.attempts} attempts" if made.attempts > 1 else ""
    return ", ".join(filter(None, [made.backend, *models, attempts]))


_SECTIONS: tuple[tuple[str, Section], ...] = (
    ("Facts", _render_facts),
    ("Contradictions in the record", _render_warnings),
    ("Shared sources", _render_promised),
    ("Queue", render_queue),
    ("Score", _render_score),
    ("Plan", _render_plan),
    ("Dates of the law", render_clock),
    ("Corrected", _render_findings),
    ("In words", _render_texts),
    ("Received and not used", _render_received),
    ("Sources", _render_sources),
)
