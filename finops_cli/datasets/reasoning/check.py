"""Check a reasoning text: sections, numbers, arithmetic and conclusions (kb: `trace.*`).

`finops generate` checks the reasoning that it writes, and an evaluation checks a model's. The check
cannot see a missing line if every conclusion is present, nor a wrong word that is not a number, a
name or a verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct

from finops_cli.datasets.reasoning.arithmetic import NUMBER, Number, number, statements
from finops_cli.datasets.reasoning.render import HEADINGS, render_reasoning
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import age_days, deadline_days, parse_t_plus
from finops_cli.rules.gridlock import assess
from finops_cli.rules.ledger import coverage_pct
from finops_cli.rules.sourcing import runs_in_parallel

NAME = re.compile(
    r"(?<=CUSIP )\S+(?<![;,.:])|\bDTC-\d+|\bT\+\d+(?:\.\d+)?|\bS\d+\b|\bB\d+B_PENDING\b"
)
"""A CUSIP, a counterparty, a settlement day, a signal or a category. Their digits are not
quantities.
"""
_SIGNALS = ("S1", "S2", "S3", "S4")

_FALLBACKS, _REG_SHO, _GRIDLOCK, _CONCLUSION = 6, 7, 8, 10
_PERCENTAGE = re.compile(r"(\d{1,9}(?:\.\d+)?) ?%")
_SOURCE = re.compile(r"\b(INITIATE_RECALL|SOURCE_BORROW)[ :=]+(\d{1,18})\b")
_MODE = re.compile(r"\b(parallel|sequential)\b", re.IGNORECASE)
_EXTENT = re.compile(r"\b(full|partial|no) gridlock\b", re.IGNORECASE)
_ALL = re.compile(r"\ball (\d+) brokers\b")
_PARTY = re.compile(r"\bDTC-\d+")

_HEADING = re.compile(
    r"^\W*(\d{{1,3}})[.:)]? +({})\b".format("|".join(map(re.escape, HEADINGS))), re.IGNORECASE
)
_PLACES = {heading.casefold(): place for place, heading in enumerate(HEADINGS, 1)}
_TOKEN = re.compile(rf"{NAME.pattern}|{NUMBER.pattern}%?|\b(?:Yes|No|RVP|DVP|FOP)\b")
_LIST = re.compile(r"#(?: #)+|(?: \+#=#)+")


class Section(NamedTuple):
    """A section of a reasoning text."""

    place: int
    """The number that the words of the heading belong to."""
    numbered: int
    """The number written before the words of the heading."""
    lines: list[str]


def check_reasoning(
    text: str, case: ResolverInput, plan: Resolution, kb: KnowledgeBase
) -> list[Finding]:
    """Check `text` as the reasoning from `case` to `plan`. Return an empty list if it is correct.

    `plan` itself is not checked; `verify.check_resolution` does that. Raises ValueError if the age
    of the fail is unknown.
    """
    sections = _sections(text)
    return [
        *_in_order(sections),
        *_derivable(sections, case, plan, kb),
        *_as_worded(sections, _sections(render_reasoning(case, plan, kb))),
        *conclusions(
            {section.place: "\n".join(section.lines) for section in sections}, case, plan, kb
        ),
    ]


def _sections(text: str) -> list[Section]:
    """Split a text at its headings. Lines before the first heading are section 0."""
    found = [Section(0, 0, [])]
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if heading is not None:
            found.append(Section(_PLACES[heading[2].casefold()], int(heading[1]), []))
        elif line.strip():
            found[-1].lines.append(line)
    return found if found[0].lines else found[1:]


def _path(place: int) -> str:
    return f"/think/section {place}" if place else ""


def _in_order(sections: list[Section]) -> Iterator[Finding]:
    places = [section.place for section in sections]
    for place, heading in enumerate(HEADINGS, 1):
        times = places.count(place)
        if times != 1:
            message = f"section {place} {heading} occurs {times} times, not once"
            yield _misplaced(_path(place), 1, times, message)
    for section in sections:
        place, numbered = section.place, section.numbered
        if place != numbered:
            message = f"section {HEADINGS[place - 1]} is numbered {numbered}, not {place}"
            yield _misplaced(_path(place), place, numbered, message)
        if place and not section.lines:
            message = f"section {place} is empty"
            yield _misplaced(_path(place), "at least one line", 0, message)
    if places != sorted(places):
        yield _misplaced("", sorted(places), places, "the sections are not in order")


def _misplaced(path: str, expected: object, actual: object, message: str) -> Finding:
    return Finding(
        rule="trace.sections", path=path, expected=expected, actual=actual, message=message
    )


def _derivable(
    sections: list[Section], case: ResolverInput, plan: Resolution, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Check the statements in the order of the text, so that each is derived only from earlier
    ones.
    """
    names, known = known_names(case, kb), known_numbers(case, plan, kb)
    decimals = kb.waterfall.coverage_decimals
    for section in sections:
        path = _path(section.place)
        for line in section.lines:
            for name in NAME.findall(line):
                if name not in names:
                    yield _unknown(path, name, line)
            rest = NAME.sub(lambda found: "_" * len(found[0]), line)
            for statement in list(statements(rest, decimals)):
                for operand in statement.operands:
                    if operand not in known:
                        yield _unknown(path, str(operand), line)
                if statement.is_true:
                    known.add(statement.result)
                else:
                    said = f"{statement.text} does not hold: it gives {_render(statement.gives)}"
                    yield Finding(
                        rule="trace.arithmetic",
                        path=path,
                        expected=_render(statement.gives),
                        actual=_render(statement.result),
                        message=said,
                    )
                rest = rest[: statement.start] + "_" * len(statement.text) + rest[statement.end :]
            for text in NUMBER.findall(rest):
                if number(text) not in known:
                    yield _unknown(path, text, line)


def _render(value: object) -> str:
    return (
        ("Yes" if value else "No")
        if isinstance(value, bool)
        else "nothing"
        if value is None
        else str(value)
    )


def _unknown(path: str, what: str, line: str) -> Finding:
    message = (
        f"{what} is not in the input, the plan or the rules, and no earlier statement gives it:"
        f" {line.strip()}"
    )
    return Finding(
        rule="trace.number",
        path=path,
        expected="a known or derived number",
        actual=what,
        message=message,
    )


def _as_worded(sections: list[Section], ours: list[Section]) -> Iterator[Finding]:
    """Compare each line with the line that finops would write.

    A line that differs only in its numbers has wrong numbers. Each line must occur once.
    """
    for section, wanted in _pairs(sections, ours):
        untold, odd = list(wanted.lines), []
        for line in section.lines:
            if line in untold:
                untold.remove(line)
            else:
                odd.append((line, _wording(line)))
        wordings = {_wording(line) for line in wanted.lines} if odd else set()
        for line, wording in odd:
            if wording in wordings:
                missing = [one for one in untold if _wording(one) == wording]
                expected = next(
                    (one for one in missing if one.split()[0] == line.split()[0]),
                    missing[0] if missing else None,
                )
                message = f"{line} should be {expected}" if expected else f"{line} is repeated"
                yield Finding(
                    rule="trace.number",
                    path=_path(section.place),
                    expected=expected,
                    actual=line,
                    message=message,
                )


def _pairs(sections: list[Section], ours: list[Section]) -> Iterator[tuple[Section, Section]]:
    wanted = {section.place: section for section in ours}
    return ((section, wanted[section.place]) for section in sections if section.place in wanted)


def _wording(line: str) -> str:
    """Replace every name, number and verdict by a #, and a list of them by one #."""
    return _LIST.sub("#", _TOKEN.sub("#", line))


def conclusions(
    sections: Mapping[int, str], case: ResolverInput, plan: Resolution, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Return a finding for every conclusion that is missing in its section or differs from the
    plan.
    """
    yield from _quantities(sections.get(_CONCLUSION, ""), case, plan, kb)
    yield from _sources(sections, case, plan, kb)
    yield from _gridlock(sections, case, plan, kb)


def _quantities(
    text: str, case: ResolverInput, plan: Resolution, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Check total, residual and coverage in the last section."""
    coverage = coverage_pct(
        min(plan.total_coverable, case.ftd_qty), case.ftd_qty, kb.waterfall.coverage_decimals
    )
    total, residual = str(plan.total_coverable), str(plan.residual_short)
    percentages = [_padded(each, coverage) for each in _PERCENTAGE.findall(text)]
    actions = re.findall(r"\b(?:ESCALATE|NONE)\b", text)
    yield from _agree("total coverable", _CONCLUSION, [total], _after("total", text))
    yield from _agree("residual", _CONCLUSION, [residual], _after("residual", text))
    yield from _agree("coverage", _CONCLUSION, [f"{coverage:f}"], percentages[-1:])
    yield from _agree("residual action", _CONCLUSION, [plan.residual_action], actions)


def _sources(
    sections: Mapping[int, str], case: ResolverInput, plan: Resolution, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Check recall and borrow: their quantities, and if they start together."""
    fallbacks, reg_sho = sections.get(_FALLBACKS, ""), sections.get(_REG_SHO, "")
    planned = (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    )
    expected = [f"{name} {qty}" for name, qty in planned if name != "NONE"]
    stated = [f"{name} {int(qty)}" for name, qty in _SOURCE.findall(fallbacks) if int(qty)]
    yield from _agree("fallbacks", _FALLBACKS, expected, list(dict.fromkeys(stated)))
    parallel = runs_in_parallel(case.inventory, deadline_days(case, kb.scoring), kb.waterfall)
    mode = ["parallel" if parallel else "sequential"]
    yield from _agree("recall and borrow", _REG_SHO, mode, _words(_MODE, reg_sho)[-1:])
    yield from _agree("recall and borrow", _FALLBACKS, mode, _words(_MODE, fallbacks))


def _gridlock(
    sections: Mapping[int, str], case: ResolverInput, plan: Resolution, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Check the extent of a gridlock in both sections that state it, and its parties."""
    extent: list[str] = [assess(case, kb.waterfall).extent if plan.gridlock_detected else "no"]
    for place in (_GRIDLOCK, _CONCLUSION):
        stated = _words(_EXTENT, sections.get(place, ""))[-1:]
        yield from _agree("gridlock", place, extent, stated)
    yield from _parties(sections.get(_GRIDLOCK, ""), plan.gridlock_parties)


def _words(pattern: re.Pattern[str], text: str) -> list[str]:
    return [word.lower() for word in pattern.findall(text)]


def _parties(text: str, parties: tuple[str, ...]) -> Iterator[Finding]:
    """Check the parties: by name in the line with the verdict, or by number for all brokers."""
    judged = [line for line in text.splitlines() if _EXTENT.search(line)][-1:]
    together = [count for line in judged for count in _ALL.findall(line)]
    if together:
        yield from _agree("gridlock parties", _GRIDLOCK, [str(len(parties))], together)
    else:
        yield from _agree(
            "gridlock parties", _GRIDLOCK, list(parties), _PARTY.findall(" ".join(judged))
        )


def _after(word: str, text: str) -> list[str]:
    """Return the numbers directly after `word`; a few words may be between."""
    return [
        str(int(found))
        for found in re.findall(rf"\b{word}\b[^\d\n;]{{0,24}}?(\d{{1,18}})\b", text, re.IGNORECASE)
    ]


def _padded(text: str, like: object) -> str:
    """Pad decimals, for example 37.5 to 37.50, so that equal percentages are equal texts."""
    decimals = len(f"{like:f}".partition(".")[2])
    whole, _, fraction = text.partition(".")
    return f"{int(whole)}.{fraction.ljust(decimals, '0')}" if decimals else text


def _agree(what: str, place: int, expected: list[str], told: list[str]) -> Iterator[Finding]:
    if set(expected) != set(told):
        said = ", ".join(told) or "nothing"
        message = (
            f"section {place} concludes {what}: {said}; the plan says"
            f" {', '.join(expected) or 'nothing'}"
        )
        yield Finding(
            rule="trace.conclusion",
            path=f"/think/section {place}",
            expected=expected,
            actual=told,
            message=message,
        )


def known_names(case: ResolverInput, kb: KnowledgeBase) -> set[str]:
    """Return the names of `case`, the gridlock signals, and the days of `waterfall.offset`."""
    names = {
        *_SIGNALS,
        case.triage.category,
        case.cusip,
        "T+0",
        f"T+{kb.waterfall.offset_settles_by_day}",
    }
    if case.triage.deadline is not None:
        names.add(case.triage.deadline)
    if case.corporate_action is not None and case.corporate_action.new_cusip is not None:
        names.add(case.corporate_action.new_cusip)
    for ftr in case.ftrs:
        names.update((ftr.dtc, ftr.settlement_date))
    return names.union(fail.dtc for fail in case.related_fails)


def known_numbers(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> set[Number]:
    """Return every number that reasoning may use without deriving it.

    These are all numbers of the input, the plan and the waterfall, the age, the day of the
    deadline, and the counts of the input. The shares covered after each step are included, because
    the plan states only the shares still open.
    """
    rules = kb.waterfall
    known: set[Number] = {0, age_days(case, kb.scoring)}
    known.update(case.ftd_qty - step.remaining_short for step in plan.resolution_steps)
    _collect((case, plan, rules), known)
    if case.triage.deadline is not None:
        known.add(parse_t_plus(case.triage.deadline))
    brokers = {ftr.dtc for ftr in case.ftrs}
    known.update(
        (
            len(brokers),
            len(brokers.union(fail.dtc for fail in case.related_fails)),
            len(case.related_fails),
        )
    )
    known.update((len(case.ftrs), *range(1, 1 + min(len(case.ftrs), rules.chase_steps))))
    return known.union(_speaking_against_s3(case, kb))


def _speaking_against_s3(case: ResolverInput, kb: KnowledgeBase) -> Iterable[int]:
    """Count the FTRs that break each condition of signal S3 (kb: `gridlock.signals`)."""
    attempts, aged = kb.waterfall.gridlock_min_attempts, kb.waterfall.gridlock_aged_min_days
    yield len([ftr for ftr in case.ftrs if ftr.partial_delivery_history])
    yield len(
        [
            ftr
            for ftr in case.ftrs
            if ftr.chase_attempts is not None and ftr.chase_attempts < attempts
        ]
    )
    yield len([ftr for ftr in case.ftrs if ftr.chase_attempts is None and ftr.age_days < aged])


def _collect(value: object, known: set[Number]) -> None:
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            _collect(getattr(value, name), known)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, known)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        known.add(value)
