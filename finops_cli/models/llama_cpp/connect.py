"""Open models from GGUF files.

The files and the installed packages are checked before any record is sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from finops_cli import extras
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.gguf_file import refuse_unusable_gguf
from finops_cli.models.llama_cpp.memory import memory_bytes
from finops_cli.models.llama_cpp.messages import Load, Sampling
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.ollama_options import Value
from finops_cli.models.prompts import common_prefix, prompts_sha256, sentiment_prefix
from finops_cli.models.protocol import Origin, names_by_stage
from finops_cli.models.sentiment.classifier import STAGE

_RELEVANT = (
    "num_ctx",
    "num_predict",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repeat_penalty",
    "repeat_last_n",
    "stop",
)
"""Parameters of a Modelfile that change answers and are supported here."""
_OF_THE_MACHINE = ("num_batch", "num_gpu", "num_thread", "main_gpu", "use_mmap", "num_keep", "seed")
"""Parameters that do not change answers.

The first two are supported. Threads are set by `WorkerLayout`, a context is never shifted, and each
request has its own seed.
"""
_SMALL_BYTES = 64 * 1024 * 1024
"""Largest file size in bytes for one group per core.

For larger files, threads that work together are faster than groups side by side.
"""


class WorkerLayout(NamedTuple):
    """The layout of a worker process."""

    sequences: int
    """Answers decoded in one batch."""
    groups: int
    """Batches decoded at the same time."""
    threads: int
    """Threads per batch."""


def open_llama_cpp(request: BackendRequest, kb: KnowledgeBase) -> LlamaCppModel:
    """Open the model files of `request`, one for each of its stages.

    Each model gets the prompt that it was trained for.

    Raises MissingPiece if a package is not installed, and UsageError for a file that is missing or
    unusable, or for an unsupported parameter.
    """
    files = _require_files(request)
    refuse_without_extra()
    for stage in request.stages:
        _refuse_unusable_file(files[stage])
    modelfiles = {
        stage: bundled.read_prompt_modelfile(stage, files[stage]) for stage in request.stages
    }
    options = {
        stage: typed_parameters(bundled.modelfile(name)) for stage, name in modelfiles.items()
    }
    bare_profiles = {
        stage: build_profile(files[stage], options[stage], _prefix_of(stage, name), request.workers)
        for stage, name in modelfiles.items()
    }
    digests = {stage: sha256_of_file(files[stage]) for stage in request.stages}
    profiles = {
        stage: msgspec.structs.replace(
            made, identity=digests[stage][1], modelfile=modelfiles[stage]
        )
        for stage, made in bare_profiles.items()
    }
    origin = Origin(
        "llama-cpp",
        is_model=True,
        models=names_by_stage({stage: files[stage].name for stage in request.stages}),
        digests=names_by_stage({stage: digest for stage, (digest, _) in digests.items()}),
        prompt_sha256=prompts_sha256(modelfiles.values()),
        settings=settings_text(request, options),
    )
    needs = [memory_bytes(made.load) for made in profiles.values()]
    available = read_available_memory()
    must_alternate = must_take_turns(
        needs, available, kb.models.memory_pct, beside=request.beside_bytes
    )
    return LlamaCppModel(
        origin=origin,
        profiles=profiles,
        settings=kb.models,
        timeout=request.timeout,
        must_alternate=must_alternate,
    )


def _prefix_of(stage: StageName, modelfile: str) -> str:
    """Return the text that all prompts of a stage begin with."""
    own = {STAGE: sentiment_prefix}.get(stage)
    return common_prefix(modelfile) if own is None else own()


def settings_text(request: BackendRequest, options: Mapping[str, Mapping[str, Value]]) -> str:
    """Write every setting of a call that changes answers."""
    settings: dict[str, Any] = {
        stage: select_relevant_options(options[stage]) for stage in request.stages
    }
    settings |= {
        "on_violation": request.on_violation,
        "prose": request.prose,
        "timeout": request.timeout,
    }
    return msgspec.json.encode(settings).decode()


def _require_files(request: BackendRequest) -> dict[StageName, Path]:
    files = request.files
    missing = [stage for stage in request.stages if stage not in files]
    if missing:
        options = " and ".join(f"--{stage}-gguf FILE" for stage in missing)
        variables = ", ".join(f"FINOPS_{stage.upper()}_GGUF" for stage in missing)
        ships = " and ".join(
            f"--{stage}-gguf {path}" for stage, path in bundled.model_files(missing).items()
        )
        raise UsageError(
            f"no model file was named for: {', '.join(missing)}. --backend llama-cpp needs one for"
            " each stage.",
            f"add {options} (or set {variables})"
            + (f"; finops ships small models: {ships}" if ships else ""),
        )
    return files


def must_take_turns(
    needs: Sequence[int], available: int | None, share_pct: int, *, beside: int = 0
) -> bool:
    """Return true if the models are too large to be loaded together.

    `needs` is in bytes, and so is `beside`, the memory of a model that takes no turns with them.
    The result is false if the available memory is unknown.
    """
    if len(needs) < 2 or available is None:
        return False
    return 100 * (sum(needs) + beside) > share_pct * available


def read_available_memory() -> int | None:
    """Return the bytes that programs may still allocate, including caches that can be dropped.

    Returns None if the system does not report them.
    """
    try:
        meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+([0-9]+) kB$", meminfo, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def refuse_without_extra() -> None:
    """Raise MissingPiece if llama-cpp-python or llguidance is not installed.

    Neither is imported.
    """
    missing = [package for name, package in _PACKAGES.items() if find_spec(name) is None]
    if missing:
        raise MissingPiece(
            f"--backend llama-cpp needs {' and '.join(missing)}", extras.cure("llama")
        )


_PACKAGES = {"llama_cpp": "llama-cpp-python", "llguidance": "llguidance", "numpy": "numpy"}


def build_profile(
    path: Path, options: Mapping[str, Value], prefix: str, sequences: int | None = None
) -> Profile:
    """Build the settings to load and prompt the model in `path`."""
    _refuse_unusable_file(path)
    select_relevant_options(options)
    layout = worker_layout(path.stat().st_size, cores(), sequences)
    sampling, context, max_tokens, stops = build_sampling(options)
    load = Load(
        path=str(path.resolve()),
        context=context,
        sequences=layout.sequences,
        groups=layout.groups,
        threads=layout.threads,
        batch=_number(options, "num_batch", 512),
        gpu_layers=_number(options, "num_gpu", -1),
        prefix=prefix,
    )
    return Profile(load=load, sampling=sampling, stops=stops, max_tokens=max_tokens)


def needed_bytes(files: Mapping[StageName, Path]) -> int:
    """Estimate the memory of model files that are loaded together, with their contexts."""
    total = 0
    for stage, path in files.items():
        options = typed_parameters(bundled.modelfile(bundled.read_prompt_modelfile(stage, path)))
        total += memory_bytes(build_profile(path, options, "").load)
    return total


class RequestSettings(NamedTuple):
    """The settings of requests to a model."""

    sampling: Sampling
    context: int
    max_tokens: int | None
    stops: tuple[str, ...]


def build_sampling(options: Mapping[str, Value]) -> RequestSettings:
    """Build the settings of requests from the parameters of a Modelfile.

    Raises UsageError for one that is missing or of another type.
    """
    context = _number(options, "num_ctx")
    penalised = _number(options, "repeat_last_n", 64)
    sampling = Sampling(
        # typed by the Modelfile; the defaults are Ollama's
        temperature=float(options.get("temperature", 0.8)),  # type: ignore[arg-type]
        top_k=_number(options, "top_k", 40),
        top_p=float(options.get("top_p", 0.9)),  # type: ignore[arg-type]
        min_p=float(options.get("min_p", 0.0)),  # type: ignore[arg-type]
        repeat_penalty=float(options.get("repeat_penalty", 1.0)),  # type: ignore[arg-type]
        # -1 means all tokens in Ollama; llama.cpp would read it as none
        penalised=context if penalised < 0 else penalised,
    )
    stops = options.get("stop", [])
    if not isinstance(stops, list):
        raise UsageError(f"PARAMETER stop takes texts, not {stops!r}")
    max_tokens = _number(options, "num_predict", -1)
    return RequestSettings(sampling, context, max_tokens if max_tokens > 0 else None, tuple(stops))


def _refuse_unusable_file(path: Path) -> None:
    if not path.is_file():
        raise UsageError(
            f"{path}: no such GGUF file", "give a model file that `finops quantize` wrote"
        )
    refuse_unusable_gguf(path)


def select_relevant_options(
    options: Mapping[str, Value], backend: str = "llama-cpp"
) -> dict[str, Value]:
    """Select the options that change answers, sorted by name.

    Raises UsageError for an option that only other backends support.
    """
    strange = [name for name in options if name not in _RELEVANT + _OF_THE_MACHINE]
    if strange:
        raise UsageError(
            f"PARAMETER {strange[0]}: --backend {backend} does not do that",
            "leave the line out or use --backend ollama",
        )
    return {name: options[name] for name in sorted(options) if name in _RELEVANT}


def worker_layout(size: int, cores: int, sequences: int | None) -> WorkerLayout:
    """Choose the layout for a model of `size` bytes on `cores`.

    `sequences` is the requested number of answers at once; None: choose it.
    """
    groups = cores if size <= _SMALL_BYTES else 1
    if sequences is None:
        return WorkerLayout(8 if size <= _SMALL_BYTES else 4, groups, cores // groups)
    groups = min(groups, sequences)
    return WorkerLayout(-(-sequences // groups), groups, cores // groups)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(options: Mapping[str, Value], name: str, otherwise: int | None = None) -> int:
    value = options.get(name, otherwise)
    if not isinstance(value, int):
        raise UsageError(f"PARAMETER {name} is missing; it takes a whole number")
    return value
