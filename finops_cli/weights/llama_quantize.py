"""Quantizes a GGUF file with llama.cpp, in a process of its own, because ggml aborts on errors.

The bytes do not depend on the number of threads. Run as a module, it is that process; its arguments
are source, target, type and threads.
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
_PROGRESS = re.compile(r"\[ *(\d+)/ *(\d+)\]")
"""How llama.cpp reports the tensor that it quantizes."""


class PrecisionNumbers(NamedTuple):
    """The numbers of an unquantized type."""

    tensor_type: int
    """ggml's number of the type of a tensor."""
    bytes: int
    """Bytes of a weight."""
    file_type: int
    """llama.cpp's number of the type of a file."""


PRECISIONS: dict[Precision, PrecisionNumbers] = {
    "f16": PrecisionNumbers(1, 2, 1),
    "bf16": PrecisionNumbers(30, 2, 32),
    "f32": PrecisionNumbers(0, 4, 0),
}
"""Types of file that can be quantized. The first is the default."""


def refuse_without_llama() -> None:
    """Raises MissingPiece when llama-cpp-python is not installed. Does not import it."""
    if find_spec("llama_cpp") is None:
        raise MissingPiece(
            "quantizing needs llama-cpp-python",
            f"{extras.cure('export', 'llama')}; or take --type f16",
        )


def quantize_file(
    source: Path, target: Path, kind: Quantized, threads: int, watch: Callable[[int, int], None]
) -> None:
    """Write `target`. `watch` gets the number of tensors done and of all tensors.

    Raises Unfinished with the last lines of llama.cpp.
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
    last_lines: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(  # noqa: S603 - this interpreter, and paths that a command was given
        command, stderr=subprocess.PIPE, env=environment, text=True, errors="replace"
    ) as child:
        assert child.stderr is not None  # noqa: S101 - it is a pipe
        try:
            for line in child.stderr:
                progress = _PROGRESS.search(line)
                if progress:
                    watch(int(progress[1]), int(progress[2]))
                if line.strip():
                    last_lines.append(line.strip())
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        raise Unfinished(
            f"llama.cpp could not quantize {source.name} to {kind} (exit {child.returncode}):"
            f" {' / '.join(last_lines)}"
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


QUANTIZED_TYPES: tuple[Quantized, ...] = get_args(Quantized)

if __name__ == "__main__":
    sys.exit(_quantize_here(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
