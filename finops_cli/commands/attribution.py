"""The user, host and command line of a run, for the note beside its output."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from finops_cli.files.terminal import name_in_utf8
from finops_cli.version import __version__

if TYPE_CHECKING:
    from finops_cli.commands.run_options import RunOptions
    from finops_cli.pipeline.evidence import Attribution

_GIVEN = ("COMMANDLINE", "ENVIRONMENT")
"""Where an option must come from to be written down; the others are defaults."""


def attribute(context: typer.Context, options: RunOptions) -> Attribution:
    """Say who gives this command. With --anonymous the home folder in a path becomes ~."""
    from finops_cli.pipeline.evidence import Attribution

    home = str(Path.home())
    return Attribution(
        user=None if options.anonymous else name_user(),
        host=None if options.anonymous else platform.node(),
        folder=None if options.anonymous else str(Path.cwd()),
        arguments=tuple(list_arguments(context)),
        finops=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        now=(lambda: datetime.now(UTC)) if options.timing else None,
        home=home if options.anonymous and home != os.sep else None,
    )


def list_arguments(context: typer.Context) -> list[str]:
    """Write the command as arguments: each option as `--name=value`, then what it reads.

    An option that comes from an environment variable is written down too.
    """
    program = context.find_root()
    options, words = _split(context)
    if any(word.startswith("-") and word != "-" for word in words):
        words = ["--", *words]
    own = [] if program is context else _split(program)[0]
    return [*own, *_list_names(context), *options, *words]


def _list_names(context: Any) -> list[str]:
    """List the words that name a command; how the program itself was called is left out."""
    if context.parent is None:
        return []
    return [*_list_names(context.parent), context.info_name]


def _split(context: Any) -> tuple[list[str], list[str]]:
    """Return the options and the arguments that were given to one command."""
    options, words = [], []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name not in _GIVEN:
            continue
        for value in _list_values(context.params[name]):
            if parameter.param_type_name == "argument":
                words.append(name_in_utf8(str(value)))
            elif isinstance(value, bool):
                names = parameter.opts if value else parameter.secondary_opts
                options += [max(names, key=len)] if names else []
            else:
                options.append(name_in_utf8(f"{max(parameter.opts, key=len)}={value}"))
    return options, words


def _list_values(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        yield from value
    elif value is not None:
        yield value


def name_user() -> str:
    """Name the user by the process, not by a variable that anybody can set."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # Windows, or a user without an entry
        try:
            return getpass.getuser()
        except (ImportError, KeyError, OSError):
            return f"uid {os.getuid()}" if hasattr(os, "getuid") else ""
