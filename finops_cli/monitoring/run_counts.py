"""The summary of a run as JSON can hold it: in the note beside an output, and in parts of a run."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from finops_cli.monitoring.run_summary import COUNTERS, NUMBERS, RunSummary


class RunCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The counts of a summary. Equal summaries give equal bytes."""

    counters: dict[str, list[tuple[int | str, int]]]
    """The counters that are not empty, as sorted pairs: their keys may be numbers."""
    numbers: dict[str, int]

    @classmethod
    def of(cls, summary: RunSummary) -> Self:
        """Return the counts of `summary`."""
        counters = {name: getattr(summary, name) for name in (*COUNTERS, "dropped")}
        return cls(
            counters={name: sorted(each.items()) for name, each in counters.items() if each},
            numbers={name: getattr(summary, name) for name in (*NUMBERS, "blank")},
        )

    def to_summary(self) -> RunSummary:
        """Return the summary that has these counts."""
        summary = RunSummary()
        for name, pairs in self.counters.items():
            getattr(summary, name).update(dict(pairs))
        for name, number in self.numbers.items():
            setattr(summary, name, number)
        return summary
