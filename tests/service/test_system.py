"""Health, figures, the OpenAPI document, start and stop."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import jsonschema
import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.kb.load import bundled_kb_dir, load_kb
from tests.service.conftest import Server, start, stop
from tests.support.program import Finops
from tests.support.records import a_fail

pytestmark = pytest.mark.slow


def test_metrics_count_answers(server: Server) -> None:
    """The figures count records by status and prediction, as JSON and for Prometheus. Labels hold
    the template of a route, never an id.
    """
    with server.client() as client:
        before = client.get("/metrics").json()["records"]
        client.post("/v1/run", json=[a_fail(fail_id="SECRET-1"), a_fail(fail_id="SECRET-2")])
        client.get("/v1/kb/score.base")
        figures = client.get("/metrics").json()
        text = client.get("/metrics", headers={"Accept": "text/plain"}).text
    assert figures["records"] == before + 2
    assert figures["monitor"]["minute"]["records"] >= 2
    assert 0 <= figures["health"] <= 100
    assert "finops_health " in text
    assert 'finops_latency_ms{percentile="p95",window="minute"}' in text
    assert figures["predictions"]["tier"]
    assert 'finops_requests_total{method="GET",route="/v1/kb/{id}",status="200"}' in text
    assert "SECRET" not in text
    assert "score.base" not in text


def test_openapi_document_describes_the_answers(server: Server) -> None:
    """The document is OpenAPI 3.1, its references resolve, and the schema of a line accepts an
    answer of the service.
    """
    with server.client() as client:
        document = client.get("/openapi.json").json()
        line = client.post("/v1/run", json=a_fail()).json()
    assert document["openapi"] == "3.1.0"
    schema = {"$ref": "#/components/schemas/run", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(line)


def test_start_loads_nothing_that_few_requests_need() -> None:
    """The guard's patterns, e-mail, solvers and clients are loaded when something asks for them:
    they took a tenth of the start.
    """
    late = ("email.policy", "finops_cli.guard.detector", "ortools", "networkx", "httpx", "openpyxl")
    script = (
        f"import sys, finops_cli.service.server; print([n for n in {late} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_openapi_document_has_every_route(tmp_path: Path) -> None:
    """The table of operations and the routes of the application name the same paths."""
    from finops_cli.models.engine import Engine
    from finops_cli.service.app import build_service
    from finops_cli.service.auth.tokens import SingleToken
    from finops_cli.service.batch.commands import ServerSettings
    from finops_cli.service.config import ServeConfig
    from finops_cli.service.operations import ALL_OPERATIONS
    from finops_cli.service.records.answering import Answering
    from finops_cli.service.store.sqlite import SqliteDatabase

    kb = load_kb(bundled_kb_dir())
    answering = Answering(kb, Engine(kb), bundled_kb_dir(), "off")
    database = SqliteDatabase(tmp_path)
    jobs = ServerSettings(None, Path("rules"), None, "off", "engine", "baseline")
    service = build_service(
        ServeConfig(data=tmp_path), answering, SingleToken("x"), database, jobs=jobs
    )
    assert "_document" not in vars(service.parts.system)  # made when somebody first asks for it
    answering.close()
    database.close()
    routes = {
        (route.path, method.lower())
        for route in service.routes
        for method in route.methods or {"POST"}
        if method != "HEAD"
    }
    assert {(each.path, each.method) for each in ALL_OPERATIONS} == routes


def test_rules_are_shown_with_their_source(server: Server) -> None:
    """One rule, a search, and a schema are what the commands print."""
    with server.client("reader") as client:
        assert client.get("/v1/kb/score.base").json()["source"]
        found = client.get("/v1/kb", params={"q": "recall notice"}).json()["entries"]
        assert found[0]["id"] == "recall.notice_days"
        assert "cusip" in client.get("/v1/schemas/fail").json()["required"]
        assert client.get("/v1/schemas/nothing").status_code == 404


def test_service_ends_with_0_after_sigterm(tmp_path: Path) -> None:
    """SIGTERM ends the service with 0."""
    server = start(tmp_path, "--guard", "off")
    server.process.send_signal(signal.SIGTERM)
    _, messages = server.process.communicate(timeout=30)
    assert server.process.returncode == 0, messages


def test_demo_has_an_example_and_leaves_nothing() -> None:
    """`--demo` takes a free port, runs a job on the example, and deletes its folder at the end."""
    command = [sys.executable, "-m", "finops_cli", "serve", "--demo", "--guard", "off", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    token = process.stdout.readline().split()[1]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        job = client.get("/v1/jobs/job-1", params={"wait": 30}).json()
        assert job["state"] == "completed"
        assert len(client.get("/v1/fails").json()["fails"]) == 8
    before = set(Path(tempfile.gettempdir()).glob("finops-demo-*"))
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    after = set(Path(tempfile.gettempdir()).glob("finops-demo-*"))
    assert len(before - after) == 1


def test_backup_of_a_running_service_goes_on(
    server: Server, tmp_path: Path, finops: Finops
) -> None:
    """A copy that is made while the service runs is a data folder of another service."""
    copy = tmp_path / "data"
    assert finops("serve", "backup", "--data", server.data, copy).returncode == 0
    assert finops("serve", "verify-audit", "--data", server.data).returncode == 0
    second = start(tmp_path, "--guard", "off")
    with second.client("auditor") as client:
        assert client.get("/v1/audit/verify").json()["ok"]
    stop(second)
    assert (copy / "audit-heads.jsonl").read_bytes().endswith(b"}\n")


def test_port_that_is_taken_is_refused(server: Server, tmp_path: Path, finops: Finops) -> None:
    """A second service on the same port ends with 2 and names the fix."""
    port = server.url.rpartition(":")[2]
    done = finops("serve", "--port", port, "--data", tmp_path / "d", "--guard", "off")
    assert done.returncode == 2
    assert b"--port 0 takes a free one" in done.stderr


def test_missing_model_of_texts_is_named(tmp_path: Path, finops: Finops) -> None:
    """A model of texts that its server does not have stops the start, beside the rules engine."""
    with FakeOllama() as fake:
        model = ("--sentiment-model", "tone", "--model-host", fake.url)
        done = finops("serve", "--port", "0", "--data", tmp_path / "d", "--guard", "off", *model)
    assert done.returncode in (2, 3)
    assert b"has no model tone" in done.stderr


def test_nothing_below_the_service_loads_its_packages() -> None:
    """The command line without `serve` loads no package of the service."""
    program = (
        "import sys; import finops_cli.cli;"
        "print([name for name in ('fastapi', 'starlette', 'uvicorn', 'prometheus_client', 'jinja2')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_long_head_is_closed(server: Server) -> None:
    """A head above its limit ends the connection; the memory of a request is bounded."""
    import socket

    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as hostile:
        hostile.settimeout(20)
        hostile.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            hostile.sendall(b"x" * 64 * 1024 * 1024)


def test_slow_head_is_closed(server: Server) -> None:
    """A connection that never ends its head is closed, and others are answered meanwhile."""
    import socket

    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        slow.settimeout(20)
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.get("/healthz").status_code == 200
        assert slow.recv(100) == b""


def test_lists_share_the_turns_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all lists and streams in work, one batch is answered in a turn of the event loop: health
    and single records wait for one, not for one of each.
    """
    from finops_cli.models.engine import Engine
    from finops_cli.service.records import answering as module

    kb = load_kb(bundled_kb_dir())
    answering = module.Answering(kb, Engine(kb), bundled_kb_dir(), "off")
    pipeline = answering.pipeline("run", module.AnswerOptions())
    turn = 0
    seen: list[int] = []

    async def answer_list() -> None:
        async for _ in answering.answer(pipeline, module.batches_of([b"{}"] * 3, 1)):
            pass

    async def answer_lists() -> None:
        loop = asyncio.get_running_loop()

        def count() -> None:
            nonlocal turn
            turn += 1
            loop.call_soon(count)

        count()
        await asyncio.gather(*(answer_list() for _ in range(4)))

    monkeypatch.setattr(module, "process_batch", lambda *_: seen.append(turn))
    asyncio.run(answer_lists())
    answering.close()
    assert len(set(seen)) == len(seen) == 12
