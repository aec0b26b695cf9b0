"""The names of the stages with a model, for modules that may not import the table.

`datasets.stages.STAGES` has a row for each of them (a test compares the two).
"""

from __future__ import annotations

StageName = str
"""The name of a row of `datasets.stages.STAGES`."""
ANSWER_FIELDS: dict[StageName, str] = {"triage": "triage", "resolver": "resolution"}
"""The stages that a run asks, in order, with the field of an output line that holds the answer."""
STAGE_NAMES: tuple[StageName, ...] = ("triage", "resolver", "sentiment")
