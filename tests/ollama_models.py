"""Models behind a stand-in Ollama server, for tests: opened with short pauses, closed with the
test.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from finops_cli.devtools.standin import Behaviour, Heard, Right, StandIn
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.vocabulary import BackendName
from finops_cli.kb.book import Book
from finops_cli.models.choose import Chosen, choose
from finops_cli.models.protocol import Answer, Backend
from finops_cli.models.wanted import Wanted
from finops_cli.verify.shapes import FAIL
from tests.conftest import a_fail
from tests.models import OPENED

INVENTORY = {
    "box_qty": 1000,
    "stock_loan_available": 500,
    "recall_outstanding": 700,
    "pending_receives": 9000,
}


def a_record(**changes: Any) -> FailRecord:
    """The card's fail record, with changes."""
    fail = FAIL.read(a_fail(**changes))
    assert fail is not None
    return fail


def a_model_at(book: Book, *urls: str, **wanted: Any) -> Backend:
    """The backend of the models at `urls`; closed when the test ends."""
    return chosen_at(book, "ollama", *urls, **wanted).backend


def chosen_at(book: Book, backend: BackendName, *urls: str, **wanted: Any) -> Chosen:
    chosen = choose(Wanted(backend, hosts=urls, **wanted), book)
    OPENED.append(chosen.backend)
    return chosen


def warms_up(heard: Heard) -> bool:
    """Whether a request only warms a model up."""
    return bool(heard.body["options"].get("num_predict") == 1)


def first_ones(behaviour: Behaviour, times: int = 10**9) -> Any:
    """So many requests of records end like this, the others rightly."""
    count = iter(range(times))

    def script(heard: Heard) -> Behaviour:
        return Right() if warms_up(heard) or next(count, None) is None else behaviour

    return script


def triaged_at(server: StandIn, book: Book, script: Any, **wanted: Any) -> Answer[Any]:
    """What becomes of the card's record at a server that follows `script`."""
    server.script = script
    model = a_model_at(book, server.url, stages=("triage",), **wanted)
    model.prepare("triage")
    return model.triage(a_record())


def asked_of(server: StandIn) -> int:
    """Requests about records."""
    return sum(not warms_up(heard) for heard in server.heard)


FTR = {
    "qty": 300,
    "age_days": 3,
    "settlement_type": "RVP",
    "settlement_date": "T+1",
    "cp_fail_rate_pct": 1,
}


def some_fails(count: int) -> list[dict[str, Any]]:
    """Fails that both stages answer, each of another quantity."""
    ftrs = [{**FTR, "dtc": f"DTC-{n:04d}", "partial_delivery_history": True} for n in (1, 2)]
    return [
        a_fail(fail_id=f"F-{n}", qty=5000 + n, age_days=n % 15, inventory=INVENTORY, ftrs=ftrs)
        for n in range(count)
    ]


def model_run(kb: Path, server: StandIn, *arguments: object) -> list[str]:
    """The command that takes records through the models of `server`."""
    fixed = ["--backend", "ollama", "--host", server.url, "--no-timing"]
    return [
        sys.executable,
        "-m",
        "finops_cli",
        "--kb",
        str(kb),
        "run",
        *map(str, arguments),
        *fixed,
    ]
