"""The settings of runs over several machines (kb: `cluster.*`)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_PARTS = ("bytes", "records", "attempts", "least_bytes", "parts", "rows")
_WATCH = ("factor", "more", "first", "node")
_LOCAL = ("bytes_per_s", "seconds")
_HIGHEST = 2**40


class ClusterSettings(Struct, frozen=True, eq=False, kw_only=True):
    """How the input is cut, and when a run is given up."""

    parts: Mapping[str, int]
    """The size of a part in bytes, lines or rows, and attempts at one (`cluster.parts`)."""
    watch: Mapping[str, int]
    """Seconds, and a factor (`cluster.watch`)."""
    local: Mapping[str, int]
    """Bytes a second, and seconds (`cluster.local`)."""


def compile_cluster(c: Compiler) -> ClusterSettings:
    """Compile the entries. Raises KnowledgeError for a missing member and for a zero."""
    settings = ClusterSettings(
        parts=c.wholes("cluster.parts", _PARTS, highest=_HIGHEST),
        watch=c.wholes("cluster.watch", _WATCH, highest=_HIGHEST),
        local=c.wholes("cluster.local", _LOCAL, highest=_HIGHEST),
    )
    for id, members in (
        ("cluster.parts", settings.parts),
        ("cluster.watch", settings.watch),
        ("cluster.local", settings.local),
    ):
        for name, value in members.items():
            if not value:
                raise KnowledgeError(f"kb entry {id}: {name} is 0. Expected at least 1.")
    return settings
