"""Expectations of an error's fix, for `pytest.raises(..., check=cured_by(...))`."""

from __future__ import annotations

import re
from collections.abc import Callable

from finops_cli.errors import FinopsError


def cured_by(pattern: str) -> Callable[[FinopsError], bool]:
    """Check that the error's cure matches `pattern`."""
    return lambda error: re.search(pattern, error.cure) is not None
