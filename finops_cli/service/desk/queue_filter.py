"""The filter of the queue as pages show it: its choices, and the addresses of its changes.

The queue and the page of exports have the same filter.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from msgspec import Struct
from starlette.datastructures import QueryParams

from finops_cli.service.desk.wording import write_label
from finops_cli.service.fails.query import FILTERS, LISTS, TEXTS
from finops_cli.service.store.fail_query import ORDERS, Order

QUEUE = "/fails"
PLACE = ("cursor", "before", "at", "said", "limit")
"""The parameters that say where in the list a page is; a filter begins at the top."""
ACCEPTED = (*FILTERS, "job", "order", *PLACE)
_TITLES = {
    "tier": "Tier",
    "category": "Category",
    "action": "Action",
    "status": "Status",
    "flag": "Flag",
    "change": "Since the last blotter",
    "cusip": "CUSIP begins with",
    "counterparty": "Counterparty",
    "q": "Fail has",
    "assignee": "Assignee",
    "within_days": "Deadline",
    "residual": "Uncovered",
    "decided": "Decision",
    "job": "Blotter",
}
_DEADLINES = {"-1": "late", "0": "today or late", "1": "by the next day", "5": "within 5 days"}
_DECISIONS = {
    "none": "none yet",
    "any": "any",
    "accepted": "accepted",
    "overridden": "overridden",
    "proposed": "waits for a second person",
    "closed": "closed",
}
_RESIDUALS = {"true": "some", "false": "none"}
_ORDERS: dict[Order, str] = {"score": "score", "rank": "tier, then deadline"}
_WORDS = {"within_days": _DEADLINES, "decided": _DECISIONS, "residual": _RESIDUALS}
"""In the order of the form."""
_CHANGES = {
    "NEW": "new",
    "RAISED": "tier rose",
    "EASED": "tier fell",
    "GONE": "gone in the next blotter",
}
Pairs = list[tuple[str, str]]


class Option(Struct, frozen=True):
    """A value that a filter can have."""

    value: str
    label: str
    is_chosen: bool


class Choice(Struct, frozen=True):
    """A filter with its values."""

    name: str
    title: str
    options: list[Option]

    @property
    def chosen(self) -> str:
        """Return the chosen values in words; `any` without one."""
        return ", ".join(each.label for each in self.options if each.is_chosen) or "any"


class Chip(Struct, frozen=True):
    """A filter that is set, and the address of the page without it."""

    text: str
    without: str


class QueueFilter(Struct, frozen=True, kw_only=True):
    """The values of the filter."""

    choices: list[Choice]
    selects: list[Choice]
    orders: list[Option]
    chips: list[Chip]
    texts: dict[str, str]
    order: str
    job: str | None


def describe_filter(query: QueryParams, path: str = QUEUE) -> QueueFilter:
    """Return the values of the filter of the page at `path`."""
    order = query.get("order", ORDERS[0])
    return QueueFilter(
        choices=list_choices(query),
        selects=list_selects(query),
        orders=[Option(word, label, word == order) for word, label in _ORDERS.items()],
        chips=list_chips(query, path),
        texts={name: query.get(name, "") for name in TEXTS},
        order=order,
        job=query.get("job"),
    )


def clean_query(query: QueryParams) -> QueryParams:
    """Return the parameters without those that a form left empty."""
    return QueryParams([(name, value) for name, value in query.multi_items() if value.strip()])


def filter_pairs(query: QueryParams) -> Pairs:
    """Return the parameters that choose fails and their order, without the place in the list."""
    return [(name, value) for name, value in query.multi_items() if name not in PLACE]


def address(pairs: Iterable[tuple[str, str]], path: str = QUEUE, **further: str | int) -> str:
    """Return the address of the queue with parameters."""
    given = [*pairs, *((name, str(value)) for name, value in further.items())]
    return f"{path}?{urlencode(given)}" if given else path


def list_choices(query: QueryParams) -> list[Choice]:
    """Return the filters that take several values of a list."""
    return [
        Choice(
            name,
            _TITLES[name],
            [Option(word, _label(name, word), word in query.getlist(name)) for word in words],
        )
        for name, words in LISTS.items()
    ]


def list_selects(query: QueryParams) -> list[Choice]:
    """Return the filters that take one value. One of another page keeps its place in the list."""
    found = []
    for name, words in _WORDS.items():
        given = query.get(name)
        known = words if given is None or given in words else {**words, given: f"up to {given}"}
        options = [Option(word, label, word == given) for word, label in known.items()]
        found.append(Choice(name, _TITLES[name], options))
    return found


def list_chips(query: QueryParams, path: str = QUEUE) -> list[Chip]:
    """Return each filter that is set, with the way to take it away."""
    pairs = filter_pairs(query)
    return [
        Chip(
            f"{_TITLES[name]}: {_label(name, value)}",
            address((pair for place, pair in enumerate(pairs) if place != number), path),
        )
        for number, (name, value) in enumerate(pairs)
        if name in _TITLES
    ]


def _label(name: str, value: str) -> str:
    if name == "change":
        return _CHANGES[value]
    if name in _WORDS:
        return _WORDS[name].get(value, value)
    return write_label(value).lower() if name == "tier" else _plain(name, value)


def _plain(name: str, value: str) -> str:
    return write_label(value) if name in LISTS else value
