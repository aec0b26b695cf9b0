"""The program finops, forked from a process that has it loaded: it starts in milliseconds.

A process of finops needs a second of a slow processor until its modules and rules are loaded. For
a test of what finops prints, the folder of `serve_programs` has a program `finops` that hands its
arguments, folder, environment and open files to a server, which forks. A test of the start, or of
a kill, starts a process of its own: `python -m finops_cli`.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from finops_cli.cli import main
from tests.support.program import EXAMPLES, ROOT, call_finops, text_stream

CLIENT = """#!{python} -IS
import os, sys, _socket
server = _socket.socket(_socket.AF_UNIX)
server.connect({address!r})
variables = [name + b"=" + value for name, value in os.environb.items()]
arguments = [os.fsencode(each) for each in sys.argv[1:]]
asked = b"\\0".join([os.getcwdb(), b"%d" % len(arguments), *arguments, *variables])
files = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)]
server.sendmsg([len(asked).to_bytes(4, "big")], rights)
server.sendall(asked)
status = int.from_bytes(server.recv(4), "big", signed=True)
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""
READY = b"the program finops is served\n"


class Request(NamedTuple):
    """The folder, the arguments, the variables and the open files of a client."""

    folder: bytes
    arguments: list[bytes]
    variables: list[bytes]
    files: list[int]


@contextmanager
def serve_programs(folder: Path) -> Iterator[Path]:
    """Serve the program `finops` of `folder`; the server ends with this block or this process."""
    address = str(folder / "socket")
    program = folder / "finops"
    program.write_text(CLIENT.format(python=sys.executable, address=address))
    program.chmod(0o755)
    command = [sys.executable, "-m", "tests.support.forked", address]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as server:
        assert server.stdout
        assert server.stdout.readline() == READY
        yield folder


def serve(address: str) -> Request:
    """Fork at each request, and return it in the new process; end with stdin."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    os.write(1, READY)
    while True:
        if sys.stdin in select.select([sys.stdin, listening], [], [])[0]:
            os._exit(0)
        connection, _ = listening.accept()
        _collect_ended()
        if not os.fork():
            listening.close()
            break
        connection.close()
    request = _receive(connection)
    if worker := os.fork():
        _report_end(worker, connection)
    connection.close()
    return request


def _collect_ended() -> None:
    """Wait for the processes that have ended, so that none stays in the table of processes."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _receive(connection: socket.socket) -> Request:
    head, files, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as stream:
        folder, count, *words = stream.read(int.from_bytes(head, "big")).split(b"\0")
    return Request(folder, words[: int(count)], words[int(count) :], files)


def _report_end(worker: int, connection: socket.socket) -> None:
    """Send the client the status of the worker, and kill the worker of a client that was killed."""
    ended = os.pidfd_open(worker)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(worker, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    connection.sendall(status.to_bytes(4, "big", signed=True))
    os._exit(0)


def become(request: Request) -> None:
    """Take over the folder, the variables and the open files of the client."""
    os.chdir(request.folder)
    os.environb.clear()
    for variable in request.variables:
        name, _, value = variable.partition(b"=")
        os.environb[name] = value
    time.tzset()
    for number, file in enumerate(request.files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process
    sys.stdout = text_stream(1, errors="strict")
    sys.stderr = text_stream(2, errors="backslashreplace")
    sys.argv = ["finops", *map(os.fsdecode, request.arguments)]


if __name__ == "__main__":
    call_finops("run", EXAMPLES / "monday.jsonl", "--backend", "engine")  # loads what is needed
    gc.freeze()
    become(serve(sys.argv[1]))
    main()
