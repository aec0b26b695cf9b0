"""Errors of the command-line parser, in the form of every other message of finops.

Typer has classes of its own for these errors, and most of them are private. `describe_usage_error`
reads their public attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import copy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from finops_cli.errors import UsageError

PARSER_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The class of all errors that Typer raises for a faulty command line."""


_READ_SEVERAL = ("finops run", "finops triage", "finops resolve")
"""Commands that read a folder or a pattern, which a shell would turn into several arguments."""
_EXTRA_ARGUMENT = re.compile(r"\((?!s\))(.*)\)$")


class BadChoice(typer.BadParameter):
    """Raised by the callback of an option whose value is not one of the accepted words."""

    def __init__(self, value: str, accepted: Sequence[str]) -> None:
        super().__init__(f"is {_show(value)}. Expected {_one_of(accepted)}.")


def describe_usage_error(error: Any) -> UsageError:
    """Translate an error of the parser: the message names the value and what is accepted."""
    context = error.ctx
    help_command = f"`{' '.join([*_words(context), '--help'])}`"
    if isinstance(error, typer.BadParameter):
        return _describe_parameter(error, help_command)
    if hasattr(error, "option_name"):
        return _describe_option(error, help_command)
    if hasattr(context.command, "commands"):
        return UsageError(
            f"a command is missing after `{' '.join(_words(context))}`."
            f" Expected {_one_of(list(context.command.list_commands(context)))}.",
            f"{help_command} explains them",
        )
    words, extra = " ".join(_words(context)), _EXTRA_ARGUMENT.search(error.message)
    if extra is None:
        return UsageError(error.message, f"{help_command} explains the command")
    cure = f"remove it; {help_command} lists the arguments"
    if words in _READ_SEVERAL and Path(extra[1].split(" ")[0]).exists():
        cure = "give several files as a folder, or as a pattern between single quotes: '*.jsonl'"
    return UsageError(f"`{words}` does not take the argument {extra[1]}", cure)


def refuse_repeated_options(command: Any, context: Any, arguments: Sequence[str]) -> None:
    """Raise UsageError for an option that is given several times and keeps only one value.

    The parser would take the last one silently. A flag may be repeated, but not contradicted. An
    option that collects its values, such as --host, is left alone.
    """
    if context.resilient_parsing or not arguments:  # completion, or a call that prints the help
        return
    collecting = copy(command)
    collecting.params = [_collect_all(each) for each in command.params]
    given, _, _ = collecting.make_parser(context).parse_args([*arguments])
    parameters = command.get_params(context)
    if any(each.is_eager and each.name in given for each in parameters):  # --help, --version
        return
    for each in parameters:
        if each.param_type_name == "option" and not each.multiple:
            values = given.get(each.name, ())
            if each.is_flag and len(set(values)) > 1:
                both = [each.opts[0], each.secondary_opts[0]]
                raise UsageError(
                    f"{' and '.join(both)} contradict each other", f"give {' or '.join(both)}"
                )
            if not each.is_flag and len(values) > 1:
                listed = f"{', '.join(map(_show, values[:-1]))} and {_show(values[-1])}"
                times = "twice" if len(values) == 2 else f"{len(values)} times"
                names = [_name(each), *(f"({name})" for name in each.opts if name[1] != "-")]
                raise UsageError(
                    f"{' '.join(names)} is given {times}: {listed}. Expected one value.",
                    "keep the one that you mean",
                )


def _collect_all(parameter: Any) -> Any:
    """Return a copy of an option that collects each of its values."""
    if parameter.param_type_name == "argument" or parameter.is_eager:
        return parameter
    collecting = copy(parameter)
    collecting.multiple = True
    return collecting


def describe_unknown_command(context: Any, name: str) -> UsageError:
    """Name the commands that a group has, and the nearest one."""
    group, commands = " ".join(_words(context)), list(context.command.list_commands(context))
    near = get_close_matches(name, commands, n=1)
    cure = f"`{group} --help` explains them"
    if near:
        cure = f"did you mean `{group} {near[0]}`?"
    elif Path(name).is_file() and "run" in commands:
        cure = f"name the command first: {group} run {name}"
    words = " ".join([*_words(context)[1:], name])
    return UsageError(f"the command {words} does not exist. Expected {_one_of(commands)}.", cure)


def _describe_option(error: Any, help_command: str) -> UsageError:
    """Describe an option that does not exist, lacks its value or takes none."""
    context, name = error.ctx, error.option_name
    words = " ".join(_words(context))
    known = {option: each for each in context.command.params for option in _names(each)}
    if name in known:
        parameter = known[name]
        if parameter.is_flag:
            return UsageError(f"{name} does not take a value", f"write {name} alone")
        value = parameter.metavar or "VALUE"
        return UsageError(f"{name} has no value", f"write {name} {value}; see {help_command}")
    root = context.find_root()
    global_options = {option: each for each in root.command.params for option in _names(each)}
    if name in global_options and context is not root:
        value = global_options[name].metavar
        option = " ".join(filter(None, (name, value)))
        rest = words.removeprefix("finops ")
        return UsageError(f"{name} goes before the command", f"finops {option} {rest} ...")
    near = get_close_matches(name, known, n=1)
    cure = f"did you mean {near[0]}?" if near else f"{help_command} lists the options"
    if context is root and not near:
        cure = f"write the options of a command after its name; {help_command} lists the others"
    return UsageError(f"{name} is not an option of `{words}`", cure)


def _describe_parameter(error: typer.BadParameter, help_command: str) -> UsageError:
    """Describe a value that is missing or not accepted."""
    parameter: Any = error.param
    name, cure = _name(parameter), f"{help_command} explains it"
    if hasattr(error, "param_type"):
        choices = _describe_accepted(parameter, None)
        meaning = f". Expected {choices}." if choices else f" ({_first_sentence(parameter.help)})"
        kind = "the argument " if parameter.param_type_name == "argument" else ""
        return UsageError(
            f"{kind}{name} is missing{meaning}", f"{help_command} ends with two examples"
        )
    if isinstance(error, BadChoice):
        return UsageError(f"{name} {error.message}", cure)
    find_faults = getattr(error.__cause__, "errors", None)
    if find_faults is not None:
        detail = find_faults()[0]
        accepted = _describe_accepted(parameter, detail)
        return UsageError(f"{name} is {_show(str(detail['input']))}. Expected {accepted}.", cure)
    path, _, complaint = error.message.rpartition("'")
    if complaint.strip() in {"is not readable.", "is not writable."}:
        return UsageError(
            f"{path.partition(chr(39))[2]}: Permission denied",
            "choose a file that you may read or write",
        )
    return UsageError(f"{name}: {error.message}", cure)


def _describe_accepted(parameter: Any, detail: Any) -> str:
    """Describe what an option accepts; empty where nothing is known of it."""
    descriptor = parameter.type_descriptor
    if descriptor.choices:
        return _one_of([str(choice) for choice in descriptor.choices])
    if parameter.metavar is not None and parameter.metavar.startswith("["):
        return _one_of(parameter.metavar.strip("[]").split("|"))
    limits = descriptor.parameter_info
    if limits.min is not None or limits.max is not None:
        kind = "a whole number" if descriptor.ranged_type_name == "int" else "a number"
        unit = " seconds" if parameter.metavar == "SECONDS" else ""
        if limits.max is None:
            return f"{kind} of at least {_number(limits.min)}{unit}"
        return f"{kind} from {_number(limits.min)} to {_number(limits.max)}{unit}"
    if detail is None:
        return ""
    from finops_cli.files.user_files import describe_expected

    return describe_expected(detail)


def _words(context: Any) -> list[str]:
    """The words of the command line that lead to a command, such as finops import csv."""
    words: list[str] = []
    while context.parent is not None:
        words.insert(0, context.info_name)
        context = context.parent
    return ["finops", *words]


def _names(parameter: Any) -> Iterator[str]:
    """The ways to write an option; none for an argument."""
    if parameter.param_type_name == "option":
        yield from parameter.opts
        yield from parameter.secondary_opts


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return str(next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0]))


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split()).partition(". ")[0].rstrip(".")


def _number(value: float) -> str:
    return f"{value:,}".removesuffix(".0")


def _one_of(words: Sequence[str]) -> str:
    return f"one of: {', '.join(words)}"


def _show(text: str) -> str:
    return text if text and text.isprintable() and " " not in text else repr(text)
