"""Describe one thing that `finops doctor` checked, with the cure where it is not well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from finops_cli.errors import FinopsError

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.models.backend_request import BackendRequest

State = Literal["ok", "poor", "absent", "broken"]
"""poor: works, but not as it should. absent: optional and missing. broken: was asked for and cannot
work.
"""


class Diagnosis(Struct, frozen=True):
    what: str
    state: State
    detail: str
    cure: str | None = None


LiveTest = Callable[["BackendRequest", "KnowledgeBase"], Iterator[Diagnosis]]
"""Loads the models of a request and puts one record through them."""


def diagnose_error(
    what: str, error: FinopsError, state: State, cure: str | None = None
) -> Diagnosis:
    """Turn what stopped a check into a diagnosis; `cure` where the error has none of its own."""
    return Diagnosis(what, state, str(error), error.cure or cure)
