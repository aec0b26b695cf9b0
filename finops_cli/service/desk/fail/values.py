"""The values of the page of one fail: each number is the one of the line, or of its rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from finops_cli.domain.finding import Finding
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.clock import NO_AS_OF
from finops_cli.pipeline.earlier_lines import RULE as PROMISED
from finops_cli.service.desk.fail.coverage_chart import CoverageChart, make_coverage_chart
from finops_cli.service.desk.fail.letters import NO_LETTERS, FailLetters, write_fail_letters
from finops_cli.service.desk.fail.record import GivenRecord
from finops_cli.service.desk.fail.related import RelatedFails
from finops_cli.service.desk.fail.score_chart import ScoreChart, make_score_chart
from finops_cli.service.fails.views import FailView, PastAnswer
from finops_cli.service.store.decisions import Decision
from finops_cli.service.store.files import StoredFile
from finops_cli.service.store.jobs import Job
from finops_cli.views.fail_page.clock import list_duties, list_notes, list_sentences, write_duty
from finops_cli.views.fail_page.line import FailLine, PlanAnswer, read_fail_line
from finops_cli.views.fail_page.page import (
    STATUSES,
    list_facts,
    what_to_do,
    write_backend,
    write_value,
)
from finops_cli.views.fail_page.pool_queue import choose_neighbours
from finops_cli.views.pool_page.pool import PoolFail, describe_allotment, describe_shares

_GONE = "The output of the job is gone; the row of the queue and the decisions are kept."
_OTHER_SHAPE = (
    "The line has another shape than this version of finops writes; it is shown as it is."
)
_MOST_TEXT = 20_000
_SKIPPED = {NO_AS_OF: "neither the job nor the record says the day that dates are counted from"}
"""Characters of a raw text that a page shows."""


class FindingView(Struct, frozen=True, kw_only=True):
    """A broken rule, with the values before and after."""

    rule: str
    title: str
    stage: str
    path: str
    message: str
    before: str
    after: str


class ClockView(Struct, frozen=True, kw_only=True):
    """The dates of the law."""

    sentences: list[str]
    duties: list[tuple[str, ...]]
    """Day, rule, shares, remedy, days left and citation of each duty."""
    notes: list[str]
    binding: str | None


class QueueRow(Struct, frozen=True, kw_only=True):
    """A fail in the queue of its security."""

    id: str
    fail: PoolFail
    gets: str
    is_own: bool


class FailSources(Struct, frozen=True, kw_only=True):
    """The data of the page, from the database and the disk."""

    fail: FailView
    job: Job
    file: StoredFile | None
    """The input of the job."""
    raw: bytes | None
    """The output line; None: it is gone."""
    given: GivenRecord | None
    related: list[RelatedFails]
    history: list[PastAnswer]
    decisions: list[Decision]
    queue: Sequence[PoolFail] = ()
    """The fails that draw on the same sources, in their order."""
    queue_ids: dict[str, str] = {}
    """The ids of these fails by their `fail_id`."""


class FailPage(Struct, frozen=True, kw_only=True):
    """The values of the page."""

    source: FailSources
    line: FailLine | None
    notice: str | None
    """Why the page has less than it could have."""
    raw_text: str | None
    """The line, where it cannot be read."""
    status_note: str | None
    headline: str | None
    facts: list[tuple[str, str]]
    score: ScoreChart | None
    coverage: CoverageChart | None
    skipped: str | None
    """The reason why a plan is missing."""
    findings: list[FindingView]
    warnings: list[FindingView]
    promised: list[str]
    """The shares of the same sources that earlier lines promise."""
    words: list[tuple[str, str]]
    """The model's own words, by stage."""
    clock: ClockView | None
    clock_skipped: str | None
    gets: str
    """The shares that a plan of the whole book gives to the fail, by source."""
    queue: list[QueueRow]
    letters: FailLetters
    provenance: list[tuple[str, str]]
    rules: list[tuple[str, str]]
    """Ids and titles of the rules that decided."""
    record_text: str | None


def make_fail_page(source: FailSources, kb: KnowledgeBase) -> FailPage:
    """Return the values of the page of a fail. A line of another shape is shown as text."""
    line, notice = _read_line(source)
    is_read = line is not None
    shown = line if line is not None else _EMPTY
    clock = shown.clock
    raw = source.raw or b""
    return FailPage(
        source=source,
        line=line,
        notice=notice,
        raw_text=None if is_read or source.raw is None else _shorten(raw.decode(errors="replace")),
        status_note=STATUSES.get(shown.status) if is_read else None,
        headline=what_to_do(shown) or source.fail.answer.what_to_do,
        facts=list_facts(shown),
        score=make_score_chart(shown, source.given, kb),
        coverage=_cover(shown),
        skipped=shown.resolution_skipped,
        findings=[_view_finding(*each, kb) for each in shown.findings()],
        warnings=[_view_finding("record", each, kb) for each in _list_warnings(shown)],
        promised=[each.message for each in shown.warnings if each.rule == PROMISED],
        words=[(stage, _shorten(write_value(kept))) for stage, kept in _list_words(shown)],
        clock=None if clock is None else _view_clock(shown),
        clock_skipped=_SKIPPED.get(shown.clock_skipped or "", shown.clock_skipped),
        gets=describe_allotment(shown.allotment or ()),
        queue=list(_list_queue(source, shown)),
        letters=_write_letters(shown, source, kb),
        provenance=list(_list_provenance(source, shown, kb)),
        rules=[(each, kb.entries[each].title) for each in shown.rules if each in kb.entries],
        record_text=_write_record(source.given),
    )


_EMPTY = FailLine(fail_id="", status="ok", verification={})


def _read_line(source: FailSources) -> tuple[FailLine | None, str | None]:
    if source.raw is None:
        return None, _GONE
    try:
        return read_fail_line(source.raw, source.queue), None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        return None, _OTHER_SHAPE


def _write_letters(line: FailLine, source: FailSources, kb: KnowledgeBase) -> FailLetters:
    """Write the letters of a line that has the facts of its fail."""
    if line.fail is None or source.raw is None:
        return NO_LETTERS
    return write_fail_letters(source.raw, source.given, kb)


def _cover(line: FailLine) -> CoverageChart | None:
    plan = line.resolution
    return None if plan is None else make_coverage_chart(plan, count_owed(line, plan))


def count_owed(line: FailLine, plan: PlanAnswer) -> int:
    """Return the shares that a plan is for; at least 1, for a line without the facts of its fail.

    The sources of a plan may be more than that: a borrow beside a late recall counts twice.
    """
    if line.fail is not None:
        return max(line.fail.qty, 1)
    return max(plan.total_coverable + plan.residual_short, 1)


def _list_warnings(line: FailLine) -> Iterator[Finding]:
    return (each for each in line.warnings if each.rule != PROMISED)


def _list_words(line: FailLine) -> list[tuple[str, object]]:
    return list((line.raw or {}).items())


def _view_finding(stage: str, found: Finding, kb: KnowledgeBase) -> FindingView:
    entry = kb.entries.get(found.rule)
    return FindingView(
        rule=found.rule,
        title="" if entry is None else entry.title,
        stage=stage,
        path=found.path,
        message=found.message,
        before=_shorten(write_value(found.actual)),
        after=_shorten(write_value(found.expected)),
    )


def _view_clock(line: FailLine) -> ClockView | None:
    clock = line.clock
    if clock is None:
        return None
    return ClockView(
        sentences=list(list_sentences(clock)),
        duties=[write_duty(each).cells for each in list_duties(clock)],
        notes=list(list_notes(clock)),
        binding=clock.binding_due,
    )


def _list_queue(source: FailSources, line: FailLine) -> Iterator[QueueRow]:
    """Yield the head of the queue of the security, and the neighbours of the fail."""
    if line.book is None:
        return
    place = line.book.place
    for each in choose_neighbours(line.queue, place):
        yield QueueRow(
            id=source.queue_ids.get(each.fail_id, each.fail_id),
            fail=each,
            gets=describe_shares(each),
            is_own=each.place.place == place,
        )


def _list_provenance(
    source: FailSources, line: FailLine, kb: KnowledgeBase
) -> Iterator[tuple[str, str]]:
    job, file = source.job, source.file
    yield "job", f"{job.id}, {job.command} by {job.by}"
    yield "line", f"{source.fail.line:,}"
    if file is not None:
        yield "input", f"{file.name or file.id}, sha256 {file.stored_sha256[:16]}"
    made = line.provenance
    if made is not None:
        yield "answered by", write_backend(made)
        rules = made.kb if made.kb == kb.version else f"{made.kb}; the titles are of {kb.version}"
        yield "rules", rules
        if made.masked:
            yield "masked", ", ".join(made.masked)


def _write_record(given: GivenRecord | None) -> str | None:
    if given is None or not isinstance(given.line, bytes):
        return None
    text = given.line.decode(errors="replace")
    try:
        return _shorten(msgspec.json.format(text, indent=2))
    except msgspec.DecodeError:
        return _shorten(text)


def _shorten(text: str) -> str:
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[:_MOST_TEXT]}\n... ({len(text):,} characters)"
