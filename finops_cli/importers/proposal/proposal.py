"""Proposes a mapping for a table, from its header and its first rows.

draft = header and values of each column
-> security, dates, counterparty, numbers, side and direction, words
-> what is missing -> a trial with the sample -> a mapping, and YAML with its reasons
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.importers.mapped_rows.mapping import Mapping
from finops_cli.importers.mapped_rows.mapping_faults import list_missing
from finops_cli.importers.mapped_rows.table_records import records_of
from finops_cli.importers.proposal.columns import make_columns
from finops_cli.importers.proposal.draft import Draft, Missing, Unused, short_name
from finops_cli.importers.proposal.fields.amounts import decide_amounts
from finops_cli.importers.proposal.fields.days import decide_dates
from finops_cli.importers.proposal.fields.directions import decide_directions
from finops_cli.importers.proposal.fields.missing_facts import ask_for_rest, find_as_of
from finops_cli.importers.proposal.fields.names import AS_OF
from finops_cli.importers.proposal.fields.number_columns import prove_file
from finops_cli.importers.proposal.fields.parties import decide_counterparty
from finops_cli.importers.proposal.fields.rates import decide_age, decide_rates
from finops_cli.importers.proposal.fields.securities import decide_security
from finops_cli.importers.proposal.fields.word_columns import decide_words
from finops_cli.importers.proposal.headers import HeaderIndex
from finops_cli.importers.proposal.layout import Layout, find_layout
from finops_cli.importers.proposal.render import Trial, render
from finops_cli.importers.tables.csv_table import DEFAULT_ENCODING, CsvTable
from finops_cli.importers.tables.table import Source, Table, TableRow
from finops_cli.kb.rulebook import KnowledgeBase

_FILLED = {
    "counterparty": "DTC-0000",
    "side": "Sell",
    "qty": "1",
    "age_days": "0",
    "market_value": "0",
    "reg_sho_threshold": "No",
    "inventory_coverage_pct": "0",
}
"""Values with which a sample is tried where a required field is missing."""
_NO_HEADER = "no row has two headers that finops knows"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A mapping for a table, with its reasons."""

    mapping: Mapping
    missing: tuple[Missing, ...]
    """The facts that the file does not decide, the required first."""
    checks: tuple[str, ...]
    """The doubts, each with its field."""
    unused: tuple[Unused, ...]
    trial: Trial
    render: Callable[[Collection[str]], str]
    """Writes it as YAML, without what the given options decide."""

    @property
    def is_complete(self) -> bool:
        """Return true when the mapping gives every field that a record must have."""
        return not self.lacks()

    def lacks(self, options: Collection[str] = ()) -> tuple[Missing, ...]:
        """Return what is required and missing; `options` are those that the command was given.

        `--as-of` and `--inventory` each give a fact that a mapping may lack.
        """
        return tuple(
            each for each in self.missing if each.is_required and each.option not in options
        )

    def yaml(self, options: Collection[str] = ()) -> str:
        """Return the mapping as YAML with comments; saved, it reads back as `mapping`.

        What is missing is left out where one of `options` gives it.
        """
        return self.render(options)


@dataclass(frozen=True)
class _Sample:
    """The header and the sample of a table, as a table."""

    name: str
    source: Source
    read: Sequence[TableRow]
    is_pipe: bool = False

    def rows(self) -> Iterator[TableRow]:
        return iter(self.read)


def propose(table: Table, kb: KnowledgeBase) -> Proposal:
    """Propose a mapping for `table`, which is read twice.

    Raises UsageError where the table has no header that finops knows.
    """
    words = kb.imports
    index = HeaderIndex(words)
    layout = find_layout(table, words, index)
    if layout is None:
        raise UsageError(
            f"{table.name}: {_NO_HEADER}",
            "write the names of the columns above the rows, such as CUSIP, Qty, Contra; or write a"
            " mapping: finops schema mapping",
        )
    draft = _decide(table, layout, index, kb)
    given = _assemble(table, draft, layout)
    mapping = Mapping.model_validate(given)
    lacking = list_missing([*given["columns"], *given.get("constants", {})])
    _ask_for_unforeseen(draft, lacking)
    trial = _try(table, given, lacking, layout, blanks=words.blanks)
    return Proposal(
        mapping=mapping,
        missing=tuple(sorted(draft.missing, key=lambda each: not each.is_required)),
        checks=draft.checks(),
        unused=draft.unused(),
        trial=trial,
        render=partial(render, given, draft, layout, trial),
    )


def _ask_for_unforeseen(draft: Draft, lacking: Sequence[str]) -> None:
    """Ask for what the parser of records requires and no part of the proposal asked for."""
    asked = " ".join(each.name for each in draft.missing if each.is_required)
    has_dates = any(each.is_required and "date" in each.name for each in draft.missing)
    for name in lacking:
        if name == "age_days" and (has_dates or AS_OF in asked):
            continue
        if name not in asked and short_name(name) not in asked:
            draft.ask(
                name,
                "a record must have it, and no column gives it",
                f"{short_name(name)}: COLUMN  # under columns",
                is_required=True,
            )


def _decide(table: Table, layout: Layout, index: HeaderIndex, kb: KnowledgeBase) -> Draft:
    columns = make_columns(layout.header, layout.sample, index, kb.imports.blanks)
    title = " ".join([table.source.file, *(text for _, text in layout.preamble)])
    draft = Draft(kb, columns, _csv_format(table).get("delimiter"), table.source.file, title)
    if section := layout.section():
        draft.section = f"line {section.line} {section.text!r}"
    decide_security(draft)
    decide_dates(draft)
    decide_counterparty(draft)
    prove_file(draft)
    decide_amounts(draft)
    decide_rates(draft)
    find_as_of(draft, layout.preamble)
    decide_age(draft)
    decide_directions(draft)
    decide_words(draft)
    ask_for_rest(draft)
    return draft


def _assemble(table: Table, draft: Draft, layout: Layout) -> dict[str, Any]:
    """Return the mapping as objects and texts, in the order of the file."""
    given: dict[str, Any] = {}
    csv = _csv_format(table)
    if draft.date_formats:
        csv["dates"] = (
            draft.date_formats[0] if len(draft.date_formats) == 1 else list(draft.date_formats)
        )
    if csv:
        given["csv"] = csv
    if table.source.sheet is not None:
        given["sheet"] = table.source.sheet
    rows: dict[str, Any] = {} if layout.is_first else {"header": str(layout.header_line)}
    skips: dict[int, list[str]] = {}
    for skip in layout.skipped:
        texts = skips.setdefault(skip.place, [])
        if skip.pattern not in texts:
            texts.append(skip.pattern)
    if skips:
        rows["skip"] = [
            {"column": draft.columns[place].name, "is": texts} for place, texts in skips.items()
        ]
    if rows:
        given["rows"] = rows
    if draft.marks_why:
        given["numbers"] = {"decimal": draft.marks.decimal, "grouping": draft.marks.grouping}
    given["columns"] = {short_name(name): each.given for name, each in draft.fields.items()}
    if draft.constants:
        given["constants"] = {
            short_name(name): each.value for name, each in draft.constants.items()
        }
    return given


def _csv_format(table: Table) -> dict[str, Any]:
    """Return the keys of `csv:` that differ from their defaults."""
    if not isinstance(table, CsvTable):
        return {}
    keys: dict[str, Any] = {}
    if table.delimiter not in {None, ","}:
        keys["delimiter"] = table.delimiter
    if table.encoding != DEFAULT_ENCODING:
        keys["encoding"] = table.encoding
    return keys


def _try(
    table: Table,
    given: dict[str, Any],
    lacking: Sequence[str],
    layout: Layout,
    *,
    blanks: Collection[str],
) -> Trial:
    """Read the sample with the mapping; what it lacks is filled in, and not shown."""
    filled = {name: _FILLED[name] for name in lacking if name in _FILLED}
    if AS_OF in lacking:
        filled["age_days"] = "0"
    constants: dict[str, str] = {**given.get("constants", {}), **filled}
    mapping = Mapping.model_validate({**given, "constants": constants})
    rows = [TableRow(layout.header_line, layout.header)]
    rows += [TableRow(line, cells) for line, cells in zip(layout.lines, layout.sample, strict=True)]
    sample = _Sample(table.name, table.source, rows)
    items = list(records_of(sample, mapping, "the proposed mapping", blanks=blanks))
    return Trial(
        records=tuple(item for item in items if isinstance(item, bytes)),
        refused=tuple(item for item in items if isinstance(item, Damage)),
        filled=tuple(filled),
    )
