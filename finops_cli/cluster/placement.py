"""Decides what a worker of a run takes, and whether a worker has all models or one of them.

Where the models of a run fit a worker together, it asks all of them. Else a pool of workers asks
the first model about every record, and a second pool asks the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from finops_cli.cluster.connect import Needs, Node
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.models.backend_request import BackendRequest

_MIB = 1024 * 1024
_OWN = ("llama-cpp", "transformers")
"""The backends whose workers load the models."""


class Placement(NamedTuple):
    """The needs of a worker with all models, and of one with a single model."""

    together: Needs
    alone: Needs
    is_split: bool = False
    """Each model has workers of its own."""

    @property
    def needs(self) -> Needs:
        """The needs of a worker."""
        return self.alone if self.is_split else self.together


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The workers that a call asks for."""

    models: BackendRequest
    stages: tuple[StageName, ...]
    """The models that read a record."""
    gpus_per_model: float | None
    workers: int | None

    @property
    def loads_models(self) -> bool:
        """Return true where each worker loads the models."""
        return self.models.backend in _OWN

    def needed(self) -> dict[StageName, int]:
        """Return the memory in bytes that each model needs of a worker; 0 if a server has it."""
        return {stage: model_bytes(self.models, stage) for stage in self.stages}


def model_bytes(models: BackendRequest, stage: StageName) -> int:
    """Return the memory in bytes that a model needs of its worker: 0 where a server has it.

    Model files need their contexts too. Of folders the weights are counted.
    """
    if models.backend == "llama-cpp":
        from finops_cli.models.llama_cpp.connect import needed_bytes

        return needed_bytes({stage: models.or_bundled().files[stage]})
    folders = [found[stage] for found in (models.folders, models.adapters) if stage in found]
    return sum(file.stat().st_size for each in folders for file in each.glob("*.safetensors"))


def place(demand: Demand, nodes: Sequence[Node]) -> Placement:
    """Choose what a worker takes: a processor; with models of its own, its share of a machine.

    Raises UsageError for a part of a GPU where no machine has one.
    """
    has_gpus, part = any(node.gpus for node in nodes), demand.gpus_per_model
    if part is not None:
        if not has_gpus:
            raise UsageError(
                f"--gpus-per-model {part:g}: no machine of the cluster has a GPU", "leave it out"
            )
        return Placement(Needs(1.0, min(1.0, part * len(demand.stages))), Needs(1.0, part))
    if not demand.loads_models:
        return Placement(Needs(1.0), Needs(1.0))
    if has_gpus:
        return Placement(Needs(1.0, 1.0), Needs(1.0, 1.0))
    cpus = [node.cpus for node in nodes if node.cpus]
    if not cpus:
        return Placement(Needs(1.0), Needs(1.0))
    on_one = ceil((demand.workers or len(cpus)) / len(cpus))
    needs = Needs(float(max(1, int(min(cpus) / on_one))))
    return Placement(needs, needs)


def split_by_memory(
    placement: Placement, nodes: Sequence[Node], needed: Sequence[int], share_pct: int
) -> Placement:
    """Let workers without a GPU have one model each where both are too large for a machine.

    `needed` is the memory of each model in bytes, `share_pct` the kb entry model.memory_pct.
    """
    memory = [node.memory for node in nodes if node.memory]
    if len(needed) < 2 or not memory:
        return placement
    on_one = max(1, int(max(node.cpus for node in nodes) / placement.needs.cpus))
    is_split = on_one * sum(needed) > min(memory) * share_pct // 100
    return placement._replace(is_split=is_split)


def split_by_gpu(
    placement: Placement,
    found: Sequence[int],
    needed: Sequence[int],
    share_pct: int,
    *,
    begun: bool | None,
) -> Placement:
    """Let each model have workers of its own where both are too large for the part of a GPU.

    `found` is the memory of each GPU in bytes, `needed` that of each model. `begun`: the run was
    begun with workers for each model (true) or for both (false); None: it begins now. Raises
    UsageError where the workers of one GPU need more memory than it has.
    """
    room, both = min(found, default=0) * share_pct // 100, sum(needed)
    if not room or not both:
        return placement
    fits_together = _per_gpu(placement.together) * both <= room
    is_split = len(needed) > 1 and not fits_together if begun is None else begun
    placement = placement._replace(is_split=is_split)
    largest = max(needed) if is_split else both
    if _per_gpu(placement.needs) * largest <= room:
        return placement
    raise UsageError(
        f"{_per_gpu(placement.needs)} workers of {largest / _MIB:,.0f} MiB do not fit a GPU of"
        f" {min(found) / _MIB:,.0f} MiB (kb entry model.memory_pct: {share_pct} %)",
        _cure(room, needed, is_fixed=begun is False),
    )


def _per_gpu(needs: Needs) -> int:
    """Count the workers that share one GPU."""
    return max(1, int(1 / needs.gpus))


def _cure(room: int, needed: Sequence[int], *, is_fixed: bool) -> str:
    """Name the part of a GPU with which the models fit, together or one at a time."""
    together, alone = room // sum(needed), room // max(needed)
    if together:
        return f"give --gpus-per-model {1 / together / len(needed):.2g}"
    if alone and not is_fixed:
        return f"give --gpus-per-model {1 / alone:.2g}"
    if alone:
        return "continue it on the machines that it began on, or start over with --overwrite"
    return "use smaller model files, or machines with larger GPUs"
