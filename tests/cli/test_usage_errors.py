"""Errors of the command line have the form of every other message: `finops: ...`, then `fix: ...`.

A message names the value and what is accepted; the exit status is 2.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.commands import command_at, every_command
from tests.support.program import Result, invoke

FORM = re.compile(r"finops: [^\n]+\nfix: [^\n]+\n")


def run_in_process(*arguments: object) -> Result:
    return invoke(arguments)


def every_ranged_option() -> list[tuple[tuple[str, ...], str, str, list[float]]]:
    """List each option with a lowest or highest value: its command, name and a value outside."""
    found = []
    for words in every_command():
        for parameter in command_at(words).params:
            limits = parameter.type_descriptor.parameter_info
            bounds = [each for each in (limits.min, limits.max) if each is not None]
            if bounds:
                outside = [bound - 1 if bound == limits.min else bound + 1 for bound in bounds]
                found += [(words, parameter.opts[-1], str(value), bounds) for value in outside]
    return found


def every_required() -> list[tuple[tuple[str, ...], str]]:
    """List each command that needs an argument or option, with the name of the first of them."""
    found = []
    for words in every_command():
        required = [each for each in command_at(words).params if each.required]
        if required:
            first = required[0]
            is_option = first.param_type_name == "option"
            found.append((words, first.opts[0] if is_option else first.metavar or ""))
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_unknown_option_is_refused_in_the_form_of_every_message(words: tuple[str, ...]) -> None:
    """Rule: an option that a command does not have ends with 2, a message and a cure."""
    result = run_in_process(*words, "--klingon")
    assert (result.exit_code, result.stdout) == (2, "")
    assert FORM.fullmatch(result.stderr)
    assert "--klingon is not an option" in result.stderr


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_program_option_after_a_command_names_its_place(words: tuple[str, ...]) -> None:
    """`finops run --kb DIR` ends with a fix that puts --kb before the command, for every
    command.
    """
    if not words:
        return
    result = run_in_process(*words, "--kb", "k")
    assert result.exit_code == 2
    assert FORM.fullmatch(result.stderr)
    assert f"fix: finops --kb DIR {' '.join(words)}" in result.stderr


@pytest.mark.parametrize(
    ("words", "name", "value", "bounds"), every_ranged_option(), ids=lambda part: str(part)[:20]
)
@pytest.mark.slow
def test_value_out_of_range_names_both_ends(
    words: tuple[str, ...], name: str, value: str, bounds: list[float]
) -> None:
    """A number that is too small or too large ends with a message that names both ends of
    the range.
    """
    result = run_in_process(*words, name, value)
    assert result.exit_code == 2
    assert FORM.fullmatch(result.stderr)
    assert f" is {value}. Expected " in result.stderr
    assert all(f"{bound:,}".removesuffix(".0") in result.stderr for bound in bounds)


@pytest.mark.parametrize(("words", "name"), every_required(), ids=lambda part: "".join(part)[:20])
def test_missing_argument_is_named(words: tuple[str, ...], name: str) -> None:
    """Rule: a command without its first argument or required option names it."""
    result = run_in_process(*words)
    assert result.exit_code == 2
    assert FORM.fullmatch(result.stderr)
    assert f"{name} is missing" in result.stderr


@pytest.mark.parametrize("group", [(), ("kb",), ("import",)], ids=" ".join)
def test_unknown_command_lists_the_commands(group: tuple[str, ...]) -> None:
    """Rule: a word that is not a command of a group gets the list of its commands."""
    result = run_in_process(*group, "klingon")
    assert result.exit_code == 2
    assert FORM.fullmatch(result.stderr)
    listed = result.stderr.partition("Expected one of: ")[2]
    assert all(name in listed for name in command_at(group).commands)


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["rnu"], "did you mean `finops run`?"),
        (["kb", "lits"], "did you mean `finops kb list`?"),
        (["run", "-", "--wrkers", "2"], "did you mean --workers?"),
        ([__file__], f"name the command first: finops run {__file__}"),
        (["run", "-", "-o"], "write -o OUT.jsonl"),
        (["run", "-", "--quiet=yes"], "write --quiet alone"),
        (["run", "-", "more"], "remove it"),
        (["--kb", "k"], "`finops --help`"),
    ],
)
def test_slip_gets_its_cure(arguments: list[object], cure: str) -> None:
    """Rule: where the command line shows what was meant, the cure names it."""
    result = run_in_process(*arguments)
    assert result.exit_code == 2
    assert FORM.fullmatch(result.stderr)
    assert cure in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--workers", "many"], "--workers is many. Expected a whole number from 1 to 256."),
        (["--timeout", "nan"], "--timeout is nan. Expected a number from 0.1 to 86,400 seconds."),
        (["--timeout", "soon"], "--timeout is soon. Expected a number from 0.1 to 86,400 seconds."),
    ],
)
def test_value_that_is_not_a_number_is_told_the_range(arguments: list[str], expected: str) -> None:
    """Rule: text where a number is expected gets the range and the unit."""
    assert expected in run_in_process("run", "-", *arguments).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [("--help",), ("run", "--help"), ("kb", "list"), ("run", "examples/monday.jsonl")]
)
@pytest.mark.slow
def test_full_disk_behind_stdout_is_a_message(arguments: tuple[str, ...]) -> None:
    """Rule: whatever prints, a full disk ends with 2 and a message; stdout cannot be resumed."""
    import subprocess
    import sys

    from tests.support.program import ROOT

    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "finops_cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert done.returncode == 2
    assert "finops: stdout: No space left on device\nfix: free some space\n" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("kb", "list")])
@pytest.mark.slow
def test_closed_pipe_ends_with_141(arguments: tuple[str, ...]) -> None:
    """Rule: whatever prints into a closed pipe ends with 141 and without a message."""
    import os
    import subprocess
    import sys

    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "finops_cli", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
