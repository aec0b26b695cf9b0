"""One pool of a plan of the whole book as one HTML page. It loads nothing and has no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape

from finops_cli.views.exports.page_style import STYLE as PAGE_STYLE
from finops_cli.views.pool_page.picture import NARROW, WIDE, draw_pool
from finops_cli.views.pool_page.pool import (
    KIND_WORDS,
    Pool,
    PoolFail,
    describe_days,
    describe_shares,
)
from finops_cli.views.wording import clean

_PICTURE_STYLE = """
:root { --FTR: #5b7fb5; --BOX: #2f8f6b; --DEPOT: #b58a2f; --RECALL: #8a63b0; --BORROW: #b0574f;
  --lack: #c0392b; --lack-paper: #f6d3ce; --idle: #dfe4ea; --owed: #9aa5b3 }
@media (prefers-color-scheme: dark) { :root { --FTR: #7ea2dc; --BOX: #4fb58d; --DEPOT: #d3aa52;
  --RECALL: #ab87d1; --BORROW: #d3776e; --lack: #ff8a7a; --lack-paper: #4a211c; --idle: #39424e;
  --owed: #6d7886 } }
.picture { width: 100%; height: auto; display: block; margin: .6rem 0 }
.picture.narrow { display: none }
@media (max-width: 760px) { .picture.wide { display: none } .picture.narrow { display: block } }
.picture text { fill: var(--ink); font-size: 13px } .picture .head { font-weight: 600 }
.picture .name { font-weight: 600 } .picture .note { fill: var(--soft); font-size: 12px }
.picture.narrow text { font-size: 12px } .picture.narrow .note { font-size: 11px }
.picture .note.missing { fill: var(--lack); font-weight: 600 }
.band { opacity: .38 } .band:hover { opacity: .75 }
.band.late { opacity: .6; stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3 }
.idle { fill: var(--idle) } .owed { fill: var(--owed) }
.lack { fill: var(--lack-paper) } .lack-line { fill: var(--lack) }
.edge { stroke: var(--lack); stroke-width: 1 }
.FTR.bar, .FTR.band { fill: var(--FTR) } .BOX.bar, .BOX.band { fill: var(--BOX) }
.DEPOT.bar, .DEPOT.band { fill: var(--DEPOT) } .RECALL.bar, .RECALL.band { fill: var(--RECALL) }
.BORROW.bar, .BORROW.band { fill: var(--BORROW) }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .3rem 0; padding: 0 }
.key li { list-style: none } .key i { display: inline-block; width: .8rem; height: .8rem;
  margin-right: .4rem; vertical-align: -.05rem; border-radius: .15rem }
.key .FTR { background: var(--FTR) } .key .BOX { background: var(--BOX) }
.key .DEPOT { background: var(--DEPOT) } .key .RECALL { background: var(--RECALL) }
.key .BORROW { background: var(--BORROW) } .key .IDLE { background: var(--idle) }
.key .LACK { background: repeating-linear-gradient(45deg, var(--lack) 0 2px,
  var(--lack-paper) 2px 5px) }
.queue td { border-bottom: 1px solid var(--line) } .queue td { white-space: nowrap }
.queue td.g { white-space: normal; min-width: 14rem }
.says { max-width: 46rem }
@media print { .picture.wide { display: block } .picture.narrow { display: none }
  .band, .bar, .key i { print-color-adjust: exact } }
"""
_STYLE = PAGE_STYLE + _PICTURE_STYLE
LATE_NOTE = "A band with a dashed edge comes after the deadline."


def render_pool_page(pool: Pool, clears: Sequence[str] = (), true_at: str | None = None) -> str:
    """Write the page. `clears`: sentences that say which shares would clear which fail."""
    return "".join(_write(pool, clears, true_at))


def _write(pool: Pool, clears: Sequence[str], true_at: str | None) -> Iterator[str]:
    title = f"Pool of {escape(pool.cusip)}"
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    yield (
        '<!doctype html>\n<html lang=en><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>"
    )
    yield f"<header><h1>{title}</h1>\n<p class=soft>Who gets which shares, and what is missing."
    if true_at:
        yield f" Inventory true as of {escape(clean(true_at))}."
    yield "</p></header>\n"
    yield from _write_cards(pool)
    yield "<main>"
    for sentence in (*pool.cuts, *clears):
        yield f"<p class=says>{escape(clean(sentence))}</p>\n"
    yield f"<h2>Picture</h2>\n{draw_pool(pool, WIDE, 'wide')}{draw_pool(pool, NARROW, 'narrow')}\n"
    yield from _write_key(pool)
    yield "<h2>Queue</h2>\n"
    yield from _write_queue(pool)
    yield "</main></body></html>\n"


def list_cards(pool: Pool) -> list[tuple[str, str, str]]:
    """List the sums of a pool: label, number, and the class of its colour."""
    return [
        ("fails", f"{len(pool.fails):,}", ""),
        ("shares owed", f"{pool.owed:,}", ""),
        ("covered", f"{pool.owed - pool.uncovered:,}", "LOW"),
        ("missing", f"{pool.uncovered:,}", "late" if pool.uncovered else ""),
        ("late", f"{pool.late:,}", "HIGH" if pool.late else ""),
    ]


def _write_cards(pool: Pool) -> Iterator[str]:
    yield "<div class=cards>"
    for label, value, kind in list_cards(pool):
        yield f"<div class='card {kind}'>{label}<b>{value}</b></div>"
    yield "</div>\n"


def list_key(pool: Pool) -> list[tuple[str, str]]:
    """List the colours of the picture: their class, and what they mean."""
    kinds = dict.fromkeys(each.kind for each in pool.sources)
    entries = [(kind, KIND_WORDS[kind]) for kind in kinds]
    if any(each.size > each.used for each in pool.sources):
        entries.append(("IDLE", "not used"))
    if pool.uncovered:
        entries.append(("LACK", "missing"))
    return entries


def has_late_bands(pool: Pool) -> bool:
    """Return true if shares of the picture come after a deadline."""
    return any(each.late for fail in pool.fails for each in fail.covering)


def _write_key(pool: Pool) -> Iterator[str]:
    yield "<ul class=key>"
    for kind, word in list_key(pool):
        yield f"<li><i class={kind}></i>{word}</li>"
    yield "</ul>\n"
    if has_late_bands(pool):
        yield f"<p class=soft>{LATE_NOTE}</p>\n"


def _write_queue(pool: Pool) -> Iterator[str]:
    yield (
        "<div class=scroll><table class=queue><thead><tr><th class=n>Place<th>Fail<th>Tier"
        "<th>Deadline<th>Counterparty<th class=n>Owes<th>Gets<th class=n>Missing"
        "<th class=n>Missing if alone</thead>\n<tbody>"
    )
    for fail in pool.fails:
        yield _write_row(fail)
    yield "</tbody></table></div>\n"


def _write_row(fail: PoolFail) -> str:
    place = fail.place
    days = describe_days(fail.days_left)
    is_late = fail.days_left is not None and fail.days_left <= 0
    missing, alone = (f"{qty:,}" if qty else "" for qty in (place.uncovered, place.alone))
    return (
        f"<tr><td class=n>{place.place:,}<td>{escape(clean(fail.fail_id))}"
        f"<td><span class='tier {fail.tier}'>{fail.tier}</span>"
        f"<td{' class=late' if is_late else ''}>{days}<td>{escape(clean(fail.counterparty))}"
        f"<td class=n>{fail.owed:,}<td class=g>{escape(clean(describe_shares(fail)))}"
        f"<td class='n late'>{missing}<td class=n>{alone}\n"
    )
