"""The state of what works in this process: the guard, and model files for llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from finops_cli import extras
from finops_cli.doctor.diagnosis import Diagnosis, State
from finops_cli.doctor.live_record import live_record
from finops_cli.errors import FinopsError, MissingPiece
from finops_cli.guard.detector import installed, open_guard
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.llama_cpp import connect

_PLANTED = "SSN 123-45-6789, 5,000 shares of 594918104"
_MASKED = "SSN [SSN], 5,000 shares of 594918104"


def guard(kb: KnowledgeBase) -> Diagnosis:
    """Whether personal data would be masked."""
    if not installed():
        told = (
            "free text cannot be read before a model does; records that have some stop a run with"
            " models"
        )
        return Diagnosis("guard", "absent", told, extras.cure("guard"))
    try:
        masked = open_guard(kb.guard).mask(_PLANTED).text
    except FinopsError as error:
        return Diagnosis("guard", "broken", str(error), error.cure)
    if masked != _MASKED:
        return Diagnosis(
            "guard",
            "broken",
            f"{_PLANTED!r} comes out as {masked!r}",
            "correct guard.* of your --kb",
        )
    return Diagnosis("guard", "ok", "personal data in free text is masked before a model sees it")


def model_files(wanted: BackendRequest, kb: KnowledgeBase, live: bool) -> Iterator[Diagnosis]:
    """The model files that are named, else those that ship. `live`: load them and put one record
    through them.

    A file that is named must work; one that ships is there for whoever has llama.cpp, and is not
    asked where the call names a server.
    """
    named = wanted.or_shipped()
    files = replace(
        named, backend="llama-cpp", hosts=(), triage_model=None, resolver_model=None
    )  # those are Ollama's
    if not files.ggufs:
        cure = (
            "--triage-gguf and --resolver-gguf, or FINOPS_TRIAGE_GGUF and FINOPS_RESOLVER_GGUF,"
            " name them"
        )
        yield Diagnosis("llama.cpp", "absent", "no model file is named", cure)
        return
    try:
        model = connect.open_llama_cpp(files, kb)
    except FinopsError as error:
        lacks = not wanted.ggufs and isinstance(error, MissingPiece)
        yield _trouble(error, "absent" if lacks else "broken")
        return
    digests = model.origin.digests
    for stage, path in files.ggufs.items():
        digest = getattr(digests, stage)
        told = (
            f"{path.name} {digest[:12]}, {path.stat().st_size / 1e6:,.1f} MB, context"
            f" {model.context_size(stage):,}"
        )
        yield Diagnosis(f"{stage} file", "ok", told)
    if model.must_alternate:
        cure = "free memory, or take smaller files"
        yield Diagnosis(
            "memory", "poor", "the files do not fit side by side: the models take turns", cure
        )
    if live and (wanted.ggufs or not wanted.hosts):
        try:
            yield from live_record(files, kb)
        except FinopsError as error:
            yield _trouble(error, "broken")


def _trouble(error: FinopsError, state: State) -> Diagnosis:
    cure = error.cure or "name another file, or none"
    return Diagnosis("llama.cpp", state, str(error), cure)
