"""Hooks of a run: commands and loopback webhooks, through an outbox; none delays an answer."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring import system_monitor as monitors
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.hooks.alarms import Dispatch
from finops_cli.monitoring.hooks.deliver import Undelivered, run_command, sign
from finops_cli.monitoring.hooks.hook_file import Hook, is_loopback, read_hooks
from finops_cli.monitoring.hooks.outbox import Outbox
from finops_cli.monitoring.system_monitor import SystemMonitor
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl

DRIFT = Event(event="drift", facts={"dimension": "tier"})
QUICK = {"seconds": 10, "tries": 2, "pause_seconds": 0, "waiting": 10, "end_seconds": 20}
SECRET = "a secret of the desk"  # noqa: S105 - of a test


class Receiver(HTTPServer):
    """A webhook that keeps what it gets, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 204
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/finops"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("location", self.server.url.replace("/finops", "/elsewhere"))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(autouse=True)
def _own_monitor(monkeypatch: pytest.MonkeyPatch, kb: KnowledgeBase) -> None:
    """Count the answers of a test alone: those of the tests before it may raise alarms."""
    monkeypatch.setattr(monitors, "_monitors", [SystemMonitor(kb)])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def write_program(path: Path, body: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def teller(tmp_path: Path) -> tuple[Path, Path]:
    """A program that appends its stdin to a file, and the file."""
    told = tmp_path / "told.jsonl"
    body = f"import sys\nopen({str(told)!r}, 'a').write(sys.stdin.read() + '\\n')"
    return write_program(tmp_path / "teller", body), told


@pytest.fixture
def runs(tmp_path: Path, finops: Finops) -> tuple[Path, Path]:
    """A baseline, and fails whose answers leave it after 300 records."""
    ages = [(1, 5, 8, 11)[n % 4] if n < 300 else 14 for n in range(900)]
    records = [jsonl(a_fail(fail_id=f"F-{n}", age_days=age)) for n, age in enumerate(ages)]
    before, fails, baseline = (tmp_path / name for name in ("before", "fails", "baseline"))
    before.write_bytes(b"".join(records[:300]))
    fails.write_bytes(b"".join(records))
    assert finops("run", before, "-q", "--backend", "engine", "-o", baseline).returncode == 0
    return baseline, fails


def write_hooks(path: Path, *hooks: dict[str, object]) -> Path:
    lines = []
    for hook in hooks:
        lines += ["[[hook]]", *(f"{name} = {json.dumps(value)}" for name, value in hook.items())]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def events_of(told: Path) -> list[tuple[str, str, int]]:
    found = [json.loads(line) for line in told.read_text().splitlines()]
    return [
        (each["event"], each["facts"]["dimension"], each["facts"]["after_answers"])
        for each in found
    ]


@pytest.mark.slow
def test_drift_tells_its_hooks_of_each_dimension(
    finops: Finops, tmp_path: Path, runs: tuple[Path, Path], teller: tuple[Path, Path]
) -> None:
    """`finops drift --hooks` tells a command of each dimension that drifted, and of none else."""
    baseline, fails = runs
    hooks = write_hooks(tmp_path / "hooks.toml", {"command": [str(teller[0])]})
    out = tmp_path / "out.jsonl"
    assert finops("run", fails, "--backend", "engine", "-q", "-o", out).returncode == 0
    done = finops("drift", out, "-b", baseline, "--json", "--hooks", hooks)
    drifted = [each for each in json.loads(done.stdout)["dimensions"] if each["drifted"]]
    told = [json.loads(line) for line in teller[1].read_text().splitlines()]
    assert (done.returncode, len(told) > 1) == (1, True)
    assert [each["event"] for each in told] == ["drift"] * len(drifted)
    assert [each["facts"]["dimension"] for each in told] == [each["name"] for each in drifted]
    assert told[0]["facts"]["divergence"] > told[0]["facts"]["threshold"]
    teller[1].unlink()
    assert finops("drift", baseline, "-b", baseline, "--hooks", hooks).returncode == 0
    assert not teller[1].exists()
    broken = write_hooks(tmp_path / "broken.toml", {"command": ["/no/such/program"]})
    failed = finops("drift", out, "-b", baseline, "--hooks", broken)
    assert failed.returncode == 1
    assert b"were not delivered" in failed.stderr


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_run_tells_its_hooks_of_drift(
    finops: Finops,
    tmp_path: Path,
    runs: tuple[Path, Path],
    teller: tuple[Path, Path],
    receiver: Receiver,
    workers: str,
) -> None:
    """A command and a webhook are told once of each dimension that drifts, at the same record with
    any number of workers; the answers are those of a run without hooks.
    """
    baseline, fails = runs
    hooks = write_hooks(
        tmp_path / "hooks.toml",
        {"command": [str(teller[0])], "events": ["drift"]},
        {"url": receiver.url, "secret": SECRET, "events": ["drift"]},
    )
    out = tmp_path / "out.jsonl"
    run = ("run", fails, "--backend", "engine", "-q", "--no-timing", "--workers", workers)
    done = finops(*run, "-o", out, "--hooks", hooks, "--drift-baseline", baseline)
    assert done.returncode == 0
    due = [("drift", "action", 400), ("drift", "tier", 600)]
    assert events_of(teller[1]) == due
    bodies = [body for _, _, body in receiver.got]
    assert [json.loads(body)["facts"]["after_answers"] for body in bodies] == [400, 600]
    for path, headers, body in receiver.got:
        assert (path, headers["x-finops-event"]) == ("/finops", "drift")
        assert headers["x-finops-signature"] == f"sha256={sign(SECRET, body)}"
    assert done.stderr.count(b"drift: ") == 2
    outbox = tmp_path / "out.jsonl.hooks.jsonl"
    assert stat.S_IMODE(outbox.stat().st_mode) == 0o600
    states = [json.loads(line).get("state") for line in outbox.read_text().splitlines()]
    assert states.count("delivered") == 4
    assert out.read_bytes() == finops(*run).stdout


@pytest.mark.slow
def test_outbox_stands_beside_a_packed_output(
    finops: Finops, tmp_path: Path, runs: tuple[Path, Path], teller: tuple[Path, Path]
) -> None:
    """The outbox of an output that is made at the end has its name, not the journal's."""
    baseline, fails = runs
    hooks = write_hooks(tmp_path / "hooks.toml", {"command": [str(teller[0])]})
    alarms = ("--hooks", hooks, "--drift-baseline", baseline)
    finops("run", fails, "--backend", "engine", "-q", "-o", tmp_path / "out.gz", *alarms)
    found = sorted(path.name for path in tmp_path.glob("out.gz*"))
    assert found == ["out.gz", "out.gz.hooks.jsonl", "out.gz.run.json"]


@pytest.mark.slow
def test_undelivered_events_are_sent_by_resume(
    finops: Finops, tmp_path: Path, runs: tuple[Path, Path], teller: tuple[Path, Path]
) -> None:
    """A hook that fails ends no run; stderr and the outbox name it, and `--resume` tells it."""
    baseline, fails = runs
    program, told = teller
    hooks = write_hooks(tmp_path / "hooks.toml", {"command": [str(program)]})
    kept = program.read_text()
    write_program(program, "raise SystemExit(3)")
    out = tmp_path / "out.jsonl"
    run = ("run", fails, "--backend", "engine", "-q", "-o", out, "--hooks", hooks)
    done = finops(*run, "--drift-baseline", baseline)
    assert done.returncode == 0
    assert b"2 events were not delivered: ended with" in done.stderr
    assert not told.exists()
    program.write_text(kept)
    assert finops(*run, "--drift-baseline", baseline, "--resume").returncode == 0
    assert events_of(told) == [("drift", "action", 400), ("drift", "tier", 600)]
    again = finops(*run, "--drift-baseline", baseline, "--resume")
    assert again.returncode == 0
    assert len(events_of(told)) == 2


@pytest.mark.slow
def test_command_that_hangs_is_killed_with_its_group(tmp_path: Path) -> None:
    """A command has its seconds; then it is killed, and so is what it started."""
    note = tmp_path / "pid"
    program = write_program(
        tmp_path / "hang",
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)",
    )
    with pytest.raises(Undelivered, match="did not end within 5 s"):
        run_command((str(program),), b"{}", 5)
    pid = int(note.read_text())
    end = monotonic() + 20
    while monotonic() < end and is_running(pid):
        os.sched_yield()
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_command_gets_no_environment_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command sees a fixed environment, without the secrets of this process, and no shell."""
    monkeypatch.setenv("OUR_SECRET", "s3cret")
    seen = tmp_path / "seen"
    body = (
        f"import os, sys\nopen({str(seen)!r}, 'w').write(repr((sys.argv[1:], sorted(os.environ))))"
    )
    run_command((str(write_program(tmp_path / "show", body)), "$(touch x); *"), b"{}", 30)
    arguments, names = eval(seen.read_text())  # noqa: S307 - written by the program above
    assert arguments == ["$(touch x); *"]
    assert set(names) <= {"LANG", "PATH", "LC_CTYPE"}


@pytest.mark.parametrize("status", [302, 404, 500])
def test_webhook_that_refuses_is_tried_again_and_not_followed(
    receiver: Receiver, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another status than 2xx is a failure: it is tried again, a redirect is not followed, and
    proxies of the environment are not asked.
    """
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    receiver.status = status
    dispatch = Dispatch([Hook(url=receiver.url)], Outbox(None, continues=False), QUICK)
    dispatch.send(DRIFT)
    (sentence,) = dispatch.drain()
    assert f"answered {status}" in sentence
    assert [path for path, _, _ in receiver.got] == ["/finops"] * 2


@pytest.mark.slow
def test_full_queue_of_a_hook_keeps_the_events(tmp_path: Path) -> None:
    """Events beyond the queue of a slow hook stay in the outbox, and are reported."""
    program = write_program(tmp_path / "slow", "import time; time.sleep(600)")
    limits = {**QUICK, "waiting": 1, "seconds": 2, "tries": 1, "end_seconds": 1}
    outbox = Outbox(tmp_path / "outbox", continues=False)
    dispatch = Dispatch([Hook(command=(str(program),))], outbox, limits)
    for _ in range(5):
        dispatch.send(DRIFT)
    (sentence,) = dispatch.drain()
    assert "5 events were not delivered" in sentence
    assert len(Outbox(tmp_path / "outbox", continues=True).events) == 5


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("http://127.0.0.1:9000/finops", True),
        ("http://localhost:9000", True),
        ("http://[::1]:9000/x", True),
        ("http://127.9.9.9:1/", True),
        ("https://127.0.0.1/x", False),
        ("http://10.0.0.1:9000/", False),
        ("http://example.com/", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://user@127.0.0.1/", False),
        ("http://2130706433/", False),
        ("file:///etc/passwd", False),
        ("http://127.0.0.1:99999/", False),
        ("", False),
    ],
)
def test_only_loopback_addresses_are_webhooks(url: str, is_ours: bool) -> None:
    """Nothing leaves the machine: other addresses are refused, however they are written."""
    assert is_loopback(url) is is_ours


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "hook"),
        ("hook = []", "at least one hook"),
        ("[[hook]]", "either command or url"),
        ('[[hook]]\ncommand = ["page-desk"]', "whole path"),
        ('[[hook]]\ncommand = ["/bin/true"]\nurl = "http://127.0.0.1:1/"', "either command or url"),
        ('[[hook]]\nurl = "http://example.com/"', "nothing leaves this machine"),
        ('[[hook]]\nurl = "http://127.0.0.1:1/"\nsecret = "short"', "16"),
        ('[[hook]]\ncommand = ["/bin/true"]\nevents = ["drfit"]', "drift"),
        ('[[hook]]\ncommand = ["/bin/true"]\nshell = true', "shell"),
        ("[[hook", "is not TOML"),
    ],
)
def test_faults_of_a_file_of_hooks_are_named(tmp_path: Path, text: str, said: str) -> None:
    """A file of hooks that cannot be used is refused before the run, and the fault is named."""
    path = tmp_path / "hooks.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_hooks(path)
    assert said in str(refused.value)


def test_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """A file with a secret must be its owner's alone."""
    path = write_hooks(tmp_path / "h", {"url": "http://127.0.0.1:1/", "secret": SECRET})
    assert read_hooks(path)[0].secret == SECRET
    path.chmod(0o644)
    with pytest.raises(UsageError, match="other users"):
        read_hooks(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", b"no answered record"), (b"not JSON\n", b"not an output line"), (None, b"")],
)
def test_baseline_that_cannot_be_used_is_refused(
    finops: Finops, tmp_path: Path, content: bytes | None, said: bytes
) -> None:
    """A missing, empty or foreign baseline ends with 2 before the run."""
    path, out = tmp_path / "baseline", tmp_path / "out.jsonl"
    if content is not None:
        path.write_bytes(content)
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(jsonl(a_fail()))
    done = finops("run", fails, "-o", out, "--drift-baseline", path)
    assert done.returncode == 2
    assert said in b" ".join(done.stderr.split())
    assert not out.exists()


def test_limits_of_hooks_come_from_the_rules(kb: KnowledgeBase) -> None:
    """The seconds and tries of a hook are those of kb hooks.limits."""
    assert kb.monitoring.hooks["seconds"] == 10
    assert kb.monitoring.hooks["tries"] == 3
