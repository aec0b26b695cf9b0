"""Fill the slots of sentences with words from lists and with consistent amounts.

Source: training/sentiment-grammar.toml. Amounts are whole numbers of a measure's last decimal. A
percentage is computed from the two values in the text, so a calculator confirms the sentence.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from msgspec import Struct

_PARTS = ("from", "to", "pct", "diff")


class Measure(Struct, frozen=True, forbid_unknown_fields=True):
    """A quantity and its format."""

    low: int
    """The smallest value, in steps of the last decimal."""
    high: int
    """The largest value, in steps of the last decimal."""
    form: str
    """The text, with one {} for the number."""
    decimals: int = 0
    step: int = 1
    """Units of the last decimal in one step."""
    percent: bool = False
    plain: bool = False

    def number(self, units: int) -> str:
        whole, rest = divmod(units * self.step, 10**self.decimals)
        head = str(whole) if self.plain else f"{whole:,}"
        return f"{head}.{rest:0{self.decimals}d}" if self.decimals else head

    def render(self, units: int) -> str:
        return self.form.replace("{}", self.number(units))

    def basis_points(self, units: int) -> str:
        return str(units * self.step * 100 // 10**self.decimals)


class Move(Struct, frozen=True, forbid_unknown_fields=True):
    """The change from the first value to the second, in tenths of a percent."""

    low: int
    high: int

    def apply(self, start: int, draw: random.Random) -> int:
        """Draw the second value. It differs from the first unless the move is 0."""
        change = draw.randint(self.low, self.high)
        if change == 0:
            return start
        units = max(1, (abs(change) * start + 500) // 1000)
        return start + units if change > 0 else start - units


class Words(NamedTuple):
    """Slots that draw from one list, each a different word."""

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


class Amount(NamedTuple):
    """One amount, or two with their difference."""

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
        """Return the number of second values that the smallest first value can have."""
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
            return {self.slot: self.measure.render(start)}
        end = self.move.apply(start, draw)
        gap = abs(end - start)
        parts = {
            "from": self.measure.render(start),
            "to": self.measure.render(end),
            "pct": percent_of(gap, start),
            "diff": self.measure.render(gap),
        }
        if self.measure.percent:
            parts["bp"] = self.measure.basis_points(gap)
        return {f"{self.slot}.{part}": text for part, text in parts.items()}


Filler = Words | Amount


def percent_of(part: int, whole: int) -> str:
    """Format a percentage with one decimal, rounded half-up."""
    tenths = (2000 * part + whole) // (2 * whole)
    return f"{tenths // 10:,}.{tenths % 10}"
