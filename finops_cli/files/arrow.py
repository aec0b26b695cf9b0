"""Imports pyarrow where a command reads or writes Parquet or Zstandard."""

from __future__ import annotations

from typing import Any

from finops_cli import extras
from finops_cli.errors import MissingPiece


def load_pyarrow(what: str) -> Any:
    """Import pyarrow, which ships no types. Raises MissingPiece, which begins with `what`."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingPiece(f"{what}, and pyarrow is not installed", extras.cure("data")) from error
    return pa


def load_parquet(what: str) -> Any:
    """Import pyarrow.parquet. Raises MissingPiece, which begins with `what`."""
    load_pyarrow(what)
    from pyarrow import parquet

    return parquet
