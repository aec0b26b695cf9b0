"""An option that is given twice is joined or refused: the last one never wins silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finops_cli.commands.help_examples import CommandWithExamples, GroupWithExamples
from tests.support.commands import whole_program
from tests.support.program import EXAMPLES, Finops

JOINED = {
    "--allow-host",
    "--counterparty",
    "--host",
    "--kind",
    "--model-host",
    "--security",
    "--set",
    "--threshold-list",
    "--tier",
    "--type",
}
"""Options that collect their values. A new one belongs here only if its command joins them all."""

OPTIONAL_VALUE = {"--sentiment"}
"""Options that may stand without a value: a word after one is an argument, not its value."""


def every_command_and_group() -> list[tuple[tuple[str, ...], Any]]:
    """List the program, its groups and its commands, each with the words that lead to it."""

    def below(command: Any, words: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
        found = [(words, command)]
        for name, each in getattr(command, "commands", {}).items():
            found += below(each, (*words, name))
        return found

    return below(whole_program(), ())


def every_option() -> list[tuple[tuple[str, ...], Any]]:
    """List each option of each command that is not one of the program's --help and --version."""
    return [
        (words, parameter)
        for words, command in every_command_and_group()
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.is_eager
    ]


def ids(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value.opts[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "option"), [each for each in every_option() if not each[1].is_flag], ids=ids
)
def test_option_given_twice_is_refused_or_joined(
    words: tuple[str, ...], option: Any, finops: Finops
) -> None:
    """Rule: an option that takes one value ends with 2 when it has two; the message has both."""
    name = option.opts[0]
    if option.multiple:
        assert name in JOINED
        return
    joined = f"{name}=one" if name.startswith("--") else f"{name}one"
    given = [(name, "one", name, "two"), (joined, name, "two")]
    if name in OPTIONAL_VALUE:
        given = [(f"{name}=one", f"{name}=two")]
    for arguments in given:
        done = finops(*words, *arguments)
        assert (done.returncode, done.stdout) == (2, b"")
        assert f"{name}" in done.stderr.decode()
        assert b" is given twice: one and two. Expected one value.\nfix: " in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "option"), [each for each in every_option() if each[1].is_flag], ids=ids
)
def test_contradicted_flag_is_refused(words: tuple[str, ...], option: Any, finops: Finops) -> None:
    """Rule: a flag may be repeated; a flag and its opposite together end with 2."""
    name = option.opts[0]
    done = finops(*words, name, name, "--absent")
    assert b"--absent is not an option" in done.stderr  # the first complaint
    if option.secondary_opts:
        opposite = option.secondary_opts[0]
        done = finops(*words, name, opposite)
        assert done.returncode == 2
        expected = f"finops: {name} and {opposite} contradict each other\nfix: give {name} or"
        assert expected in done.stderr.decode()


def test_every_command_refuses_repeated_options() -> None:
    """Rule: each command and group has the class that refuses repeated options."""
    for _, command in every_command_and_group():
        assert isinstance(command, CommandWithExamples | GroupWithExamples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run x -o a -ob", "--output (-o) is given twice: a and b."),
        ("run x -qoa -o b --output=c", "--output (-o) is given 3 times: a, b and c."),
        ("run x -o a -o a", "--output (-o) is given twice: a and a."),
        ("run --as-of 1 x --as-of 2", "--as-of is given twice: 1 and 2."),
        ("clock x --as-of 1 --as-of 2", "--as-of is given twice: 1 and 2."),
        ("import csv --map a --map b", "--map is given twice: a and b."),
        ("--kb a --kb b kb list", "--kb is given twice: a and b."),
        ("run x --backend engine --backend ''", "--backend is given twice: engine and ''."),
    ],
)
def test_message_has_every_value_that_was_given(
    arguments: str, message: str, finops: Finops
) -> None:
    """Rule: short, joined and long forms count as one option, and the message shows each value."""
    words = [each.replace("''", "") for each in arguments.split(" ")]
    done = finops(*words)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"finops: {message} Expected one value.\nfix: ")


def test_repeated_options_behind_two_dashes_are_arguments(finops: Finops, tmp_path: Path) -> None:
    """Rule: an argument behind `--` is not an option, and help is shown whatever else is given."""
    done = finops("run", "-q", "-o", tmp_path / "o", "--", EXAMPLES / "monday.jsonl")
    assert done.returncode == 0
    assert b"is given twice" not in finops("run", "--", "-o", "-o").stderr
    done = finops("run", "-o", "a", "-o", "b", "--help")
    assert (done.returncode, b"finops run [OPTIONS]" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("--set training.batch=4", "--set training.batch=8"),
        ("--set base.folder=a", "--base b"),
        ("--max-steps 3", "--set training.max_steps=4"),
    ],
)
def test_setting_that_is_given_twice_is_refused(first: str, second: str, finops: Finops) -> None:
    """Rule: --set collects settings, and each setting is given once, by --set or by its option."""
    options = f"{first} {second}".split()
    done = finops("train", "--stage", "triage", "--dry-run", *options)
    assert done.returncode == 2
    assert b" is set twice: " in done.stderr
    assert b"Expected one value.\nfix: " in done.stderr
