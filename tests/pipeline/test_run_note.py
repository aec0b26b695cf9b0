"""The note beside an output as evidence: who ran it, when, how, and what it wrote."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from finops_cli.kb.load import bundled_kb_dir, digest_rules
from finops_cli.monitoring.run_counts import RunCounts
from finops_cli.monitoring.run_summary import RunSummary
from tests.support.own_kb import change_kb
from tests.support.program import EXAMPLES, Finops, start_finops
from tests.support.records import a_fail, jsonl

MONDAY = EXAMPLES / "monday.jsonl"


def read_note(output: Path) -> dict[str, Any]:
    note: dict[str, Any] = json.loads(output.with_name(f"{output.name}.run.json").read_bytes())
    return note


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_note_says_who_ran_what_when_and_with_what(tmp_path: Path, finops: Finops) -> None:
    """The note has user, machine, folder, command, versions, times, and full digests of the input,
    the rules and the output.
    """
    output = tmp_path / "out.jsonl"
    before = datetime.now(UTC).replace(microsecond=0)
    assert finops("run", MONDAY, "-o", output, "-q", "--backend", "engine").returncode == 0
    note = read_note(output)
    [part] = note["evidence"]["parts"]
    assert (part["user"], part["host"]) == (getpass.getuser(), platform.node())
    assert part["folder"] == str(Path.cwd())
    assert part["arguments"] == [
        "run", f"--output={output}", "--backend=engine", "--quiet", str(MONDAY)
    ]  # fmt: skip
    assert part["python"] == platform.python_version()
    started, ended = (datetime.fromisoformat(part[name]) for name in ("started", "ended"))
    assert before <= started <= ended <= datetime.now(UTC)
    assert note["fingerprint"]["kb"] == digest_rules(bundled_kb_dir())
    [source] = note["evidence"]["files"]
    assert source == {
        "path": str(MONDAY), "size": MONDAY.stat().st_size, "sha256": sha256(MONDAY)
    }  # fmt: skip
    assert note["evidence"]["output"] == {
        "size": output.stat().st_size,
        "lines": 8,
        "sha256": sha256(output),
        "statuses": {"ok": 8},
    }


def test_note_has_the_command_however_it_was_called(tmp_path: Path) -> None:
    """The command in the note begins with its own name, also for `python -m finops_cli`."""
    output = tmp_path / "out.jsonl"
    assert start_finops("run", MONDAY, "-o", output, "-q").returncode == 0
    assert read_note(output)["evidence"]["parts"][0]["arguments"][0] == "run"


def test_note_of_an_anonymous_run_names_nobody(
    tmp_path: Path, finops: Finops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--anonymous` the note has no user, machine or folder, and ~ for the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    output = tmp_path / "out.jsonl"
    assert finops("run", MONDAY, "-o", output, "-q", "--anonymous").returncode == 0
    evidence = read_note(output)["evidence"]
    [part] = evidence["parts"]
    assert (part["user"], part["host"], part["folder"]) == (None, None, None)
    assert "--output=~/out.jsonl" in part["arguments"]
    assert str(tmp_path) not in json.dumps(evidence)
    assert finops("run", MONDAY, "-o", output, "-q", "--anonymous", "--resume").returncode == 0


def test_note_has_no_times_without_timing(tmp_path: Path, finops: Finops) -> None:
    """Two equal runs with `--no-timing` write equal notes, whatever the time."""
    output = tmp_path / "out.jsonl"
    notes = []
    for _ in range(2):
        arguments = ("run", MONDAY, "-o", output, "-q", "--no-timing", "--overwrite")
        assert finops(*arguments).returncode == 0
        notes.append(read_note(output))
    assert notes[0] == notes[1]
    assert notes[0]["evidence"]["parts"][0]["ended"] is None


def test_note_lists_each_part_of_a_resumed_run(tmp_path: Path, finops: Finops) -> None:
    """A resumed run adds its part to the note, and the digest is that of the whole output."""
    output = tmp_path / "out.jsonl"
    finops("run", MONDAY, "-o", output, "-q")
    output.write_bytes(b"".join(output.read_bytes().splitlines(keepends=True)[:3]))
    assert finops("run", MONDAY, "-o", output, "-q", "--resume").returncode == 0
    evidence = read_note(output)["evidence"]
    assert ["--resume" in part["arguments"] for part in evidence["parts"]] == [False, True]
    assert evidence["output"]["sha256"] == sha256(output)


def test_resume_never_vouches_for_a_changed_output(tmp_path: Path, finops: Finops) -> None:
    """`--resume` of a complete output keeps its note, also when a line was changed since."""
    output = tmp_path / "out.jsonl"
    finops("run", MONDAY, "-o", output, "-q")
    before = read_note(output)
    output.write_bytes(
        output.read_bytes().replace(b'"priority_score":83.2', b'"priority_score":12.0')
    )
    finops("run", MONDAY, "-o", output, "-q", "--resume")
    assert read_note(output) == before
    assert sha256(output) != before["evidence"]["output"]["sha256"]


def test_note_names_the_rules_and_files_of_the_desk(tmp_path: Path, finops: Finops) -> None:
    """The note has `--kb`, the mapping, and the digest of the rules that were used."""
    kb = change_kb(tmp_path, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.25")
    output = tmp_path / "out.jsonl"
    source, mapping = EXAMPLES / "csv/blotter.csv", EXAMPLES / "csv/mapping.yaml"
    finops("--kb", kb, "run", source, "--map", mapping, "-o", output, "-q")
    note = read_note(output)
    assert note["evidence"]["parts"][0]["arguments"][:2] == [f"--kb={kb}", "run"]
    assert [each["path"] for each in note["evidence"]["files"]] == [str(source), str(mapping)]
    assert note["fingerprint"]["kb"] == digest_rules(kb) != digest_rules(bundled_kb_dir())


def test_resume_ignores_user_machine_and_times(tmp_path: Path, finops: Finops) -> None:
    """A note of another user, machine and hour is resumed; the lines decide."""
    output = tmp_path / "out.jsonl"
    finops("run", MONDAY, "-o", output, "-q")
    path = output.with_name("out.jsonl.run.json")
    text = re.sub(r'"(user|host|folder|started)": "[^"]*"', r'"\1": "other"', path.read_text())
    path.write_text(text)
    output.write_bytes(output.read_bytes().splitlines(keepends=True)[0])
    assert finops("run", MONDAY, "-o", output, "-q", "--resume").returncode == 0


def test_note_of_an_earlier_release_can_be_resumed(tmp_path: Path, finops: Finops) -> None:
    """A note without evidence is read, and the resumed run adds its own."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(3))))
    finops("run", fails, "-o", output, "-q")
    note = read_note(output)
    del note["evidence"]
    note["complete"] = False
    output.with_name("out.jsonl.run.json").write_text(json.dumps(note))
    output.write_bytes(output.read_bytes().splitlines(keepends=True)[0])
    assert finops("run", fails, "-o", output, "-q", "--resume").returncode == 0
    assert len(read_note(output)["evidence"]["parts"]) == 1


def test_complete_output_is_not_counted_again(tmp_path: Path, finops: Finops) -> None:
    """--resume takes the counts of a complete output from its note, as long as the digest of the
    output holds; else it counts the lines.
    """
    given, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    given.write_bytes(jsonl(a_fail()) + jsonl(a_fail(fail_id="B")))
    run = ("run", given, "--backend", "engine", "--no-timing", "-o", output)
    first = finops(*run)
    again = finops(*run, "--resume")
    assert (again.returncode, again.stderr) == (first.returncode, first.stderr)
    path, note = tmp_path / "out.jsonl.run.json", read_note(output)
    note["counts"]["counters"]["tiers"] = [["LOW", 7]]
    path.write_text(json.dumps(note))
    assert b"LOW 7" in finops(*run, "--resume").stderr
    output.write_bytes(output.read_bytes().replace(b'"format":1', b'"format":2', 1))
    assert finops(*run, "--resume").stderr == first.stderr


def test_counts_of_a_note_are_those_of_the_run() -> None:
    """Counters with names and with numbers, and the counts of the input, come back from a note."""
    summary = RunSummary(plans=3, owed=40, blank=2)
    summary.statuses.update({"ok": 3, "rejected": 1})
    summary.later.update({-2: 1, 10: 4})
    summary.dropped["byte-order mark"] = 1
    text = msgspec.json.encode(RunCounts.of(summary))
    assert msgspec.json.decode(text, type=RunCounts).to_summary() == summary
