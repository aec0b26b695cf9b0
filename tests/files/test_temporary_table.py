"""The table on disk that indexes a file."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

from finops_cli.files.temporary_table import TemporaryTable


def test_unfinished_reader_of_a_closed_table_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that stops early, as `| head` makes it stop, leaves no message behind."""
    faults: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", faults.append)
    table = TemporaryTable("CREATE TABLE t (n INTEGER)")
    table.insert_many("INSERT INTO t VALUES (?)", [(1,), (2,)])
    reader = table.stream("SELECT n FROM t")
    assert next(reader) == (1,)
    table.close()
    del reader
    gc.collect()
    assert faults == []
