"""`python -m finops_cli.devtools.fake_openai` starts a server of OpenAI's API, to try finops
without a model.

With `-- COMMAND ...` it serves that command alone, in whose arguments {url} is its address, and
exits with the status of the command.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType

from finops_cli.devtools.fake_openai.kinds import KINDS
from finops_cli.devtools.fake_openai.server import MODELS, FakeOpenAI

_PORT = 8000


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C, or while a command runs. Returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    at = given.index("--") if "--" in given else len(given)
    served = given[at + 1 :]
    own = _parser().parse_args(given[:at])
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with FakeOpenAI(
            kind=own.kind,
            models=own.model or MODELS,
            port=0 if served else own.port,
            token_seconds=1 / own.tokens_per_second if own.tokens_per_second else 0.0,
        ) as server:
            if served:
                command = [each.replace("{url}", server.url) for each in served]
                return subprocess.run(command, check=False).returncode  # noqa: S603 - the caller's own command
            sys.stderr.write(f"fake server of OpenAI's API at {server.url} (Ctrl-C stops it)\n")
            sys.stderr.flush()
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    except OSError as error:
        sys.stderr.write(f"{error.strerror}; another port: --port 0 takes any that is free\n")
        return 2
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m finops_cli.devtools.fake_openai",
        description=__doc__,
        usage="%(prog)s [options] [-- COMMAND ...]",
    )
    parser.add_argument("--port", type=int, default=_PORT, help=f"default {_PORT}")
    parser.add_argument("--kind", choices=tuple(KINDS), default="vllm", help="default vllm")
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="a model that it lists; may be repeated"
    )
    parser.add_argument(
        "--tokens-per-second",
        type=float,
        metavar="N",
        help="answer at this speed; default as fast as it can",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
