"""A cluster of Ray within this machine, for the tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from tests.support.own_kb import change_kb

collect_ignore = [] if find_spec("fastapi") else ["test_serve_jobs.py"]
PACE = 0.06
"""Seconds of the fake server for an answer: a run lasts some seconds."""
STORE = 80 * 1024 * 1024


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head without processors, and machines that notice a loss quickly."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE"] = "1"
    started = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": STORE,
            "include_dashboard": False,
            "_system_config": {
                "health_check_period_ms": 500,
                "health_check_failure_threshold": 3,
                "worker_niceness": 0,  # the 15 of Ray gives workers nothing on a busy machine
            },
        },
    )
    yield started
    started.shutdown()


@pytest.fixture
def nodes(cluster: Any) -> list[Any]:
    """Two machines with two processors each. The next test uses those that this one leaves."""
    while len(added_nodes(cluster)) < 2:
        cluster.add_node(num_cpus=2, object_store_memory=STORE)
    return added_nodes(cluster)


def added_nodes(cluster: Any) -> list[Any]:
    """Return the machines of the cluster without its head."""
    return list(cluster.worker_nodes)


@pytest.fixture(scope="module")
def kb_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules by which parts are small."""
    return change_kb(
        tmp_path_factory.mktemp("rules"),
        "cluster.toml",
        "bytes = 8388608, records = 256",
        "bytes = 4000, records = 4",
    )


@pytest.fixture
def paced() -> Iterator[FakeOllama]:
    """A server with both models that answers at a model's pace."""
    with FakeOllama(token_seconds=PACE / 100) as running:
        yield running
