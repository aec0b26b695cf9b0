"""The border of the program: errors become messages on stderr and exit statuses.

The exit statuses are those of the contracts, section 1.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from finops_cli.commands.fault_report import report_crash
from finops_cli.commands.messages import report_error
from finops_cli.commands.usage_errors import PARSER_ERROR, describe_usage_error
from finops_cli.errors import FinopsError, MissingPiece, Unfinished, UsageError

_LESS_MEMORY = "give finops more memory, or fewer --workers, and run it again"
_CONTROL_FLOW = (typer.Exit, typer.Abort)
INTERRUPTED = 130
PIPE_CLOSED = 141
"""The exit code that a shell reports for a program that writes to a closed pipe."""

_CURES = {
    errno.EISDIR: "give a file",
    errno.EACCES: "choose a file that you may read or write",
}
_NO_ROOM = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "raise the limit on the size of a file",
}


@contextmanager
def exit_statuses(context: Any = None) -> Iterator[None]:
    """Turn every error of a block into a message and an exit status.

    `context` is the context of the program, once its command line has been read.
    """
    try:
        yield
        sys.stdout.flush()
    except PARSER_ERROR as error:
        if getattr(error, "message", "").startswith("Usage: "):  # a group alone prints its help
            raise
        _exit(describe_usage_error(error), error)
    except FinopsError as error:
        _exit(_with_cure(error, context), error)
    except ModuleNotFoundError as error:
        _exit(_describe_absent_package(error), error)
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        _discard_stdout()
        raise typer.Exit(PIPE_CLOSED) from error
    except OSError as error:
        described = _describe_os_error(error, context)
        _discard_stdout()
        _exit(_with_cure(described, context), error)
    except _CONTROL_FLOW:
        raise
    except MemoryError as error:
        lost = Unfinished("no memory is left; what was written so far is whole", _LESS_MEMORY)
        _exit(lost, error)
    except Exception as error:  # noqa: BLE001 - any fault; its traceback is in the report
        _exit(report_crash(error), error)


def _with_cure(error: FinopsError, context: Any) -> FinopsError:
    """Point an error without a cure to the help of the command."""
    if not error.cure and context is not None and context.invoked_subcommand is not None:
        error.cure = f"`finops {context.invoked_subcommand} --help` explains the options"
    return error


def _exit(described: FinopsError, error: Exception) -> None:
    report_error(described)
    raise typer.Exit(described.exit_code) from error


def _describe_os_error(error: OSError, context: Any) -> UsageError:
    code = error.errno or 0
    if code in _NO_ROOM:
        again = ""
        if error.filename and _has_lines(Path(error.filename)) and _can_resume(context):
            again = " and run it again with --resume"
        place = error.filename or "stdout"
        return UsageError(f"{place}: {error.strerror}", f"{_NO_ROOM[code]}{again}")
    return UsageError(f"{error.filename or 'output'}: {error.strerror}", _CURES.get(code, ""))


def _describe_absent_package(error: ModuleNotFoundError) -> FinopsError:
    """Say how to install a package of an extra. Raises the error for every other module."""
    from finops_cli import extras

    package = (error.name or "").partition(".")[0]
    cure = extras.cure_of_module(package)
    if cure is None:
        raise error
    return MissingPiece(f"this command needs {package}, which is not installed", cure)


def _has_lines(output: Path) -> bool:
    """Return true where a run has written an output, or the journal that it is made of."""
    from finops_cli.pipeline.stored.journal import journal_of

    return output.is_file() or journal_of(output).is_file()


def _can_resume(context: Any) -> bool:
    """Return true when the command that failed has an option --resume."""
    if context is None or context.invoked_subcommand is None:
        return False
    command = context.command.commands[context.invoked_subcommand]
    return any(parameter.name == "resume" for parameter in command.params)


def _discard_stdout() -> None:
    """Discard the rest of stdout, which cannot be written, so that the interpreter can end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
