"""A run on a cluster whose GPUs hold one of the two models at a time."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finops_cli.cluster.part_files import parts_root
from finops_cli.cluster.placement import model_bytes
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from tests.cluster.conftest import STORE, added_nodes
from tests.cluster.local_parts import PATIENCE, start_patiently
from tests.cluster.test_cluster_run import command, fails, finish, on_ray, running
from tests.support.own_kb import change_kb

ray = pytest.importorskip("ray")
pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.slow

MODELS = ("--backend", "llama-cpp")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def kb_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules by which a part has two records."""
    return change_kb(
        tmp_path_factory.mktemp("rules"),
        "cluster.toml",
        "bytes = 8388608, records = 256",
        "bytes = 8388608, records = 2",
    )


@pytest.fixture
def gpu_nodes(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Two machines, whose driver says that their GPU has room for the larger model alone; no other
    one is in the cluster.
    """
    remove_nodes(cluster)
    share_pct = load_kb(bundled_kb_dir()).models.memory_pct
    bundled = BackendRequest(backend="llama-cpp")
    needed = [model_bytes(bundled, "triage"), model_bytes(bundled, "resolver")]
    size = (max(needed) + min(needed) // 2) * 100 // share_pct // MIB
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {size}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    yield [cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE) for _ in range(2)]
    remove_nodes(cluster)


def remove_nodes(cluster: Any) -> None:
    """Remove the machines of the cluster, except its head."""
    for node in added_nodes(cluster):
        cluster.remove_node(node)


def count_parts(output: Path, *, are_whole: bool) -> int:
    """Count the finished parts of the second model, whose parts have inputs of their own, or those
    of the first one.
    """
    for listed in parts_root(output).glob("*/parts.jsonl"):
        if any(listed.parent.glob("*.input")) == are_whole:
            return listed.read_bytes().count(b"\n")
    return 0


def wait_for(
    count: int, output: Path, process: subprocess.Popen[bytes], *, are_whole: bool
) -> None:
    """Wait until so many parts of a model are finished."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if count_parts(output, are_whole=are_whole) >= count:
            return
        if process.poll() is not None:
            raise AssertionError(finish(process))
        time.sleep(0.05)
    raise AssertionError("the parts do not come")


def test_models_that_do_not_fit_together_leave_equal_bytes(
    cluster: Any, gpu_nodes: list[Any], kb_dir: Path, tmp_path: Path
) -> None:
    """Each model has a pool of its own. The driver dies while the first one works, and a machine is
    lost while the second one does: the output has the bytes of a run in one process.
    """
    given = tmp_path / "fails.jsonl"
    given.write_bytes(fails(12) + b'{"qty": 1}\n')
    local, output = tmp_path / "local.jsonl", tmp_path / "out.jsonl"
    start_patiently(*command(kb_dir, given, local, *MODELS)[3:])
    call = command(kb_dir, given, output, *MODELS, *on_ray(cluster), "--keep-parts")
    with running(call) as process:
        wait_for(2, output, process, are_whole=False)
        process.kill()
        finish(process)
    assert output.read_bytes() == b""
    call.remove("-q")
    with running([*call, "--resume"]) as process:
        wait_for(1, output, process, are_whole=True)
        cluster.remove_node(gpu_nodes[0], allow_graceful=False)
        messages = finish(process)
    assert process.returncode == 1, messages  # the last line is rejected
    assert output.read_bytes() == local.read_bytes()
    assert b"one model after the other: triage 7 parts, " in messages
    [folder] = parts_root(output).iterdir()  # half-done lines are not kept
    parts = sorted(path for path in folder.glob("0*.jsonl"))
    assert b"".join(path.read_bytes() for path in parts) == local.read_bytes()


def test_model_larger_than_a_gpu_is_refused(
    cluster: Any, gpu_nodes: list[Any], kb_dir: Path, tmp_path: Path
) -> None:
    """Two workers of one GPU need more than it has: the command ends with 2 and names the part of
    a GPU that a model needs.
    """
    given, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    given.write_bytes(fails(2))
    call = command(kb_dir, given, output, *MODELS, *on_ray(cluster), "--gpus-per-model", "0.5")
    done = start_patiently(*call[3:])
    assert done.returncode == 2, done.stderr
    assert b"do not fit a GPU" in done.stderr
    assert b"give --gpus-per-model 1" in done.stderr
    assert not output.exists()
