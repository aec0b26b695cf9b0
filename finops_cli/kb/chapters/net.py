"""The numbers of a net of obligations."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from finops_cli.kb.compiler import Compiler


class NetRules(Struct, frozen=True, eq=False, kw_only=True):
    """How `finops net` searches and proves (kb: `net.*`)."""

    objective: str
    """The objective without `--objective`: value or count."""
    enumerate_upto: int
    """Legs up to which every set is tried, which needs no solver."""
    enumerate_part_upto: int
    """Legs that share accounts up to which every set of them is tried, however many parts."""
    effort: int
    """Most deterministic seconds of CP-SAT for one level."""
    proof_steps: int
    """Most steps of a proof that nothing settles."""
    asks: int
    """Most legs that an own view asks for."""


def compile_net(c: Compiler) -> NetRules:
    """Compile the entries of kb/net.toml."""
    return NetRules(
        objective=c.choice("net.objective", Literal["value", "count"]),
        enumerate_upto=c.whole("net.enumerate_upto", highest=20),
        enumerate_part_upto=c.whole("net.enumerate_part_upto", highest=14),
        effort=c.whole("net.effort", highest=10_000),
        proof_steps=c.whole("net.proof_steps", highest=1_000_000),
        asks=c.whole("net.asks", highest=100_000),
    )
