"""Tests of what comes in as a file. They need the extra `serve`, as those of the service do."""

from __future__ import annotations

from pathlib import Path

from tests.service.conftest import HAS_PACKAGES

HERE = Path(__file__).parent
collect_ignore = [] if HAS_PACKAGES else [each.name for each in HERE.glob("test_*.py")]
