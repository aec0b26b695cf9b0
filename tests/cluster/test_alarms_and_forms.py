"""Hooks, the tone of notes, and outputs that are made at the end, of a run on a cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from finops_cli.cluster.part_files import parts_root
from finops_cli.devtools.fake_ollama import FakeOllama
from tests.cluster.local_parts import start_patiently
from tests.cluster.test_cluster_run import (
    FIRST,
    command,
    finish,
    hold,
    on_ray,
    running,
    wait_for_parts,
)
from tests.support.records import a_fail, jsonl

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

NOTES = ("counterparty confirms delivery", "dispute is unresolved, no reply", "")


def noted(count: int) -> bytes:
    """Fails with notes, the later ones much older."""
    return b"".join(
        jsonl(
            a_fail(
                fail_id=f"F-{number}",
                counterparty=f"DTC-{1000 + number}",
                age_days=(1, 5, 8, 11)[number % 4] if number < count // 3 else 14,
                notes=NOTES[number % 3],
            )
        )
        for number in range(count)
    )


def write_hook(folder: Path) -> tuple[Path, Path]:
    """Return a file of one hook, and the file to which its program appends each event."""
    told, program = folder / "told.jsonl", folder / "teller"
    body = f"import sys\nopen({str(told)!r}, 'a').write(sys.stdin.read() + '\\n')"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(0o700)
    hooks = folder / "hooks.toml"
    hooks.write_text(f'[[hook]]\ncommand = ["{program}"]\nevents = ["drift"]\n')
    hooks.chmod(0o600)
    return hooks, told


def drifts_of(told: Path) -> list[tuple[str, int]]:
    """Return the dimension of each event, and the number of answers before it."""
    facts = [json.loads(line)["facts"] for line in told.read_text().splitlines()]
    return [(each["dimension"], each["after_answers"]) for each in facts]


def test_cluster_tells_hooks_what_a_local_run_tells(
    cluster: Any, nodes: list[Any], kb_dir: Path, tmp_path: Path
) -> None:
    """Live drift is seen at the same record, the tone has the same labels, and the packed output
    has the same bytes.
    """
    before, given = tmp_path / "before.jsonl", tmp_path / "fails.jsonl"
    before.write_bytes(b"".join(noted(900).splitlines(keepends=True)[:300]))
    given.write_bytes(noted(900))
    baseline = tmp_path / "baseline.jsonl"
    tone = ("--backend", "engine", "--guard", "off", "--sentiment=baseline")
    start_patiently(*command(kb_dir, before, baseline, *tone)[3:])
    hooks, told = write_hook(tmp_path)
    alarms = ("--hooks", hooks, "--drift-baseline", baseline)
    found = []
    for name, more in (("local", ()), ("ray", on_ray(cluster))):
        output = tmp_path / f"{name}.jsonl.zst"
        call = command(kb_dir, given, output, *tone, *alarms, *more)[3:]
        done = start_patiently(*call)
        assert done.returncode == 0, done.stderr
        found.append((output.read_bytes(), drifts_of(told)))
        told.unlink()
        assert not parts_root(output).exists()
    assert found[0] == found[1]
    assert ("action", 400) in found[0][1]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl.gz"])
def test_made_output_survives_driver_and_machine(
    cluster: Any, nodes: list[Any], kb_dir: Path, paced: FakeOllama, tmp_path: Path, suffix: str
) -> None:
    """An output that is made at the end has the bytes of a local run after the driver was killed,
    and a machine was lost in the run that went on.
    """
    given = tmp_path / "fails.jsonl"
    given.write_bytes(noted(28))
    local, output = tmp_path / f"local.{suffix}", tmp_path / f"out.{suffix}"
    models = ("--backend", "ollama", "--host", paced.url, "--guard", "on", "--sentiment=baseline")
    assert (
        start_patiently(*command(kb_dir, given, local, *models, "--workers", 8)[3:]).returncode == 0
    )
    call = command(kb_dir, given, output, *models, *on_ray(cluster))
    released = hold(paced, FIRST)
    with running(call) as process:
        wait_for_parts(output, 2, process)
        process.kill()
        finish(process)
    assert not output.exists()
    with running([*call, "--resume"]) as process:
        wait_for_parts(output, 4, process)
        cluster.remove_node(nodes[0], allow_graceful=False)
        released.set()
        messages = finish(process)
    assert process.returncode == 0, messages
    assert output.read_bytes() == local.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        output.name,
        f"{output.name}.run.json",
    ]
