"""Follow the pages of statements over all files of an import: none may be missing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from finops_cli.importers.messages.status import Skipped

_SHOWN = 5


@dataclass(slots=True)
class _Statement:
    """The pages of one statement; `path` and `line` are those of the page read last."""

    message: str
    path: str
    line: int
    numbers: set[int] = field(default_factory=set)
    last: int | None = None


class Pages:
    """The pages by statement. Set `path` to the file that is being read."""

    def __init__(self) -> None:
        self.path = ""
        self._statements: dict[Hashable, _Statement] = {}

    def add(self, message: str, key: Hashable, number: int, is_last: bool, line: int) -> None:
        """Take a page of the statement that `key` names."""
        if is_last and number == 1:
            return
        fresh = _Statement(message, self.path, line)
        found = self._statements.setdefault(key, fresh)
        found.path, found.line = self.path, line
        found.numbers.add(number)
        if is_last:
            found.last = number

    def missing(self) -> Iterator[tuple[str, Skipped]]:
        """Yield the file and what is lost, for each statement that lacks a page."""
        for each in self._statements.values():
            end = max(each.numbers) + 1 if each.last is None else each.last
            gaps = (page for page in range(1, end + 1) if page not in each.numbers)
            shown = [str(page) for _, page in zip(range(_SHOWN), gaps, strict=False)]
            if shown:
                noun = "page" if len(shown) == 1 else "pages"
                verb = "is" if len(shown) == 1 else "are"
                why = f"{noun} {', '.join(shown)} {verb} missing in these files"
                yield (
                    each.path,
                    Skipped(message=each.message, line=each.line, why=why, is_damaged=True),
                )
