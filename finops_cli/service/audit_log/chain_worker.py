"""The process that verifies the audit log: stdin has the address of the database."""

from __future__ import annotations

import sys

import msgspec

from finops_cli.service.store.audit import verify
from finops_cli.service.store.opening import snapshot


def main() -> None:
    """Write the number of entries, or the first entry that does not fit."""
    with snapshot(sys.stdin.buffer.read().decode()) as connection:
        found = verify(connection)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
