"""A plan of the whole book survives a kill, is checked without solvers, and counts to the share."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from finops_cli.book.allocation.plan import plan_pool
from finops_cli.book.allocation.pool import DrawingFail, Source, make_pool
from finops_cli.book.proof.certificate import certify
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.program import Finops
from tests.support.records import a_fail, rows
from tests.support.small_books import draw_fails, draw_inventory, write_lines

pytest.importorskip("networkx")

WITHOUT_SOLVERS = (
    "import sys; sys.modules['networkx'] = sys.modules['ortools'] = None;"
    " from finops_cli.cli import main; main()"
)


def draw_book(folder: Path, seed: int, count: int) -> tuple[Path, Path]:
    """Write a book of named fails whose counterparties take any part."""
    draw = Random(seed)
    drawn = enumerate(draw_fails(draw, count))
    fails = [{**each, "fail_id": f"F-{number}", "min_partial_qty": 1} for number, each in drawn]
    return (
        write_lines(folder / "fails.jsonl", *fails),
        write_lines(folder / "inventory.jsonl", *draw_inventory(draw)),
    )


def run(*arguments: Any) -> subprocess.CompletedProcess[bytes]:
    """Run finops in a process that has no solver."""
    command = [sys.executable, "-c", WITHOUT_SOLVERS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.slow
def test_killed_book_is_resumed_to_equal_bytes(finops: Finops, tmp_path: Path) -> None:
    """A book that was killed with SIGKILL while it wrote goes on to the bytes of a whole run."""
    fails, inventory = draw_book(tmp_path, 1, 4000)
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    given = ("book", str(fails), "--inventory", str(inventory), "--no-timing", "-q")
    assert finops(*given, "-o", whole).returncode == 0
    killed = subprocess.Popen([sys.executable, "-m", "finops_cli", *given, "-o", str(cut)])
    while killed.poll() is None and (not cut.exists() or cut.stat().st_size < 500_000):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 0 < cut.stat().st_size < whole.stat().st_size
    assert finops(*given, "--resume", "-o", cut).returncode == 0
    assert cut.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_proof_is_checked_without_solvers(finops: Finops, tmp_path: Path) -> None:
    """`finops check` verifies a certificate where networkx and OR-tools are absent, and refuses one
    with a number changed; a contended book then names the missing package.
    """
    fails, inventory = draw_book(tmp_path, 2, 30)
    output, proof = tmp_path / "book.jsonl", tmp_path / "proof.jsonl"
    given = (fails, "--inventory", inventory)
    assert finops("book", *given, "-q", "-o", output, "--certificate", proof).returncode == 0
    check = ("check", output, "--fails", *given, "--certificate", proof, "-q")
    done = run(*check)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in proof.read_bytes().splitlines()]
    cut = next(each for line in lines for each in line.get("cuts", ()))
    cut["owed"] += 1
    write_lines(proof, *lines)
    assert run(*check).returncode == 1
    lacking = run("book", *given)
    assert lacking.returncode == 3
    assert b"networkx" in lacking.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_drawn_books_are_equal_in_any_order(seed: int, finops: Finops, tmp_path: Path) -> None:
    """Fails and sources in any order, with one worker or two, give each fail the same line."""
    fails, inventory = draw_book(tmp_path, seed, 60)
    given = ("--no-timing", "-q")
    first = finops("book", fails, "--inventory", inventory, *given).stdout
    assert finops("book", fails, "--inventory", inventory, *given, "--workers", "2").stdout == first
    for path in (fails, inventory):
        lines = path.read_bytes().splitlines(keepends=True)
        Random(seed).shuffle(lines)
        path.write_bytes(b"".join(lines))
    mixed = finops("book", fails, "--inventory", inventory, *given).stdout
    assert _named(mixed) == _named(first)


def _named(output: bytes) -> dict[str, Any]:
    """Return the lines by name, without the digest of the inventory file."""
    return {line["fail_id"]: {**line, "provenance": None} for line in rows(output)}


def test_trillions_are_counted_to_the_share(kb: KnowledgeBase) -> None:
    """A plan of 10**12 shares is exact, where a solver with tolerances would be one share off."""
    trillion = 10**12
    fails = [
        DrawingFail("A", trillion - 1, "CRITICAL", 1, line=1),
        DrawingFail("B", 7, "HIGH", 1, line=2),
        DrawingFail("C", trillion, "LOW", 9, line=3),
    ]
    sources = [Source("BOX", "", trillion), Source("DEPOT", "x", trillion - 1, days=3)]
    pool = make_pool("594918104", fails, sources)
    plan = plan_pool(pool, kb.book)
    assert [plan.uncovered(pool, place) for place in range(3)] == [0, 6, 1]
    certificate = certify(pool, plan)
    assert certificate is not None
    assert certificate.levels["uncovered HIGH"] == 6
    assert certificate.levels["uncovered LOW"] == 1


def test_law_decides_the_queue_at_one_moment(finops: Finops, tmp_path: Path) -> None:
    """With `--clock regulation` the queue and the reach follow the days of the law, and `--as-of`
    is the moment of the clock and of the inventory's age.
    """
    shown = {"trade_date": "2026-11-24", "settlement_date": "2026-11-25"}
    fails = [
        a_fail(
            fail_id=name,
            qty=5,
            cns_position=-5,
            age_days=1,
            market_value=2100,
            reg_sho_threshold=False,
            clock_facts={**shown, "sale_type": sale},
        )
        for name, sale in (("A", "long"), ("B", "short"))
    ]
    given = write_lines(tmp_path / "fails.jsonl", *fails)
    stock = write_lines(
        tmp_path / "inventory.jsonl",
        {"snapshot": {"as_of": "2026-11-25T18:00:00-05:00"}},
        {"cusip": "594918104", "kind": "BOX", "qty": 5},
    )
    book = ("book", given, "--inventory", stock, "-q", "--clock", "regulation", "--as-of")
    lines = rows(finops(*book, "2026-11-27T08:00").stdout)
    assert [line["clock"]["deadline_days"] for line in lines] == [2, 0]
    assert [line["book"]["place"] for line in lines] == [2, 1]
    assert [line["book"]["uncovered"] for line in lines] == [5, 0]
    assert finops(*book, "2026-11-30T08:00").returncode == 2
