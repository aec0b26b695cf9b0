"""The knowledge base as typed books, one a chapter, that the rules take as argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from finops_cli.domain import enums as words
from finops_cli.kb.compiler import Compiler


@dataclass(frozen=True, eq=False, slots=True)
class HandoffRules:
    """How card 1's words become card 2's (kb: `handoff.*`)."""

    lifecycle: Mapping[str, words.HandoffLifecycleState]
    new_max_days: int
    escalation: Mapping[str, words.HandoffEscalationLevel]
    flags: Mapping[str, str]
    large_position_min_shares: int


def compile_handoff(c: Compiler) -> HandoffRules:
    return HandoffRules(
        lifecycle=cast(
            Mapping[str, words.HandoffLifecycleState],
            c.texts(
                "handoff.lifecycle", get_args(words.LifecycleState), words.HandoffLifecycleState
            ),
        ),
        new_max_days=c.whole("handoff.new_max_days"),
        escalation=cast(
            Mapping[str, words.HandoffEscalationLevel],
            c.texts(
                "handoff.escalation", get_args(words.EscalationLevel), words.HandoffEscalationLevel
            ),
        ),
        flags=c.texts("handoff.flags", get_args(words.Flag)),
        large_position_min_shares=c.whole("handoff.large_position_min_shares"),
    )
