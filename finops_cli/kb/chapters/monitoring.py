"""The monitor of the process and its hooks (kb: `monitor.*`, `drift.live`, `hooks.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler


class MonitoringSettings(Struct, frozen=True, eq=False, kw_only=True):
    """Windows and alarms; times in seconds unless the name has another unit."""

    windows: Mapping[str, int]
    drift_rearm: Decimal
    """In nats."""
    drift_live: Mapping[str, int]
    hooks: Mapping[str, int]
    spike: Mapping[str, int]
    health_alarm: Mapping[str, int]
    """In points of health, but for `min_answers`."""


def compile_monitoring(c: Compiler) -> MonitoringSettings:
    """Compile the entries. Raises KnowledgeError for a missing member and for a zero."""
    tables = {
        "monitor.windows": c.wholes("monitor.windows", ("seconds", "minutes"), highest=3600),
        "drift.live": c.wholes("drift.live", ("seconds", "pause_seconds")),
        "hooks.limits": c.wholes(
            "hooks.limits", ("seconds", "tries", "pause_seconds", "waiting", "end_seconds")
        ),
        "monitor.latency_spike": c.wholes(
            "monitor.latency_spike", ("ratio", "min_ms", "minutes", "bundles", "slowest")
        ),
    }
    health = c.wholes("monitor.health_alarm", ("below", "rearm", "min_answers"), highest=100)
    if health["rearm"] < health["below"]:
        raise KnowledgeError("kb entry monitor.health_alarm: rearm is less than below.")
    for id, members in tables.items():
        for name, value in members.items():
            if not value:
                raise KnowledgeError(f"kb entry {id}: {name} is 0. Expected at least 1.")
    rearm = c.number("drift.rearm")
    if rearm > c.number("drift.threshold"):
        raise KnowledgeError("kb entry drift.rearm: is above drift.threshold. Expected less.")
    return MonitoringSettings(
        windows=tables["monitor.windows"],
        drift_rearm=rearm,
        drift_live=tables["drift.live"],
        hooks=tables["hooks.limits"],
        spike=tables["monitor.latency_spike"],
        health_alarm=health,
    )
