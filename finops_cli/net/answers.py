"""The answer about a net, and the kinds of proof that a reader can verify without a solver."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from finops_cli.net.legs import Mode, Objective

Status = Literal["settles", "deadlock", "own_view", "best_found", "undecided"]


class SettledLeg(Struct, frozen=True, forbid_unknown_fields=True):
    """A leg that settles, and how much of it."""

    id: str
    qty: int


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the set that goes round (cycle), or from a balance to a taker (chain)."""

    kind: Literal["cycle", "chain"]
    asset: str
    parties: list[str]
    """In the order of the deliveries. A cycle returns to its first party."""
    qty: int
    obligations: list[str]


class AccountAfter(Struct, frozen=True, forbid_unknown_fields=True):
    """The balance of an account after the set."""

    party: str
    asset: str
    qty: int


class Ask(Struct, frozen=True, forbid_unknown_fields=True, rename={"giver": "from", "taker": "to"}):
    """A leg that nobody has supplied, and what would net if it exists."""

    giver: str
    taker: str
    asset: str
    qty: int
    says: str


class Step(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
    rename={"suppose": "if"},
):
    """A step of an elimination: a leg that cannot settle, or a contradiction."""

    dead: str | UnsetType = UNSET
    account: tuple[str, str] | UnsetType = UNSET
    """The account from which the leg takes more than it can hold."""
    needs: int | UnsetType = UNSET
    at_most: int | UnsetType = UNSET
    """With everything alive coming in, and only what is supposed to settle going out."""
    suppose: list[Step] | UnsetType = UNSET
    """Steps that follow if the leg settles; they end in a contradiction."""
    contradiction: tuple[str, str] | UnsetType = UNSET
    """The account that is overdrawn with everything alive coming in."""
    short: int | UnsetType = UNSET


class Elimination(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="elimination"
):
    """Leg by leg, why none can settle."""

    steps: list[Step]


class Order(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="order"):
    """Everybody owes only to parties later in this list, and nobody who owes holds anything."""

    parties: list[str]


class Prices(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="prices"):
    """Prices of accounts under which no set is worth more than the bound (kb: `net.bound`)."""

    prices: list[tuple[str, str, str]]
    """Party, asset and price, a fraction as text; an account without a line has the price 0."""
    bound: str


class AllTried(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="all_tried"):
    """Every set was tried; a reader can do it again."""

    sets: int


class Residual(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="residual"):
    """Potentials of parties: no leg with room left has a positive reduced weight."""

    potentials: list[tuple[str, int]]


class SolverWord(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="solver"):
    """A solver says so. The prices prove a bound that is near, not equal."""

    name: str
    version: str
    prices: list[tuple[str, str, str]]
    bound: str


Proof = Elimination | Order | Prices | AllTried | Residual | SolverWord


class NetAnswer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The best set of legs that settles at the same time, or the proof that none does."""

    status: Status
    mode: Mode
    objective: Objective
    own: str | UnsetType = UNSET
    """The party whose view this is; only with the status `own_view`."""
    settles: list[SettledLeg]
    count: int
    value: int
    alone: list[str]
    """The settled legs that could settle without the others."""
    cycles: list[Route]
    after: list[AccountAfter]
    """The accounts that the settled legs move."""
    ask: list[Ask] | UnsetType = UNSET
    """Legs that would let more settle; only with the status `own_view`."""
    bound: int | UnsetType = UNSET
    """No set is worth more; only with the status `best_found`."""
    ties_open: bool = False
    """True where the effort ended before equal sets were compared: another set with the same
    primary value may be better in the other one, or come earlier (kb: `net.objective`)."""
    proof: Proof | None
    proposal: list[str]
