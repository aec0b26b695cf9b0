"""Counts what the lines of an output were made from; memory does not grow with the file."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from finops_cli.views.details import Details

Part = Literal["backend", "model", "kb", "calendar", "assumed", "derived", "warning", "rule"]
_MOST = 500
"""Different values that are kept for each part. A damaged file could have one for each line."""


class Tally:
    """The origins of the answers of a file, each with the number of its lines."""

    def __init__(self) -> None:
        self.counts: dict[Part, Counter[str]] = {}
        self.lines = 0
        self.unread = 0
        """Lines whose plan and origin have another shape."""
        self.left_out = 0
        """Values beyond the first 500 of a part."""
        self.first_moment: str | None = None
        self.last_moment: str | None = None
        self.without_moment = 0

    def add(self, details: Details | None) -> None:
        """Count a line; None is one whose details could not be read."""
        self.lines += 1
        if details is None:
            self.unread += 1
            self.without_moment += 1
            return
        self._add_moment(details.as_of())
        for rule in set(details.rules()):
            self._count("rule", rule)
        for rule in {each.rule for each in details.warnings}:
            self._count("warning", rule)
        if details.origin is not None:
            for field in details.origin.assumed:
                self._count("assumed", field)
            for field in details.origin.derived:
                self._count("derived", field)
        self._add_makers(details)

    def _add_makers(self, details: Details) -> None:
        made = details.provenance
        if made is not None:
            self._count("backend", made.backend)
            self._count("kb", made.kb)
            for stage, model in made.models.items():
                if model is not None:
                    digest = made.digests.get(stage)
                    known = "" if digest is None else f", digest {digest}"
                    self._count("model", f"{stage}: {model}{known}")
        if details.clock is not None and details.clock.calendar is not None:
            calendar = details.clock.calendar
            reviewed = "" if calendar.reviewed is None else f", reviewed {calendar.reviewed}"
            name = f"{calendar.id}, overrides {calendar.overrides}{reviewed}"
            self._count("calendar", f"{name}, sha256 {calendar.sha256}")

    def _add_moment(self, moment: str | None) -> None:
        if moment is None:
            self.without_moment += 1
            return
        self.first_moment = min(self.first_moment or moment, moment)
        self.last_moment = max(self.last_moment or moment, moment)

    def _count(self, part: Part, value: str) -> None:
        known = self.counts.setdefault(part, Counter())
        if value in known or len(known) < _MOST:
            known[value] += 1
        else:
            self.left_out += 1
