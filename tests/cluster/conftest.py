"""A cluster of Ray within this machine, for the tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

collect_ignore = [] if find_spec("fastapi") else ["test_serve_jobs.py"]
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
def nodes(cluster: Any) -> Iterator[list[Any]]:
    """Two machines with two processors each; those that are left leave after the test."""
    added = [cluster.add_node(num_cpus=2, object_store_memory=STORE) for _ in range(2)]
    yield added
    for node in added:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)
