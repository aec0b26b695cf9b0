"""List what finops replaced in the answers of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.pipeline.parse import decode

_REPLACED = ("repaired", "fallback", "failed")


class ReplacedValue(Struct, frozen=True, kw_only=True):
    """A value of a model that does not stand."""

    line: int
    fail_id: str
    status: str
    """`repaired`: the value was replaced. `fallback`: the engine answered. `failed`: nobody did."""
    answer: str
    """`triage` or `resolution`."""
    rule: str
    path: str
    """A JSON pointer into the answer."""
    model: Any
    """The answer of the model."""
    rules: Any
    """The answer of the rules."""
    replies: list[str | None] | UnsetType = UNSET
    """Each reply of the model, where `--keep-raw` kept it."""


def list_replaced(lines: Iterable[bytes]) -> Iterator[ReplacedValue]:
    """Yield each value that was replaced, and each reason why an answer was."""
    for number, line in enumerate(lines, start=1):
        given = decode(line)
        if not isinstance(given, dict) or given.get("status") not in _REPLACED:
            continue
        verification, raw = given.get("verification"), given.get("raw")
        for answer in ANSWER_FIELDS.values():
            found = verification.get(answer) if isinstance(verification, dict) else None
            kept = raw.get(answer) if isinstance(raw, dict) else None
            for each in found if isinstance(found, list) else ():
                if not isinstance(each, dict):
                    continue
                yield ReplacedValue(
                    line=number,
                    fail_id=str(given.get("fail_id")),
                    status=given["status"],
                    answer=answer,
                    rule=each.get("rule", ""),
                    path=each.get("path", ""),
                    model=each.get("actual"),
                    rules=each.get("expected"),
                    replies=_list_texts(kept),
                )


def _list_texts(kept: Any) -> list[str | None] | UnsetType:
    if not isinstance(kept, list):
        return UNSET
    return [each.get("text") for each in kept if isinstance(each, dict)]
