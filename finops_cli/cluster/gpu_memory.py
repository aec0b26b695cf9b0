"""The memory of the GPUs of a cluster, and that which models need of it.

Ray counts fractions of a GPU. It does not divide its memory: two workers of half a GPU see the same
device.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from finops_cli.cluster.connect import Node
from finops_cli.errors import UsageError
from finops_cli.models.backend_request import BackendRequest

_MIB = 1024 * 1024


def models_bytes(models: BackendRequest) -> int:
    """Return the memory in bytes that the models of one worker need: 0 where a server has them.

    Model files need their contexts too. Of folders the weights are counted.
    """
    if models.backend == "llama-cpp":
        from finops_cli.models.llama_cpp.connect import needed_bytes

        return needed_bytes(models.or_bundled().files)
    folders = [*models.folders.values(), *models.adapters.values()]
    return sum(file.stat().st_size for each in folders for file in each.glob("*.safetensors"))


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


def refuse_small_gpus(
    found: Sequence[int], models: BackendRequest, gpus: float, share_pct: int
) -> None:
    """Raise UsageError where the workers of one GPU need more memory than it has.

    `found` is the memory of each GPU in bytes, `gpus` the part of a GPU that a worker takes,
    `share_pct` the kb entry model.memory_pct.
    """
    need = models_bytes(models)
    if not found or not need:
        return
    on_one, room = max(1, int(1 / gpus)), min(found) * share_pct // 100
    if on_one * need <= room:
        return
    fitting, stages = room // need, max(1, len(models.stages))
    cure = (
        f"give --gpus-per-model {1 / fitting / stages:.2g}"
        if fitting
        else "use smaller model files, or ask one stage after the other: finops triage, handoff,"
        " resolve"
    )
    raise UsageError(
        f"{on_one} workers of {need / _MIB:,.0f} MiB do not fit a GPU of {min(found) / _MIB:,.0f}"
        f" MiB (kb entry model.memory_pct: {share_pct} %)",
        cure,
    )
