"""Render a dataset report as one HTML page: requirements, and every distribution as bars.

The page has no script and loads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from finops_cli.datasets.report import Report

_MOST_BARS = 40
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; color: #1d2430; }
h1 { font-size: 1.5rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccd3dd }
h3 { margin: 1.4rem 0 .3rem; font-size: 1rem }
table { border-collapse: collapse; width: 100% }
td { padding: .15rem .6rem .15rem 0; vertical-align: top }
.met { color: #14713d } .broken { color: #b3261e; font-weight: 600 } .open { color: #77808c }
.name { width: 18rem; overflow-wrap: anywhere }
.count { width: 6rem; text-align: right; font-variant-numeric: tabular-nums }
.bar { background: #3b6fb6; height: .8rem; border-radius: 2px; display: block }
.more { color: #77808c }
"""


def page(reports: Sequence[Report], title: str) -> str:
    """Render `reports` as a self-contained page."""
    body = "".join(_stage(report) for report in reports)
    head = (
        '<meta charset="utf-8"><meta name="viewport"'
        f' content="width=device-width"><title>{escape(title)}</title>'
    )
    return (
        "<!doctype html><html"
        f" lang=en><head>{head}<style>{_STYLE}</style></head><body><h1>{escape(title)}"
        f"</h1>{body}</body></html>\n"
    )


def _stage(report: Report) -> str:
    verdict = "every requirement met" if report.is_met else "not every requirement met"
    head = f"<h2>{report.stage}: {report.rows:,} rows, {report.bad_rows:,} bad, {verdict}</h2>"
    faults = "".join(f"<li class=broken>{escape(fault)}</li>" for fault in report.faults)
    rows = "".join(_requirement(each.name, each.met, each.detail) for each in report.requirements)
    charts = "".join(_chart(dimension, values) for dimension, values in report.counts.items())
    return f"{head}<ul>{faults}</ul><table>{rows}</table>{charts}"


def _requirement(name: str, met: bool | None, detail: str) -> str:
    verdict, style = {
        True: ("met", "met"),
        False: ("NOT MET", "broken"),
        None: ("too few rows", "open"),
    }[met]
    return (
        f"<tr><td class={style}>{verdict}</td><td>{escape(name)}</td><td>{escape(detail)}</td></tr>"
    )


def _chart(dimension: str, values: dict[str, int]) -> str:
    total, largest = sum(values.values()), max(values.values())
    ordered = sorted(values.items(), key=_order)[:_MOST_BARS]
    bars = "".join(
        f"<tr><td class=name>{escape(name)}</td><td class=count>{count:,}</td><td"
        f" class=count>{100 * count / total:.1f} %</td>"
        f'<td><span class=bar style="width:{100 * count / largest:.1f}%"></span></td></tr>'
        for name, count in ordered
    )
    left = len(values) - len(ordered)
    more = f"<p class=more>and {left:,} more</p>" if left else ""
    return f"<h3>{escape(dimension)}</h3><table>{bars}</table>{more}"


def _order(item: tuple[str, int]) -> tuple[int, str]:
    """Return the sort key of a value: numbers by size, words by name."""
    name = item[0]
    return (int(name), "") if name.isdigit() else (0, name)
