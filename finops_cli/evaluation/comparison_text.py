"""A comparison for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from finops_cli.domain.printable import printable
from finops_cli.evaluation.compare import Comparison, Paired


def comparison_text(comparison: Comparison, first: str, second: str) -> str:
    return "\n".join(_rows(comparison, first, second))


def _rows(c: Comparison, first: str, second: str) -> Iterator[str]:
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
