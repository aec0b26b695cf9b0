"""The process of a job: finops with the arguments of the job, ended when its service ends.

The service holds the other end of stdin. A service that is killed closes it, and the process ends
at once: its output is its journal, and the next service goes on from there.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from contextlib import suppress
from threading import Thread

_NICE = 10
"""Requests of people go first."""


def _end_with_the_service() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with suppress(OSError):
        os.nice(_NICE)
    Thread(target=_end_with_the_service, daemon=True).start()
    sys.argv[0] = "finops"
    runpy.run_module("finops_cli", run_name="__main__")
