"""Writes a proposal as YAML: each line with its reason, then rows, gaps and unused columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from finops_cli.domain import exact_json, limits, money
from finops_cli.domain.finding import Damage
from finops_cli.importers.proposal.draft import (
    Constant,
    Draft,
    Missing,
    Proposed,
    count,
    short_name,
)
from finops_cli.importers.proposal.layout import Layout
from finops_cli.importers.proposal.yaml_text import comment, entry, escape_line, flow

_CHECK = "CHECK: "
_MOST_REFUSED = 5


class Trial(NamedTuple):
    """The sample, read with the mapping."""

    records: tuple[bytes, ...]
    refused: tuple[Damage, ...]
    filled: tuple[str, ...]
    """Required fields that the mapping lacks, filled in to read the sample."""


def render(
    given: Mapping[str, Any],
    draft: Draft,
    layout: Layout,
    trial: Trial,
    options: Collection[str] = (),
) -> str:
    """Return the text of MAPPING.yaml, without the gaps that `options` of a command fill."""
    missing = sorted(
        (each for each in draft.missing if each.option not in options),
        key=lambda each: not each.is_required,
    )
    lines = _introduce(draft, layout, missing)
    for key in ("csv", "sheet"):
        if key in given:
            lines += entry(key, given[key])
    lines += _render_rows(given, layout)
    lines += _render_numbers(given, draft)
    lines.append("columns:" if given["columns"] else "columns: {}")
    for short, value, proposed in zip(
        given["columns"], given["columns"].values(), draft.fields.values(), strict=True
    ):
        lines += _explain(proposed) + entry(short, value, "  ")
    if draft.constants:
        lines.append("constants:")
        for short, constant in zip(given["constants"], draft.constants.values(), strict=True):
            lines += _explain(constant) + entry(short, constant.value, "  ")
    lines += _render_trial(draft, trial)
    lines += _render_missing(missing, given)
    lines += _render_unused(draft)
    return "\n".join(lines) + "\n"


def _introduce(draft: Draft, layout: Layout, missing: Sequence[Missing]) -> list[str]:
    columns = count(len(draft.columns), "column")
    rows = count(len(layout.sample), "row")
    text = f"Proposed by finops for {draft.file}: {columns}, {rows} read."
    lines = comment(text)
    if any(each.is_required for each in missing):
        lines += comment("Before you use it, give what is MISSING below.")
    lines += comment(f"Use: save this as MAPPING.yaml; finops run {draft.file} --map MAPPING.yaml")
    if draft.checks():
        lines += comment("Lines with CHECK rest on weak evidence: look at them before you use it.")
    if draft.date_why:
        lines += comment(f"dates: {draft.date_why}")
    return lines


def _explain(proposed: Proposed | Constant) -> list[str]:
    lines = comment(proposed.why, "  ")
    return lines + (comment(_CHECK + proposed.check, "  ") if proposed.check else [])


def _render_rows(given: Mapping[str, Any], layout: Layout) -> list[str]:
    rows = given.get("rows")
    if rows is None:
        return []
    lines = []
    if layout.preamble and "header" in rows:
        lines += comment(
            f"above the header, left out: {'; '.join(repr(text) for _, text in layout.preamble)}"
        )
    if layout.skipped:
        found = "; ".join(f"line {skip.line} {skip.text!r}" for skip in layout.skipped)
        lines += comment(f"rows that are not fails: {found}")
    lines.append("rows:")
    if "header" in rows:
        lines += entry("header", rows["header"], "  ")
    if "skip" in rows:
        lines += entry("skip", rows["skip"], "  ")
    return lines


def _render_numbers(given: Mapping[str, Any], draft: Draft) -> list[str]:
    if draft.marks_check:
        return comment(_CHECK + draft.marks_check)
    if "numbers" not in given:
        return []
    return comment(draft.marks_why) + entry("numbers", given["numbers"])


def _render_trial(draft: Draft, trial: Trial) -> list[str]:
    """Show the first records, and what of the sample is refused."""
    lines = [""]
    shown = trial.records[: draft.kb.imports.preview_rows]
    if shown:
        without = f", without {', '.join(trial.filled)}" if trial.filled else ""
        lines += comment(f"The first rows, as finops reads them{without}:")
        for record in shown:
            fields = exact_json.decode(record)
            line = fields.pop("origin", {}).get("line", "?")
            kept = [
                f"{name} {value}" for name, value in _flatten(fields) if name not in trial.filled
            ]
            lines += comment(f"  line {line}: {', '.join(kept)}")
    if trial.refused:
        rows = len(trial.refused) + len(trial.records)
        lines += comment(f"{count(len(trial.refused), 'row')} of {rows} would be refused:")
        reasons = Counter(map(_first_reason, trial.refused))
        for reason, number in reasons.most_common(_MOST_REFUSED):
            line = next(each.line for each in trial.refused if _first_reason(each) == reason)
            lines += comment(f"  {count(number, 'row')}, the first on line {line}: {reason}")
    return lines


def _flatten(fields: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields of a record with their values as text."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{before}{name}.")
        elif isinstance(value, Decimal):
            yield short_name(before + name), money.plain(value)
        else:
            shown = {True: "Yes", False: "No"}[value] if isinstance(value, bool) else str(value)
            yield short_name(before + name), shown


def _first_reason(damage: Damage) -> str:
    return damage.problems[0].message[: 4 * limits.SHOWN_CHARS]


def _render_missing(missing: Sequence[Missing], given: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for each in missing:
        lines.append("")
        label = "MISSING" if each.is_required else "NOT DECIDED"
        lines += comment(f"{label} {each.name}: {each.why}.")
        lines += [f"#   {escape_line(_place(choice, given))}" for choice in each.choices]
    return lines


def _place(choice: str, given: Mapping[str, Any]) -> str:
    """Say where in the mapping a choice is written, where its key is there already."""
    for key in ("constants", "csv"):
        start = f"{key}: {{"
        if choice.startswith(start) and key in given:
            inner, _, note = choice.removeprefix(start).partition("}")
            return f"{inner}  # under {key}; {note.removeprefix('  # ')}"
    return choice


def _render_unused(draft: Draft) -> list[str]:
    unused = draft.unused()
    if not unused:
        return []
    lines = ["", "# Columns that nothing uses:"]
    for each in unused:
        lines += comment(f"  {flow(each.column)}: {each.why}")
    return lines
