"""Lines of a run that promise shares of a source which earlier lines promise too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from finops_cli.domain.finding import Finding
from finops_cli.pipeline.earlier_lines import RULE, Draw, EarlierLines, Promises
from finops_cli.pipeline.output import add_warning, read_line
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

OTHER = "037833100"
EVEN = {"inventory_coverage_pct": 100, "cp_fail_rate_pct": 1, "reg_sho_threshold": False}


DATES = '{"rule":"input.dates","path":"","expected":1,"actual":2,"message":"m"}'
FIVE = (
    '{"rule":"book.promised_before","path":"/resolution","expected":0,"actual":5,"message":"five"}'
)


def stock(box: int = 0, borrow: int = 0, recall: int = 0) -> dict[str, int]:
    return {
        "box_qty": box,
        "stock_loan_available": borrow,
        "recall_outstanding": recall,
        "pending_receives": 0,
    }


def fail(name: str, qty: int, inventory: dict[str, int] | None, **more: Any) -> dict[str, Any]:
    record = a_fail(fail_id=name, qty=qty, cns_position=-qty, **more)
    return record if inventory is None else {**record, "inventory": inventory}


def promised(line: dict[str, Any]) -> list[int]:
    """Return the shares that a line says were promised before."""
    return [each["actual"] for each in line["warnings"] if each["rule"] == RULE]


def test_second_fail_of_a_source_gets_the_finding(finops: Finops) -> None:
    """The first fail of a box has no finding; each later one says what earlier lines took of the
    sources that its plan uses.
    """
    given = jsonl(
        fail("A", 4000, stock(box=5000)),
        fail("B", 5000, stock(box=5000)),
        fail("C", 800, stock(borrow=900)),
        fail("D", 5600, stock(box=5000, borrow=900)),
        fail("E", 5000, stock(box=5000), cusip=OTHER),
    )
    lines = rows(finops("run", "-", "-q", stdin=given).stdout)
    assert [promised(line) for line in lines] == [[], [4000], [], [9800], []]
    texts = [each["message"] for line in lines for each in line["warnings"] if each["rule"] == RULE]
    assert texts[0].endswith(
        "promise 4,000 of the box of 594918104; 4,000 shares of this plan are promised twice"
    )
    assert "9,000 of the box and 800 of the lenders" in texts[1]


def test_box_with_room_promises_nothing_twice(finops: Finops) -> None:
    """A box that holds enough for both fails is shared, and no share is promised twice."""
    given = jsonl(fail("A", 100, stock(box=5000)), fail("B", 100, stock(box=5000)))
    done = finops("run", "-", stdin=given)
    assert promised(rows(done.stdout)[1]) == [100]
    assert "0 shares are promised twice" in " ".join(done.stderr.decode().split())


def test_lines_without_a_plan_promise_nothing(finops: Finops) -> None:
    """A record without an inventory, an unusable line and a repeated name take no shares."""
    given = jsonl(
        fail("A", 5000, None),
        fail("B", 5000, stock(box=5000)),
        fail("B", 5000, stock(box=5000)),
        fail("C", 5000, stock(box=5000), age_days=-1),
        fail("D", 5000, stock(box=5000)),
    )
    lines = rows(finops("run", "-", "-q", stdin=given).stdout)
    assert [promised(line) if "warnings" in line else None for line in lines] == [
        [], [], [], [], [5000],
    ]  # fmt: skip


def test_summary_counts_what_fails_share(finops: Finops, tmp_path: Path) -> None:
    """stderr says how many fails and securities share sources, the shares that are promised twice,
    and the command that mends it.
    """
    path = tmp_path / "fails.jsonl"
    path.write_bytes(
        jsonl(
            fail("A", 5000, stock(box=5000)),
            fail("B", 5000, stock(box=5000)),
            fail("C", 5000, stock(box=7000)),
            fail("D", 10, stock(box=30), cusip=OTHER),
            fail("E", 25, stock(box=30), cusip=OTHER),
        )
    )
    shown = " ".join(finops("run", path).stderr.decode().split())
    assert "3 fails use sources of 2 securities that earlier fails use too" in shown
    assert f"10,005 shares are promised twice; finops book {path}, with the same options," in shown


def test_book_and_triage_have_no_such_finding(finops: Finops) -> None:
    """`finops book` promises each share once, and `finops triage` promises nothing."""
    pytest.importorskip("networkx")
    given = jsonl(fail("A", 5000, stock(box=5000)), fail("B", 5000, stock(box=5000)))
    for command in ("book", "triage"):
        done = finops(command, "-", stdin=given)
        assert RULE.encode() not in done.stdout + done.stderr


@pytest.mark.slow
def test_equal_bytes_with_workers_and_after_a_kill(finops: Finops, tmp_path: Path) -> None:
    """Two workers, and a run that is resumed after any line, give the bytes and the summary of a
    run in one process.
    """
    path, whole, other = (tmp_path / name for name in ("fails.jsonl", "whole.jsonl", "o.jsonl"))
    cusips = ("594918104", OTHER, "88160R101")
    path.write_bytes(
        jsonl(
            *(
                fail(f"F-{n % 990}", n + 1, stock(box=n, borrow=n // 2), cusip=cusips[n % 3])
                for n in range(1000)
            )
        )
    )
    run = ("run", path, "--no-timing", "--overwrite", "-o")
    first = finops(*run, whole)
    assert sum(bool(promised(line)) for line in rows(whole.read_bytes())) > 900
    assert finops(*run, other, "--workers", "2").stderr == first.stderr
    assert other.read_bytes() == whole.read_bytes()
    note = whole.with_name("whole.jsonl.run.json").read_text()
    for lines in (1, 300, 777):
        kept = whole.read_bytes().splitlines(keepends=True)[:lines]
        other.write_bytes(b"".join(kept) + b'{"torn')
        other.with_name("o.jsonl.run.json").write_text(note)
        again = finops("run", path, "--no-timing", "--resume", "-o", other)
        assert other.read_bytes() == whole.read_bytes()
        assert again.stderr == first.stderr


@pytest.mark.parametrize("how", ["number", "removed", "invented", "text"])
def test_check_judges_the_finding(how: str, finops: Finops, tmp_path: Path) -> None:
    """`finops check --fails` accepts the findings of a run, and refuses one that is changed,
    removed or invented.
    """
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(
        jsonl(*(fail(name, 5000, stock(box=5000), **EVEN) for name in ("A", "B", "C")))
    )
    lines = [json.loads(line) for line in finops("run", fails, "-q").stdout.splitlines()]
    good = jsonl(*lines)
    assert finops("check", "-", "--fails", fails, "-q", stdin=good).returncode == 0
    assert finops("check", "-", "-q", stdin=good).returncode == 0
    if how == "number":
        lines[1]["warnings"][-1]["actual"] = 4999
    elif how == "text":
        lines[1]["warnings"][-1]["message"] = "nothing to see"
    elif how == "removed":
        lines[1]["warnings"].pop()
    else:
        lines[0]["warnings"].append(lines[1]["warnings"][-1])
    done = finops("check", "-", "--fails", fails, "-q", stdin=jsonl(*lines))
    wrong = [each for each in rows(done.stdout) if not each["ok"]]
    assert done.returncode == 1
    assert [[each["rule"] for each in line["findings"]] for line in wrong] == [[RULE]]


def test_replaced_security_shares_the_new_one(finops: Finops) -> None:
    """A fail of a replaced security takes shares of the new one."""
    event = {
        "type": "MERGER",
        "pre_event_deliverable": False,
        "new_cusip": OTHER,
        "spo_available": False,
    }
    given = jsonl(
        fail("A", 500, stock(box=500), corporate_action=event),
        fail("B", 500, stock(box=500)),
        fail("C", 500, stock(box=500), cusip=OTHER),
    )
    lines = rows(finops("run", "-", "-q", stdin=given).stdout)
    assert [promised(line) for line in lines] == [[], [], [500]]


def test_state_takes_less_than_100_bytes_a_security() -> None:
    """The promises of 50,000 securities take at most 100 bytes each, on disk."""
    promises = Promises()
    draw = Draw("", (10**9, 10**6, 10**6, 10**6, 10**6), (0, 0, 0, 0, 0))
    for first in range(0, 50_000, 250):
        promises.add(
            [replace(draw, cusip=f"{n * 7919 % 50_000:09d}") for n in range(first, first + 250)]
        )
    [(pages,)] = promises._table.select("PRAGMA page_count")
    [(size,)] = promises._table.select("PRAGMA page_size")
    assert pages * size / 50_000 <= 100
    promises.close()


@pytest.mark.parametrize("between", [10, 20_000])
def test_promise_is_remembered_in_memory_and_on_disk(between: int) -> None:
    """A security is known again in its own call and in later ones, however many come between."""
    draw = Draw("A", (0, 100, 0, 0, 0), (0, 150, 0, 0, 0))
    with EarlierLines() as earlier:
        first, second = earlier.promises.add([draw, draw])
        assert first is None
        assert second is not None
        assert (second.finding.actual, second.twice, second.is_first) == (100, 50, True)
        others = [replace(draw, cusip=f"{number:09d}") for number in range(between)]
        assert set(earlier.promises.add(others)) == {None}
        third, other = earlier.promises.add([draw, others[0]])
        assert third is not None
        assert other is not None
        assert (third.finding.actual, third.twice, third.is_first) == (200, 100, False)
        assert (other.finding.actual, other.twice, other.is_first) == (100, 50, True)


def test_promises_beyond_64_bits_do_not_end_a_run() -> None:
    """The sum stops at the largest number that the table holds."""
    with EarlierLines() as earlier:
        draw = Draw("594918104", (0, 2**62, 0, 0, 0), (0, 2**62, 0, 0, 0))
        for _ in range(4):
            [found] = earlier.promises.add([draw])
        assert found is not None
        assert found.finding.actual == 2**63 - 1


@pytest.mark.parametrize(
    "after",
    [
        "",
        ',"origin":{"assumed":["cp_fail_rate_pct"]}',
        ',"origin":{"assumed":["a"]},"raw":{"triage":[{"text":"{\\"warnings\\":[]}"}]}',
    ],
)
@pytest.mark.parametrize(
    "before", ["", '{"rule":"input.dates","path":"","expected":1,"actual":2,"message":"m"}']
)
def test_warning_is_added_behind_the_others(before: str, after: str) -> None:
    """A warning goes to the end of the list, and the rest of the line stays as it is written."""
    line = (
        '{"fail_id":"A","status":"ok","verification":{},"provenance":{"backend":"engine","models":'
        '{},"kb":"x","prompt_sha256":null,"attempts":0,"latency_ms":null},"warnings":[WARNINGS]'
        f"{after}}}\n"
    )
    finding = Finding(rule=RULE, path="/resolution", expected=0, actual=5, message="five")
    added = add_warning(line.replace("WARNINGS", before).encode(), finding)
    both = f"{before},{FIVE}" if before else FIVE
    assert added.decode() == line.replace("WARNINGS", both)
    warnings = read_line(added).warnings
    assert isinstance(warnings, list)
    assert warnings[-1] == finding
