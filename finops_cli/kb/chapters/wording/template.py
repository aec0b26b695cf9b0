"""Sentences of the kb with places in braces, such as `{qty}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from string import Formatter

from finops_cli.errors import KnowledgeError


class Template:
    """A sentence that is parsed once, when the kb is loaded, and filled for each record."""

    __slots__ = ("_parts", "_take")

    def __init__(self, id: str, text: str, places: Sequence[str]) -> None:
        """Parse the text of the entry `id`. Raises KnowledgeError, as `parse_template`."""
        named = []
        self._parts = [""]  # words and places in turns
        for words, place in parse_template(id, text, places):
            self._parts[-1] += words
            if place is not None:
                named.append(place)
                self._parts += ["", ""]
        self._take = _taker_of(named)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the sentence with the values of its places. `values` may have others."""
        parts = self._parts.copy()
        parts[1::2] = self._take(values)
        return "".join(parts)


def _taker_of(places: Sequence[str]) -> Callable[[Mapping[str, str]], tuple[str, ...]]:
    """Return a function that takes the values of `places` out of others."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])


def parse_template(id: str, text: str, places: Sequence[str]) -> list[tuple[str, str | None]]:
    """Split a text into pairs of words and the place behind them; None where no place follows.

    Raises KnowledgeError for braces that do not hold one of `places` and nothing else.
    """
    accepted = ", ".join(f"{{{place}}}" for place in places) or "text without braces"
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise KnowledgeError(f"kb entry {id}: {text!r} has a brace too many: {error}.") from error
    for _, name, form, conversion in parts:
        if name is not None and (name not in places or form or conversion):
            given = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise KnowledgeError(f"kb entry {id}: {{{given}}} is given. Expected {accepted}.")
    return [(words, name) for words, name, _, _ in parts]
