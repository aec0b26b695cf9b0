"""Parts of the blotter behind the desk."""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.pipeline.desk import Written
from finops_cli.pipeline.lines import encode
from finops_cli.pipeline.tally import Tally


class Done(NamedTuple):
    """The output lines of one part, in order; its tally; the (fail_id, line) pairs it uses; the
    bytes of input behind it.
    """

    first: int
    lines: list[bytes]
    tally: Tally
    names: list[tuple[str, int]]
    owed: list[int]
    end: int

    def take_down(self, number: int, output: Written) -> None:
        """Add the output of line `number`, which is the next."""
        written, given_id, owed = output
        self.lines.append(encode(written))
        self.owed.append(owed)
        self.tally.count(written, owed)
        if given_id is not None:
            self.names.append((given_id, number))


def nothing_done(first: int, end: int) -> Done:
    """A part that starts with line `first`, before its lines are worked."""
    return Done(first, [], Tally(), [], [], end)
