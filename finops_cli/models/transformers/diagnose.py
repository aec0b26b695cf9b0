"""Diagnose model folders: check that transformers is installed, and answers with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from finops_cli.errors import FinopsError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.diagnosis import Diagnosis, LiveTest, diagnose_error
from finops_cli.models.transformers.connect import open_transformers

_OTHER_FOLDER = "name another folder, or none"


def diagnose_folders(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    """Diagnose the folders of `request`; no line if it names no folder."""
    if not request.folders and not request.adapters:
        return
    stages = tuple(stage for stage in request.stages if stage in request.folders)
    named = replace(request, backend="transformers", stages=stages, hosts=(), models={}, ggufs={})
    try:
        model = open_transformers(named, kb)
    except FinopsError as error:
        yield diagnose_error("transformers", error, "broken", _OTHER_FOLDER)
        return
    digests = model.origin.digests or {}
    for stage in stages:
        detail = (
            f"{model.origin.models[stage]} {(digests.get(stage) or '')[:12]},"
            f" context {model.context_size(stage):,}"
        )
        yield Diagnosis(f"{stage} folder", "ok", detail)
    if live_test is not None:
        try:
            yield from live_test(named, kb)
        except FinopsError as error:
            yield diagnose_error("transformers", error, "broken", _OTHER_FOLDER)
