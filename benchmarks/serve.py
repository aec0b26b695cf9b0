"""Measure `finops serve` beside echoes of Starlette and FastAPI: `python -m benchmarks.serve 5`.

It needs wrk (`apt-get install wrk`). All servers are up at once and are asked in turns, each by 16
connections for two seconds. What counts is the processor time of the server's process for a
request, from /proc, as a median of the rounds; bare times of a shared machine say little, ratios
of one run do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from finops_cli.service.auth.tokens import new_owner, token_entry, utc_now
from finops_cli.service.store.sqlite import connect

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "fop_of-the-benchmark"  # noqa: S105 - of a service that lives for a minute
CLIENTS, SECONDS, LIST_SECONDS = 16, 2, 10
"""Lists are asked for longer: those in work at the end have cost time, and are not counted."""
POST = """
local file = io.open("{path}", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {token}"
"""
"""The request that wrk sends again and again."""
LATENCY_99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)\n")
REQUESTS = re.compile(r"(\d+) requests in")
MILLISECONDS_OF = {"us": 1e-3, "ms": 1.0, "s": 1e3}
BYTECODE = tempfile.TemporaryDirectory()
"""Takes the bytecode that an installed finops has: without it a start compiles every module."""
DECISIONS, GROWTH = 300, 250
DECISION_BYTES = 22_000
"""The bytes that a decision writes: 5.5 pages, measured by the growth of the log."""
TICKS = os.sysconf("SC_CLK_TCK")
MICROSECONDS, MILLISECONDS = 1e6, 1e3
ECHO = """
import sys, uvicorn
async def answer(request):
    return Response(await request.body(), media_type="application/json")
if sys.argv[1] == "starlette":
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route
    app = Starlette(routes=[Route("/", answer, methods=["POST"])])
else:
    from fastapi import FastAPI, Request
    from fastapi.responses import Response
    app = FastAPI()
    @app.post("/")
    async def echo(request: Request):
        return await answer(request)
uvicorn.run(app, port=int(sys.argv[2]), log_level="critical", access_log=False, ws="none")
"""


class Target(NamedTuple):
    """A server, and what it is asked."""

    name: str
    port: int
    pid: int
    path: str
    body: bytes


class Round(NamedTuple):
    """One round: processor time of the server and the slowest hundredth of the answers."""

    cpu_us: float
    p99_ms: float


def first_record() -> bytes:
    """Return the record that is asked for."""
    return (ROOT / "examples/monday.jsonl").read_bytes().splitlines()[0]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(target: Target, seconds: int, folder: Path) -> Round:
    """Ask a server from 16 connections at once. `folder` takes what wrk reads."""
    body, script = folder / "body", folder / "post.lua"
    body.write_bytes(target.body)
    script.write_text(POST.format(path=body, token=TOKEN))
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--latency", "-s", str(script)]
    before = cpu_seconds(target.pid)
    command.append(f"http://127.0.0.1:{target.port}{target.path}")
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = cpu_seconds(target.pid) - before
    count, slow = REQUESTS.search(told), LATENCY_99.search(told)
    if count is None or slow is None or "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(f"{target.name}: {told}")
    p99_ms = float(slow[1]) * MILLISECONDS_OF[slow[2]]
    return Round(used / int(count[1]) * MICROSECONDS, p99_ms)


@contextmanager
def echo_server(kind: str, port: int) -> Iterator[int]:
    """Run an echo of a framework, and yield its process."""
    process = subprocess.Popen([sys.executable, "-c", ECHO, kind, str(port)])
    try:
        for _ in range(200):
            try:
                httpx.post(f"http://127.0.0.1:{port}/", content=b"{}")
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def finops_server(folder: Path) -> Iterator[tuple[int, int, float]]:
    """Run finops serve; yield its port, its process and the seconds until it was ready."""
    tokens = folder / "tokens.toml"
    tokens.write_text(token_entry(new_owner(TOKEN, "bench", "admin", utc_now(), 1)))
    tokens.chmod(0o600)
    command = [sys.executable, "-m", "finops_cli", "serve", "--port", "0", "-q", "--guard", "off"]
    command += ["--data", str(folder / "data"), "--tokens", str(tokens)]
    began = time.perf_counter()
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": BYTECODE.name}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | bytecode
    )
    try:
        if process.stdout is None:
            raise RuntimeError("no stdout")
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        yield port, process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def rounds_of(targets: list[Target], rounds: int, folder: Path) -> dict[str, list[Round]]:
    """Ask every server in turns, `rounds` times after a warm-up."""
    measured: dict[str, list[Round]] = {target.name: [] for target in targets}
    for target in targets:
        load(target, 1, folder)
    for _ in range(rounds):
        for target in targets:
            seconds = LIST_SECONDS if target.name == "list of 100" else SECONDS
            measured[target.name].append(load(target, seconds, folder))
    return measured


def ratio(measured: dict[str, list[Round]], one: str, other: str, part: str = "cpu_us") -> float:
    """Return the median of the ratios of each round."""
    pairs = zip(measured[one], measured[other], strict=True)
    return statistics.median([getattr(a, part) / getattr(b, part) for a, b in pairs])


def stream_ratio(client: httpx.Client, pid: int, folder: Path, record: bytes) -> float:
    """Return the processor time of a stream to that of `finops triage` on the same lines."""
    lines = [json.loads(record) | {"fail_id": f"F-{n}"} for n in range(20_000)]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    before = cpu_seconds(pid)
    headers = {"Content-Type": "application/jsonl"}
    client.post("/v1/triage", content=content, headers=headers).raise_for_status()
    streamed = cpu_seconds(pid) - before
    source = folder / "lines.jsonl"
    source.write_bytes(content)
    command = [sys.executable, "-m", "finops_cli", "triage", str(source), "--no-timing", "-q"]
    began = os.times()
    subprocess.run([*command, "-o", str(folder / "out.jsonl")], check=True)
    ended = os.times()
    alone = ended.children_user + ended.children_system
    return streamed / (alone - began.children_user - began.children_system)


def decision_times(client: httpx.Client, fails: list[str], count: int) -> list[float]:
    """Return the seconds of decisions, each on the disk before its answer."""
    times: list[float] = []
    for number in range(count):
        began = time.perf_counter()
        body = {"kind": "comment", "comment": f"{number}"}
        path = f"/v1/fails/{fails[number % len(fails)]}/decisions"
        client.post(path, json=body).raise_for_status()
        times.append(time.perf_counter() - began)
    return times


def times_on_disk(client: httpx.Client, fails: list[str], folder: Path) -> tuple[float, float]:
    """Return the p99 in milliseconds of decisions, and of bare commits between them.

    A bare commit writes as many pages as a decision, to a log that has its size already.
    """
    bare = connect(folder / "bare.sqlite")
    bare.execute("CREATE TABLE pages (content BLOB)")
    decided, committed = list[float](), list[float]()
    for number in range(DECISIONS + GROWTH):
        if number >= GROWTH:
            decided += decision_times(client, fails, 1)
        began = time.perf_counter()
        bare.execute("INSERT INTO pages VALUES (?)", (os.urandom(DECISION_BYTES),))
        committed.append(time.perf_counter() - began)
    bare.close()
    return p99_ms(decided), p99_ms(committed[GROWTH:])


def p99_ms(times: list[float]) -> float:
    """Return the p99 of times in milliseconds."""
    return statistics.quantiles(times, n=100)[98] * MILLISECONDS


def times_beside(client: httpx.Client, fails: list[str], job: str) -> list[float]:
    """Return the seconds of decisions while the lines of a job arrive in the database."""
    times: list[float] = []
    while (found := client.get(f"/v1/jobs/{job}").json())["state"] != "completed":
        if found["request_counts"]["done"]:
            times += decision_times(client, fails, 10)
        else:
            time.sleep(0.05)
    return times


def desk_figures(
    client: httpx.Client, record: bytes, rows: int, folder: Path
) -> list[tuple[str, str, str]]:
    """Measure the queue with `rows` fails, and decisions alone and beside an import."""
    fails = [json.loads(record) | {"fail_id": f"F-{n}"} for n in range(rows)]
    content = "".join(json.dumps(fail) + "\n" for fail in fails).encode()
    headers = {"Content-Type": "application/jsonl"}
    file = client.post("/v1/files", content=content, headers=headers).raise_for_status().json()

    def begin() -> str:
        body = {"command": "triage", "input": file["id"]}
        return str(client.post("/v1/jobs", json=body).raise_for_status().json()["id"])

    def wait(job: str) -> None:
        while client.get(f"/v1/jobs/{job}?wait=30").json()["state"] != "completed":
            pass

    began = time.perf_counter()
    wait(begin())
    imported = time.perf_counter() - began
    found = [each["id"] for each in client.get("/v1/fails?limit=100").json()["fails"]]
    alone, bare = times_on_disk(client, found, folder)
    beside = p99_ms(times_beside(client, found, begin()))
    return [
        ("decision on the disk, p99", "5 ms", f"{alone:.1f} ms"),
        ("the same of a bare commit to SQLite", "", f"{bare:.1f} ms"),
        ("the same beside an import", "60 ms", f"{beside:.1f} ms"),
        (f"queue page of {rows:,}, p95", "10 ms", f"{page_p95(client):.1f} ms"),
        (f"job of {rows:,} records with its import", "", f"{imported:.1f} s"),
    ]


def page_p95(client: httpx.Client) -> float:
    """Return the p95 in milliseconds of pages of the queue, at their places."""
    times, cursor = [], None
    for _ in range(200):
        query = {"limit": "100", **({"cursor": cursor} if cursor else {})}
        began = time.perf_counter()
        page = client.get("/v1/fails", params=query).raise_for_status().json()
        times.append(time.perf_counter() - began)
        cursor = page["next"]
    return statistics.quantiles(times, n=100)[94] * MILLISECONDS


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [each for each in lines if each.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def main(rounds: int, rows: int) -> None:
    """Print the table."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    record = first_record()
    listed = b"[" + b",".join(record.replace(b"F-1001", b"F-%d" % n) for n in range(100)) + b"]"
    with tempfile.TemporaryDirectory() as name, echo_server("starlette", 18_801) as starlette:
        folder = Path(name)
        with tempfile.TemporaryDirectory() as first, finops_server(Path(first)):
            pass  # writes the bytecode
        with echo_server("fastapi", 18_802) as fastapi, finops_server(folder) as (port, pid, ready):
            measured = rounds_of(
                [
                    Target("starlette", 18_801, starlette, "/", record),
                    Target("fastapi", 18_802, fastapi, "/", record),
                    Target("triage", port, pid, "/v1/triage", record),
                    Target("run", port, pid, "/v1/run", record),
                    Target("list of 100", port, pid, "/v1/triage", listed),
                ],
                rounds,
                folder,
            )
            headers = {"Authorization": f"Bearer {TOKEN}"}
            base = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=base, headers=headers, timeout=120) as client:
                stream = stream_ratio(client, pid, folder, record)
                desk = desk_figures(client, record, rows, folder)
            rss = memory_mib(pid)
    each = statistics.median([value.cpu_us for value in measured["list of 100"]]) / 100
    table = [
        ("one triage to a Starlette echo", "2.6", f"{ratio(measured, 'triage', 'starlette'):.2f}"),
        ("one triage to a FastAPI echo", "1.35", f"{ratio(measured, 'triage', 'fastapi'):.2f}"),
        ("one run to a FastAPI echo", "1.6", f"{ratio(measured, 'run', 'fastapi'):.2f}"),
        ("lists of 100: a record", "35 us", f"{each:.0f} us"),
        ("stream to finops triage of the file", "1.5", f"{stream:.2f}"),
        (
            "p99 of a triage to the p99 of a FastAPI echo",
            "1.8",
            f"{ratio(measured, 'triage', 'fastapi', 'p99_ms'):.2f}",
        ),
        *desk,
        ("start to ready", "1.5 s", f"{ready:.2f} s"),
        ("memory at the end", "200 MB", f"{rss:.0f} MiB"),
    ]
    print("| what | at most | measured |\n|---|---|---|")
    for row in table:
        print(f"| {' | '.join(row)} |")
    for server, values in measured.items():
        each = statistics.median([value.cpu_us for value in values])
        print(f"{server:12} {each:8.0f} us of CPU a request")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 5,
        int(sys.argv[2]) if len(sys.argv) > 2 else 100_000,
    )
