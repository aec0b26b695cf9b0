"""Parse an input line to a text: an object with a text field, or a line that is the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct

from finops_cli.domain.decode_errors import describe_bad_byte
from finops_cli.domain.finding import Problem
from finops_cli.domain.sentiment import LABELS, Label
from finops_cli.pipeline.input_source import given_name
from finops_cli.pipeline.parse import ParseResult, decode
from finops_cli.verify.schemas import show_value, unusable

TextForm = Literal["objects", "lines"]
ID_FIELDS = ("id", "fail_id")


class TextRecord(Struct, frozen=True):
    """A text with its name."""

    id: str | None
    text: str | None
    """None: the record has no text in an optional field, such as `notes`."""
    expected: Label | None = None
    """The label that the input gives."""


@dataclass(frozen=True, slots=True)
class TextParser:
    """Parses the lines of an input.

    `form` says whether a line is a JSON object or the text itself; `field` names the text of an
    object. Only the field `text` is required: other fields belong to records of another purpose.
    """

    form: TextForm = "objects"
    field: str = "text"

    @property
    def id_fields(self) -> tuple[str, ...]:
        """The fields that may name a line; none where the line is the text."""
        return ID_FIELDS if self.form == "objects" else ()

    def parse_line(self, line: bytes) -> ParseResult[TextRecord]:
        """Parse a line. It never raises for the content of the line."""
        return self.parse(decode(line)) if self.form == "objects" else _parse_plain(line)

    def parse(self, given: Any) -> ParseResult[TextRecord]:
        """Parse a decoded line."""
        if isinstance(given, Problem):
            return ParseResult(None, None, [given])
        if type(given) is not dict:
            accepted = "one JSON object per line; --lines reads each line as a text"
            problem = unusable("schema.type", "", show_value(given), accepted)
            return ParseResult(None, None, [problem])
        name, text = given_name(given, ID_FIELDS), given.get(self.field)
        label = given.get("expected", given.get("label"))
        is_optional = self.field != "text"
        if is_optional and (text is None or (type(text) is str and not text.strip())):
            return ParseResult(TextRecord(name, None), name, [])
        if type(text) is not str or not text.strip():
            accepted = "a text that is not blank; --field names another field"
            shown = "missing" if self.field not in given else show_value(text)
            return ParseResult(None, name, [unusable("schema.type", self.field, shown, accepted)])
        expected: Label | None = label if label in LABELS else None
        return ParseResult(TextRecord(name, text, expected), name, [])


def _parse_plain(line: bytes) -> ParseResult[TextRecord]:
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        shown = line.decode("utf-8", "replace")
        accepted = f"text in UTF-8 ({describe_bad_byte(error)})"
        return ParseResult(None, None, [unusable("schema.format", "line", shown, accepted)])
    if not text:
        return ParseResult(None, None, [unusable("schema.format", "line", "", "a text")])
    return ParseResult(TextRecord(None, text), None, [])
