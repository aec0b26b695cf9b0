"""An element of an XML message, and how its parts are found by name."""

from __future__ import annotations

from collections.abc import Iterator


class Node:
    """An element: its local name, its text, its currency and its elements."""

    __slots__ = ("children", "currency", "line", "name", "text")

    def __init__(self, name: str, line: int, currency: str | None) -> None:
        self.name, self.line, self.currency = name, line, currency
        self.text = ""
        self.children: list[Node] = []

    def all(self, name: str) -> Iterator[Node]:
        """Yield the elements called `name` at any depth, in the order of the document."""
        for child in self.children:
            if child.name == name:
                yield child
            else:
                yield from child.all(name)

    def first(self, *path: str) -> Node | None:
        """Return the first element at the end of `path`, with any depth between its names."""
        if not path:
            return self
        candidates = (child.first(*path[1:]) for child in self.all(path[0]))
        return next((found for found in candidates if found is not None), None)

    def word(self, *path: str) -> str | None:
        """Return the first text at or below the end of `path`."""
        found = self.first(*path)
        return None if found is None else next(found.words(), None)

    def words(self) -> Iterator[str]:
        """Yield the texts of an element and of those below it."""
        if text := self.text.strip():
            yield text
        for child in self.children:
            yield from child.words()
