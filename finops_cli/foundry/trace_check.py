"""Judges a reasoning trace, whoever wrote it: sections, numbers, arithmetic and conclusions (kb:
`trace.*`).

The foundry judges its own traces with it before it writes them, the evaluation those of a model.
What it cannot see: a line left out, as long as no conclusion is missing, and a wrong word that is
no number, name or verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.foundry.trace import HEADINGS, trace
from finops_cli.foundry.trace_arithmetic import NUMBER, number, statements
from finops_cli.foundry.trace_conclusions import conclusions
from finops_cli.foundry.trace_known import NAME, known_names, known_numbers
from finops_cli.kb.book import Book

_HEADING = re.compile(
    r"^\W*(\d{{1,3}})[.:)]? +({})\b".format("|".join(map(re.escape, HEADINGS))), re.IGNORECASE
)
_PLACES = {heading.casefold(): place for place, heading in enumerate(HEADINGS, 1)}
_FIGURE = re.compile(rf"{NAME.pattern}|{NUMBER.pattern}%?|\b(?:Yes|No|RVP|DVP|FOP)\b")
_LIST = re.compile(r"#(?: #)+|(?: \+#=#)+")


class Section(NamedTuple):
    """`place` is that of its heading's words, `numbered` what stands before them."""

    place: int
    numbered: int
    lines: list[str]


def check_trace(text: str, case: ResolverInput, plan: Resolution, book: Book) -> list[Finding]:
    """What is wrong with `text` as the reasoning from `case` to `plan`; nothing when it is good.

    `plan` is taken as it is: `verify.check_resolution` judges it. Raises ValueError when the age of
    the fail cannot be told.
    """
    sections = _sections(text)
    return [
        *_in_order(sections),
        *_derivable(sections, case, plan, book),
        *_as_worded(sections, _sections(trace(case, plan, book))),
        *conclusions(
            {section.place: "\n".join(section.lines) for section in sections}, case, plan, book
        ),
    ]


def _sections(text: str) -> list[Section]:
    """What stands before the first heading is section 0."""
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
            yield Finding(
                "trace.sections",
                _path(place),
                1,
                times,
                f"section {place} {heading} stands there {times} times, not once",
            )
    for section in sections:
        if section.place != section.numbered:
            message = (
                f"section {HEADINGS[section.place - 1]} is numbered {section.numbered}, not"
                f" {section.place}"
            )
            yield Finding(
                "trace.sections", _path(section.place), section.place, section.numbered, message
            )
        if section.place and not section.lines:
            yield Finding(
                "trace.sections",
                _path(section.place),
                "at least one line",
                0,
                f"section {section.place} is empty",
            )
    if places != sorted(places):
        yield Finding("trace.sections", "", sorted(places), places, "the sections are not in order")


def _derivable(
    sections: list[Section], case: ResolverInput, plan: Resolution, book: Book
) -> Iterator[Finding]:
    """Statements in the order of the text, so that none is derived from what follows from it."""
    names, known = known_names(case, book), known_numbers(case, plan, book)
    decimals = book.waterfall.coverage_decimals
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
                    said = f"{statement.text} does not hold: it gives {_shown(statement.gives)}"
                    yield Finding(
                        "trace.arithmetic",
                        path,
                        _shown(statement.gives),
                        _shown(statement.result),
                        said,
                    )
                rest = rest[: statement.start] + "_" * len(statement.text) + rest[statement.end :]
            for text in NUMBER.findall(rest):
                if number(text) not in known:
                    yield _unknown(path, text, line)


def _shown(value: object) -> str:
    return (
        ("Yes" if value else "No")
        if isinstance(value, bool)
        else "nothing"
        if value is None
        else str(value)
    )


def _unknown(path: str, what: str, line: str) -> Finding:
    message = (
        f"{what} stands neither in input, plan nor rules, and no statement before it gives it:"
        f" {line.strip()}"
    )
    return Finding("trace.number", path, "a known or derived figure", what, message)


def _as_worded(sections: list[Section], ours: list[Section]) -> Iterator[Finding]:
    """A line that only differs in its figures from the line that the foundry would write has the
    figures wrong; each stands once.
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
                message = (
                    f"{line} should be {expected}" if expected else f"{line} is told once too often"
                )
                yield Finding("trace.number", _path(section.place), expected, line, message)


def _pairs(sections: list[Section], ours: list[Section]) -> Iterator[tuple[Section, Section]]:
    wanted = {section.place: section for section in ours}
    return ((section, wanted[section.place]) for section in sections if section.place in wanted)


def _wording(line: str) -> str:
    """`line` with a # for every name, number and verdict, and a list of them as one."""
    return _LIST.sub("#", _FIGURE.sub("#", line))
