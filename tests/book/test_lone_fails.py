"""Fails that have their security for themselves are planned when their line is answered."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from finops_cli.book.index import BookIndex
from finops_cli.book.lone_lines import LoneLines
from tests.book.test_parts_are_plans import draw_fails as draw_parts
from tests.support.oracle.random_fails import cusip
from tests.support.program import Finops
from tests.support.records import jsonl
from tests.support.small_books import draw_source, write_lines

pytest.importorskip("networkx")


def draw_book(folder: Path, seed: int, count: int) -> tuple[Path, Path]:
    """Write a book in which most fails are lone, and an inventory of most of its securities.

    Some lines share their security with an earlier or a later one, by a corporate action too; some
    repeat a `fail_id`, have no name, or cannot be used.
    """
    draw = Random(seed)
    fails = draw_parts(seed, count, shared=False)
    for place in range(5, count, 11):
        fails[place] |= {name: fails[place - 5][name] for name in ("cusip", "inventory")}
    for place in range(3, count, 13):
        fails[place]["fail_id"] = fails[place - 2].get("fail_id", "F-0")
    for place in range(2, count, 17):
        fails[place]["corporate_action"] = {
            "event_type": "MERGER_CASH",
            "new_cusip": fails[-place]["cusip"],
            "pre_event_deliverable": False,
        }
    for place in range(7, count, 19):
        fails[place].pop("fail_id", None)
    fails[9]["qty"] = -1
    sources = [
        draw_source(draw, fail["cusip"], kind)
        for fail in {each["cusip"]: each for each in fails}.values()
        if draw.random() < 0.8
        for kind in ("BOX", "DEPOT", "RECALL", "BORROW", "FTR")
        if draw.random() < 0.6
    ]
    sources.append({"cusip": fails[4]["cusip"], "kind": "BOX", "id": "second", "qty": -1})
    return (
        write_lines(folder / "fails.jsonl", *fails),
        write_lines(folder / "inventory.jsonl", *sources),
    )


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 120), pytest.param(2, 1500, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("source", ["records", "file", "file preferred"])
def test_lone_fails_have_the_lines_of_the_book(
    source: str, seed: int, count: int, finops: Finops, tmp_path: Path
) -> None:
    """A lone fail that is planned when its line is answered has the line, and adds to the summary
    the numbers, that it has where the whole book is planned before: `--certificate` asks for that.
    """
    fails, inventory = draw_book(tmp_path, seed, count)
    given: list[Any] = ["book", fails, "--no-timing"]
    if source != "records":
        given += ["--inventory", inventory]
    if source == "file preferred":
        given += ["--prefer", "file"]
    whole = finops(*given, "--certificate", tmp_path / "proof.jsonl")
    lone = finops(*given)
    assert lone.stdout == whole.stdout
    assert _without_speed(lone.stderr) == _without_speed(whole.stderr)
    assert finops(*given, "-q", "--workers", "2").stdout == whole.stdout


def _without_speed(messages: bytes) -> bytes:
    """Return the summary of the book, which follows the line that says how fast the run was."""
    return messages[messages.index(b"\ntier") :]


def look(lines: LoneLines, first: int, *records: Any) -> dict[int, str | None]:
    """Let `lines` look at a batch of records."""
    found = [(first + place, jsonl(record)) for place, record in enumerate(records)]
    return lines.choose(found)


def test_only_lines_without_a_rival_are_lone() -> None:
    """A line is lone until another one that can be used concerns its security. A line that repeats
    a `fail_id` leaves its security to a later one; an event that names a further security is read.
    """
    rng = Random(3)
    one, two, three, four, five = (cusip(rng) for _ in range(5))
    lines = LoneLines(BookIndex(), has_inventory=True)
    waiting = look(
        lines,
        1,
        {"cusip": one, "fail_id": "A"},
        {"cusip": two, "fail_id": "B"},
        {"cusip": one, "fail_id": "C"},
        {"cusip": three, "fail_id": "A"},
        {"cusip": four, "corporate_action": {"new_cusip": five}},
    )
    assert waiting == {1: "A", 2: "B", 4: "A"}
    lines.drop({4})
    for read in (one, four, five):
        lines.share(read)
    assert look(lines, 6, {"cusip": five}, {"cusip": three}, {"cusip": "short"}) == {7: None}
    assert [number for found in lines.take_back() for number, _ in found] == [1]
    lines.finish()
    assert lines.find(1, 8) == [None, two, None, None, None, None, three, None]
    assert lines.find(7, 2) == [three, None]


def test_lone_fails_ask_for_their_security(finops: Finops, tmp_path: Path) -> None:
    """The summary counts the securities of the inventory that no fail asks for, lone ones too."""
    rng = Random(4)
    fails = draw_parts(4, 3, shared=False)
    boxes = [{"cusip": each["cusip"], "kind": "BOX", "qty": 5} for each in fails]
    fails = [{k: v for k, v in each.items() if k not in ("inventory", "ftrs")} for each in fails]
    done = finops(
        "book",
        write_lines(tmp_path / "fails.jsonl", *fails),
        "--inventory",
        write_lines(
            tmp_path / "boxes.jsonl", *boxes, {"cusip": cusip(rng), "kind": "BOX", "qty": 1}
        ),
    )
    assert b"The inventory has 1 securities that no fail asks for." in done.stderr
