"""What the doctor says of one thing. Each finding that is not well names its cure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

State = Literal["ok", "poor", "absent", "broken"]
"""poor: works, but not as it should. absent: optional and not there. broken: what was asked for
cannot work.
"""


class Diagnosis(Struct, frozen=True):
    what: str
    state: State
    detail: str
    cure: str | None = None
