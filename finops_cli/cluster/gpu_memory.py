"""The memory of the GPUs of a cluster.

Ray counts fractions of a GPU. It does not divide its memory: two workers of half a GPU see the same
device.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from finops_cli.cluster.connect import Node

_MIB = 1024 * 1024


def gpu_bytes() -> list[int]:
    """Return the memory of each GPU of this machine in bytes; empty where nobody can tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own program, without user input
            [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        return [int(line) * _MIB for line in done.stdout.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def ask_gpus(nodes: Sequence[Node], seconds: float) -> list[int]:
    """Ask each machine with a GPU for the memory of its GPUs, in bytes."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(gpu_bytes)
    asked = [
        task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
        ).remote()
        for node in nodes
        if node.gpus
    ]
    return [size for sizes in ray.get(asked, timeout=seconds) for size in sizes]
