"""Measure the queue page of a large blotter: `python -m benchmarks.desk DATA`.

DATA is the data folder of a service that does not run now, with two blotters. Processor time of one
process: the values from SQLite the first time, which counts what is kept, then the median; the
median of the HTML of 100 rows; and the 95th percentile of both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.service.desk.queue_filter import describe_filter
from finops_cli.service.desk.queue_page import read_asked, view_queue_page
from finops_cli.service.desk.rendering import render_text
from finops_cli.service.fails.queue_index import QueueIndex
from finops_cli.service.requests import RequestFacts, keep_facts
from finops_cli.service.store.sqlite import DATABASE_FILE, connect

ROUNDS, MILLISECONDS = 60, 1e3
FILTERS = (
    "",
    "tier=HIGH",
    "flag=PROBLEM_CP",
    "cusip=5",
    "q=F-0009",
    "change=NEW",
    "change=GONE&job=job-1",
    "decided=none",
    "order=rank",
    "at=50000",
    "at=95000",
    "at=95000&order=rank",
    "at=95000&decided=none",
)


def times(work: Callable[[], Any]) -> list[float]:
    """Return the processor times of `work` in milliseconds, the shortest first."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * MILLISECONDS)
    return sorted(taken)


def a_request() -> Request:
    """Return the request of an analyst."""
    app = SimpleNamespace(state=SimpleNamespace(desk=None))
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/fails",
        "query_string": b"",
        "headers": [],
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "app": app,
    }
    keep_facts(scope, RequestFacts(request_id="1", name="anna", role="analyst", headers=Headers()))
    return Request(scope)


def main(data: Path) -> None:
    """Print a row for each filter."""
    settings, request, index = load_kb(bundled_kb_dir()).serve, a_request(), QueueIndex()
    with closing(connect(data / DATABASE_FILE)) as db:
        for query in FILTERS:
            asked = read_asked(QueryParams(query), settings)
            began = time.process_time()
            queue = view_queue_page(db, asked, index, "anna")
            first = (time.process_time() - began) * MILLISECONDS
            values = times(lambda asked=asked: view_queue_page(db, asked, index, "anna"))
            shown = {
                "queue": queue,
                "filter": describe_filter(asked.query),
                "problem": None,
                "people": [],
            }
            html = times(lambda shown=shown: render_text(request, "queue.html", **shown))
            at = int(ROUNDS * 0.95) - 1
            both = values[at] + html[at]
            middle = ROUNDS // 2
            figures = f"{first:.0f} | {values[middle]:.1f} | {html[middle]:.1f} | {both:.1f}"
            print(f"| `{query or 'none'}` | {figures} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
