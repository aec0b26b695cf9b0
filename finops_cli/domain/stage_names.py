"""The names of the stages that have a model of their own, where a module may not import the table.

`datasets.stages.STAGES` has a row for each of them (a test holds the two together).
"""

from __future__ import annotations

StageName = str
"""The name of a row of `datasets.stages.STAGES`."""
STAGE_NAMES: tuple[StageName, ...] = ("triage", "resolver", "sentiment")
