"""Connects to Ray: a cluster that somebody started, or one on this machine for one run.

Ray is imported here and in the neighbours that run after it, never before a run asks for it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any, NamedTuple

from finops_cli import extras
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase

_LOCAL_STORE_BYTES = 128 * 1024 * 1024
"""The object store of a cluster that finops starts: descriptions of parts are all it holds."""
_STDERR = 2
_START = "start one with `ray start --head`, and give the address that it prints"
_WAIT = "wait until the machine has less to do, then run it again"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray sends no usage statistics
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",  # nothing large is stored, so no warning
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # machines come and go; finops reports what matters
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Needs(NamedTuple):
    """The resources of one worker."""

    cpus: float
    gpus: float = 0.0


class Node(NamedTuple):
    """A machine of the cluster that is alive."""

    id: str
    address: str
    cpus: float
    gpus: float
    memory: int = 0
    """The bytes that Ray lends to workers; 0: unknown."""

    def can_run(self, needs: Needs) -> bool:
        """Return true where the machine has the resources of a worker."""
        return self.cpus >= needs.cpus and self.gpus >= needs.gpus


def refuse_without_ray() -> None:
    """Raise MissingPiece where Ray is not installed. It is not imported."""
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise MissingPiece("--executor ray needs Ray with Ray Data", extras.cure("ray"))


def refuse_address(address: str, kb: KnowledgeBase) -> None:
    """Raise UsageError for an address outside the network, of Ray's client, or of nobody.

    Ray itself would try for minutes.
    """
    if address in ("auto", "local"):
        return
    if "://" in address or ":" not in address:
        raise UsageError(
            f"--ray {address}: is not an address of a cluster. Expected HOST:PORT or auto.",
            "run finops on a machine of the cluster, and give the address that `ray start` printed",
        )
    from finops_cli.models.servers.hosts import base_url, is_reachable, judge_address

    url = base_url(address, "--ray ")
    judge_address(url, kb.models.external_servers)
    if not is_reachable(url, kb.models.timeouts["probe"]):
        raise UsageError(f"--ray {address}: no cluster of Ray answers there", _START)


def refuse_unreachable(address: str | None, kb: KnowledgeBase) -> None:
    """Raise MissingPiece without Ray, UsageError for an address that cannot be one of a cluster."""
    refuse_without_ray()
    if address is not None:
        refuse_address(address, kb)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to Ray as long as the block lasts; `address` None: a cluster of this machine alone.

    Raises UsageError where nothing answers at the address.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    given: dict[str, Any] = {"address": address}
    if address in (None, "local"):
        given = {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _LOCAL_STORE_BYTES,
        }
    if ray.is_initialized():  # a program that uses finops as a library
        yield
        return
    try:
        with _without_stderr():
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **given)
    except Exception as error:
        is_slow = type(error) is Exception  # it did not start in 30 seconds: Ray has no own type
        if not is_slow and not isinstance(error, ConnectionError | RuntimeError | ValueError):
            raise
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise UsageError(
            f"--ray {address or 'local'}: no cluster of Ray answers ({reason})",
            _WAIT if is_slow else _START,
        ) from error
    import ray.data  # its import sets the levels of its loggers

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(sys.stderr):  # a thread of Ray prints what it hears of machines
            yield
    finally:
        ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Send what libraries write on stderr to nowhere: the core of Ray names its log level there."""
    sys.stderr.flush()
    kept, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STDERR)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
        os.close(nowhere)


def list_nodes() -> list[Node]:
    """List the machines of the cluster that are alive."""
    import ray

    return [
        Node(
            id=node["NodeID"],
            address=node["NodeManagerAddress"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
            memory=int(node["Resources"].get("memory", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def choose_nodes(nodes: Sequence[Node], needs: Needs) -> list[Node]:
    """Return the machines that can have a worker. Raises UsageError where no machine can."""
    fitting = [node for node in nodes if node.can_run(needs)]
    if not fitting:
        raise UsageError(
            f"no machine of the cluster has {needs.cpus:g} CPU and {needs.gpus:g} GPU for a worker",
            "add machines with `ray start --address=HOST:PORT`, or ask for less",
        )
    return fitting


def count_workers(needs: Needs, nodes: list[Node]) -> int:
    """Return the number of workers that fit the cluster."""
    fitting = 0
    for node in nodes:
        by_cpu = int(node.cpus / needs.cpus)
        fitting += min(by_cpu, int(node.gpus / needs.gpus)) if needs.gpus else by_cpu
    return fitting
