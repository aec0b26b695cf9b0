"""`finops check NET --legs LEGS`: check answers of `finops net` without a solver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.checking.verdicts import Verdict
    from finops_cli.kb.rulebook import KnowledgeBase

NetLegs = Annotated[
    Path | None,
    typer.Option(
        "--legs",
        metavar="LEGS",
        help="The legs that an answer of finops net is about: check the set and its proof, without"
        " a solver.",
    ),
]
NetBalances = Annotated[
    Path | None,
    typer.Option("--balances", metavar="FILE", help="The balances that finops net was given."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetOptions:
    """The files that answers of finops net are checked against."""

    legs: NetLegs = None
    balances: NetBalances = None

    @property
    def files(self) -> list[Path | None]:
        """Return the files that are read."""
        return [self.legs, self.balances]


def check_nets(lines: Iterator[bytes], net: NetOptions, kb: KnowledgeBase) -> Iterator[Verdict]:
    """Check each line, an answer of finops net, against the legs and balances."""
    from finops_cli.checking.net_answers import check_net_lines
    from finops_cli.commands.net import read_balances_of, read_legs_of

    return check_net_lines(lines, read_legs_of(net.legs), read_balances_of(net.balances), kb.net)


def refuse_net_options(net: NetOptions, others: dict[str, object]) -> None:
    """Raise UsageError for balances without legs, and for legs beside options of other checks."""
    if net.legs is None and net.balances is not None:
        raise UsageError("--balances is given without --legs", "give --legs LEGS too")
    for name, value in others.items():
        if net.legs is not None and value:
            raise UsageError(
                f"--legs and {name} contradict each other: an answer of finops net has no fails",
                "leave one of them out; --legs goes with --balances",
            )
