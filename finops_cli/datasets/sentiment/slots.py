"""What fills a sentence's slots: words off a list, and figures that agree (source:
training/sentiment-grammar.toml).

All figures are whole numbers of a measure's last decimal, and a percentage is worked out from the
two values that are shown, so a reader who checks the sentence with a calculator finds it right.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from msgspec import Struct

_PARTS = ("from", "to", "pct", "diff")


class Measure(Struct, frozen=True, forbid_unknown_fields=True):
    """`low` and `high` in units of the last decimal, each worth `step` of it; `form` has one {} for
    the number.
    """

    low: int
    high: int
    form: str
    decimals: int = 0
    step: int = 1
    percent: bool = False
    plain: bool = False

    def number(self, units: int) -> str:
        whole, rest = divmod(units * self.step, 10**self.decimals)
        head = str(whole) if self.plain else f"{whole:,}"
        return f"{head}.{rest:0{self.decimals}d}" if self.decimals else head

    def shown(self, units: int) -> str:
        return self.form.replace("{}", self.number(units))

    def basis_points(self, units: int) -> str:
        return str(units * self.step * 100 // 10**self.decimals)


class Move(Struct, frozen=True, forbid_unknown_fields=True):
    """By how many tenths of a percent the second value differs from the first."""

    low: int
    high: int

    def applied(self, start: int, draw: random.Random) -> int:
        """Never the same value again, unless the move says so."""
        change = draw.randint(self.low, self.high)
        if change == 0:
            return start
        units = max(1, (abs(change) * start + 500) // 1000)
        return start + units if change > 0 else start - units


class Words(NamedTuple):
    """Slots that draw from one list, each something else."""

    slots: tuple[str, ...]
    values: tuple[str, ...]

    def keys(self) -> int:
        return len(self.values)

    def size(self) -> int:
        return math.perm(len(self.values), len(self.slots))

    def size_beside_key(self) -> int:
        return math.perm(len(self.values) - 1, len(self.slots) - 1)

    def fill(self, draw: random.Random, key: int | None) -> dict[str, str]:
        chosen = [] if key is None else [key]
        while len(chosen) < len(self.slots):
            place = draw.randrange(len(self.values))
            if place not in chosen:
                chosen.append(place)
        return {slot: self.values[place] for slot, place in zip(self.slots, chosen, strict=True)}


class Figure(NamedTuple):
    """One value, or two with what lies between them."""

    slot: str
    measure: Measure
    move: Move | None

    def slots(self) -> tuple[str, ...]:
        if self.move is None:
            return (self.slot,)
        return tuple(
            f"{self.slot}.{part}" for part in ((*_PARTS, "bp") if self.measure.percent else _PARTS)
        )

    def keys(self) -> int:
        return self.measure.high - self.measure.low + 1

    def size(self) -> int:
        return self.keys()

    def size_beside_key(self) -> int:
        """How many second values the least first value can have."""
        return (
            1
            if self.move is None
            else max(1, self.measure.low * (self.move.high - self.move.low) // 1000)
        )

    def fill(self, draw: random.Random, key: int | None) -> dict[str, str]:
        start = (
            self.measure.low + key
            if key is not None
            else draw.randint(self.measure.low, self.measure.high)
        )
        if self.move is None:
            return {self.slot: self.measure.shown(start)}
        end = self.move.applied(start, draw)
        gap = abs(end - start)
        parts = {
            "from": self.measure.shown(start),
            "to": self.measure.shown(end),
            "pct": percent_of(gap, start),
            "diff": self.measure.shown(gap),
        }
        if self.measure.percent:
            parts["bp"] = self.measure.basis_points(gap)
        return {f"{self.slot}.{part}": text for part, text in parts.items()}


Filler = Words | Figure


def percent_of(part: int, whole: int) -> str:
    """With one decimal, halves up."""
    tenths = (2000 * part + whole) // (2 * whole)
    return f"{tenths // 10:,}.{tenths % 10}"
