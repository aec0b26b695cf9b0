"""Models behind a fake Ollama server, opened with short pauses and closed with the test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from finops_cli.devtools.fake_ollama import Behaviour, CorrectAnswer, FakeOllama, ReceivedRequest
from finops_cli.domain.fail import FailRecord
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import SelectedBackend, select_backend
from finops_cli.models.protocol import Answer, Backend
from finops_cli.verify.codecs import FAIL
from tests.support.program import Finops
from tests.support.records import a_fail
from tests.support.text_models import OPENED

INVENTORY = {
    "box_qty": 1000,
    "stock_loan_available": 500,
    "recall_outstanding": 700,
    "pending_receives": 9000,
}


def a_record(**changes: Any) -> FailRecord:
    """Return the fail record of card 1 with changes."""
    fail = FAIL.read(a_fail(**changes))
    assert fail is not None
    return fail


def a_model_at(kb: KnowledgeBase, *urls: str, **options: Any) -> Backend:
    """Return the backend of the models at `urls`; it is closed when the test ends."""
    return select_backend_at(kb, "ollama", *urls, **options).backend


def select_backend_at(
    kb: KnowledgeBase, backend: str, *urls: str, **options: Any
) -> SelectedBackend:
    selected = select_backend(BackendRequest(backend, hosts=urls, **options), kb)
    OPENED.append(selected.backend)
    return selected


def is_warm_up(request: ReceivedRequest) -> bool:
    """Return whether a request only warms a model up."""
    return bool(request.body["options"].get("num_predict") == 1)


def fail_first(behaviour: Behaviour, times: int = 10**9) -> Any:
    """Return a script that ends the first requests of records with `behaviour` and answers the
    others correctly.
    """
    count = iter(range(times))

    def script(request: ReceivedRequest) -> Behaviour:
        return CorrectAnswer() if is_warm_up(request) or next(count, None) is None else behaviour

    return script


def triage_at(server: FakeOllama, kb: KnowledgeBase, script: Any, **options: Any) -> Answer[Any]:
    """Return the answer to the record of card 1 at a server that follows `script`."""
    server.script = script
    model = a_model_at(kb, server.url, stages=("triage",), **options)
    model.prepare("triage")
    return model.triage(a_record())


def count_requests(server: FakeOllama) -> int:
    """Return the number of requests about records."""
    return sum(not is_warm_up(request) for request in server.received)


FTR = {
    "qty": 300,
    "age_days": 3,
    "settlement_type": "RVP",
    "settlement_date": "T+1",
    "cp_fail_rate_pct": 1,
}


def some_fails(count: int) -> list[dict[str, Any]]:
    """Return fails that both stages answer, each with another quantity."""
    ftrs = [{**FTR, "dtc": f"DTC-{n:04d}", "partial_delivery_history": True} for n in (1, 2)]
    return [
        a_fail(fail_id=f"F-{n}", qty=5000 + n, age_days=n % 15, inventory=INVENTORY, ftrs=ftrs)
        for n in range(count)
    ]


def model_run(kb_dir: Path, server: FakeOllama, *arguments: object) -> list[str]:
    """Return the command that runs records through the models of `server`."""
    fixed = ["--backend", "ollama", "--host", server.url, "--no-timing"]
    return [
        sys.executable,
        "-m",
        "finops_cli",
        "--kb",
        str(kb_dir),
        "run",
        *map(str, arguments),
        *fixed,
    ]


def run_here(
    finops: Finops, kb_dir: Path, server: FakeOllama, *arguments: object
) -> subprocess.CompletedProcess[bytes]:
    """Run records through the models of `server` in this process, which need not be killed."""
    _, _, _, *options = model_run(kb_dir, server, *arguments)
    return finops(*options)
