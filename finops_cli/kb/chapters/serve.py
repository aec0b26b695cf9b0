"""The bounds of the service (kb: `serve.*`)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_LIMITS = (
    "array_records",
    "array_bytes",
    "stream_bytes",
    "upload_bytes",
    "workbook_bytes",
    "spool_bytes",
    "requests",
    "client_requests",
    "streams",
    "uploads",
    "jobs",
    "exports",
    "page",
    "keep_days",
    "head_entries",
    "failed_logins",
    "head_bytes",
    "free_bytes",
)
_TIMES = (
    "head",
    "watch",
    "keep_alive",
    "stall",
    "drain",
    "busy",
    "session",
    "idempotency",
    "long_poll",
    "retention",
    "audit_head",
    "look",
    "beat",
    "lease",
    "body_rate",
)
_HIGHEST = 2**50


class ServeSettings(Struct, frozen=True, eq=False, kw_only=True):
    """The limits of one request, one client and one connection."""

    limits: Mapping[str, int]
    """Counts, and sizes in bytes (`serve.limits`)."""
    times: Mapping[str, int]
    """Seconds; `body_rate` is in bytes a second (`serve.times`)."""


def compile_serve(c: Compiler) -> ServeSettings:
    """Compile the entries. Raises KnowledgeError for a missing member, a zero and a short lease."""
    settings = ServeSettings(
        limits=c.wholes("serve.limits", _LIMITS, highest=_HIGHEST),
        times=c.wholes("serve.times", _TIMES, highest=_HIGHEST),
    )
    for id, members in (("serve.limits", settings.limits), ("serve.times", settings.times)):
        for name, value in members.items():
            if not value:
                raise KnowledgeError(f"kb entry {id}: {name} is 0. Expected at least 1.")
    beat, lease = settings.times["beat"], settings.times["lease"]
    if lease <= 2 * beat:
        raise KnowledgeError(
            f"kb entry serve.times: lease is {lease}. Expected more than twice beat ({beat})."
        )
    return settings
