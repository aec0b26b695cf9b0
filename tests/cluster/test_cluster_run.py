"""`finops run --executor ray` on a cluster of three machines, two of which have processors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from finops_cli.cluster.part_files import parts_root
from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.devtools.fake_ollama.behaviours import CorrectAnswer, ReceivedRequest
from tests.cluster.local_parts import PATIENCE, start_patiently
from tests.cluster.test_parts import blotter
from tests.support.program import EXAMPLES
from tests.support.records import a_fail, jsonl

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
FIRST, LAST = "DTC-1000", "DTC-1027"
"""The counterparties of the first and of the last of 28 fails."""


def fails(count: int) -> bytes:
    return b"".join(
        jsonl(
            a_fail(fail_id=f"F-{number}", age_days=number % 15, counterparty=f"DTC-{1000 + number}")
        )
        for number in range(count)
    )


def command(kb_dir: Path, given: Path, output: Path, *more: object) -> list[str]:
    """Return the command of a run, without times and messages."""
    return [
        *(sys.executable, "-m", "finops_cli", "--kb", str(kb_dir), "run", str(given)),
        *("-o", str(output), "--no-timing", "-q", *map(str, more)),
    ]


def on_ray(cluster: Any) -> tuple[str, ...]:
    return ("--executor", "ray", "--ray", cluster.address)


@contextmanager
def running(call: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run, which ends with the block whatever fails there."""
    with subprocess.Popen(call, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[bytes]) -> bytes:
    """Wait for a run and return what it wrote on stderr."""
    _, messages = process.communicate(timeout=PATIENCE)
    return messages


def hold(server: FakeOllama, counterparty: str) -> Event:
    """Answer nothing about the fail with this counterparty until the event is set.

    Until then no run of it ends. With the first fail held, no line is in an output either: a run
    that is continued has all parts in its list, however many the killed driver had finished.
    """
    released = Event()

    def script(request: ReceivedRequest) -> CorrectAnswer:
        if counterparty in request.prompt:
            released.wait(PATIENCE)
        return CorrectAnswer()

    server.script = script
    return released


def wait_for_parts(output: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the list of parts has `count` lines."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        lists = list(parts_root(output).glob("*/parts.jsonl"))
        if lists and lists[0].read_bytes().count(b"\n") >= count:
            return
        if process.poll() is not None:
            raise AssertionError(finish(process))
        time.sleep(0.05)
    raise AssertionError("the parts do not come")


def workers_of(process_name: bytes = b"MapWorker") -> list[int]:
    """Return the processes of Ray that answer parts on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if name.startswith(b"ray::") and process_name in name:
            found.append(int(path.parent.name))
    return found


def test_cluster_gives_the_bytes_of_a_local_run(
    cluster: Any, nodes: list[Any], kb_dir: Path, tmp_path: Path
) -> None:
    """Parts of any order give equal bytes, with repeated names, shared boxes and broken lines; a
    second run is refused, a resumed one has nothing to do, and no part is left.
    """
    given = tmp_path / "fails.jsonl"
    given.write_bytes(blotter())
    local, output = tmp_path / "local.jsonl", tmp_path / "out.jsonl"
    assert start_patiently(*command(kb_dir, given, local)[3:]).returncode == 1
    call = command(kb_dir, given, output, *on_ray(cluster))[3:]
    done = start_patiently(*call)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert output.read_bytes() == local.read_bytes()
    assert not parts_root(output).exists()
    again = start_patiently(*call)
    assert again.returncode == 2
    assert b"is the complete output of an earlier run" in again.stderr
    assert start_patiently(*call, "--resume").returncode == 1
    assert output.read_bytes() == local.read_bytes()


def test_lost_machine_and_lost_worker_leave_equal_bytes(
    cluster: Any, nodes: list[Any], kb_dir: Path, paced: FakeOllama, tmp_path: Path
) -> None:
    """A worker is killed in the middle of a part, then a machine: the others answer its parts."""
    given = tmp_path / "fails.jsonl"
    given.write_bytes(fails(28))
    local, output = tmp_path / "local.jsonl", tmp_path / "out.jsonl"
    models = ("--backend", "ollama", "--host", paced.url)
    assert (
        start_patiently(*command(kb_dir, given, local, *models, "--workers", 8)[3:]).returncode == 0
    )
    call = command(kb_dir, given, output, *models, *on_ray(cluster), "--keep-parts")
    released = hold(paced, FIRST)
    with running(call) as process:
        wait_for_parts(output, 2, process)
        os.kill(workers_of()[0], signal.SIGKILL)
        wait_for_parts(output, 4, process)
        cluster.remove_node(nodes[0], allow_graceful=False)
        released.set()
        messages = finish(process)
    assert process.returncode == 0, messages
    assert output.read_bytes() == local.read_bytes()
    [folder] = parts_root(output).iterdir()
    parts = sorted(path for path in folder.iterdir() if path.name[0] == "0")
    lines = b"".join(path.read_bytes() for path in parts if path.name.endswith(".jsonl"))
    assert lines == local.read_bytes()
    assert not list(folder.glob(".*"))


def test_killed_driver_is_resumed_from_its_parts(
    cluster: Any, nodes: list[Any], kb_dir: Path, paced: FakeOllama, tmp_path: Path
) -> None:
    """After kill -9 of the driver, --resume answers only the parts that nobody has finished."""
    given = tmp_path / "fails.jsonl"
    given.write_bytes(fails(28))
    local, output = tmp_path / "local.jsonl", tmp_path / "out.jsonl"
    models = ("--backend", "ollama", "--host", paced.url)
    assert (
        start_patiently(*command(kb_dir, given, local, *models, "--workers", 8)[3:]).returncode == 0
    )
    call = command(kb_dir, given, output, *models, *on_ray(cluster))
    released = hold(paced, LAST)
    with running(call) as process:
        wait_for_parts(output, 3, process)
        process.kill()
        finish(process)
    released.set()
    refused = start_patiently(*call[3:])
    assert refused.returncode == 2
    assert b"--resume" in refused.stderr
    done = start_patiently(*call[3:], "--resume")
    assert (done.returncode, done.stderr) == (0, b"")
    assert output.read_bytes() == local.read_bytes()


def test_unusable_cluster_is_refused_in_time(
    cluster: Any, nodes: list[Any], kb_dir: Path, tmp_path: Path
) -> None:
    """A cluster that nothing answers at, and a worker's resources that no machine has, end the
    command before the output is touched.
    """
    output = tmp_path / "out.jsonl"
    output.write_text("precious")
    given = EXAMPLES / "monday.jsonl"
    nobody = command(kb_dir, given, output, "--executor", "ray", "--ray", "127.0.0.1:1")
    done = start_patiently(*nobody[3:], "--overwrite")
    assert done.returncode == 2
    assert b"no cluster of Ray answers" in done.stderr
    no_gpu = command(kb_dir, given, output, *on_ray(cluster), "--gpus-per-model", "0.5")
    done = start_patiently(*no_gpu[3:], "--overwrite")
    assert done.returncode == 2
    assert b"no machine of the cluster has a GPU" in done.stderr
    assert output.read_text() == "precious"
