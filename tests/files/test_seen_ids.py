"""The names of a run: in memory while there are few, on disk from some thousands on."""

from __future__ import annotations

import pytest

from finops_cli.files.seen_ids import SeenIds


@pytest.mark.parametrize("between", [10, 40_000])
def test_repeated_name_is_found_in_memory_and_on_disk(between: int) -> None:
    """A name is found again in its own call and in later ones, however many names come between."""
    with SeenIds() as seen:
        assert seen.register([("A", 1), ("B", 2), ("A", 3)]) == {3: 1}
        others = [(f"F-{number}", number) for number in range(4, 4 + between)]
        assert seen.register(others) == {}
        last = 4 + between
        found = seen.register([("B", last), ("C", last + 1), ("F-4", last + 2), ("C", last + 3)])
        assert found == {last: 2, last + 2: 4, last + 3: last + 1}
        assert seen.register([]) == {}
