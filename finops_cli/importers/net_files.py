"""The files of `finops net`: legs and balances, as JSON Lines or CSV with the same names.

    {"id": "o1", "from": "DTC-0161", "to": "DTC-0352", "asset": "594918104", "qty": 500}
    {"party": "DTC-0161", "asset": "CASH", "qty": 125000}

A faulty line stops the command: an answer about some of the legs would be no answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.importers.mapped_rows.cells import whole
from finops_cli.importers.row_files import Column, GivenRow, RowFaults, RowLayout, read_rows
from finops_cli.net.legs import CASH, Balance, Leg
from finops_cli.pipeline.parse import decode
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import unusable

T = TypeVar("T", bound=Struct)
_LEG = Codec("net-leg", Leg, {})
_BALANCE = Codec("net-balance", Balance, {})
_TEXT = Column(str)
_WHOLE = Column(whole, "a whole number, such as 5000 or 5,000")
_LEG_COLUMNS = RowLayout(
    {"id": _TEXT, "from": _TEXT, "to": _TEXT, "asset": _TEXT, "qty": _WHOLE, "cash": _WHOLE},
    required=(("id",), ("from",), ("to",), ("asset",), ("qty",)),
)
_BALANCE_COLUMNS = RowLayout(
    {"party": _TEXT, "asset": _TEXT, "qty": _WHOLE},
    required=(("party",), ("asset",), ("qty",)),
)


def read_legs(path: Path, name: str | None = None) -> list[Leg]:
    """Read the legs. `name` is the name of the file in messages.

    Raises UsageError that lists every fault, and for a file without legs.
    """
    _refuse_other_files(path, name or str(path))
    return _read(path, name, take_legs(read_rows(path, _LEG_COLUMNS)))


def read_balances(path: Path) -> list[Balance]:
    """Read the balances. Raises UsageError that lists every fault."""
    return _read(path, None, take_balances(read_rows(path, _BALANCE_COLUMNS)))


def _refuse_other_files(path: Path, name: str) -> None:
    """Raise UsageError for a file without lines, and for one that has fail records."""
    if not path.is_file():
        return  # its reader says so
    with path.open("rb") as file:
        first = next((line for line, _ in lines_of(file) if line.strip()), None)
    if first is None:
        raise UsageError(f"{name} has no legs", "give a file with a leg on each line")
    given = decode(first)
    if isinstance(given, dict) and {"cusip", "counterparty"} <= given.keys():
        raise UsageError(
            f"{name} has fail records, no legs",
            "give --from-fails, or a file of legs (id, from, to, asset, qty)",
        )


class Taken(NamedTuple, Generic[T]):
    """The values of rows, and the problems of those that cannot be used, by line."""

    values: list[T]
    problems: list[tuple[int, list[Problem]]]


def take_legs(rows: Iterable[GivenRow]) -> Taken[Leg]:
    """Make a leg of each row."""
    return _take(rows, _LEG, _Legs())


def take_balances(rows: Iterable[GivenRow]) -> Taken[Balance]:
    """Make a balance of each row."""
    return _take(rows, _BALANCE, _Balances())


class _Rules:
    """Finds keys that are given twice, and fields of a line that contradict each other."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, int] = {}

    def find_problems(self, value: Struct, line: int) -> Iterator[Problem]:
        raise NotImplementedError

    def refuse_second(self, key: Hashable, line: int, field: str, value: str) -> Iterator[Problem]:
        """Yield a problem where another line has the key."""
        first = self._lines.setdefault(key, line)
        if first != line:
            yield unusable("net.settles", field, value, f"one line for it; line {first} has it")


class _Legs(_Rules):
    def find_problems(self, value: Struct, line: int) -> Iterator[Problem]:
        assert isinstance(value, Leg)  # noqa: S101 - the codec makes legs
        yield from self.refuse_second(value.id, line, "id", value.id)
        names = {"id": value.id, "from": value.giver, "to": value.taker, "asset": value.asset}
        yield from _refuse_names(names)
        if value.giver == value.taker:
            yield unusable("net.settles", "to", value.taker, "a party other than `from`")
        if value.asset == CASH and value.cash:
            accepted = "0, because the asset is CASH: qty is the amount"
            yield unusable("net.settles", "cash", str(value.cash), accepted)


class _Balances(_Rules):
    def find_problems(self, value: Struct, line: int) -> Iterator[Problem]:
        assert isinstance(value, Balance)  # noqa: S101 - the codec makes balances
        yield from _refuse_names({"party": value.party, "asset": value.asset})
        key = value.party, value.asset
        yield from self.refuse_second(key, line, "asset", f"{value.asset} of {value.party}")


def _refuse_names(names: dict[str, str]) -> Iterator[Problem]:
    """Refuse names that look equal to others and are not: they would never net."""
    for field, name in names.items():
        if name != name.strip():
            yield unusable("net.settles", field, name, "a name without blanks around it")
        elif field == "asset" and name.upper() == CASH != name:
            yield unusable("net.settles", field, name, f"{CASH}, or the name of a security")


def _take(rows: Iterable[GivenRow], codec: Codec[T], rules: _Rules) -> Taken[T]:
    taken: Taken[T] = Taken([], [])
    for given in rows:
        value = codec.read(given.fields) if not given.problems else None
        if value is None:
            problems = given.problems or codec.explain(given.fields)
        else:
            problems = list(rules.find_problems(value, given.line))
            taken.values.append(value)
        if problems:
            taken.problems.append((given.line, problems))
    return taken


def _read(path: Path, name: str | None, taken: Taken[T]) -> list[T]:
    faults = RowFaults(Path(name) if name else path)
    for line, problems in taken.problems:
        faults.add(line, problems)
    faults.refuse()
    return taken.values
