"""Quantizes a GGUF file through llama.cpp, in a process of its own: what ggml cannot do it answers
by ending the process.

The bytes that come do not depend on the number of threads. Run as a module, it is that process:
source, target, kind, threads.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from finops_cli import extras
from finops_cli.errors import MissingPiece, Unfinished
from finops_cli.models.llama_cpp.worker_process import import_path

Quantized = Literal["q8_0", "q4_k_m"]
Precision = Literal["f16", "bf16", "f32"]
_LAST_LINES = 3
_COUNTED = re.compile(r"\[ *(\d+)/ *(\d+)\]")
"""How llama.cpp says which tensor it is at."""


class Unquantized(NamedTuple):
    """ggml's number for the type of a tensor, the bytes of a weight, and llama.cpp's number for a
    file of such tensors.
    """

    tensor_type: int
    bytes: int
    file_type: int


PRECISIONS: dict[Precision, Unquantized] = {
    "f16": Unquantized(1, 2, 1),
    "bf16": Unquantized(30, 2, 32),
    "f32": Unquantized(0, 4, 0),
}
"""Files that may be quantized. The first is what others are made of where nobody says otherwise."""


def refuse_without_llama() -> None:
    """Raises MissingPiece where llama-cpp-python is not installed. It is not imported."""
    if find_spec("llama_cpp") is None:
        raise MissingPiece(
            "quantizing needs llama-cpp-python",
            f"{extras.cure('export', 'llama')}; or take --type f16",
        )


def quantize_file(
    source: Path, target: Path, kind: Quantized, threads: int, watch: Callable[[int, int], None]
) -> None:
    """Write `target`; `watch` is told how many tensors of how many are done.

    Raises Unfinished with llama.cpp's last words.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        __spec__.name,
        str(source),
        str(target),
        kind,
        str(threads),
    ]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONPATH": import_path()}
    words: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(  # noqa: S603 - this interpreter, and paths that a command was given
        command, stderr=subprocess.PIPE, env=environment, text=True, errors="replace"
    ) as child:
        assert child.stderr is not None  # noqa: S101 - it is a pipe
        try:
            for line in child.stderr:
                counted = _COUNTED.search(line)
                if counted:
                    watch(int(counted[1]), int(counted[2]))
                if line.strip():
                    words.append(line.strip())
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        raise Unfinished(
            f"llama.cpp could not make {kind} of {source.name} (exit {child.returncode}):"
            f" {' / '.join(words)}"
        )


def _quantize_here(source: str, target: str, kind: str, threads: int) -> int:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    parameters.nthread = threads
    return int(
        llama_cpp.llama_model_quantize(
            os.fsencode(source), os.fsencode(target), ctypes.byref(parameters)
        )
    )


KINDS: tuple[Quantized, ...] = get_args(Quantized)

if __name__ == "__main__":
    sys.exit(_quantize_here(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
