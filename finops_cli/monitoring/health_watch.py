"""Health that falls below a limit: reported once, and again only after it was well."""

from __future__ import annotations

from collections.abc import Mapping

from finops_cli.monitoring.events import Event
from finops_cli.monitoring.system_monitor import SystemMonitor


class HealthWatch:
    """Looks at the health of a monitor, at most once a second. It is called from one thread.

    Source: kb `monitor.health_alarm`. The health is of the last minute.
    """

    def __init__(self, monitor: SystemMonitor, limits: Mapping[str, int]) -> None:
        self._monitor = monitor
        self._limits = limits
        self._seen = -1
        self._is_low = False

    def look(self, *, is_end: bool = False) -> Event | None:
        """Report `health_below` where the health fell below the limit, and return the event.

        Fewer answers than the rule asks for say nothing. With `is_end` it looks whatever the time.
        """
        second = self._monitor.second_number()
        if second == self._seen and not is_end:
            return None
        self._seen, stats = second, self._monitor.stats()
        answers = stats.minute.records + stats.minute.requests
        if answers < self._limits["min_answers"]:
            return None
        falls = stats.health < self._limits["below"] and not self._is_low
        if stats.health >= self._limits["rearm"]:
            self._is_low = False
        if not falls:
            return None
        self._is_low = True
        causes = {f"{name}_points": points for name, points in stats.penalties.items() if points}
        facts = {"health": stats.health, "below": self._limits["below"], "answers": answers}
        event = Event(event="health_below", facts={**facts, **causes})
        self._monitor.report(event)
        return event
