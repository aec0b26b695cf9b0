"""Planning again: `--sent` with `--delta` copies lines, and `--follow` prints those that change."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import jsonl, rows
from tests.support.small_books import CUSIPS, draw_changes, draw_fails, draw_inventory, write_lines

pytest.importorskip("networkx")


@pytest.fixture
def book(tmp_path: Path) -> tuple[Path, Path]:
    """Write the fails and the inventory of a small book."""
    draw = Random(29)
    fails = draw_fails(draw, 40)
    fails += [{**fails[3], "fail_id": fails[4].get("fail_id", "F-001")}, {"cusip": "broken"}]
    return (
        write_lines(tmp_path / "fails.jsonl", *fails),
        write_lines(tmp_path / "inventory.jsonl", *draw_inventory(draw)),
    )


def plan(finops: Finops, book: tuple[Path, Path], output: Path, *options: Any) -> tuple[bytes, str]:
    """Plan a book; returns the lines and what stderr says of it."""
    fails, inventory = book
    done = finops(
        "book",
        fails,
        "--inventory",
        inventory,
        "--no-timing",
        "--overwrite",
        "-o",
        output,
        *options,
    )
    assert done.returncode in (0, 1), done.stderr
    return output.read_bytes(), done.stderr.decode()


def is_copied(messages: str) -> bool:
    return "copied from the earlier plan" in messages


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_delta_run_equals_a_full_run(
    seed: int, finops: Finops, book: tuple[Path, Path], tmp_path: Path
) -> None:
    """A run that copies the lines of untouched securities writes the bytes of a run that plans
    everything, day after day: each begins with the output of the one before.
    """
    draw = Random(seed)
    before, full, proof = (
        tmp_path / name for name in ("before.jsonl", "full.jsonl", "proof.jsonl")
    )
    plan(finops, book, before)
    for day in range(4):
        delta = write_lines(tmp_path / "delta.jsonl", *draw_changes(draw))
        given = ("--sent", before, "--delta", delta)
        whole, _ = plan(finops, book, full, *given, "--certificate", proof)
        after = tmp_path / f"after-{day}.jsonl"
        copied, messages = plan(finops, book, after, *given, "--workers", str(1 + day % 2))
        assert copied == whole
        assert is_copied(messages)
        before = after


def test_faulty_change_rejects_its_security_alone(
    finops: Finops, book: tuple[Path, Path], tmp_path: Path
) -> None:
    """A change that cannot be used puts its security in doubt; the plan of the next day, without
    it, plans that security again.
    """
    before, full, after = (
        tmp_path / name for name in ("before.jsonl", "full.jsonl", "after.jsonl")
    )
    plan(finops, book, before)
    delta = write_lines(tmp_path / "delta.jsonl", {"cusip": CUSIPS[0], "kind": "BOX", "qty": -1})
    given = ("--sent", before, "--delta", delta)
    whole, _ = plan(finops, book, full, *given, "--certificate", tmp_path / "proof.jsonl")
    copied, _ = plan(finops, book, after, *given)
    assert copied == whole
    assert b"book.inventory_in_doubt" in copied
    other = write_lines(tmp_path / "other.jsonl", {"cusip": CUSIPS[1], "kind": "BOX", "qty": 1})
    given = ("--sent", after, "--delta", other)
    whole, _ = plan(finops, book, full, *given, "--certificate", tmp_path / "proof.jsonl")
    copied, messages = plan(finops, book, tmp_path / "last.jsonl", *given)
    assert copied == whole
    assert is_copied(messages)
    assert b"book.inventory_in_doubt" not in copied


@pytest.mark.parametrize("how", ["edited", "no note", "other fails", "other option", "budget"])
def test_nothing_is_copied_from_another_plan(
    how: str, finops: Finops, book: tuple[Path, Path], tmp_path: Path
) -> None:
    """Lines are copied only where the earlier output is as it was written, and was made of the same
    fails, inventory and options.
    """
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    plan(finops, book, before)
    delta = write_lines(tmp_path / "delta.jsonl", {"cusip": CUSIPS[1], "kind": "BOX", "qty": 1})
    options: tuple[Any, ...] = ()
    if how == "edited":
        before.write_bytes(before.read_bytes().replace(b'"firm":true', b"") + b"\n")
    elif how == "no note":
        before.with_name("before.jsonl.run.json").unlink()
    elif how == "other fails":
        book[0].write_bytes(book[0].read_bytes() + jsonl(draw_fails(Random(1), 1)[0]))
    elif how == "other option":
        options = ("--prefer", "file")
    else:
        options = ("--borrow-budget", "1000")
    _, messages = plan(finops, book, after, "--sent", before, "--delta", delta, *options)
    assert not is_copied(messages)


def test_interrupted_delta_run_is_resumed(
    finops: Finops, book: tuple[Path, Path], tmp_path: Path
) -> None:
    """A delta run that was cut off at any line goes on to the same bytes and the same summary."""
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    plan(finops, book, before)
    delta = write_lines(tmp_path / "delta.jsonl", {"cusip": CUSIPS[1], "kind": "BOX", "qty": 1})
    given = ("--sent", before, "--delta", delta)
    whole, messages = plan(finops, book, after, *given)
    note = after.with_name("after.jsonl.run.json")
    stated = json.loads(note.read_bytes())
    stated |= {"complete": False}
    stated["evidence"]["output"] = None
    for lines in (1, 17, 41):
        kept = whole.splitlines(keepends=True)[:lines]
        after.write_bytes(b"".join(kept) + b'{"fail')
        note.write_text(json.dumps(stated))
        done = finops(
            "book", book[0], "--inventory", book[1], "--no-timing", "--resume", "-o", after, *given
        )
        assert after.read_bytes() == whole
        assert done.stderr.decode() == messages


@pytest.mark.parametrize("budget", [(), ("--borrow-budget", "60000")])
def test_follow_prints_what_full_runs_change(
    budget: tuple[str, ...], finops: Finops, book: tuple[Path, Path], tmp_path: Path
) -> None:
    """After each batch, the lines so far are those of a full run with all changes and the plan
    before the batch as `--sent`; only the lines that differ are printed, with their revision.
    """
    fails, inventory = book
    draw = Random(7)
    prices = [{"cusip": cusip, "kind": "PRICE", "usd": "20"} for cusip in CUSIPS]
    inventory.write_bytes(inventory.read_bytes() + jsonl(*prices))
    batches = [draw_changes(draw) for _ in range(4)]
    given = b"\n".join(jsonl(*batch) for batch in batches)
    run = ("book", fails, "--inventory", inventory, "--no-timing", "-q", *budget)
    done = finops(*run, "--follow", stdin=given)
    printed = rows(done.stdout)
    count = len(fails.read_bytes().splitlines())
    state = dict(enumerate(printed[:count]))
    names = {
        line["fail_id"]: place for place, line in state.items() if line["status"] != "rejected"
    }
    before = write_lines(tmp_path / "before.jsonl", *map(_plain, printed[:count]))
    changes: dict[tuple[str, str, str], dict[str, Any]] = {}
    for revision, batch in enumerate(batches, start=1):
        for line in batch:
            changes[line["cusip"], line["kind"], line.get("id", "")] = line
        delta = write_lines(tmp_path / "delta.jsonl", *changes.values())
        expected = rows(finops(*run, "--sent", before, "--delta", delta).stdout)
        mine = [line for line in printed[count:] if line["revision"] == revision]
        for line in mine:
            state[names[line["fail_id"]]] = line
        same = [_without_change(state[place]) for place in range(count)]
        assert same == [_without_change(line) for line in expected]
        differing = [line["fail_id"] for line in expected if _change(line) == "changed"]
        assert {line["fail_id"] for line in mine} >= set(differing)
        before = write_lines(tmp_path / "before.jsonl", *map(_plain, expected))


def _change(line: dict[str, Any]) -> str | None:
    place = line.get("book")
    return place["change"] if place else None


def _without_change(line: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in line.items() if key != "revision"}
    place = kept.get("book")
    if place:
        kept["book"] = {key: value for key, value in place.items() if key != "change"}
    return kept


def _plain(line: dict[str, Any]) -> Any:
    """Write exact numbers as JSON numbers."""
    return json.loads(json.dumps(line, default=float))


def test_unchanged_batches_print_nothing(finops: Finops, book: tuple[Path, Path]) -> None:
    """A change to what is there already, and empty batches, print no line."""
    fails, inventory = book
    same = next(line for line in rows(inventory.read_bytes()) if line["kind"] == "BOX")
    given = b"\n\n" + jsonl(same) + b"\n\n"
    done = finops("book", fails, "--inventory", inventory, "--follow", "--no-timing", stdin=given)
    assert not [line for line in rows(done.stdout) if "revision" in line]
    assert b"revision 1: 1 securities planned again, 0 lines changed" in done.stderr


def test_change_of_an_unreadable_security_ends_follow(
    finops: Finops, book: tuple[Path, Path]
) -> None:
    """Nobody knows whom a change without a CUSIP concerns: the run ends, and names the line."""
    fails, inventory = book
    given = jsonl({"cusip": CUSIPS[0], "kind": "BOX", "qty": 7}) + b"\n" + jsonl({"qty": 1})
    done = finops("book", fails, "--inventory", inventory, "--follow", "-q", stdin=given)
    assert done.returncode == 2
    assert b"stdin:3" in done.stderr


@pytest.mark.parametrize(
    "more",
    [
        ("--resume", "-o", "x.jsonl"),
        ("-o", "x.jsonl"),
        ("--certificate", "p"),
        ("--format", "table"),
    ],
)
def test_follow_refuses_what_it_cannot_do(
    more: tuple[str, ...], finops: Finops, book: tuple[Path, Path]
) -> None:
    """Options that need a finished plan contradict --follow, and so does a run without a file."""
    fails, inventory = book
    done = finops("book", fails, "--inventory", inventory, "--follow", *more, stdin=b"")
    assert done.returncode == 2
    assert more[0] in done.stderr.decode() or more[1] in done.stderr.decode()
    assert finops("book", fails, "--follow", stdin=b"").returncode == 2
    assert finops("book", "-", "--inventory", inventory, "--follow", stdin=b"").returncode == 2


def test_new_fail_says_so_beside_an_earlier_plan(finops: Finops, tmp_path: Path) -> None:
    """With `--sent`, a fail that the earlier plan does not have is `new`."""
    fails = EXAMPLES / "book" / "fails.jsonl"
    inventory = EXAMPLES / "book" / "inventory.jsonl"
    before = tmp_path / "before.jsonl"
    lines = finops("book", fails, "--inventory", inventory, "-q").stdout.splitlines(keepends=True)
    before.write_bytes(b"".join(lines[1:]))
    again = rows(finops("book", fails, "--inventory", inventory, "-q", "--sent", before).stdout)
    changes = {line["fail_id"]: _change(line) for line in again}
    assert changes["B-1"] == "new"
    assert changes["B-2"] == "same"
    assert changes["B-7"] is None
