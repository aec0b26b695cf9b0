"""The commands of the program, for tests that look at each of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer

from finops_cli import cli


def every_command() -> list[tuple[str, ...]]:
    """List the words that call each command, those of the groups `import` and `kb` too."""

    def below(command: Any, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(command, "commands", {})
        return [words, *(each for name in inner for each in below(inner[name], (*words, name)))]

    return below(whole_program(), ())


@cache
def whole_program() -> Any:
    """Make the program with every command once: Typer takes a fifth of a second for it."""
    return typer.main.get_command(cli.app)


def command_at(words: tuple[str, ...]) -> Any:
    """Return the command or the group that the words call."""
    command = whole_program()
    for word in words:
        command = command.commands[word]
    return command
