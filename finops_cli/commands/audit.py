"""`finops audit`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.messages import report
from finops_cli.commands.options import AsJson, kb_dir_of
from finops_cli.commands.rules_choice import KbStore, kb_store_of
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.audit.again import Difference
    from finops_cli.audit.recorded import RecordedRun

_SHOWN = 50
"""Differences that a person is shown."""

Output = Annotated[
    Path,
    typer.Argument(
        metavar="OUT.jsonl", help="Output of a run, with its note OUT.jsonl.run.json beside it."
    ),
]
Fails = Annotated[
    Path | None,
    typer.Option(
        "--fails", metavar="FILE", help="Where the input is now (default: where the run read it)."
    ),
]
Replaced = Annotated[
    bool,
    typer.Option(
        "--replaced",
        help="List what finops replaced in the answers of a model: one JSON object per value, with"
        " what the model said and what the rules give.",
    ),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again", help="Run the recorded command again, and compare both outputs line by line."
    ),
]
Rules = Annotated[
    str | None,
    typer.Option(
        "--rules",
        metavar="RULES",
        help="Show which answers other rules would change: a folder, a digest, the output of a run,"
        " or the word bundled.",
    ),
]


@show_examples(
    Example(
        "finops audit out.jsonl",
        after=("finops run examples/monday.jsonl -q -o out.jsonl",),
    ),
    Example(
        "finops audit out.jsonl --again",
        after=("finops run examples/monday.jsonl -q -o out.jsonl",),
    ),
)
def audit(
    context: typer.Context,
    output: Output,
    fails: Fails = None,
    replaced: Replaced = False,
    again: Again = False,
    rules: Rules = None,
    store: KbStore = None,
    as_json: AsJson = False,
) -> None:
    """Verify an output: who made it, is it unchanged?

    The rules of the run are looked for among those that ship and those that finops kb save kept.
    """
    from finops_cli.audit.recorded import open_recorded

    chosen = [name for name, given in _list_asked(replaced, again, rules) if given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other", "give one of them")
    folder = kb_store_of(context, store)
    if replaced:
        _print_replaced(output)
        return
    run = open_recorded(output, folder, fails, kb_dir_of(context))
    if again or rules is not None:
        is_same = _compare(run, rules, folder, as_json=as_json)
    else:
        is_same = _print_report(run, as_json=as_json)
    if not is_same:
        raise typer.Exit(1)


def _list_asked(
    replaced: bool, again: bool, rules: str | None
) -> Iterator[tuple[str, bool | str | None]]:
    yield from (("--replaced", replaced), ("--again", again), ("--rules", rules))


def _print_report(run: RecordedRun, *, as_json: bool) -> bool:
    from finops_cli.audit.report import make_report, render_report
    from finops_cli.pipeline.output import encode_value

    made = make_report(run)
    typer.echo(encode_value(made) if as_json else "\n".join(render_report(made)))
    return made.sound


def _print_replaced(output: Path) -> None:
    from finops_cli.audit.replaced import list_replaced
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.files.safe_io import writing
    from finops_cli.pipeline.output import encode

    with reading_lines(output) as file, writing(None, [output]) as written:
        for each in list_replaced(line for line, _ in lines_of(file)):
            written.write(encode(each))


def _compare(run: RecordedRun, rules: str | None, store: Path, *, as_json: bool) -> bool:
    """Run again, with the rules of the run or with others, and print what differs."""
    from finops_cli.audit.again import list_arguments, run_again
    from finops_cli.commands.kb_sets import open_rules_folder

    if rules is not None:
        folder = open_rules_folder(rules, store)
    elif run.rules is not None:
        folder = run.rules.folder
    else:
        raise UsageError(
            f"the rules {run.rules_name} were not kept in {store}",
            "name another store with --kb-store DIR, or keep them with finops --kb DIR kb save",
        )
    with tempfile.TemporaryDirectory(prefix="finops-audit-") as place:
        second = Path(place) / "again.jsonl"
        arguments = list_arguments(run, folder, second, by_engine=rules is not None)
        started = run.first.folder
        here = Path(started) if started and Path(started).is_dir() else run.output.resolve().parent
        status = run_again(arguments, here)
        if not second.is_file() or status not in (0, 1):
            report("the recorded command could not be run again; its message is above")
            raise typer.Exit(status or 1)
        return _print_differences(run, second, rules, as_json=as_json)


def _print_differences(run: RecordedRun, second: Path, rules: str | None, *, as_json: bool) -> bool:
    from finops_cli.audit.again import compare_answers, compare_outputs, describe_changes
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.pipeline.output import encode
    from finops_cli.pipeline.resume import read_note

    lines: set[int] = set()
    count = 0
    with reading_lines(run.output) as old, second.open("rb") as new:
        pair = (line for line, _ in lines_of(old)), (line for line, _ in lines_of(new))
        found: Iterable[Difference] = (
            compare_outputs(run, *pair) if rules is None else compare_answers(*pair)
        )
        for each in found:
            lines.add(each.line)
            count += 1
            if as_json:
                typer.echo(encode(each).decode(), nl=False)
            elif count <= _SHOWN:
                typer.echo(_write(each))
    if not as_json and count > _SHOWN:
        typer.echo(f"and {count - _SHOWN:,} more values; --json lists all")
    output = run.evidence.output
    total = 0 if output is None else output.lines
    what = "the same, times apart" if rules is None else "the same by these rules"
    report(f"{total - len(lines):,} of {total:,} lines are {what}")
    for text in [] if rules is not None else describe_changes(run, read_note(second).fingerprint):
        report(f"not the same: {text}")
    return not lines


def _write(each: Difference) -> str:
    from finops_cli.domain.exact_json import encode

    before, after = (encode(value).decode() for value in (each.before, each.after))
    return f"line {each.line:,} {each.fail_id}: {each.field} {before} to {after}"
