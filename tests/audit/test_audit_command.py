"""`finops audit`: who made an output, with what, is it unchanged, and could it be made again?"""

from __future__ import annotations

import getpass
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from finops_cli import cli
from finops_cli.audit.again import ANSWERING, COMMANDS, LEFT_OUT
from finops_cli.devtools.fake_ollama.behaviours import Changed, CorrectAnswer
from finops_cli.devtools.fake_ollama.server import FakeOllama
from finops_cli.kb.load import bundled_kb_dir, digest_rules
from tests.support.ollama_models import model_run, some_fails
from tests.support.own_kb import change_kb
from tests.support.program import EXAMPLES, Finops
from tests.support.records import jsonl, rows


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with Monday's fails, in which commands are given, and a store of its own."""
    (tmp_path / "fails.jsonl").write_bytes((EXAMPLES / "monday.jsonl").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINOPS_KB_STORE", str(tmp_path / "rules"))
    return tmp_path


@pytest.fixture
def output(folder: Path, finops: Finops) -> Path:
    """The output of a run of the engine, with its note."""
    finops("run", "fails.jsonl", "-o", "out.jsonl", "-q", "--backend", "engine")
    return folder / "out.jsonl"


def read_report(finops: Finops, *arguments: object) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return the status, the report, and the state of each part; the worst of several."""
    done = finops("audit", *arguments, "--json")
    report = json.loads(done.stdout)
    states = {each["part"]: each["state"] for each in report["verified"]}
    return done.returncode, report, states


def test_audit_says_who_when_and_with_what(output: Path, finops: Finops) -> None:
    """The report names user, times, command, versions, rules and input with full digests, and every
    part is unchanged.
    """
    status, report, states = read_report(finops, "out.jsonl")
    [part] = report["parts"]
    assert (status, report["sound"], report["complete"]) == (0, True, True)
    assert part["user"] == getpass.getuser()
    assert part["arguments"][-1] == "fails.jsonl"
    assert part["started"] <= part["ended"]
    assert report["rules_sha256"] == digest_rules(bundled_kb_dir())
    assert report["input_sha256"] == hashlib.sha256(Path("fails.jsonl").read_bytes()).hexdigest()
    assert set(states) == {"output", "input", "rules", "lines", "answers"}
    assert set(states.values()) == {"unchanged"}
    text = finops("audit", "out.jsonl").stdout.decode()
    assert text.startswith("out.jsonl: sound\n")
    assert getpass.getuser() in text


def change_number(folder: Path) -> None:
    path = folder / "out.jsonl"
    path.write_bytes(path.read_bytes().replace(b"83.2", b"83.3", 1))


def drop_line(folder: Path) -> None:
    path = folder / "out.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def rename_backend(folder: Path) -> None:
    path = folder / "out.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"backend":"engine"', b'"backend":"ollama"', 1))


def change_input(folder: Path) -> None:
    (folder / "fails.jsonl").write_bytes(b"{}\n")


def remove_input(folder: Path) -> None:
    (folder / "fails.jsonl").unlink()


def change_note(key: str, value: Any) -> Callable[[Path], None]:
    """Change a value of the fingerprint."""

    def change(folder: Path) -> None:
        path = folder / "out.jsonl.run.json"
        note = json.loads(path.read_bytes())
        note["fingerprint"][key] = value
        path.write_text(json.dumps(note))

    return change


@pytest.mark.parametrize(
    ("change", "states"),
    [
        (change_number, {"output": "changed", "answers": "changed"}),
        (drop_line, {"output": "changed", "lines": "changed"}),
        (rename_backend, {"output": "changed", "lines": "changed", "answers": "changed"}),
        (change_input, {"input": "changed"}),
        (remove_input, {"input": "not found"}),
        (change_note("backend", "ollama"), {"lines": "changed"}),
        (change_note("prompt_sha256", "0" * 64), {"lines": "changed"}),
        (
            change_note("kb", "0" * 64),
            {"rules": "not found", "lines": "changed", "answers": "not found"},
        ),
    ],
)
def test_audit_names_each_part_that_changed(
    change: Callable[[Path], None], states: dict[str, str], output: Path, finops: Finops
) -> None:
    """A changed line, line number, input, note or rule ends with 1, and only what changed is
    named.
    """
    change(output.parent)
    status, report, found = read_report(finops, "out.jsonl")
    assert (status, report["sound"]) == (1, False)
    assert {part: state for part, state in found.items() if state != "unchanged"} == states


def test_audit_finds_an_input_that_moved(output: Path, finops: Finops) -> None:
    """`--fails` names the input where it is now; its content decides."""
    Path("fails.jsonl").rename("archive.jsonl")
    assert read_report(finops, "out.jsonl")[0] == 1
    assert read_report(finops, "out.jsonl", "--fails", "archive.jsonl")[0] == 0
    Path("archive.jsonl").write_bytes(b"{}\n")
    assert read_report(finops, "out.jsonl", "--fails", "archive.jsonl")[2]["input"] == "changed"


def test_audit_finds_the_rules_of_the_desk(folder: Path, finops: Finops) -> None:
    """Rules of the desk are found where the run read them while they are unchanged, then in the
    store, and nowhere else.
    """
    kb = change_kb(folder, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.30")
    finops("--kb", "kb", "run", "fails.jsonl", "-o", "out.jsonl", "-q")
    assert read_report(finops, "out.jsonl")[0] == 0
    copy = folder / "copy"
    kb.rename(copy)
    assert read_report(finops, "out.jsonl")[2]["rules"] == "not found"
    assert finops("--kb", copy, "audit", "out.jsonl").returncode == 0
    finops("--kb", copy, "kb", "save")
    assert read_report(finops, "out.jsonl")[0] == 0


def test_audit_of_an_interrupted_run_is_not_sound(output: Path, finops: Finops) -> None:
    """The note of an interrupted run has no digest of the output, and the report says so."""
    path = output.with_name("out.jsonl.run.json")
    note = json.loads(path.read_bytes())
    note["complete"], note["evidence"]["output"] = False, None
    path.write_text(json.dumps(note))
    status, report, states = read_report(finops, "out.jsonl")
    assert (status, report["complete"], states["output"]) == (1, False, "not compared")
    assert finops("audit", "out.jsonl", "--again").returncode == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no note out.jsonl.run.json beside it"),
        (b"{", "cannot be read"),
        (b'{"fingerprint": 7, "complete": true}', "cannot be read"),
    ],
)
def test_audit_without_a_note_says_what_to_do(
    content: bytes | None, message: str, output: Path, finops: Finops
) -> None:
    """An output without its note, or a broken one, ends with 2. Nobody is told to delete it."""
    note = output.with_name("out.jsonl.run.json")
    note.unlink() if content is None else note.write_bytes(content)
    done = finops("audit", "out.jsonl")
    assert (done.returncode, message in done.stderr.decode()) == (2, True)
    assert b"delete" not in done.stderr


def test_audit_of_an_earlier_note_says_what_is_missing(output: Path, finops: Finops) -> None:
    """A note without evidence, of an earlier release, ends with 2 and a cure."""
    path = output.with_name("out.jsonl.run.json")
    note = json.loads(path.read_bytes())
    del note["evidence"]
    path.write_text(json.dumps(note))
    done = finops("audit", "out.jsonl")
    assert (done.returncode, b"kept no evidence" in done.stderr) == (2, True)


@pytest.mark.parametrize("more", [(), ("--no-timing",), ("--as-of", "now"), ("--anonymous",)])
@pytest.mark.slow
def test_audit_again_gives_the_same_lines(
    more: tuple[str, ...], folder: Path, finops: Finops
) -> None:
    """The recorded command gives the same lines again, also with a moment of that day."""
    finops("run", "fails.jsonl", "-o", "out.jsonl", "-q", *more)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    done = finops("audit", "out.jsonl", "--again")
    assert done.returncode == 0, done.stderr
    assert (done.stdout, b"8 of 8 lines are the same" in done.stderr) == (b"", True)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.slow
def test_audit_again_names_each_value_that_differs(output: Path, finops: Finops) -> None:
    """A line that was changed is found by the second run, with field and both values."""
    change_number(output.parent)
    done = finops("audit", "out.jsonl", "--again", "--json")
    assert done.returncode == 1
    assert [json.loads(each) for each in done.stdout.splitlines()] == [
        {
            "line": 1,
            "fail_id": "F-1001",
            "field": "triage.priority_score",
            "before": 83.3,
            "after": 83.2,
        }
    ]


@pytest.mark.slow
def test_audit_again_reads_mappings_and_rules_of_the_run(folder: Path, finops: Finops) -> None:
    """A run of a CSV file with a mapping and rules of the desk is run again with all of them."""
    change_kb(folder, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.30")
    for name in ("blotter.csv", "mapping.yaml"):
        (folder / name).write_bytes((EXAMPLES / "csv" / name).read_bytes())
    finops("--kb", "kb", "run", "blotter.csv", "--map", "mapping.yaml", "-o", "out.jsonl", "-q")
    done = finops("audit", "out.jsonl", "--again")
    assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.mark.slow
def test_audit_shows_which_answers_other_rules_change(output: Path, finops: Finops) -> None:
    """`--rules` lists the values of the answers that other rules give, and leaves the output."""
    change_kb(output.parent, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.30")
    before = output.read_bytes()
    done = finops("audit", "out.jsonl", "--rules", "kb", "--json")
    assert {each["fail_id"] for each in rows(done.stdout)} == {"F-1001", "F-1008"}
    assert {each["field"] for each in rows(done.stdout)} == {
        "triage.priority_score",
        "triage.score_components.concentration_modifier",
    }
    assert (done.returncode, output.read_bytes()) == (1, before)
    assert finops("audit", "out.jsonl", "--rules", "bundled").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--stage=triage"],
        ["run", "-o", "elsewhere.jsonl", "fails.jsonl"],
        ["--kb=kb"],
        [],
    ],
)
def test_audit_runs_only_commands_that_answer(
    arguments: list[str], output: Path, finops: Finops
) -> None:
    """A note may have been changed: only commands that answer fails are run again, and none of them
    writes anywhere.
    """
    path = output.with_name("out.jsonl.run.json")
    note = json.loads(path.read_bytes())
    note["evidence"]["parts"][0]["arguments"] = arguments
    path.write_text(json.dumps(note))
    done = finops("audit", "out.jsonl", "--again")
    assert (done.returncode, b"cannot be run again" in done.stderr) == (2, True)
    assert not Path("elsewhere.jsonl").exists()


def test_audit_lists_what_was_replaced(folder: Path, finops: Finops) -> None:
    """`--replaced` has one object for each value of a model that does not stand, with both values
    and the replies that were kept.
    """
    finding = {"rule": "score.priority", "path": "/priority_score", "expected": 83.2}
    lines = (
        {"fail_id": "A", "status": "ok", "verification": {"triage": [], "resolution": []}},
        {
            "fail_id": "B",
            "status": "repaired",
            "verification": {"triage": [{**finding, "actual": 12.0, "message": ""}]},
            "raw": {"triage": [{"attempt": 1, "text": "score 12"}]},
        },
        {"fail_id": "C", "status": "fallback", "verification": {"triage": [7], "resolution": 7}},
        7,
    )
    (folder / "out.jsonl").write_bytes(jsonl(*lines))
    done = finops("audit", "out.jsonl", "--replaced")
    assert done.returncode == 0
    assert [json.loads(each) for each in done.stdout.splitlines()] == [
        {
            "line": 2,
            "fail_id": "B",
            "status": "repaired",
            "answer": "triage",
            "rule": "score.priority",
            "path": "/priority_score",
            "model": 12.0,
            "rules": 83.2,
            "replies": ["score 12"],
        }
    ]


def test_audit_refuses_two_questions_at_once(output: Path, finops: Finops) -> None:
    """`--again`, `--rules` and `--replaced` exclude each other."""
    for pair in (("--again", "--replaced"), ("--again", "--rules", "bundled")):
        assert finops("audit", "out.jsonl", *pair).returncode == 2


@pytest.mark.slow
def test_audit_of_a_model_run_names_what_the_model_said(
    server: FakeOllama, quick_kb: Path, folder: Path, finops: Finops
) -> None:
    """A run of models names its models and digests. `--replaced` has what the model said, `--again`
    asks the server again and gives the same lines, and another model is named.
    """

    def misprint(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "priority_score": 12.0}

    server.script = lambda request: (
        Changed(misprint) if request.stage == "triage" else CorrectAnswer()
    )
    (folder / "fails.jsonl").write_bytes(jsonl(*some_fails(3)))
    command = model_run(quick_kb, server, "fails.jsonl", "-o", "out.jsonl", "-q", "--keep-raw")
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    status, report, states = read_report(finops, "out.jsonl")
    assert (status, states["model"], report["statuses"]) == (0, "not compared", {"repaired": 3})
    assert set(report["models"].values()) == {"finops-triage", "finops-resolver"}
    replaced = rows(finops("audit", "out.jsonl", "--replaced").stdout)
    assert [(each["model"], each["path"]) for each in replaced] == [(12, "/priority_score")] * 3
    assert all("priority_score" in each["replies"][0] for each in replaced)
    again = finops("audit", "out.jsonl", "--again")
    assert (again.returncode, b"3 of 3 lines are the same" in again.stderr) == (0, True), again
    changed = finops("audit", "out.jsonl", "--rules", quick_kb)
    assert (changed.returncode, changed.stdout) == (0, b"")


def test_audit_knows_each_option_of_the_commands_that_answer() -> None:
    """Each option either may change an answer, or is left out of a second run: a new one has to be
    put into one of the two lists.
    """
    program: Any = typer.main.get_command(cli.app)
    commands = [program, *(program.commands[name] for name in COMMANDS)]
    options = {
        max(names, key=len)
        for command in commands
        for each in command.params
        if each.param_type_name == "option"
        for names in (each.opts, each.secondary_opts)
        if names
    }
    assert options <= ANSWERING | LEFT_OUT
    assert not ANSWERING & LEFT_OUT


@pytest.mark.parametrize("option", ["--hooks=evil.toml", "--output=evil.jsonl", "--unknown=1"])
@pytest.mark.slow
def test_audit_again_starts_nothing_and_writes_nothing_else(
    option: str, output: Path, finops: Finops
) -> None:
    """An option of a changed note that would start a program or write a file has no effect."""
    path = output.with_name("out.jsonl.run.json")
    note = json.loads(path.read_bytes())
    note["evidence"]["parts"][0]["arguments"].insert(-1, option)
    path.write_text(json.dumps(note))
    done = finops("audit", "out.jsonl", "--again")
    assert done.returncode == (2 if "unknown" in option else 0), done.stderr
    assert not list(output.parent.glob("evil*"))


def test_audit_of_a_note_without_input_is_not_sound(output: Path, finops: Finops) -> None:
    """A note that names no input, or another digest of it, or no digest of the rules or of the
    output, is not sound, and control characters never reach the terminal.
    """
    path = output.with_name("out.jsonl.run.json")
    note = path.read_bytes()

    def change(edit: Callable[[dict[str, Any]], None]) -> tuple[int, bytes]:
        changed = json.loads(note)
        edit(changed)
        path.write_text(json.dumps(changed))
        done = finops("audit", "out.jsonl")
        return done.returncode, done.stdout

    assert change(lambda each: each["evidence"].update(files=[]))[0] == 1
    assert change(lambda each: each["fingerprint"].update(input_sha256="0" * 64))[0] == 1
    assert change(lambda each: each["fingerprint"].update(kb=""))[0] == 1
    assert change(lambda each: each["evidence"].update(output=None))[0] == 1
    status, text = change(lambda each: each["evidence"]["parts"][0].update(user="\x1b[31mroot"))
    assert (status, b"\x1b" in text) == (0, False)
