"""The needs of a worker, and the cases in which each model has workers of its own."""

from __future__ import annotations

import pytest

from finops_cli.cluster.connect import Needs, Node
from finops_cli.cluster.placement import (
    Demand,
    Placement,
    model_bytes,
    place,
    split_by_gpu,
    split_by_memory,
)
from finops_cli.errors import UsageError
from finops_cli.models.backend_request import BackendRequest

MIB = 1024 * 1024
MODELS = [600 * MIB, 300 * MIB]


def node(cpus: float, *, gpus: float = 0.0, memory_mib: int = 0) -> Node:
    return Node("a", "10.0.0.1", cpus, gpus, memory_mib * MIB)


def demand(
    backend: str = "llama-cpp", *, part: float | None = None, workers: int | None = None
) -> Demand:
    return Demand(
        models=BackendRequest(backend=backend),
        stages=("triage", "resolver"),
        gpus_per_model=part,
        workers=workers,
    )


@pytest.mark.parametrize(
    ("asked", "nodes", "together", "alone"),
    [
        (demand("engine"), [node(8)], Needs(1), Needs(1)),
        (demand("ollama"), [node(8, gpus=1)], Needs(1), Needs(1)),
        (demand(), [node(8), node(4)], Needs(4), Needs(4)),
        (demand(workers=4), [node(8), node(8)], Needs(4), Needs(4)),
        (demand(), [node(8, gpus=2)], Needs(1, 1), Needs(1, 1)),
        (demand(part=0.25), [node(8, gpus=2)], Needs(1, 0.5), Needs(1, 0.25)),
        (demand(part=1), [node(8, gpus=2)], Needs(1, 1), Needs(1, 1)),
    ],
)
def test_worker_takes_a_share_of_its_machine(
    asked: Demand, nodes: list[Node], together: Needs, alone: Needs
) -> None:
    """A worker takes a processor; with models of its own a GPU or its part of one, or an equal
    share of the processors of a machine.
    """
    assert place(asked, nodes) == Placement(together, alone)


def test_part_of_a_gpu_needs_a_gpu() -> None:
    """--gpus-per-model is refused where no machine has a GPU."""
    with pytest.raises(UsageError, match="no machine of the cluster has a GPU"):
        place(demand(part=0.5), [node(8)])


@pytest.mark.parametrize(
    ("gpu_mib", "part", "is_split"),
    [
        (1_000, 1, False),  # both of 900 MiB
        (800, 1, True),  # one of 600 MiB
        (1_000, 0.5, False),  # a worker with both
        (1_200, 0.25, False),  # does not fit: see below
        (2_000, 0.25, False),  # two workers with both
    ],
)
def test_models_too_large_together_are_split(gpu_mib: int, part: float, is_split: bool) -> None:
    """Workers have both models where all workers of a GPU fit it, else one model each."""
    placement = place(demand(part=part), [node(8, gpus=1)])
    if (gpu_mib, part) == (1_200, 0.25):  # neither two workers with both, nor four with one
        with pytest.raises(UsageError, match="do not fit a GPU") as error:
            split_by_gpu(placement, [gpu_mib * MIB], MODELS, 100, begun=None)
        assert error.value.cure == "give --gpus-per-model 0.5"
        return
    found = split_by_gpu(placement, [gpu_mib * MIB, 9_000 * MIB], MODELS, 100, begun=None)
    assert found.is_split == is_split
    assert found.needs == (placement.alone if is_split else placement.together)


def test_share_of_the_memory_counts_not_all_of_it() -> None:
    """Only the share of `model.memory_pct` is free for models."""
    placement = place(demand(), [node(8, gpus=1)])
    assert not split_by_gpu(placement, [1_000 * MIB], MODELS, 90, begun=None).is_split
    assert split_by_gpu(placement, [1_000 * MIB], MODELS, 89, begun=None).is_split


@pytest.mark.parametrize(
    ("gpu_mib", "part", "cure"),
    [
        (500, None, "use smaller model files, or machines with larger GPUs"),
        (700, 0.5, "give --gpus-per-model 1"),
        (1_300, 0.25, "give --gpus-per-model 0.5"),
        (2_800, 0.1, "give --gpus-per-model 0.17"),
    ],
)
def test_model_too_large_for_its_gpu_is_refused(
    gpu_mib: int, part: float | None, cure: str
) -> None:
    """Where one model alone is too large for its part of a GPU, the cure names a part that fits;
    without one the models are too large for the GPU.
    """
    placement = place(demand(part=part), [node(8, gpus=1)])
    with pytest.raises(UsageError, match=r"workers of [0-9,]+ MiB do not fit a GPU") as error:
        split_by_gpu(placement, [gpu_mib * MIB], MODELS, 100, begun=None)
    assert error.value.cure == cure
    if part is not None:
        named = place(demand(part=float(cure.rpartition(" ")[2])), [node(8, gpus=1)])
        split_by_gpu(named, [gpu_mib * MIB], MODELS, 100, begun=None)


def test_continued_run_keeps_its_workers() -> None:
    """A run that was begun with workers for each model goes on so on larger GPUs; one that was
    begun with workers for both is refused by smaller ones.
    """
    placement = place(demand(), [node(8, gpus=1)])
    assert split_by_gpu(placement, [9_000 * MIB], MODELS, 100, begun=True).is_split
    with pytest.raises(UsageError) as error:
        split_by_gpu(placement, [800 * MIB], MODELS, 100, begun=False)
    assert "start over with --overwrite" in error.value.cure


@pytest.mark.parametrize(("memory_mib", "is_split"), [(1_000, False), (800, True), (0, False)])
def test_models_too_large_for_a_machine_are_split(memory_mib: int, is_split: bool) -> None:
    """Without a GPU the memory that Ray lends on the smallest machine decides; where it is unknown,
    workers have both models.
    """
    nodes = [node(8, memory_mib=9_000), node(8, memory_mib=memory_mib)]
    placement = place(demand(), nodes)
    assert split_by_memory(placement, nodes, MODELS, 100).is_split == is_split
    assert not split_by_memory(placement, nodes, MODELS[:1], 10).is_split


def test_unknown_memory_splits_nothing() -> None:
    """Where no GPU tells its memory, or servers have the models, workers have both."""
    placement = place(demand(), [node(8, gpus=1)])
    assert split_by_gpu(placement, [], MODELS, 90, begun=None) == placement
    assert split_by_gpu(placement, [MIB], [], 90, begun=None) == placement


def test_memory_of_a_model_holds_its_contexts() -> None:
    """A model file needs its size and its contexts; a model on a server needs nothing."""
    bundled = BackendRequest(backend="llama-cpp")
    file = bundled.or_bundled().files["triage"]
    assert model_bytes(bundled, "triage") > file.stat().st_size
    assert model_bytes(BackendRequest(backend="ollama"), "triage") == 0
