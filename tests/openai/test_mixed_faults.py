"""A server that fails in every way at once, and one with a certificate of a firm's authority."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from random import Random
from shutil import which

import pytest

from finops_cli.devtools.fake_openai import (
    Behaviour,
    Changed,
    CorrectAnswer,
    FakeOpenAI,
    Hang,
    Script,
    Status,
)
from finops_cli.devtools.fake_openai.kinds import ReceivedRequest
from finops_cli.kb.rulebook import KnowledgeBase
from tests.openai.test_failures import FAILURES
from tests.support.ollama_models import a_record, select_backend_at, some_fails
from tests.support.openai_models import server_options
from tests.support.program import Finops
from tests.support.records import jsonl, rows

ODD_EVENTS = (
    "null",
    "[1, 2]",
    '{"choices":[null]}',
    '{"choices":[{"index":"0","text":"x","finish_reason":"stop"}]}',
    '{"choices":[{"index":0,"text":["a"],"finish_reason":"stop"}]}',
    '{"choices":[{"index":0,"text":"\\ud83d","finish_reason":"stop"}]}',
    '{"choices":[{"index":1,"text":"{}","finish_reason":"stop"}]}',
)


def every_fault(seed: int) -> Script:
    """Return a script that answers two requests of five rightly, and fails in any way else."""
    draw = Random(seed)
    faults: list[Behaviour] = [behaviour for behaviour, _, _ in FAILURES]
    faults += [Status(200, f"data: {event}\n\n") for event in ODD_EVENTS]
    faults += [Hang(2), Status(429, "", {"Retry-After": "soon"}), Status(503)]
    faults.append(Changed(lambda answer: {**answer, "priority_score": 1, "total_coverable": 9}))

    def script(request: ReceivedRequest) -> Behaviour:
        rightly = draw.random() < (0.9 if request.is_trial else 0.4)
        return CorrectAnswer() if rightly else draw.choice(faults)

    return script


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "api"), [("vllm", "completions"), ("plain", "chat")])
def test_no_fault_costs_a_line_or_marks_it_wrongly(
    kind: str, api: str, finops: Finops, quick_kb: Path, tmp_path: Path
) -> None:
    """Under every fault at once each record has its line, in order, and every number is right or
    marked; a run whose servers are given up goes on with --resume.
    """
    fails, output = some_fails(24), tmp_path / "out.jsonl"
    (tmp_path / "fails.jsonl").write_bytes(jsonl(*fails))
    with FakeOpenAI(every_fault(1), kind=kind) as one, FakeOpenAI(every_fault(2)) as two:
        call = ("--kb", quick_kb, "run", tmp_path / "fails.jsonl", "-o", output, "--resume")
        options = (*server_options(one, two), "--model-api", api, "--timeout", "1")
        for _ in range(20):
            done = finops(*call, *options, "--workers", "4", "--guard", "off", "--keep-raw")
            assert b"Traceback" not in done.stderr
            if done.returncode != 3:
                break
    lines = rows(output.read_bytes())
    assert done.returncode in (0, 1)
    assert [line["fail_id"] for line in lines] == [fail["fail_id"] for fail in fails]
    assert {"ok", "fallback"} <= {line["status"] for line in lines}
    checked = finops("--kb", quick_kb, "check", output, "--fails", tmp_path / "fails.jsonl")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(which("openssl") is None, reason="needs openssl to make a certificate")
def test_certificate_of_an_own_authority_is_trusted_when_named(
    quick: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with https answers if SSL_CERT_FILE names its authority, and not otherwise."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    make += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with FakeOpenAI(tls=tls) as server:
        with pytest.raises(Exception, match="its certificate is not trusted"):
            select_backend_at(quick, "openai", server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        backend = select_backend_at(quick, "openai", server.url).backend
        assert backend.triage(a_record()).status == "ok"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(Exception, match="SSL_CERT_FILE="):
            select_backend_at(quick, "openai", server.url)
