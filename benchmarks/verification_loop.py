"""Measure the verification loop: records a second through a server, against a bare concurrent
client that sends it the same requests.

    python -m benchmarks.verification_loop [ROUNDS] [--gguf FILE]

The server is the fake Ollama or the fake vLLM, as a process of its own: answering at a model's
pace, as fast as it can, or (with --gguf and the extra `llama`) a real model in llama.cpp. Both
sides take the same records with as many requests at once, one after the other in each round; the
best round of each counts. The bare client reads each whole answer and does nothing with it.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import httpx

from finops_cli.files.jsonl import Batch
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import select_backend
from finops_cli.models.ollama.connect import open_ollama
from finops_cli.models.openai.connect import open_openai
from finops_cli.models.openai.requests import PATHS, Abilities, build_body
from finops_cli.models.prompts import triage_prompt
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.servers.profiles import build_profile
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import process_with_models
from finops_cli.pipeline.sequences import SEQUENCES
from finops_cli.verify.codecs import FAIL

MODEL_PACE = "2000"


class Protocol(NamedTuple):
    """A fake server, and how a bare client asks it."""

    backend: str
    module: str
    path: str
    end: bytes
    """The end of a whole answer."""


OLLAMA = Protocol("ollama", "fake_ollama", "/api/generate", b'"done":true')
OPENAI = Protocol("openai", "fake_openai", PATHS["completions"], b"[DONE]")


def make_fails(count: int) -> list[bytes]:
    """Seeded fail records that differ in what is asked."""
    draw = Random(7)
    record = {
        "cusip": "594918104",
        "side": "Sell",
        "counterparty": "DTC-0005",
        "cns_direction": "FTD",
        "reg_sho_threshold": True,
    }
    varying = [
        {
            "fail_id": f"F-{n}",
            "qty": draw.randrange(1, 90_000),
            "age_days": draw.randrange(15),
            "market_value": draw.randrange(9_000_000),
        }
        for n in range(count)
    ]
    rates = {"inventory_coverage_pct": 10, "cp_fail_rate_pct": 4}
    return [
        json.dumps({**record, **values, "cns_position": -values["qty"], **rates}).encode()
        for values in varying
    ]


@contextmanager
def server(protocol: Protocol, *options: str) -> Iterator[str]:
    """Start a fake server as a process of its own; gives its URL."""
    module = f"finops_cli.devtools.{protocol.module}"
    command = [sys.executable, "-m", module, "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    url = next(
        word
        for word in str(process.stderr and process.stderr.readline()).split()
        if word.startswith("http")
    )
    try:
        yield url
    finally:
        process.terminate()
        process.wait()


def run_verified(
    protocol: Protocol, url: str, lines: list[bytes], at_once: int, model: str
) -> float:
    """Run `lines` through the loop, models loaded; returns the seconds."""
    kb = load_kb(bundled_kb_dir())
    backend = select_backend(
        BackendRequest(
            protocol.backend, ("triage",), (url,), models={"triage": model}, workers=at_once
        ),
        kb,
    ).backend
    pipeline = Pipeline(SEQUENCES["triage"], backend, kb, timed=True)
    backend.prepare("triage")
    started = time.perf_counter()
    done = list(
        process_with_models(
            (Batch(n, [line], n) for n, line in enumerate(lines, start=1)), pipeline
        )
    )
    taken = time.perf_counter() - started
    backend.close()
    if len(done) != len(lines):
        raise SystemExit(f"{len(done)} of {len(lines)} records came back")
    return taken


def make_requests(protocol: Protocol, url: str, lines: list[bytes], name: str) -> list[bytes]:
    """Make the requests that the loop sends for `lines`."""
    kb = load_kb(bundled_kb_dir())
    request = BackendRequest(protocol.backend, ("triage",), (url,), models={"triage": name})
    records = [record for line in lines if (record := FAIL.read_line(line)) is not None]
    asked = [CompletionRequest("triage", triage_prompt(record).text, 7) for record in records]
    bodies: list[dict[str, Any]]
    if protocol is OLLAMA:
        ollama, _ = open_ollama(request, kb)
        bodies = [ollama.body(each) for each in asked]
        ollama.close()
    else:
        open_openai(request, kb)[0].close()  # it lists the model
        options = build_profile("triage", None, name, kb).options
        most = int(str(options["num_predict"]))
        bodies = [
            build_body(each, name, options, "completions", most, Abilities()) for each in asked
        ]
    return [json.dumps(body).encode() for body in bodies]


def run_bare(protocol: Protocol, url: str, requests: list[bytes], at_once: int) -> float:
    """Send the requests by a client that only reads; returns the seconds."""
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    for body in requests:
        waiting.put(body)
    for _ in range(at_once):
        waiting.put(None)
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:

        def send() -> None:
            while (body := waiting.get()) is not None:
                with client.stream("POST", protocol.path, content=body) as response:
                    if protocol.end not in b"".join(response.iter_raw()):
                        raise SystemExit("an answer did not end")

        threads = [threading.Thread(target=send) for _ in range(at_once)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started


def compare(
    name: str,
    options: list[str],
    model: str,
    at_once: int,
    count: int,
    rounds: int,
    protocol: Protocol = OLLAMA,
) -> None:
    """Print one row: both rates and their ratio."""
    lines = make_fails(count)
    with server(protocol, *options) as url:
        requests = make_requests(protocol, url, lines, model)
        run_bare(protocol, url, requests[:20], at_once)
        taken = [
            (
                run_verified(protocol, url, lines, at_once, model),
                run_bare(protocol, url, requests, at_once),
            )
            for _ in range(rounds)
        ]
    ours, theirs = (min(side) for side in zip(*taken, strict=True))
    print(
        f"| {name} | {at_once} | {count / ours:,.1f} | {count / theirs:,.1f} |"
        f" {theirs / ours:.3f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--gguf")
    given = parser.parse_args()
    print(
        "| server | requests at once | verified, records/s | bare, records/s | ratio"
        " |\n|---|---|---|---|---|"
    )
    pace = ["--tokens-per-second", MODEL_PACE]
    compare("fake Ollama at a model's pace, one slot", pace, "finops-triage", 1, 60, given.rounds)
    compare("fake Ollama at a model's pace", pace, "finops-resolver", 4, 160, given.rounds)
    compare("fake Ollama, as fast as it can", [], "finops-resolver", 4, 400, given.rounds)
    many = given.rounds, OPENAI
    compare("fake vLLM at a model's pace", pace, "finops-triage", 4, 160, *many)
    compare("fake vLLM, as fast as it can", [], "finops-triage", 4, 400, *many)
    if given.gguf:
        compare(
            "llama.cpp",
            ["--gguf", f"finops-triage={given.gguf}"],
            "finops-triage",
            1,
            40,
            given.rounds,
        )


if __name__ == "__main__":
    main()
