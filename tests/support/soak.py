"""Whether the long tests run in full, as `just soak` asks; CI runs a short form of each."""

from __future__ import annotations

import os

IS_SOAK = "FINOPS_SOAK" in os.environ


def scaled(usual: int, soak: int) -> int:
    """Return how much of something a test does: `soak` in `just soak`, else `usual`."""
    return soak if IS_SOAK else usual
