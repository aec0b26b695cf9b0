"""Diagnose model files: check that llama.cpp is installed, loads them and answers with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from finops_cli.errors import FinopsError, MissingPiece
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.diagnosis import Diagnosis, LiveTest, diagnose_error
from finops_cli.models.llama_cpp import connect
from finops_cli.models.llama_cpp.model import LlamaCppModel

_OTHER_FILE = "name another file, or none"


def diagnose_model_files(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    """Diagnose the model files of `request`, else the bundled ones.

    A file that the call names must work. A bundled file may lack llama.cpp, and is not tested if
    the call names a server.
    """
    files = replace(request.or_bundled(), backend="llama-cpp", hosts=(), models={})
    if not files.files:
        cure = (
            "--triage-gguf and --resolver-gguf, or FINOPS_TRIAGE_GGUF and FINOPS_RESOLVER_GGUF,"
            " name them"
        )
        yield Diagnosis("llama.cpp", "absent", "no model file is named", cure)
        return
    try:
        model = connect.open_llama_cpp(files, kb)
    except FinopsError as error:
        is_optional = not request.files and isinstance(error, MissingPiece)
        yield diagnose_error("llama.cpp", error, "absent" if is_optional else "broken", _OTHER_FILE)
        return
    digests = model.origin.digests or {}
    for stage, path in files.files.items():
        detail = (
            f"{path.name} {(digests.get(stage) or '')[:12]}, {path.stat().st_size / 1e6:,.1f} MB,"
            f" context {model.context_size(stage):,}"
        )
        yield Diagnosis(f"{stage} file", "ok", detail)
    if model.must_alternate:
        detail = "the files do not fit side by side: the models take turns"
        yield Diagnosis("memory", "poor", detail, "free memory, or take smaller files")
    else:
        yield from _diagnose_threads(model)
    if live_test is not None and (request.files or not request.hosts):
        try:
            yield from live_test(files, kb)
        except FinopsError as error:
            yield diagnose_error("llama.cpp", error, "broken", _OTHER_FILE)


def _diagnose_threads(model: LlamaCppModel) -> Iterator[Diagnosis]:
    """Say how several models will share the processor, where llama.cpp has no GPU."""
    threads = model.threads
    if len(threads) < 2:
        return
    how = "take turns" if max(threads) > 1 else "run side by side, each batch on one core"
    counts = " and ".join(map(str, threads))
    detail = f"{counts} threads for each batch: without a GPU the models {how}"
    yield Diagnosis("processor", "ok", detail)
