"""The program that a call makes: with one command, or with all."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.core import TyperOption

from finops_cli import cli
from finops_cli.commands.conversion import convert_late


def test_program_of_a_first_word_has_that_command_alone() -> None:
    """Rule: the first word makes its command alone, with the options that it has among all."""
    whole: Any = typer.main.get_command(cli.app)
    for word in cli.COMMAND_ORDER:
        alone: Any = typer.main.get_command(cli.only_named([word, "fails.jsonl"]))
        assert list(alone.commands) == [word]
        assert _options_below(alone.commands[word]) == _options_below(whole.commands[word])
        assert [each.opts for each in alone.params] == [each.opts for each in whole.params]
    assert list(typer.main.get_command(cli.app).list_commands(None)) == [*cli.COMMAND_ORDER]  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [[], ["--help"], ["--kb", "rules", "run"], ["runn"]], ids=str)
def test_program_without_a_first_command_has_all(words: list[str]) -> None:
    """Rule: without a command as the first word, the program has all its commands."""
    assert cli.only_named(words) is cli.app


@pytest.mark.parametrize("words", [["run"], ["kb"], []], ids=str)
def test_options_of_a_program_are_made_once(words: list[str]) -> None:
    """Rule: a process makes the options of a program once, with what they would be again."""
    made = cli.make_command(cli.only_named(words))
    new: Any = typer.main.get_command(cli.only_named(words))
    assert cli.make_command(cli.only_named(words)) is made
    assert made is not new
    assert _options_below(made) == _options_below(new)


def _options_below(command: Any) -> dict[str, Any]:
    """List the options of a command and of those below it, by name."""
    below = getattr(command, "commands", {})
    return {
        "": [each.opts for each in command.params],
        **{name: _options_below(each) for name, each in below.items()},
    }


def test_parameters_of_an_older_typer_are_left_alone() -> None:
    """Rule: a parameter without a descriptor of its type, as Typer before 0.29 makes it, keeps its
    class and so its own conversion.
    """
    older = object.__new__(TyperOption)
    [kept] = convert_late([older])
    assert type(kept) is TyperOption
