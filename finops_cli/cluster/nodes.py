"""Checks each machine of a cluster before the first part goes there.

A worker that finds another input, other rules or a folder of its own would waste hours. One task a
machine looks first.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from finops_cli.cluster.connect import Node, list_nodes
from finops_cli.errors import Unfinished, UsageError
from finops_cli.kb.load import bundled_kb_dir, digest_rules
from finops_cli.pipeline import resume
from finops_cli.version import __version__


class ExpectedFile(NamedTuple):
    """A file that every machine must have, at the same place."""

    path: Path
    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> ExpectedFile:
        """Describe a file as this machine has it."""
        return cls(path.absolute(), *resume.digest(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The files and packages that a machine needs to answer parts."""

    files: tuple[ExpectedFile, ...]
    folder: Path
    """The folder of the parts. A file `mark` is in it, and the machine leaves one of its own."""
    mark: str
    kb_dir: Path | None
    """The rules; None: those that ship with finops."""
    kb_sha256: str
    finops: str = __version__


def look_around(expected: Expectation, reply: str) -> list[str]:
    """List what is wrong with this machine; leave the file `reply` in the folder of the parts."""
    wrong = []
    if expected.finops != __version__:
        wrong.append(f"finops is {__version__}, and {expected.finops} where the run started")
    found = digest_rules(expected.kb_dir or bundled_kb_dir())
    if found != expected.kb_sha256:
        wrong.append("the rules differ from those of the machine that started the run")
    for file in expected.files:
        fault = _fault_of(file)
        if fault:
            wrong.append(fault)
    try:
        is_shared = (expected.folder / expected.mark).read_text() == expected.mark
        (expected.folder / reply).write_text(reply)
    except OSError as error:
        wrong.append(f"{expected.folder}: {error.strerror}")
    else:
        if not is_shared:
            wrong.append(f"{expected.folder}: is another folder there")
    return wrong


def _fault_of(expected: ExpectedFile) -> str:
    path = expected.path
    try:
        if path.stat().st_size != expected.size:
            return f"{path}: has {path.stat().st_size:,} bytes, and {expected.size:,} here"
        if resume.digest(path)[1] != expected.sha256:
            return f"{path}: has another content than here"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def check_nodes(nodes: list[Node], expected: Expectation, seconds: float) -> None:
    """Raise UsageError that names each machine which cannot answer parts, and why.

    Raises Unfinished where one gives no answer within `seconds`.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mark = expected.folder / expected.mark
    mark.write_text(expected.mark)
    task = ray.remote(num_cpus=0, max_retries=0)(look_around)
    replies = {node.id: f".node-{secrets.token_hex(8)}" for node in nodes}
    try:
        asked = [
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
            ).remote(expected, replies[node.id])
            for node in nodes
        ]
        faults = []
        for node, answer in zip(nodes, asked, strict=True):
            try:
                wrong = ray.get(answer, timeout=seconds)
            except GetTimeoutError as error:
                raise Unfinished(
                    f"the machine {node.address} did not answer within {seconds:,.0f} s",
                    "see `ray status`, and run the same command again",
                ) from error
            except RayError as error:
                if node.id not in {each.id for each in list_nodes()}:
                    continue  # it was lost meanwhile, and Ray gives it no part
                wrong = [_first_line(error)]
            if not wrong and not (expected.folder / replies[node.id]).exists():
                wrong = [f"{expected.folder}: is a folder of its own there"]
            faults += [f"{node.address}: {each}" for each in wrong]
    finally:
        for name in (expected.mark, *replies.values()):
            (expected.folder / name).unlink(missing_ok=True)
    if faults:
        raise UsageError(
            "these machines cannot answer: " + "; ".join(dict.fromkeys(faults)),
            "give every machine the same finops, rules and files at the same paths, such as a"
            " shared folder",
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"finops cannot be started there ({lines[-1] if lines else type(error).__name__})"
