"""The help of every command: two examples that run, plain words, at most 80 columns."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from finops_cli import cli
from finops_cli.commands.help_examples import Example, examples_of
from tests.support.commands import command_at, every_command
from tests.support.program import EXAMPLES


@cache
def read_help(words: tuple[str, ...]) -> str:
    runner = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"})
    program = cli.only_named(words)
    return runner.invoke(program, [*words, "--help"], prog_name="finops", terminal_width=80).stdout


def every_example() -> list[tuple[tuple[str, ...], Example]]:
    return [(words, each) for words in every_command() for each in examples_of(command_at(words))]


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_ends_with_two_examples(words: tuple[str, ...]) -> None:
    """Rule: the last block of each help is `Examples:` with two command lines of that command."""
    *_, block = read_help(words).rstrip().split("\n\n")
    title, *lines = block.splitlines()
    assert (title, len(lines)) == ("Examples:", 2)
    assert lines[0] != lines[1]
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(f"  {' '.join(['finops', *words])}") for line in lines)


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_fits_80_columns_and_has_no_names_of_types(words: tuple[str, ...]) -> None:
    """Rule: nothing is wider than 80 columns; a range is `1 to 256`, a type is not shown."""
    text = read_help(words)
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"<=|>=|<\w+>|list\[| range>|\{", text)
    assert "when absent" not in text


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_option_is_explained_in_a_sentence(words: tuple[str, ...]) -> None:
    """Rule: each argument and option has a help that begins with a capital letter."""
    for parameter in command_at(words).params:
        text = (parameter.help or "").lstrip("\b\n")
        assert text, parameter.name
        assert text[0].isupper() or words == ("schema",), text


@pytest.mark.slow
@pytest.mark.parametrize(("words", "example"), every_example(), ids=lambda part: str(part)[:40])
def test_command_line_of_an_example_parses(words: tuple[str, ...], example: Example) -> None:
    """Rule: the parser accepts each example, also where it needs a server or an extra."""
    first, *arguments = shlex.split(example.command.partition(" < ")[0])
    assert first == "finops"
    command: Any = command_at(())
    context = command.make_context("finops", list(arguments), resilient_parsing=False)
    rest = [*context._protected_args, *context.args]
    while rest and hasattr(command, "commands"):
        command = command.commands[rest[0]]
        context = command.make_context(rest[0], rest[1:], parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args]


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    [each for _, each in every_example() if not each.needs],
    ids=lambda each: each.command.replace("examples/", "")[:50],
)
def test_example_that_needs_nothing_runs(example: Example, tmp_path: Path, programs: Path) -> None:
    """Rule: in a folder with examples/, each example ends with the status that it declares."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    statuses = []
    for command in (*example.after, example.command):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        statuses.append(done.returncode)
        assert "Traceback" not in done.stderr
    assert statuses[-1] == example.status, done.stderr
