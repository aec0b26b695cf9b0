"""The command line: streams, exit codes, messages and a width of 80 columns."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finops_cli import cli
from tests.support.commands import command_at, every_command
from tests.support.program import EXAMPLES, Finops, invoke
from tests.support.records import a_fail, jsonl, rows

HEAVY = (
    "msgspec",
    "jsonschema",
    "rich",
    "yaml",
    "sqlite3",
    "pydantic",
    "httpx",
    "ollama",
    "numpy",
    "multiprocessing",
    "torch",
    "transformers",
    "finops_cli.pipeline",
    "finops_cli.rules",
)
VERBS = (
    "import",
    "run",
    "triage",
    "handoff",
    "resolve",
    "book",
    "net",
    "sentiment",
    "list",
    "show",
    "letters",
    "check",
    "audit",
    "clock",
    "generate",
    "dataset-report",
    "train",
    "quantize",
    "create",
    "evaluate",
    "compare",
    "drift",
    "models",
    "serve",
    "token",
    "kb",
    "schema",
    "doctor",
)


def modules_loaded_by(*arguments: str) -> set[str]:
    """Run finops in a process of its own and list the modules that it imported."""
    code = (
        f"import sys; sys.argv = ['finops', *{arguments!r}]\n"
        "from finops_cli.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return set(done.stderr.split())


def test_help_imports_no_heavy_module() -> None:
    """`finops --help` imports no JSON, rules or terminal library."""
    loaded = modules_loaded_by("--help")
    assert "finops_cli.cli" in loaded
    assert not [
        name for name in loaded for heavy in HEAVY if name == heavy or name.startswith(heavy + ".")
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", str(EXAMPLES / "monday.jsonl"), "--backend", "engine", "-q"),
        ("import", "csv", "--help"),
        ("train", "--help"),
        ("schema", "--help"),
    ],
)
@pytest.mark.slow
def test_user_file_models_load_only_when_needed(
    arguments: tuple[str, ...],
) -> None:
    """A command that reads no user file does not import the models of user files."""
    loaded = modules_loaded_by(*arguments)
    assert "finops_cli.cli" in loaded
    assert "finops_cli.files.user_files" not in loaded


@pytest.mark.slow
def test_run_imports_no_pydantic_nor_other_command() -> None:
    """Rule: a run whose options are words makes no converters, and imports its command alone."""
    loaded = modules_loaded_by("run", str(EXAMPLES / "monday.jsonl"), "--backend", "engine", "-q")
    assert "finops_cli.commands.run" in loaded
    others = {"pydantic", *(f"finops_cli.commands.{name}" for name in ("book", "train", "kb"))}
    assert not others & loaded


def test_help_lists_every_command_in_order(finops: Finops) -> None:
    """`finops --help` has one complete line for each command, in order, in 80 columns."""
    text = finops("--help").stdout.decode()
    commands = text.partition("Commands:\n")[2].partition("\nExamples:\n")[0]
    assert tuple(line.split()[0] for line in commands.splitlines() if line.strip()) == VERBS
    assert "..." not in commands
    assert max(map(len, text.splitlines())) <= 80


def every_choice() -> list[tuple[tuple[str, ...], str, list[str]]]:
    """List every option and argument that accepts one of several words."""
    return [
        (words, parameter.opts[0], [str(choice) for choice in descriptor.choices])
        for words in every_command()
        for parameter in command_at(words).params
        if (descriptor := getattr(parameter, "type_descriptor", None)) and descriptor.choices
    ]


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
@pytest.mark.slow
def test_short_help_option_equals_long_option(words: tuple[str, ...]) -> None:
    """`-h` prints the text of `--help` for every command and group."""
    short, long = (CliRunner().invoke(cli.app, [*words, flag]) for flag in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert "Usage: " in short.output


@pytest.mark.parametrize(
    ("words", "name", "choices"), every_choice(), ids=lambda part: "".join(part)[:20]
)
def test_invalid_choice_names_the_value_and_the_choices(
    words: tuple[str, ...], name: str, choices: list[str]
) -> None:
    """An option with choices rejects another word, and the message names it and all choices."""
    arguments = [name, "klingon"] if name.startswith("-") else ["klingon"]
    result = invoke([*words, *arguments])
    assert result.exit_code == 2
    assert f" is klingon. Expected one of: {', '.join(choices)}." in result.stderr
    assert result.stderr.startswith("finops: ")
    assert "\nfix: " in result.stderr
    assert "Value error" not in result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_each_command_has_help(verb: str, finops: Finops) -> None:
    """`finops COMMAND --help` ends with exit 0."""
    assert finops(verb, "--help").returncode == 0


def test_run_writes_data_to_stdout_and_messages_to_stderr(finops: Finops) -> None:
    """`finops run` writes only JSON lines to stdout. The backend and the summary go to stderr."""
    done = finops("run", EXAMPLES / "monday.jsonl")
    assert [row["fail_id"] for row in rows(done.stdout)] == [
        f"F-{number}" for number in range(1001, 1009)
    ]
    messages = done.stderr.decode()
    assert messages.startswith("backend      engine (")
    for label in (
        "records      8",
        "status       ok 8",
        "tier         CRITICAL 3",
        "shares       owed",
        "uncovered    CRITICAL",
    ):
        assert label in messages
    assert max(map(len, messages.splitlines())) <= 80
    assert done.returncode == 0


def test_quiet_option_prints_no_messages(finops: Finops) -> None:
    """With `-q` a successful run prints nothing on stderr."""
    assert finops("run", EXAMPLES / "monday.jsonl", "-q").stderr == b""


def test_summary_shares_owed_equal_covered_plus_residual(finops: Finops) -> None:
    """In the summary, shares owed equal covered plus residual shares, and the residual is listed by
    tier.
    """
    done = finops("run", EXAMPLES / "monday.jsonl")
    plans = [row["resolution"] for row in rows(done.stdout) if row["resolution"]]
    owed = {"F-1001": 32000, "F-1002": 1200, "F-1003": 50000, "F-1007": 15000}
    residual = sum(plan["residual_short"] for plan in plans)
    expected = (
        f"owed {sum(owed.values()):,}  covered {sum(owed.values()) - residual:,}  residual"
        f" {residual:,}"
    )
    assert expected in done.stderr.decode()
    assert f"uncovered    CRITICAL {residual:,}" in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "absent.jsonl"], 2, "no such file"),
        (["run", EXAMPLES / "monday.jsonl", "-o", "."], 2, "is a folder"),
        (["run", EXAMPLES / "monday.jsonl", "-o", "/dev/full"], 2, "space"),
        (["check", EXAMPLES / "cards/published.jsonl", "-o", "/dev/full"], 2, "space"),
        (["resolve", EXAMPLES / "cards/fails.jsonl"], 1, "schema.required"),
        (["run", "."], 2, "is a folder"),
        (["run", EXAMPLES / "monday.jsonl", "-o", "absent/out.jsonl"], 2, "does not exist"),
        (["run", EXAMPLES / "monday.jsonl", "--backend", "gpt"], 2, "gpt"),
        (
            ["run", EXAMPLES / "monday.jsonl", "--backend", "llama-cpp", "--triage-gguf", "a.gguf"],
            2,
            "--resolver-gguf FILE",
        ),
        (
            ["run", EXAMPLES / "monday.jsonl", "--backend", "ollama", "--host", "127.0.0.1:9"],
            3,
            "ollama serve",
        ),
        (["run", EXAMPLES / "monday.jsonl", "--host", "nowhere:port"], 2, "HOST:PORT"),
        (["run", EXAMPLES / "monday.jsonl", "--on-violation", "ignore"], 2, "ignore"),
        (["run", EXAMPLES / "monday.jsonl", "--workers", "0"], 2, "workers"),
        (["--kb", EXAMPLES, "run", EXAMPLES / "monday.jsonl"], 2, "no knowledge base"),
        (["kb", "show", "score.bse"], 2, "did you mean score.base"),
        (["kb", "search", "xyzzy"], 1, "xyzzy"),
        (["check", "absent.jsonl"], 2, "no such file"),
        (["unheard-of"], 2, "unheard-of"),
        (["run", EXAMPLES / "damaged.jsonl"], 1, "rejected"),
    ],
)
def test_command_exit_codes_and_messages(
    arguments: list[object], code: int, message: str, finops: Finops
) -> None:
    """A command exits with 0, 1 (records not verified), 2 (usage) or 3 (something is missing). The
    message names the value or the fix.
    """
    done = finops(*arguments)
    assert done.returncode == code
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"fail_id,cusip,qty", "finops import csv"),
        (b'{"fail_id": "F-1",', "jq -c ."),
        (b'[{"fail_id": "F-1"}]', "jq -c '.[]'"),
        (b'{"fail_id": "caf\xe9"}', "byte 0xE9 at 16 is not UTF-8; save the file as UTF-8"),
        (b'{"ftd_qty": 5}', "finops resolve"),
        (
            json.dumps(a_fail(corporate_action={"pre_event_delivrable": True})).encode(),
            "did you mean pre_event_deliverable",
        ),
        (
            json.dumps(a_fail(corporate_action="merger")).encode(),
            "an object with the fields pre_event_deliverable, new_cusip",
        ),
    ],
)
def test_common_input_mistake_gets_a_fix(line: bytes, message: str, finops: Finops) -> None:
    """A CSV, another encoding, a record over several lines, another stage's input and a misspelt
    field are recognised. The message says how to fix them.
    """
    [row] = rows(finops("run", "-", stdin=line + b"\n").stdout)
    assert message in row["error"]["message"]


def test_resolve_of_a_fail_record_suggests_run(finops: Finops) -> None:
    """`finops resolve` rejects a fail record and suggests `finops run`."""
    [row] = rows(finops("resolve", "-", stdin=jsonl(a_fail())).stdout)
    assert "finops run" in row["error"]["message"]


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_closed_stdin_or_stdout_is_refused(closed: str) -> None:
    """A run with stdin or stdout closed ends with exit 2 and says which stream is closed."""
    command = f"{sys.executable} -m finops_cli run {EXAMPLES / 'monday.jsonl'} -q {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "is closed" in done.stderr) == (2, True)


def test_run_reads_a_named_pipe_without_a_run_note(tmp_path: Path) -> None:
    """`finops run <(...)` reads the pipe once and writes no note for `--resume`."""
    output = tmp_path / "out.jsonl"
    command = (
        f"{sys.executable} -m finops_cli run <(cat {EXAMPLES / 'monday.jsonl'}) -o {output} -q"
    )
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0
    assert len(rows(output.read_bytes())) == 8
    assert not output.with_name("out.jsonl.run.json").exists()


@pytest.mark.slow
def test_progress_bar_on_a_terminal_shows_rate_and_time(tmp_path: Path) -> None:
    """On a terminal the progress bar shows records, rate and time left on stderr. The summary
    follows it.
    """
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(b"".join(jsonl(a_fail(fail_id=f"F-{number}")) for number in range(20_000)))
    parent, child = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "finops_cli",
        "run",
        str(fails),
        "-o",
        str(tmp_path / "out.jsonl"),
    ]
    process = subprocess.Popen(
        command, stderr=child, stdin=child, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    )
    os.close(child)
    messages = b""
    try:
        while piece := os.read(parent, 65536):
            messages += piece
    except OSError:
        pass  # Linux reports the end of a pty so
    process.wait()
    os.close(parent)
    assert process.returncode == 0
    assert re.search(rb"[1-9][0-9,]* records", messages)
    assert re.search(rb"[1-9][0-9,]*/s", messages)
    assert re.search(rb"\d:\d\d:\d\d", messages)
    assert re.search(rb"p95 .* ms  critical [1-9][0-9,]*  health [0-9]+", messages)
    assert b"status       ok 20,000" in messages


def test_run_refuses_to_overwrite_its_input(tmp_path: Path, finops: Finops) -> None:
    """A run whose output is its input is refused and leaves it unchanged."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(jsonl(a_fail()))
    done = finops("run", fails, "-o", fails)
    assert (done.returncode, fails.read_bytes()) == (2, jsonl(a_fail()))


def test_closed_output_pipe_ends_without_a_traceback(tmp_path: Path) -> None:
    """`finops run big.jsonl | head -1` ends with status 141 and without a traceback."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(b"".join(jsonl(a_fail(fail_id=f"F-{number}")) for number in range(3000)))
    process = subprocess.Popen(
        [sys.executable, "-m", "finops_cli", "run", str(fails)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    json.loads(process.stdout.readline())
    process.stdout.close()
    messages = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert b"Traceback" not in messages
    assert b"Exception" not in messages


def test_escape_sequence_in_a_file_name_is_printed_escaped(tmp_path: Path, finops: Finops) -> None:
    """An escape sequence in a file name is printed in escaped form, so it cannot control the
    terminal.
    """
    strange = tmp_path / "a\x1b[31m\u202e.jsonl"
    done = finops(
        "evaluate",
        "--stage",
        "triage",
        "--backend",
        "engine",
        "--data",
        strange,
        "-o",
        tmp_path / "evaluation",
    )
    assert done.returncode == 2
    assert rb"a\x1b[31m\u202e.jsonl" in done.stderr
    assert b"\x1b" not in done.stderr
