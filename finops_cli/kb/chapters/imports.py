"""The words by which a mapping of a file is proposed (kb: `import.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_MOST_ROWS = 10_000
Headers = Mapping[str, tuple[str, ...]]
"""The headers of a field or of a reason, the preferred one first."""


class ImportSettings(Struct, frozen=True, eq=False, kw_only=True):
    """How files name the fields of a record and write their values."""

    sample_rows: int
    preview_rows: int
    evidence_rows: int
    blanks: frozenset[str]
    skipped_rows: tuple[str, ...]
    """The beginnings of total and footer rows, the longest first."""
    header_words: Mapping[str, str]
    headers: Headers
    weak_headers: Headers
    other_headers: Headers
    """The headers that are not a field, by the reason."""
    units: Mapping[str, Decimal]
    """The number by which cells are multiplied, by a word of the header."""
    currencies: frozenset[str]
    date_formats: tuple[str, ...]
    side_cells: Mapping[str, str]
    cns_cells: Mapping[str, str]
    venue_cells: Mapping[str, str]
    truth_cells: Mapping[str, str]
    sale_type_cells: Mapping[str, str]
    security_type_cells: Mapping[str, str]


def compile_imports(c: Compiler) -> ImportSettings:
    """Read the words of the import. Raises KnowledgeError naming the entry that does not fit."""
    skipped = c.words("import.skipped_rows")
    return ImportSettings(
        sample_rows=c.whole("import.sample_rows", _MOST_ROWS),
        preview_rows=c.whole("import.preview_rows", _MOST_ROWS),
        evidence_rows=c.whole("import.evidence_rows", _MOST_ROWS),
        blanks=c.words("import.blanks"),
        skipped_rows=tuple(sorted(skipped, key=lambda text: (-len(text), text))),
        header_words=c.table("import.header_words"),
        headers=_headers(c, "import.headers"),
        weak_headers=_headers(c, "import.weak_headers"),
        other_headers=_headers(c, "import.other_headers"),
        units={word: _scale(text) for word, text in c.table("import.units").items()},
        currencies=c.words("import.currencies"),
        date_formats=tuple(sorted(c.words("import.date_formats"))),
        side_cells=c.table("import.side_cells"),
        cns_cells=c.table("import.cns_cells"),
        venue_cells=c.table("import.venue_cells"),
        truth_cells=c.table("import.truth_cells"),
        sale_type_cells=c.table("import.sale_type_cells"),
        security_type_cells=c.table("import.security_type_cells"),
    )


def _headers(c: Compiler, id: str) -> Headers:
    return {
        field: tuple(header.strip() for header in text.split(",") if header.strip())
        for field, text in c.table(id).items()
    }


def _scale(text: str) -> Decimal:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise KnowledgeError(f"kb entry import.units: {text} is given. Expected a power of ten.")
    return Decimal(text)
