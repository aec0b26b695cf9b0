"""Drift for a terminal of 80 columns."""

from __future__ import annotations

from textwrap import fill

from finops_cli.evaluation.drift import Drift, Drifted


def drift_text(found: Drift) -> str:
    window = f"; windows of {found.window:,}" if found.window else ""
    rows = [
        fill(found.sentence, 79),
        "",
        f"{found.records:,} records against {found.baseline_records:,}; threshold {found.threshold} nats{window}",
        "",
        f"{'':<8}{'':<19}{'whole':>9}{'worst window':>14}  {'where':<17}moved most",
    ]
    return "\n".join([*rows, *(_row(each) for each in found.dimensions)])


def _row(each: Drifted) -> str:
    verdict = "DRIFT" if each.drifted else "as was"
    worst = "" if each.worst is None else f"{each.worst.divergence:.3f}"
    where = "" if each.worst is None else f"{each.worst.first:,}-{each.worst.last:,}"
    row = f"{verdict:<8}{each.name:<19}{each.divergence:>9.3f}{worst:>14}"
    return f"{row}  {where:<17}{each.moved} {each.from_pct} to {each.to_pct} %"
