"""The width and the colours of a table, by where it goes."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finops_cli.views.paint import Paint

_WIDTH = 80
"""Columns of a table outside a terminal."""
WIDEST = 160
"""Columns of a table in a terminal that is wider."""


def is_terminal(output: str | None) -> bool:
    """Return true when the output goes to a terminal."""
    return output in (None, "-") and sys.stdout.isatty()


def table_width(output: str | None, widest: int = WIDEST) -> int:
    """Return the columns of a table: those of the terminal that shows it, else 80."""
    if not is_terminal(output):
        return _WIDTH
    return min(shutil.get_terminal_size((_WIDTH, 0)).columns, widest)


def table_paint(output: str | None) -> Paint:
    """Return the colours of a table: none outside a terminal, and none with NO_COLOR."""
    from finops_cli.views.paint import choose_paint

    return choose_paint(is_terminal(output), os.environ)
