"""The rules that turn a triage into the resolver's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

from msgspec import Struct

from finops_cli.domain import enums
from finops_cli.kb.compiler import Compiler


class HandoffRules(Struct, frozen=True, eq=False, kw_only=True):
    """The mapping from card 1's words to card 2's (kb: `handoff.*`)."""

    lifecycle: Mapping[str, enums.HandoffLifecycleState]
    new_max_days: int
    escalation: Mapping[str, enums.HandoffEscalationLevel]
    flags: Mapping[str, str]
    large_position_min_shares: int


def compile_handoff(c: Compiler) -> HandoffRules:
    return HandoffRules(
        lifecycle=cast(
            Mapping[str, enums.HandoffLifecycleState],
            c.texts(
                "handoff.lifecycle", get_args(enums.LifecycleState), enums.HandoffLifecycleState
            ),
        ),
        new_max_days=c.whole("handoff.new_max_days"),
        escalation=cast(
            Mapping[str, enums.HandoffEscalationLevel],
            c.texts(
                "handoff.escalation", get_args(enums.EscalationLevel), enums.HandoffEscalationLevel
            ),
        ),
        flags=c.texts("handoff.flags", get_args(enums.Flag)),
        large_position_min_shares=c.whole("handoff.large_position_min_shares"),
    )
