"""The result of one check of `finops doctor`, with the fix if it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from finops_cli.errors import FinopsError

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.models.backend_request import BackendRequest

State = Literal["ok", "poor", "absent", "broken"]
"""The result of a check.

poor: works with a limitation. absent: optional and missing. broken: requested, but does not work.
"""


class Diagnosis(Struct, frozen=True):
    what: str
    state: State
    detail: str
    cure: str | None = None


LiveTest = Callable[["BackendRequest", "KnowledgeBase"], Iterator[Diagnosis]]
"""Load the models of a request and process one record."""


def diagnose_error(
    what: str, error: FinopsError, state: State, cure: str | None = None
) -> Diagnosis:
    """Turn what stopped a check into a diagnosis; `cure` where the error has none of its own."""
    return Diagnosis(what, state, str(error), error.cure or cure)
