"""How well a rule is confirmed, and what each word means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Confidence = Literal["verified", "secondary", "interpretation", "unverified"]
CONFIDENCE_MEANINGS: Mapping[Confidence, str] = {
    "verified": "the text was read, or the result was computed",
    "secondary": "only commentaries say so",
    "interpretation": "the text was read; its use is our reading",
    "unverified": "from memory; counsel should confirm it",
}
"""From the strongest to the weakest. Help, agenda, calendar file and pages use these words."""
CONFIDENCES: tuple[Confidence, ...] = tuple(CONFIDENCE_MEANINGS)
