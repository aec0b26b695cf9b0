"""Verifies the chain of the audit log in a process of its own, with a connection of its own.

A long log takes seconds of processor time; the service reads and answers meanwhile.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

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
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", WORKER),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                # the address comes by stdin: it may hold a password
                said, _ = await process.communicate(self._database.address.encode())
            finally:
                if process.returncode is None:
                    process.kill()
        if process.returncode:
            raise DatabaseLost(
                f"the audit log could not be verified (status {process.returncode})",
                "try it again; finops serve verify-audit says more",
            )
        return msgspec.json.decode(said, type=int | BrokenChain)
