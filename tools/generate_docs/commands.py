"""The page of all commands, made from their help; and the table of commands of the README."""

from __future__ import annotations

import re
from collections.abc import Iterator

from typer.testing import CliRunner

from finops_cli.cli import INTERRUPTED, PIPE_CLOSED, app, make_command, only_named
from finops_cli.errors import MissingPiece, UsageError

EXIT_1 = {
    "import sec-fails": "Some rows were left out; each is reported on stderr.",
    "import swift": "A message is damaged, or a fail in it cannot be used; stderr says which.",
    "import csv": "Some rows were left out; each is reported on stderr.",
    "run": "The run is complete, and the status of some line is not `ok`.",
    "triage": "The run is complete, and the status of some line is not `ok`.",
    "handoff": "Some triage or its record cannot be used; the line says why.",
    "resolve": "The run is complete, and the status of some line is not `ok`.",
    "book": "The plan is complete, and some line is not `ok`; uncovered shares are no error.",
    "net": "",
    "sentiment": "The run is complete, and the status of some line is not `ok`.",
    "list": "Some lines of the file were not written by finops; stderr reports them.",
    "letters": "Some lines of the file were not written by finops; stderr reports them.",
    "audit": "Something of the output was changed or not found, or a line is not the same.",
    "check": "At least one output violates a rule.",
    "clock file": "A duty is breached, or a record is rejected.",
    "clock days": "",
    "clock threshold": "",
    "generate": "A requirement of the data is not met.",
    "dataset-report": "A row fails its verification, or a requirement is not met.",
    "train": "",
    "quantize": "At least one file lost too much accuracy and was not kept.",
    "create": "The model was made, and its answer to the record of the trial is wrong or absent.",
    "evaluate": "The first answer to at least one record is wrong or absent.",
    "compare": "",
    "drift": "The divergence is above the threshold.",
    "models": "",
    "serve backup": "",
    "serve gc": "",
    "serve verify-audit": "The chain is broken.",
    "token new": "",
    "token list": "",
    "token revoke": "",
    "token import": "",
    "kb list": "",
    "kb show": "",
    "kb glossary": "",
    "kb save": "",
    "kb saved": "",
    "kb diff": "",
    "kb search": "No entry has any of the words.",
    "schema": "",
    "show": "",
    "doctor": "",
}
"""The meaning of exit status 1, for each command; empty where the command does not end with it."""

_TOGETHER = (
    "generate",
    "dataset-report",
    "train",
    "quantize",
    "create",
    "evaluate",
    "compare",
    "drift",
)
"""The commands that share a row of the README's table: those who make models know them."""
_START, _END = "<!-- generated: commands -->\n", "<!-- end -->\n"


def render_page() -> str:
    """Render `docs/reference/commands.md`."""
    paths = list(_walk(make_command(app), ()))
    names = {" ".join(path) for path, is_group in paths if not is_group}
    if names != set(EXIT_1):
        raise SystemExit(f"commands.py: EXIT_1 must have exactly {', '.join(sorted(names))}")
    parts = [_INTRODUCTION.format(usage=UsageError.exit_code, missing=MissingPiece.exit_code,
                                  interrupted=INTERRUPTED, closed=PIPE_CLOSED)]  # fmt: skip
    parts += [_render_command(path) for path, _ in paths]
    return "\n".join(parts)


def render_schema(name: str) -> str:
    """Render `kb/schemas/NAME.schema.json`, as `finops schema NAME` prints it."""
    return _read_output(("schema", name))


def fill_table(text: str) -> str:
    """Replace the generated block of a page by the table of the commands, where it has one."""
    pattern = re.compile(re.escape(_START) + ".*?" + re.escape(_END), re.DOTALL)
    return pattern.sub(lambda _: f"{_START}{_render_table()}{_END}", text)


def _walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
    listed = getattr(command, "commands", None)
    if path:
        yield path, listed is not None
    if listed is not None:
        names = list(listed) if path else command.list_commands(None)  # type: ignore[attr-defined]
        for name in names:
            yield from _walk(listed[name], (*path, name))


def _render_command(path: tuple[str, ...]) -> str:
    name = " ".join(path)
    level = "##" if len(path) == 1 else "###"
    text = f"{level} finops {name}\n\n```text\n{_read_help(path)}```\n"
    if EXIT_1.get(name):
        text += f"\nExit status 1: {EXIT_1[name][0].lower()}{EXIT_1[name][1:]}\n"
    elif name in EXIT_1:
        text += "\nThis command never ends with exit status 1.\n"
    return text


def _read_help(path: tuple[str, ...]) -> str:
    return _read_output((*path, "--help"))


def _read_output(arguments: tuple[str, ...]) -> str:
    runner = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"})
    result = runner.invoke(
        only_named(arguments), list(arguments), prog_name="finops", terminal_width=80
    )
    if result.exit_code != 0:
        raise SystemExit(f"finops {' '.join(arguments)} ends with {result.exit_code}")
    return "\n".join(line.rstrip() for line in result.output.splitlines()) + "\n"


def _render_table() -> str:
    root = make_command(app)
    names = list(root.list_commands(None))
    rows = [
        f"| [`finops {name}`](docs/how-to/{name}.md) | {_first_sentence(name)} |\n"
        for name in names
        if name not in _TOGETHER
    ]
    makers = ", ".join(f"[`{name}`](docs/how-to/{name}.md)" for name in names if name in _TOGETHER)
    rows.append(f"| {makers} | Make, measure and watch the models. |\n")
    return "| command | what it does |\n|---|---|\n" + "".join(rows)


def _first_sentence(name: str) -> str:
    command = make_command(app).commands[name]
    return str(command.help).strip().split("\n\n")[0].replace("\n", " ")


_INTRODUCTION = """\
% generated by tools/generate_docs; change the code and run `just generate`

# Commands

This page is for those who look up an option. It has the help text of each command, as
`finops COMMAND --help` prints it. For tasks, see the [how-to pages](../how-to/index.md).

Results go to stdout and messages to stderr; `-` is stdin. Two options come before the command:
`--kb DIR` (your own copy of the rules) and `--version`.

| exit status | meaning |
|---|---|
| 0 | The command is complete. For `run`, `triage` and `resolve`: each line has the status `ok`. |
| 1 | The command is complete, and its result needs attention. See each command below. |
| {usage} | The command has a mistake, or did not finish. stderr says what to change. |
| {missing} | Something must be installed or started. stderr says what. |
| {interrupted} | The command was interrupted (Ctrl-C). |
| {closed} | The program that reads the output has gone away. |
"""
