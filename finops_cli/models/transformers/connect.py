"""Open models from local folders.

The folders and the installed packages are checked before any record is sent.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec

from finops_cli import extras
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.llama_cpp.connect import (
    build_sampling,
    cores,
    must_take_turns,
    read_available_memory,
    select_relevant_options,
    settings_text,
)
from finops_cli.models.llama_cpp.messages import Load
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile, Runtime
from finops_cli.models.llama_cpp.worker_process import WorkerProcess
from finops_cli.models.modelfile import typed_parameters
from finops_cli.models.ollama_options import Value
from finops_cli.models.prompts import prompts_sha256
from finops_cli.models.protocol import Origin, names_by_stage
from finops_cli.models.transformers.folders import ModelFolder, read_folder
from finops_cli.models.transformers.model_note import read_note, refuse_other_base

TRANSFORMERS = Runtime(
    "transformers", "use another folder or fewer --workers, or leave --load-in-4bit out"
)
WORKER_COMMAND = (sys.executable, "-P", "-m", "finops_cli.models.transformers.worker")
_AT_ONCE = 4
"""Answers in one batch without `--workers`. All of them end before the next batch begins."""
_CLASSIFIED_AT_ONCE = 32
"""Texts in one batch of a classifier, which generates nothing."""


class OpenedFolder(NamedTuple):
    """The model of one stage, before it is loaded."""

    folder: ModelFolder
    modelfile: str
    options: Mapping[str, Value]
    profile: Profile


def open_transformers(request: BackendRequest, kb: KnowledgeBase) -> LlamaCppModel:
    """Open the folders of `request`, one for each of its stages.

    Each model gets the prompt that it was trained for.

    Raises MissingPiece if a package is not installed, and UsageError for a folder that is missing
    or unusable.
    """
    folders = _require_folders(request)
    refuse_without_extra(request)
    opened = {stage: _open_stage(stage, folders[stage], request) for stage in request.stages}
    needs = [each.folder.size for each in opened.values()]
    return LlamaCppModel(
        origin=_describe(request, folders, opened),
        profiles={stage: each.profile for stage, each in opened.items()},
        settings=kb.models,
        timeout=request.timeout,
        must_alternate=must_take_turns(
            needs, read_available_memory(), kb.models.memory_pct, beside=request.beside_bytes
        ),
        start=lambda load: WorkerProcess(load, WORKER_COMMAND),
        runtime=TRANSFORMERS,
    )


def _require_folders(request: BackendRequest) -> dict[StageName, Path]:
    """Return the folder of each stage of the call."""
    folders = {stage: path for stage, path in request.folders.items() if stage in request.stages}
    alone = [stage for stage in request.adapters if stage not in folders]
    if alone:
        raise UsageError(
            f"--{alone[0]}-adapter needs the model that it was trained on",
            f"add --{alone[0]}-dir DIR",
        )
    missing = [stage for stage in request.stages if stage not in folders]
    if missing:
        raise UsageError(
            f"no folder was named for: {', '.join(missing)}. --backend transformers needs one for"
            " each stage.",
            f"add {' and '.join(f'--{stage}-dir DIR' for stage in missing)}",
        )
    return folders


def refuse_without_extra(request: BackendRequest) -> None:
    """Raise MissingPiece if a package that the request needs is not installed.

    None is imported.
    """
    needed = ["torch", "transformers", "llguidance", "numpy"]
    if request.adapters:
        needed.append("peft")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingPiece(
            f"--backend transformers needs {' and '.join(missing)}", extras.cure("transformers")
        )
    if request.load_in_4bit and find_spec("bitsandbytes") is None:
        raise MissingPiece(
            "--load-in-4bit needs bitsandbytes",
            extras.cure_of_module("bitsandbytes") or extras.cure("train"),
        )


def _open_stage(stage: StageName, path: Path, request: BackendRequest) -> OpenedFolder:
    adapter = request.adapters.get(stage)
    folder = read_folder(stage, path, adapter)
    if adapter is not None:
        refuse_other_base(adapter, folder.weights, option=f"--{stage}-dir")
    note = read_note(adapter or path)
    declared = None if note is None else note.modelfile
    modelfile = bundled.find_prompt_modelfile(stage, declared, adapter or path)
    options = typed_parameters(bundled.modelfile(modelfile))
    select_relevant_options(options, backend="transformers")
    return OpenedFolder(
        folder, modelfile, options, _build_profile(path, adapter, folder, modelfile, request)
    )


def _build_profile(
    path: Path,
    adapter: Path | None,
    folder: ModelFolder,
    modelfile: str,
    request: BackendRequest,
) -> Profile:
    options = typed_parameters(bundled.modelfile(modelfile))
    sampling, context, max_tokens, stops = build_sampling(options)
    load = Load(
        path=str(path.resolve()),
        context=min(context, folder.positions or context),
        sequences=request.workers or (_CLASSIFIED_AT_ONCE if folder.is_classifier else _AT_ONCE),
        threads=cores(),
        adapter="" if adapter is None else str(adapter.resolve()),
        load_in_4bit=request.load_in_4bit,
    )
    return Profile(
        load=load,
        sampling=sampling,
        stops=stops,
        max_tokens=max_tokens,
        parts=folder.identities,
        modelfile=modelfile,
    )


def _describe(
    request: BackendRequest,
    folders: Mapping[StageName, Path],
    opened: Mapping[StageName, OpenedFolder],
) -> Origin:
    """Describe the models for provenance: their names, digests and settings."""
    names = {
        stage: "+".join(
            path.resolve().name
            for path in (folders[stage], request.adapters.get(stage))
            if path is not None
        )
        for stage in request.stages
    }
    settings = settings_text(request, {stage: each.options for stage, each in opened.items()})
    if request.load_in_4bit:
        settings = msgspec.json.encode([msgspec.Raw(settings.encode()), "nf4"]).decode()
    return Origin(
        "transformers",
        is_model=True,
        models=names_by_stage(names),
        digests=names_by_stage({stage: each.folder.digest for stage, each in opened.items()}),
        prompt_sha256=prompts_sha256(each.modelfile for each in opened.values()),
        settings=settings,
    )
