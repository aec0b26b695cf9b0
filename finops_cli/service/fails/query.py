"""The parameters of the queue: which fails, in which order, from where on."""

from __future__ import annotations

from typing import cast, get_args

from msgspec import Struct
from starlette.datastructures import QueryParams

from finops_cli.domain.enums import Action, Category, Status, Tier
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.problems import wrong_value
from finops_cli.service.store.fail_query import DECIDED, ORDERS, DecidedWord, FailFilter, Order
from finops_cli.service.store.fails import CHANGES, FLAGS

LISTS: dict[str, tuple[str, ...]] = {
    "tier": get_args(Tier),
    "category": get_args(Category),
    "action": get_args(Action),
    "status": get_args(Status),
    "flag": FLAGS,
    "change": CHANGES,
}
"""The parameters that may be repeated, and their values."""
TEXTS = ("cusip", "counterparty", "q", "assignee")
"""The parameters that hold any text."""
FILTERS = (*LISTS, *TEXTS, "within_days", "residual", "decided")
"""The parameters that choose fails."""
_QUEUE = (*FILTERS, "job", "order", "cursor", "limit", "counts")
_DEFAULT_ROWS = 100
_MOST_DIGITS = 6
_MOST_CHARACTERS = 200


class QueueQuery(Struct, frozen=True, kw_only=True):
    """What a page of the queue shows."""

    wanted: FailFilter
    job: str | None
    """None: the newest."""
    order: Order
    cursor: str | None
    rows: int
    has_counts: bool


def read_queue_query(
    query: QueryParams, settings: ServeSettings, accepted: tuple[str, ...] = _QUEUE
) -> QueueQuery:
    """Read the parameters of `accepted`. Raises ServiceError 422, which names the parameter."""
    unknown = sorted(set(query) - set(accepted))
    if unknown:
        raise wrong_value("the parameter", unknown[0], ", ".join(accepted))
    repeated = [name for name in query if name not in LISTS and len(query.getlist(name)) > 1]
    if repeated:
        raise wrong_value(repeated[0], "given twice", "one value")
    most = settings.limits["page"]
    rows = _read_whole(query, "limit")
    if rows is not None and not 1 <= rows <= most:
        raise wrong_value("limit", str(rows), f"1 to {most}")
    return QueueQuery(
        wanted=read_filter(query),
        job=query.get("job"),
        order=cast("Order", _read_word(query, "order", ORDERS) or "score"),
        cursor=query.get("cursor"),
        rows=_DEFAULT_ROWS if rows is None else rows,
        has_counts=_read_bool(query, "counts") is True,
    )


def read_filter(query: QueryParams) -> FailFilter:
    """Read the parameters that choose fails. Raises ServiceError 422."""
    lists = {name: tuple(query.getlist(name)) for name in LISTS}
    for name, values in lists.items():
        for value in values:
            if value not in LISTS[name]:
                raise wrong_value(name, value[:_MOST_CHARACTERS], ", ".join(LISTS[name]))
    texts = {name: query.get(name) or None for name in TEXTS}
    for name, text in texts.items():
        if text is not None and (len(text) > _MOST_CHARACTERS or "\0" in text):
            raise wrong_value(name, f"{len(text):,} characters", f"up to {_MOST_CHARACTERS}")
    return FailFilter(
        tiers=lists["tier"],
        categories=lists["category"],
        actions=lists["action"],
        statuses=lists["status"],
        flags=lists["flag"],
        changes=lists["change"],
        has_residual=_read_bool(query, "residual"),
        cusip=texts["cusip"],
        counterparty=texts["counterparty"],
        within_days=_read_whole(query, "within_days"),
        text=texts["q"],
        assignee=texts["assignee"],
        decided=cast("DecidedWord | None", _read_word(query, "decided", DECIDED)),
    )


def _read_word(query: QueryParams, name: str, words: tuple[str, ...]) -> str | None:
    text = query.get(name)
    if text is not None and text not in words:
        raise wrong_value(name, text[:_MOST_CHARACTERS], ", ".join(words))
    return text


def _read_bool(query: QueryParams, name: str) -> bool | None:
    word = _read_word(query, name, ("true", "false"))
    return None if word is None else word == "true"


def _read_whole(query: QueryParams, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MOST_DIGITS:
        raise wrong_value(name, text[:_MOST_CHARACTERS], "a whole number")
    return int(text)
