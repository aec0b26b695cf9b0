"""The size of the long tests: full in `just soak`, short in CI."""

from __future__ import annotations

import os

IS_SOAK = "FINOPS_SOAK" in os.environ


def scaled(usual: int, soak: int) -> int:
    """Return how much of something a test does: `soak` in `just soak`, else `usual`."""
    return soak if IS_SOAK else usual
