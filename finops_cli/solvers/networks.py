"""networkx: exact min-cost flows with whole numbers of any size (extra `book`)."""

from __future__ import annotations

from types import ModuleType

from finops_cli import extras
from finops_cli.errors import MissingPiece


def import_networkx(
    needed_for: str = "fails that compete for the same shares",
) -> ModuleType:
    """Import networkx. Raises MissingPiece with the command that installs it.

    `needed_for` is what needs it, in the plural.
    """
    try:
        import networkx as nx
    except ImportError as error:
        raise MissingPiece(f"{needed_for} need networkx", extras.cure("book")) from error
    module: ModuleType = nx
    return module
