"""Whether a reasoning trace ends where its plan is (kb: `trace.conclusion`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.book import Book
from finops_cli.rules.clock import deadline_days
from finops_cli.rules.fallback import runs_in_parallel
from finops_cli.rules.gridlock import assess
from finops_cli.rules.ledger import coverage_pct

_FALLBACKS, _REG_SHO, _GRIDLOCK, _CONCLUSION = 6, 7, 8, 10
_SHARE = re.compile(r"(\d{1,9}(?:\.\d+)?) ?%")
_SOURCE = re.compile(r"\b(INITIATE_RECALL|SOURCE_BORROW)[ :=]+(\d{1,18})\b")
_MODE = re.compile(r"\b(parallel|sequential)\b", re.IGNORECASE)
_EXTENT = re.compile(r"\b(full|partial|no) gridlock\b", re.IGNORECASE)
_ALL = re.compile(r"\ball (\d+) brokers\b")
_PARTY = re.compile(r"\bDTC-\d+")


def conclusions(
    sections: Mapping[int, str], case: ResolverInput, plan: Resolution, book: Book
) -> Iterator[Finding]:
    """Findings for every conclusion that is missing from its section or is not the plan's."""
    final = sections.get(_CONCLUSION, "")
    share = coverage_pct(
        min(plan.total_coverable, case.ftd_qty), case.ftd_qty, book.waterfall.coverage_decimals
    )
    yield from _agree(
        "total coverable", _CONCLUSION, [str(plan.total_coverable)], _after("total", final)
    )
    yield from _agree(
        "residual", _CONCLUSION, [str(plan.residual_short)], _after("residual", final)
    )
    yield from _agree(
        "coverage",
        _CONCLUSION,
        [f"{share:f}"],
        [_padded(text, share) for text in _SHARE.findall(final)][-1:],
    )
    yield from _agree(
        "residual action",
        _CONCLUSION,
        [plan.residual_action],
        re.findall(r"\b(?:ESCALATE|NONE)\b", final),
    )
    pairs = (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    )
    sources = [f"{name} {qty}" for name, qty in pairs if name != "NONE"]
    told = [
        f"{name} {int(qty)}"
        for name, qty in _SOURCE.findall(sections.get(_FALLBACKS, ""))
        if int(qty)
    ]
    yield from _agree("fallbacks", _FALLBACKS, sources, list(dict.fromkeys(told)))
    parallel = runs_in_parallel(case.inventory, deadline_days(case, book.scoring), book.waterfall)
    mode = ["parallel" if parallel else "sequential"]
    yield from _agree(
        "recall and borrow",
        _REG_SHO,
        mode,
        [word.lower() for word in _MODE.findall(sections.get(_REG_SHO, ""))][-1:],
    )
    yield from _agree(
        "recall and borrow",
        _FALLBACKS,
        mode,
        [word.lower() for word in _MODE.findall(sections.get(_FALLBACKS, ""))],
    )
    extent: list[str] = [assess(case, book.waterfall).extent if plan.gridlock_detected else "no"]
    for place in (_GRIDLOCK, _CONCLUSION):
        yield from _agree(
            "gridlock",
            place,
            extent,
            [word.lower() for word in _EXTENT.findall(sections.get(place, ""))][-1:],
        )
    yield from _parties(sections.get(_GRIDLOCK, ""), plan.gridlock_parties)


def _parties(text: str, parties: tuple[str, ...]) -> Iterator[Finding]:
    """By name, in the line that judges; or all brokers of the FTRs, by their number."""
    judged = [line for line in text.splitlines() if _EXTENT.search(line)][-1:]
    together = [count for line in judged for count in _ALL.findall(line)]
    if together:
        yield from _agree("gridlock parties", _GRIDLOCK, [str(len(parties))], together)
    else:
        yield from _agree(
            "gridlock parties", _GRIDLOCK, list(parties), _PARTY.findall(" ".join(judged))
        )


def _after(word: str, text: str) -> list[str]:
    """The numbers said right behind `word`, a few words of filling allowed."""
    return [
        str(int(found))
        for found in re.findall(rf"\b{word}\b[^\d\n;]{{0,24}}?(\d{{1,18}})\b", text, re.IGNORECASE)
    ]


def _padded(text: str, like: object) -> str:
    """37.5 as 37.50, so that equal percentages are equal texts."""
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
        yield Finding("trace.conclusion", f"/think/section {place}", expected, told, message)
