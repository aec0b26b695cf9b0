"""The views of the queue that people keep under a name."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.service.store.database import Connection


class SavedView(Struct, frozen=True):
    """A filter of the queue with its name."""

    name: str
    query: str
    """The query part of its address."""


def list_views(connection: Connection, who: str) -> list[SavedView]:
    """Return the views of a person, by name."""
    rows = connection.execute("SELECT name, query FROM views WHERE who = ? ORDER BY name", (who,))
    return [SavedView(row["name"], row["query"]) for row in rows]


def save_view(connection: Connection, who: str, view: SavedView, at_most: int) -> bool:
    """Keep a view in place of one with the same name; false where the person has too many."""
    delete_view(connection, who, view.name)
    row = connection.execute("SELECT count(*) AS count FROM views WHERE who = ?", (who,)).fetchone()
    if row["count"] >= at_most:
        return False
    connection.execute("INSERT INTO views VALUES (?, ?, ?)", (who, view.name, view.query))
    return True


def delete_view(connection: Connection, who: str, name: str) -> None:
    """Delete a view."""
    connection.execute("DELETE FROM views WHERE who = ? AND name = ?", (who, name))
