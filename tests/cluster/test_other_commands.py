"""`triage`, `resolve` and `evaluate` on a cluster, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finops_cli import extras
from tests.cluster.local_parts import start_patiently
from tests.support.program import EXAMPLES, Finops

MONDAY = EXAMPLES / "monday.jsonl"


def test_options_of_a_cluster_need_the_executor(finops: Finops, tmp_path: Path) -> None:
    """--ray, --gpus-per-model and --keep-parts mean nothing to a local run."""
    done = finops("run", MONDAY, "-o", tmp_path / "out.jsonl", "--ray", "auto", "--keep-parts")
    assert done.returncode == 2
    assert b"--ray and --keep-parts: only with --executor ray" in done.stderr


def test_missing_ray_ends_with_3_and_the_packages(
    finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Ray the command ends with 3, names what to install, and touches nothing."""
    monkeypatch.setattr("finops_cli.cluster.connect.find_spec", lambda _: None)
    done = finops("run", MONDAY, "-o", tmp_path / "out.jsonl", "--executor", "ray")
    assert done.returncode == 3
    assert extras.cure("ray").encode() in done.stderr
    assert "ray[data]>=2.60" in (EXAMPLES.parent / "pyproject.toml").read_text()
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_finished_run_is_resumed_without_ray(
    finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A complete output needs neither Ray nor a cluster; one that lacks lines needs both."""
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    output = tmp_path / f"out.{suffix}"
    call = ("run", MONDAY, "--no-timing", "-q", "-o", output)
    status = finops(*call).returncode
    before = output.read_bytes()
    monkeypatch.setattr("finops_cli.cluster.connect.find_spec", lambda _: None)
    on_ray = (*call, "--executor", "ray", "--ray", "127.0.0.1:1", "--resume")
    done = finops(*on_ray)
    assert (done.returncode, done.stderr) == (status, b"")
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        output.name,
        f"{output.name}.run.json",
    ]
    if suffix == "jsonl":
        output.write_bytes(b"".join(before.splitlines(keepends=True)[:3]))
        assert finops(*on_ray).returncode == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), b"needs a file of JSON lines as output"),
        (("-o", "OUT", "--ray", "ray://10.0.0.1:10001"), b"is not an address of a cluster"),
        (("-o", "OUT", "--ray", "10.0.0.1"), b"is not an address of a cluster"),
        (("-o", "OUT", "--ray", "8.8.8.8:6379"), b"public"),
        (("-o", "OUT", "--sentiment", "ollama"), b"only the baseline runs with --executor ray"),
        (("-o", "OUT", "--gpus-per-model", "3"), b"--gpus-per-model"),
        (("-o", "OUT", "--format", "csv"), b"the format of the output is csv"),
        (("-o", "out.xlsx"), b"the format of the output is xlsx"),
    ],
)
def test_unusable_call_is_refused_before_anything_starts(
    finops: Finops, tmp_path: Path, more: tuple[str, ...], message: bytes
) -> None:
    """A call that no cluster can carry out ends with 2 and says why."""
    pytest.importorskip("ray")
    options = [str(tmp_path / "out.jsonl") if each == "OUT" else each for each in more]
    done = finops("run", MONDAY, "--executor", "ray", "--backend", "engine", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_pipe_is_refused_as_input(finops: Finops, tmp_path: Path) -> None:
    """A pipe cannot be cut into parts that are read again."""
    pytest.importorskip("ray")
    out = tmp_path / "out.jsonl"
    done = finops("run", "-", "--executor", "ray", "-o", out, stdin=MONDAY.read_bytes())
    assert done.returncode == 2
    assert b"a pipe cannot be read again" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "given"),
    [("triage", EXAMPLES / "csv" / "blotter.csv"), ("resolve", EXAMPLES / "cards" / "cases.jsonl")],
)
def test_single_stage_runs_on_a_cluster(
    cluster: Any, nodes: list[Any], command: str, given: Path, tmp_path: Path
) -> None:
    """One stage alone, of a table or of cases, gives the bytes of a local run."""
    table = ("--map", EXAMPLES / "csv" / "mapping.yaml") if command == "triage" else ()
    call = (command, given, *table, "--backend", "engine", "--no-timing", "-q", "-o")
    local, output = tmp_path / "local.jsonl", tmp_path / "out.jsonl"
    status = start_patiently(*call, local).returncode
    done = start_patiently(*call, output, "--executor", "ray", "--ray", cluster.address)
    assert (done.returncode, done.stderr) == (status, b"")
    assert output.read_bytes() == local.read_bytes()


@pytest.mark.slow
def test_evaluation_runs_on_a_cluster_of_its_own(tmp_path: Path) -> None:
    """Without an address a run starts a cluster of this machine; an evaluation on it has the
    answers of a local one.
    """
    pytest.importorskip("ray")
    call = ("evaluate", "--stage", "triage", "--backend", "engine", "-n", 40, "--no-baselines")
    found = []
    for name, more in (("local", ()), ("ray", ("--executor", "ray"))):
        done = start_patiently(*call, "--no-timing", "-q", "--json", "-o", tmp_path / name, *more)
        assert done.returncode == 0, done.stderr
        found.append((tmp_path / name / "answers.jsonl").read_bytes())
    assert found[0] == found[1]
