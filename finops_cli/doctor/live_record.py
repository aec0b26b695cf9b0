"""One record through the models, as `finops run` takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from time import perf_counter

from finops_cli.doctor.diagnosis import Diagnosis
from finops_cli.kb.load import bundled_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import select_backend
from finops_cli.pipeline.pipeline import Pipeline


def live_record(wanted: BackendRequest, kb: KnowledgeBase) -> Iterator[Diagnosis]:
    """The record of `modelfiles/probe.json` through the models of `wanted`.

    Raises what `choose` raises.
    """
    line = (bundled_dir("modelfiles") / "probe.json").read_bytes()
    with closing(select_backend(wanted, kb).backend) as backend:
        started = perf_counter()
        for stage in wanted.stages:
            backend.prepare(stage)
        loaded = perf_counter() - started
        started = perf_counter()
        written = (
            Pipeline("run", backend, kb, timed=False, keeps_raw=True).process(1, line.strip()).line
        )
    told = (
        f"one record in {perf_counter() - started:.1f} s, models ready in {loaded:.1f} s: status"
        f" {written.status}"
    )
    if written.status == "ok":
        yield Diagnosis("live record", "ok", told)
        return
    findings = [*(written.verification.triage or ()), *(written.verification.resolution or ())]
    rules = ", ".join(dict.fromkeys(finding.rule for finding in findings))
    cure = (
        "the checker catches it; `finops kb show RULE` explains, another model or quantization may"
        " do better"
    )
    yield Diagnosis("live record", "poor", f"{told} for {rules}", cure)
