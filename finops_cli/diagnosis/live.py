"""One record through the models, as `finops run` takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from time import perf_counter

from finops_cli.diagnosis.findings import Diagnosis
from finops_cli.kb.book import Book
from finops_cli.kb.load import data_folder
from finops_cli.models.choose import choose
from finops_cli.models.wanted import Wanted
from finops_cli.pipeline.desk import Desk


def live_record(wanted: Wanted, book: Book) -> Iterator[Diagnosis]:
    """The record of `modelfiles/probe.json` through the models of `wanted`.

    Raises what `choose` raises.
    """
    line = (data_folder("modelfiles") / "probe.json").read_bytes()
    with closing(choose(wanted, book).backend) as backend:
        started = perf_counter()
        for stage in wanted.stages:
            backend.prepare(stage)
        loaded = perf_counter() - started
        started = perf_counter()
        written = (
            Desk("run", backend, book, timed=False, keeps_raw=True).process(1, line.strip()).line
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
