"""The option `--format` of `run`, `triage` and `resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from finops_cli.commands.list_exports import FILE_FORMATS
from finops_cli.commands.usage_errors import BadChoice

_TEXT_FORMATS = ("auto", "table", "jsonl", "parquet")
_FORMATS = (*_TEXT_FORMATS, *FILE_FORMATS)
_HELP = (
    "Form of the output (default: {default}).\n\n\b\n"
    "table:   the list for a person, by rank\n"
    "jsonl:   the lines, in the order of the input\n"
    "parquet: the lines, as columns too"
)
_FILES_HELP = (
    "\ncsv:     the list for a spreadsheet\n"
    "xlsx:    a workbook with list and plans\n"
    "html:    the list as one page for a browser"
)


def _check_format(given: str) -> str:
    if given not in _FORMATS:
        raise BadChoice(given, _FORMATS)
    return given


def _check_text_format(given: str) -> str:
    if given not in _TEXT_FORMATS:
        raise BadChoice(given, _TEXT_FORMATS)
    return given


RunFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="|".join(_FORMATS),
        callback=_check_format,
        show_default=False,
        help=_HELP.format(
            default="as the suffix of -o says, table on a terminal without -o, else jsonl"
        )
        + _FILES_HELP,
    ),
]
TextFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="|".join(_TEXT_FORMATS),
        callback=_check_text_format,
        show_default=False,
        help=_HELP.format(default="table on a terminal without -o, else jsonl"),
    ),
]
