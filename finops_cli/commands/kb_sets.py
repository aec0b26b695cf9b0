"""`finops kb save`, `saved` and `diff`: rules that are kept by their digest, and what changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.messages import report
from finops_cli.commands.options import AsJson, kb_dir_of
from finops_cli.commands.rules_choice import KbStore, kb_store_of
from finops_cli.version import __version__

if TYPE_CHECKING:
    from finops_cli.kb.changes import EntryChange
    from finops_cli.kb.rulebook import KnowledgeBase

_LONGEST_VALUE = 48
"""Characters of a value that fit into a line."""
_BUNDLED = "bundled"

Before = Annotated[
    str,
    typer.Argument(
        metavar="A",
        help="Rules: a folder, a digest, the output of a run, or the word bundled.",
    ),
]
After = Annotated[str, typer.Argument(metavar="B", help="Rules to compare them with.")]


@show_examples("finops kb save --kb-store rules", "finops kb save --kb-store kept")
def save(context: typer.Context, store: KbStore = None) -> None:
    """Keep the rules by their digest, so that an old output can be judged by them.

    `finops --kb DIR kb save` keeps rules of your own. `finops --kb-digest DIGEST` uses them again.
    """
    from finops_cli.kb.store import save_rules

    folder = kb_store_of(context, store)
    kept, is_new = save_rules(kb_dir_of(context), folder, __version__, datetime.now(UTC))
    what = "saved" if is_new else "was kept already"
    report(f"{kept.folder}: {what}")
    typer.echo(kept.sha256)


@show_examples(
    Example("finops kb saved --kb-store rules", after=("finops kb save --kb-store rules",)),
    "finops kb saved --kb-store rules --json",
)
def saved(context: typer.Context, store: KbStore = None, as_json: AsJson = False) -> None:
    """List the rules that were kept: digest, name, and when they were saved."""
    from finops_cli.kb.store import list_rules
    from finops_cli.pipeline.output import encode_value

    folder = kb_store_of(context, store)
    found = list_rules(folder)
    if as_json:
        typer.echo(encode_value([{"sha256": each.sha256, "note": each.note} for each in found]))
        return
    for each in found:
        note = "" if each.note is None else f"  {each.note.version}  {each.note.saved}"
        typer.echo(f"{each.sha256}{note}")
    if not found:
        report(f"{folder}: no rules were kept", "`finops kb save` keeps them")


@show_examples(
    Example(
        "finops kb diff out.jsonl bundled",
        after=("finops run examples/monday.jsonl -q -o out.jsonl",),
    ),
    Example("finops kb diff my-rules bundled --json", needs="a folder of your own rules"),
)
def diff(
    context: typer.Context,
    before: Before,
    after: After,
    store: KbStore = None,
    as_json: AsJson = False,
) -> None:
    """Show which rules changed from A to B, entry by entry."""
    from finops_cli.kb.changes import compare_rules
    from finops_cli.pipeline.output import encode_value

    folder = kb_store_of(context, store)
    rules = [open_rules(text, folder) for text in (before, after)]
    found = compare_rules(*rules)
    if as_json:
        typer.echo(encode_value(found))
        return
    entries = "1 entry differs" if len(found) == 1 else f"{len(found):,} entries differ"
    typer.echo(f"{entries}: {rules[0].version} to {rules[1].version}")
    for change in found:
        for line in _render_change(change):
            typer.echo(line)


def open_rules(text: str, store: Path) -> KnowledgeBase:
    """Open rules by a folder, a digest, the output of a run, or the word bundled.

    Raises UsageError if no set of rules is kept.
    """
    from finops_cli.kb.load import load_kb

    return load_kb(open_rules_folder(text, store))


def open_rules_folder(text: str, store: Path) -> Path:
    """Find the folder of rules as `open_rules` does."""
    from finops_cli.audit.recorded import open_recorded
    from finops_cli.kb.load import bundled_kb_dir
    from finops_cli.kb.store import require_rules

    path = Path(text)
    if text == _BUNDLED:
        return bundled_kb_dir()
    if text and path.is_dir():
        return path.resolve()
    if path.is_file():
        return require_rules(open_recorded(path, store, None).fingerprint.kb, store).folder
    return require_rules(text, store).folder


def _render_change(change: EntryChange) -> Iterator[str]:
    sign = {"added": "+ ", "removed": "- "}.get(change.change, "  ")
    yield f"{sign}{change.id}: {change.title}"
    for field in change.fields:
        before, after = _write(field.before), _write(field.after)
        if len(before) + len(after) > 2 * _LONGEST_VALUE:
            yield f"      {field.field} was {before}"
            yield f"      {' ' * len(field.field)} now {after}"
        else:
            yield f"      {field.field}: {before} to {after}"


def _write(value: Any) -> str:
    from finops_cli.domain.exact_json import encode

    return "none" if value is None else encode(value).decode()
