"""Verifies the chain of the audit log in a process of its own, with a connection of its own.

A long log takes seconds of processor time; the service reads and answers meanwhile.
"""

from __future__ import annotations

import asyncio

import msgspec

from finops_cli.service.child_process import ask_child
from finops_cli.service.store.audit import BrokenChain
from finops_cli.service.store.database import Database, DatabaseLost

WORKER = "finops_cli.service.audit_log.chain_worker"


class Chain:
    """The chain of one audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checking = asyncio.Lock()

    async def verify(self) -> BrokenChain | int:
        """Return the number of entries of an unbroken chain, else the first that does not fit.

        One process at a time verifies; who asks meanwhile waits. Raises DatabaseLost.
        """
        async with self._checking:
            # the address goes by stdin: it may hold a password
            status, said = await ask_child(WORKER, self._database.address.encode())
        if status:
            raise DatabaseLost(
                f"the audit log could not be verified (status {status})",
                "try it again; finops serve verify-audit says more",
            )
        return msgspec.json.decode(said, type=int | BrokenChain)
