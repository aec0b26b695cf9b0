"""The roles of the people and programs that use the service, and what each may do."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["reader", "analyst", "operator", "auditor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
Right = Literal["see", "answer", "operate", "audit", "administer"]
"""see: read answers, rules and statistics. answer: send records and decide. operate: files, jobs,
models and the baseline. audit: read the audit log. administer: delete.
"""

RIGHTS: dict[Role, frozenset[Right]] = {
    "reader": frozenset({"see"}),
    "analyst": frozenset({"see", "answer"}),
    "operator": frozenset({"see", "answer", "operate"}),
    "auditor": frozenset({"see", "audit"}),
    "admin": frozenset(get_args(Right)),
}
