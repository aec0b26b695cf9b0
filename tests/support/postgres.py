"""A real PostgreSQL on a Unix socket in a temporary folder, run by a user that is not root."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_USER = "nobody"
_SETTINGS = ("fsync=off", "listen_addresses=", "max_connections=60", "unix_socket_permissions=0777")


class Postgres:
    """A running server of PostgreSQL."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder, self._binaries = folder, binaries

    def address(self, name: str) -> str:
        """Return the value of --store for a database."""
        return f"postgresql://finops@/{name}?host={self.folder}"

    def create(self, *options: str) -> str:
        """Create a database, and return its address. `options` are those of createdb."""
        name = f"finops_{secrets.token_hex(6)}"
        command = [str(self._binaries / "createdb"), "-h", str(self.folder), "-U", "finops"]
        subprocess.run([*command, *options, name], check=True, capture_output=True)
        return self.address(name)

    def run_sql(self, address: str, *statements: str) -> None:
        """Run statements, each on its own."""
        command = [str(self._binaries / "psql"), "-q", "-v", "ON_ERROR_STOP=1", address]
        for statement in statements:
            command += ["-c", statement]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = (*_SETTINGS, f"unix_socket_directories={self.folder}")
        options = " ".join(f"-c {each}" for each in settings)
        self._control("start", "-w", "-o", options, "-l", str(self.folder / "log.txt"))

    def stop(self, mode: str = "fast") -> None:
        """Stop; `immediate` is what a crash is."""
        self._control("stop", "-w", "-m", mode)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server, such as SIGSTOP."""
        leader = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        for process in [leader, *map(int, children)]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def initialize(self) -> None:
        """Make the files of the server."""
        options = ["-A", "trust", "-U", "finops", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", "-D", str(self.folder / "data"), *options)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:
            found = pwd.getpwnam(_USER)
            who = [f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups"]
            command = ["setpriv", *who, *command]
        subprocess.run(
            command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server; skip the test where PostgreSQL or psycopg is not installed."""
    if not _BINARIES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: the extra serve-pg")
    folder = Path(tempfile.mkdtemp(prefix="finops-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        server = Postgres(folder, _BINARIES[0])
        server.initialize()
        server.start()
        try:
            yield server
        finally:
            server.signal(signal.SIGCONT)
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
