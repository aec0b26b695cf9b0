"""Mutated lines through the commands that read lines: each line gets one line of output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.support.mutation import MUTATIONS, mutate_lines
from tests.support.program import EXAMPLES, Finops, call_finops
from tests.support.soak import scaled

_FAILS = ("monday", "gridlock", "corporate-action", "csv/fails", "csv/dated", "clock/worked")
_ENGINE = ("--backend", "engine")
COMMANDS: dict[str, tuple[str, ...]] = {
    "triage": _ENGINE,
    "run": _ENGINE,
    "resolve": _ENGINE,
    "sentiment": ("--backend", "baseline"),
    "check": (),
    "clock": ("--as-of", "2026-11-30", "--format", "jsonl"),
}
_GUARDED = ("triage", "run", "resolve", "sentiment")
RUNS = [(command, ("--guard", guard)) for command in _GUARDED for guard in ("off", "on")]
RUNS += [("check", ()), ("clock", ())]
LONGEST = 64 * 1024
"""An answer is not longer than that, unless its line is."""
STATUSES = {"ok", "rejected"}


def lines_of(name: str) -> list[bytes]:
    return (EXAMPLES / f"{name}.jsonl").read_bytes().splitlines()


@cache
def good_lines(command: str) -> Sequence[bytes]:
    """Return valid lines of the command's input."""
    fails = [line for name in _FAILS for line in lines_of(name)]
    if command == "sentiment":
        return lines_of("sentiment/texts")
    if command not in ("resolve", "check"):
        return fails
    outputs = call_finops("run", "-", *_ENGINE, "-q", stdin=b"\n".join(fails)).stdout
    if command == "check":
        return [*outputs.splitlines(), *lines_of("cards/published"), *lines_of("audit/repaired")]
    fails_file = ("--fails", EXAMPLES / "monday.jsonl")
    triaged = call_finops("triage", fails_file[1], *_ENGINE, "-q").stdout
    cases = call_finops("handoff", "-", *fails_file, stdin=triaged).stdout.splitlines()
    return [*cases, *lines_of("cards/cases")]


def run_mutated(
    finops: Finops, command: str, options: Sequence[str], count: int, seed: int, folder: Path
) -> dict[str, int]:
    """Run a command on mutated lines; return how many lines came out with each status."""
    data = b"".join(line + b"\n" for _, line in mutate_lines(good_lines(command), count, seed))
    given = data.split(b"\n")[:-1]
    file = folder / "mutated.jsonl"
    file.write_bytes(data)
    done = finops(command, file, *COMMANDS[command], *options, "-q")
    answers = done.stdout.split(b"\n")
    assert answers.pop() == b""
    assert len(answers) == len(given)
    assert b"Traceback" not in done.stderr, done.stderr
    assert b"internal.error" not in done.stdout
    assert done.returncode == 1, done.stderr
    counts: dict[str, int] = {}
    for line, answer in zip(given, answers, strict=True):
        assert len(answer) <= max(LONGEST, 8 * len(line)), line[:2_000]
        said = json.loads(answer)
        status = said["status"] if "status" in said else "ok" if said["ok"] else "rejected"
        counts[status] = counts.get(status, 0) + 1
    assert set(counts) == STATUSES, counts
    return counts


@pytest.mark.parametrize(("command", "options"), RUNS)
def test_mutated_lines_each_give_one_line(
    command: str, options: tuple[str, ...], finops: Finops, tmp_path: Path
) -> None:
    """Of 100 mutated lines, each gives one line that is answered or says what is wrong with it."""
    run_mutated(finops, command, options, 100, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "options"), RUNS)
def test_many_mutated_lines_give_as_many(
    command: str, options: tuple[str, ...], finops: Finops, tmp_path: Path
) -> None:
    """Of many mutated lines (10,000 in `just soak`), each gives one line, guarded or not."""
    run_mutated(finops, command, options, scaled(600, 10_000), 29, tmp_path)


def test_every_mutation_changes_some_line() -> None:
    """Each way of mutation is drawn, and each but `none` gives another line than it was given."""
    good = good_lines("run")
    drawn = [name for name, _ in mutate_lines(good, 2_000, 3)]
    assert set(MUTATIONS) <= {way for name in drawn for way in name.split(", ")}
    changed = {name for name, line in mutate_lines(good, 2_000, 3) if not _is_json(line)}
    assert {"bytes flipped", "half a line", "odd number", "other encoding"} <= changed


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
