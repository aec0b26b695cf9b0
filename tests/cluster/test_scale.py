"""The page of what large jobs cost: its tables follow from measured unit costs alone."""

from __future__ import annotations

import json

import pytest

from benchmarks.scale import (
    BEGIN,
    END,
    PAGE,
    RESTART_S,
    UNITS,
    Job,
    format_time,
    put_tables,
    render,
    simulate,
)


def test_page_has_the_tables_of_the_simulation() -> None:
    """The page shows what the command prints for the stored unit costs."""
    page = PAGE.read_text("utf-8")
    assert page == put_tables(page, render(json.loads(UNITS.read_text())))
    assert page.index(BEGIN) < page.index(END)


def test_one_worker_takes_the_sum_of_the_parts() -> None:
    """Without a driver, one worker takes the time of all parts, and ten a tenth of it."""
    job = Job(name="parts", parts=1_000, part_s=2.0)
    assert simulate(job, 1) == pytest.approx(2_000, rel=0.01)
    assert simulate(job, 10) == pytest.approx(200, rel=0.02)


def test_driver_bounds_a_job_however_many_workers() -> None:
    """The driver cuts and writes each part, so its time is the least time of a job."""
    job = Job(name="parts", parts=1_000, part_s=2.0, driver_s=0.5, start_s=3.0)
    assert simulate(job, 1_000) >= 500
    assert simulate(job, 1_000) == pytest.approx(simulate(job, 100), rel=0.02)


def test_lost_worker_costs_its_part_and_the_notice() -> None:
    """A lost worker costs at most its part, and the time until it is noticed."""
    job = Job(name="parts", parts=100, part_s=2.0)
    for workers in (1, 10):
        lost = simulate(job, workers, loses_one=True) - simulate(job, workers)
        assert 0 <= lost <= RESTART_S + 2 * 2.2 + 2.2 * 11 / workers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.5, "1.5 s"), (110, "110 s"), (150, "2.5 min"), (7_300, "2 h"), (400_000, "4.6 days")],
)
def test_time_has_two_digits_and_a_unit(seconds: float, text: str) -> None:
    """A time is written in the largest unit of which it has two."""
    assert format_time(seconds) == text
