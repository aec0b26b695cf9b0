"""Finds entries by words: SQLite's full-text index, in memory, ranked by BM25, with English word
stems.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing

from finops_cli.kb.entries import AnyEntry, Lookup, Terms


def search(entries: Mapping[str, AnyEntry], words: str) -> list[AnyEntry]:
    """Entries that hold every word of `words`, best first; where none does, those that hold any."""
    terms = ['"' + word.replace('"', '""') + '"' for word in words.split()]
    if not terms:
        return []
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(
            "CREATE VIRTUAL TABLE kb USING fts5(id, title, body, tokenize = 'porter unicode61')"
        )
        db.executemany(
            "INSERT INTO kb VALUES (?, ?, ?)", [(e.id, e.title, body(e)) for e in entries.values()]
        )
        for joined in (" ".join(terms), " OR ".join(terms)):
            rows = db.execute(
                "SELECT id FROM kb WHERE kb MATCH ? ORDER BY bm25(kb, 8.0, 4.0, 1.0), id", (joined,)
            ).fetchall()
            if rows:
                return [entries[id] for (id,) in rows]
    return []


def body(entry: AnyEntry) -> str:
    """Everything an entry says beside its title."""
    parts = [entry.text]
    if isinstance(entry, Terms | Lookup):
        parts += [f"{name} {value}" for name, value in entry.members.items()]
    return "\n".join(parts)
