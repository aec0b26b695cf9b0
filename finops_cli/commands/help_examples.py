"""Two examples at the end of each help, held as data beside the command.

`show_examples` decorates the function of a command. `CommandWithExamples` and `GroupWithExamples`
print them. A test runs every example that needs nothing from outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from typer.core import TyperCommand, TyperGroup

from finops_cli.commands.conversion import convert_late
from finops_cli.commands.endless_files import refuse_endless_files
from finops_cli.commands.usage_errors import (
    PARSER_ERROR,
    describe_unknown_command,
    refuse_repeated_options,
)

F = TypeVar("F", bound=Callable[..., Any])
_TYPE = re.compile(r" <(?:str|path|Path|list\[\w+\]|[^>]*\|[^>]*)>$")
_RANGE = re.compile(r"(?P<low>[\d.]+)<=x<=(?P<high>[\d.]+)|x>=(?P<least>[\d.]+)")
_BRACES = re.compile(r"\{(.+?)\}")


class Example(NamedTuple):
    """A command line that runs in a folder that holds examples/."""

    command: str
    needs: str = ""
    """A server, an extra or a GPU that the command needs; empty where it needs nothing."""
    after: tuple[str, ...] = ()
    """Commands that make the files which this one reads."""
    status: int = 0
    """The exit status; 1 where the example shows findings."""


def show_examples(first: Example | str, second: Example | str) -> Callable[[F], F]:
    """Give a command its two examples."""

    def decorate(command: F) -> F:
        examples = tuple(
            Example(each) if isinstance(each, str) else each for each in (first, second)
        )
        command.examples = examples  # type: ignore[attr-defined]
        return command

    return decorate


def give_default(option: str, value: str, accepted: Callable[[], list[str]]) -> Callable[[F], F]:
    """Let an option of a command stand without a value, which is then `value`.

    A word after it is its value only if it is one of `accepted`: else it is an argument.
    """

    def decorate(command: F) -> F:
        command.optional_value = (option, value, accepted)  # type: ignore[attr-defined]
        return command

    return decorate


def _fill_values(command: Any, args: list[str]) -> list[str]:
    found = getattr(command.callback, "optional_value", None)
    if found is None or found[0] not in args:
        return args
    option, value, accepted = found
    filled: list[str] = []
    rest = list(args)
    while rest:
        each = rest.pop(0)
        if each == "--":
            return [*filled, each, *rest]
        if each == option:
            each = f"{option}={rest.pop(0) if rest and rest[0] in accepted() else value}"
        filled.append(each)
    return filled


def examples_of(command: Any) -> tuple[Example, ...]:
    """Return the examples of a command; empty where it has none."""
    return getattr(command.callback, "examples", ())


def _write_examples(command: Any, formatter: Any) -> None:
    examples = examples_of(command)
    if examples:
        with formatter.section("Examples"):
            for each in examples:
                formatter.write(f"{'':{formatter.current_indent}}{each.command}\n")


@contextmanager
def _parsing(context: Any) -> Iterator[None]:
    """Note in an error of the parser which command it concerns: Typer leaves that out of some."""
    try:
        yield
    except PARSER_ERROR as error:
        if getattr(error, "ctx", None) is None:
            error.ctx = context  # type: ignore[attr-defined]
        raise


def _write_options(command: Any, context: Any, formatter: Any) -> None:
    """Write arguments and options: ranges as `1 to 256`, and no names of Python's types."""
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        records = [
            _in_plain_words(record)
            for parameter in command.get_params(context)
            if parameter.param_type_name == kind and (record := parameter.get_help_record(context))
        ]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _in_plain_words(record: tuple[str, str]) -> tuple[str, str]:
    name, text = record
    return _TYPE.sub("", name), _RANGE.sub(_describe_range, text)


def _describe_range(found: re.Match[str]) -> str:
    low, high = found["low"] or found["least"], found["high"]
    return f"{float(low):,.10g} to {float(high):,.10g}" if high else f"{low} or more"


def _usage_pieces(pieces: list[str]) -> list[str]:
    """Write an argument as FILE, not as {FILE}."""
    return [_BRACES.sub(r"\1", piece) for piece in pieces]


class CommandWithExamples(TyperCommand):
    """A command whose help ends with its examples, and that takes each option once."""

    def get_params(self, ctx: Any) -> list[Any]:
        return convert_late(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return _usage_pieces(super().collect_usage_pieces(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _parsing(ctx):
            args = _fill_values(self, args)
            refuse_repeated_options(self, ctx, args)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        refuse_endless_files(ctx)
        return super().invoke(ctx)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self, formatter)


class GroupWithExamples(TyperGroup):
    """A group of commands whose help ends with its examples, and that takes each option once."""

    def get_params(self, ctx: Any) -> list[Any]:
        return convert_late(super().get_params(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _parsing(ctx):
            refuse_repeated_options(self, ctx, args)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        refuse_endless_files(ctx)
        return super().invoke(ctx)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise describe_unknown_command(ctx, name)
        return super().resolve_command(ctx, args)
