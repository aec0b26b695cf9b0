"""A real server of others: that of llama-cpp-python, with the two models that ship."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_cli.kb.load import bundled_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.openai.connect import open_openai
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.servers.hosts import is_reachable
from finops_cli.models.tasks import answer_schema
from finops_cli.verify.codecs import TRIAGE
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
pytest.importorskip("starlette_context", reason="needs the server of llama-cpp-python")
pytestmark = [pytest.mark.slow, pytest.mark.llama]
START_SECONDS = 120
KEY = "a-real-key-0123456789"


class LlamaServer:
    """One `llama_cpp.server` with one of the models that ship."""

    def __init__(self, stage: str, folder: Path) -> None:
        self._log = (folder / f"{stage}.log").open("wb")
        self.model, self.port = f"tiny-{stage}", free_port()
        file = bundled_dir("bundled_models") / f"{self.model}.gguf"
        command = [sys.executable, "-m", "llama_cpp.server", "--model", str(file)]
        command += ["--model_alias", self.model, "--port", str(self.port), "--api_key", KEY]
        command += ["--n_ctx", "8192", "--n_threads", "1", "--n_threads_batch", "1"]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        """Wait until the server listens."""
        end = time.monotonic() + START_SECONDS
        while not is_reachable(self.url, 1.0):
            assert self.process.poll() is None, Path(self._log.name).read_text()[-2000:]
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.2)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self._log.close()


def free_port() -> int:
    """Return a port that is free now."""
    import socket

    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LlamaServer]]:
    """Two real servers, each with the model of one stage."""
    folder = tmp_path_factory.mktemp("servers")
    started = {stage: LlamaServer(stage, folder) for stage in ("triage", "resolver")}
    try:
        for server in started.values():
            server.wait()
        yield started
    finally:
        for server in started.values():
            server.end()


@pytest.fixture
def with_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the servers, in the environment."""
    monkeypatch.setenv("FINOPS_API_KEY", KEY)


def real_options(*servers: LlamaServer) -> list[str]:
    """Return the options of a command that asks real servers."""
    hosts = [part for server in servers for part in ("--host", server.url)]
    names = [part for each in servers for part in (f"--{each.model[5:]}-model", each.model)]
    return ["--backend", "openai", *hosts, *names]


def test_two_real_servers_answer_and_are_verified(
    servers: dict[str, LlamaServer], with_key: None, finops: Finops, tmp_path: Path
) -> None:
    """Two servers with one model each answer records end to end; the checker accepts the lines."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{n}", qty=100 * n + 50) for n in range(4))))
    options = (*real_options(*servers.values()), "--guard", "off", "--keep-raw")
    done = finops("run", fails, "-o", output, *options)
    assert done.returncode in (0, 1), done.stderr
    lines = rows(output.read_bytes())
    assert len(lines) == 4
    for line in lines:
        assert line["provenance"]["models"] == {
            "triage": "tiny-triage",
            "resolver": "tiny-resolver",
        }
        assert line["raw"]["triage"][0]["text"]
    assert "ok" in {line["status"] for line in lines}
    assert finops("check", output, "--fails", fails).returncode == 0
    assert KEY.encode() not in output.read_bytes() + done.stderr


def test_real_server_holds_an_answer_to_the_schema(
    servers: dict[str, LlamaServer], with_key: None, kb: KnowledgeBase
) -> None:
    """The grammar of finops makes a real model write an object with the fields of the schema."""
    request = BackendRequest(
        "openai",
        stages=("triage",),
        hosts=(servers["triage"].url,),
        models={"triage": "tiny-triage"},
    )
    model, _ = open_openai(request, kb)
    try:
        model.prepare("triage")
        [able] = model.abilities().values()
        schema = answer_schema(TRIAGE)
        turn = "<|im_start|>user\nWrite a poem.<|im_end|>\n<|im_start|>assistant\n"
        asked = CompletionRequest("triage", turn, 7, schema=schema, max_tokens=700)
        answer = json.loads(model.complete(asked).text)
    finally:
        model.close()
    assert able.constraint is not None
    assert able.constraint.name == "grammar"
    assert list(answer) == list(schema["properties"])


def test_wrong_key_of_a_real_server_ends_with_3(
    servers: dict[str, LlamaServer], finops: Finops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of llama-cpp-python refuses a wrong key, and finops says what to do."""
    monkeypatch.setenv("FINOPS_API_KEY", "another-key")
    done = finops("triage", "-", *real_options(servers["triage"]), stdin=jsonl(a_fail()))
    assert done.returncode == 3
    assert b"refuses the key (HTTP 401)" in done.stderr
