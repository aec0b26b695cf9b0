"""Drift for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill

from finops_cli.domain.printable import printable
from finops_cli.evaluation.drift import Drift, Drifted


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
    return "\n".join([*rows, *(row for each in found.dimensions for row in _rows(each))])


def _rows(each: Drifted) -> Iterator[str]:
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
