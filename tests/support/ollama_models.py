"""Models behind a fake Ollama server, for tests: opened with short pauses, closed with the
test.
"""

from __future__ import annotations

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
from tests.support.records import a_fail
from tests.support.text_models import OPENED

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


def a_model_at(kb: KnowledgeBase, *urls: str, **wanted: Any) -> Backend:
    """The backend of the models at `urls`; closed when the test ends."""
    return chosen_at(kb, "ollama", *urls, **wanted).backend


def chosen_at(kb: KnowledgeBase, backend: str, *urls: str, **wanted: Any) -> SelectedBackend:
    chosen = select_backend(BackendRequest(backend, hosts=urls, **wanted), kb)
    OPENED.append(chosen.backend)
    return chosen


def warms_up(request: ReceivedRequest) -> bool:
    """Whether a request only warms a model up."""
    return bool(request.body["options"].get("num_predict") == 1)


def first_ones(behaviour: Behaviour, times: int = 10**9) -> Any:
    """So many requests of records end like this, the others rightly."""
    count = iter(range(times))

    def script(request: ReceivedRequest) -> Behaviour:
        return CorrectAnswer() if warms_up(request) or next(count, None) is None else behaviour

    return script


def triaged_at(server: FakeOllama, kb: KnowledgeBase, script: Any, **wanted: Any) -> Answer[Any]:
    """What becomes of the card's record at a server that follows `script`."""
    server.script = script
    model = a_model_at(kb, server.url, stages=("triage",), **wanted)
    model.prepare("triage")
    return model.triage(a_record())


def asked_of(server: FakeOllama) -> int:
    """Requests about records."""
    return sum(not warms_up(request) for request in server.received)


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


def model_run(kb_dir: Path, server: FakeOllama, *arguments: object) -> list[str]:
    """The command that takes records through the models of `server`."""
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
