"""Hashes of entries of the audit log that are kept outside the database."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import UsageError
from finops_cli.files.safe_io import for_owner_unlinked, refuse_unreadable
from finops_cli.service.store.database import Connection

HEADS_FILE = "audit-heads.jsonl"


class AuditHead(Struct, frozen=True):
    """The number and the hash of an entry."""

    seq: int
    at: str
    hash: str


def read_heads(path: Path) -> dict[int, str]:
    """Return the hashes of a file of heads by the numbers of their entries.

    Raises UsageError for a file that holds something else.
    """
    refuse_unreadable(path)
    decoder, heads = msgspec.json.Decoder(AuditHead), {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            head = decoder.decode(line)
        except UNREADABLE as error:
            raise UsageError(
                f"--heads {path} line {number}: {error}", f"give a copy of {HEADS_FILE}"
            ) from error
        heads[head.seq] = head.hash
    return heads


def append_head(folder: Path, head: AuditHead) -> None:
    """Append a head to the file of a data folder."""
    with open(folder / HEADS_FILE, "ab", opener=for_owner_unlinked) as file:
        file.write(msgspec.json.encode(head) + b"\n")


def last_entry(connection: Connection) -> tuple[int, str] | None:
    """Return the number and the hash of the last entry of the audit log."""
    row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return None if row is None else (row["seq"], row["hash"])
