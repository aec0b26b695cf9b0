"""`python -m finops_cli.devtools.fake_ollama` starts a server with the protocol of Ollama, to try
finops without Ollama and without a model.

With `-- COMMAND ...` it serves that command alone, which finds it through OLLAMA_HOST, and exits
with the status of the command.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

from finops_cli.devtools.fake_ollama.faults import FAULTS, faulty
from finops_cli.devtools.fake_ollama.server import FakeOllama
from finops_cli.errors import FinopsError

_OLLAMA_PORT = 11434


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C, or while a command runs. Returns the exit status."""
    own_arguments, served = _split_arguments(sys.argv[1:] if arguments is None else arguments)
    given = _parser().parse_args(own_arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        server = FakeOllama(
            faulty(dict(given.fault), given.wrong, given.seed),
            port=0 if served else given.port,
            gguf=dict(given.gguf),
            upstream=dict(given.upstream),
            has_gpu=not given.no_gpu,
            token_seconds=1 / given.tokens_per_second if given.tokens_per_second else 0.0,
        )
        with server:
            if served:
                return _serve(served, server.url)
            sys.stderr.write(f"fake Ollama at {server.url} (Ctrl-C stops it)\n")
            sys.stderr.flush()
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    except FinopsError as error:
        sys.stderr.write(f"{error.one_line()}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(
            f"port {given.port}: {error.strerror}; another one: --port 0 takes any that is free\n"
        )
        return 2
    return 0


def _serve(command: list[str], url: str) -> int:
    """Run `command`, which finds the server through OLLAMA_HOST.

    Ctrl-C is the command's to handle; SIGTERM ends both.
    """
    try:
        process = subprocess.Popen(command, env={**os.environ, "OLLAMA_HOST": url})  # noqa: S603 - the caller's own command
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()


def _split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments before `--` from the command behind it."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m finops_cli.devtools.fake_ollama",
        description=__doc__,
        usage="%(prog)s [options] [-- COMMAND ...]",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=_OLLAMA_PORT,
        help=f"default {_OLLAMA_PORT}, Ollama's own; 0 takes any that is free",
    )
    parser.add_argument(
        "--fault",
        type=_share,
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help=f"fail so in this share of the requests: {', '.join(FAULTS)}",
    )
    parser.add_argument(
        "--wrong",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of answers with a wrong number",
    )
    parser.add_argument(
        "--seed", type=int, default=7, help="of the draws of --fault and --wrong; default 7"
    )
    _add_model_options(parser)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the models answer with."""
    parser.add_argument(
        "--gguf",
        type=_file,
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="answer with this GGUF file",
    )
    parser.add_argument(
        "--upstream",
        type=_address,
        action="append",
        default=[],
        metavar="MODEL=URL",
        help="answer with the model of this llama_cpp.server",
    )
    parser.add_argument("--no-gpu", action="store_true", help="say that no model is on a GPU")
    parser.add_argument(
        "--tokens-per-second",
        type=float,
        metavar="N",
        help="answer at this speed; default as fast as it can",
    )


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    return name, float(share)


def _address(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    return name, url


def _file(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
