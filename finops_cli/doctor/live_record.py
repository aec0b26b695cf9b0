"""Put one record through the models, as `finops run` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from time import perf_counter

from finops_cli.kb.load import bundled_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import select_backend
from finops_cli.models.diagnosis import Diagnosis
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.sequences import SEQUENCES


def try_live_record(request: BackendRequest, kb: KnowledgeBase) -> Iterator[Diagnosis]:
    """Put the record of `modelfiles/probe.json` through the models of `request`.

    Raises what `select_backend` raises.
    """
    record = (bundled_dir("modelfiles") / "probe.json").read_bytes().strip()
    with closing(select_backend(request, kb).backend) as backend:
        started = perf_counter()
        for stage in request.stages:
            backend.prepare(stage)
        load_seconds = perf_counter() - started
        started = perf_counter()
        pipeline = Pipeline(SEQUENCES["run"], backend, kb, timed=False, keeps_raw=True)
        line = pipeline.process(1, record).line
    detail = (
        f"one record in {perf_counter() - started:.1f} s, models ready in {load_seconds:.1f} s:"
        f" status {line.status}"
    )
    if line.status == "ok":
        yield Diagnosis("live record", "ok", detail)
        return
    findings = [*(line.verification.triage or ()), *(line.verification.resolution or ())]
    rules = ", ".join(dict.fromkeys(finding.rule for finding in findings))
    cure = (
        "the checker catches it; `finops kb show RULE` explains, another model or quantization may"
        " do better"
    )
    yield Diagnosis("live record", "poor", f"{detail} for {rules}", cure)
