"""A job of `finops serve` on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.local_parts import start_patiently
from tests.cluster.test_parts import blotter
from tests.service.conftest import start, stop
from tests.service.test_jobs import begin, finish, upload
from tests.support.program import Finops


def test_serve_refuses_a_cluster_that_does_not_answer(finops: Finops, tmp_path: Path) -> None:
    """A service does not start with an address at which no cluster answers."""
    pytest.importorskip("ray")
    done = finops("serve", "--data", tmp_path / "data", "--guard", "off", "--ray", "127.0.0.1:1")
    assert done.returncode == 2
    assert b"no cluster of Ray answers there" in done.stderr


@pytest.mark.slow
def test_job_on_a_cluster_writes_what_the_command_writes(
    cluster: Any, nodes: list[Any], tmp_path: Path
) -> None:
    """The output of a job with {"executor": "ray"} has the bytes of a local run."""
    pytest.importorskip("ray")
    given = tmp_path / "fails.jsonl"
    given.write_bytes(blotter())
    local = start_patiently("run", given, "--no-timing", "-q")
    server = start(tmp_path, "--guard", "off", "--ray", cluster.address)
    with server.client("operator") as client:
        job = finish(
            client, begin(client, "run", upload(client, blotter()), executor="ray"), tries=15
        )
        output = client.get(f"/v1/jobs/{job['id']}/output").content
    stop(server)
    assert job["state"] == "completed", job
    assert output == local.stdout
