"""A row of the table of routes, and the short ways to write one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

LINES = "application/jsonl"
Shape = Literal["object", "list", "one or many"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the table: a route, what it takes, and what it answers."""

    method: str
    path: str
    summary: str
    takes: str | None = None
    """The schema of a record in the body; None: no body."""
    gives: str | None = None
    """The schema of an answer; None: any object."""
    streams: bool = False
    """The route takes JSON Lines too."""
    shape: Shape = "one or many"
    """The shape of a body or an answer: an object, a list, or either."""
    gives_list: bool = False
    """The answer is a list, whatever `shape` says of the body."""
    status: int = 200
    takes_file: bool = False
    """The body is a file."""
    gives_media: str | None = None
    """The media types of an answer that is not JSON; `none` for an answer without a body."""
    parameters: tuple[dict[str, Any], ...] = ()
    errors: tuple[int, ...] = ()
    """Errors beside 401, 403, 421, 429 and 503, which every route may have."""
    is_open: bool = False
    """The route needs no token."""

    @property
    def has_body(self) -> bool:
        """Return true if the route takes JSON."""
        is_written = self.method in ("post", "put")
        return is_written and (self.takes is not None or self.shape == "one or many")


def parameter(name: str, text: str, schema: dict[str, Any], place: str = "query") -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "description": text,
        "schema": schema,
        "required": place == "path",
    }


SWITCH = {"type": "boolean", "default": False}
WORD = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}


def shows(path: str, summary: str, **more: Any) -> Operation:
    """Describe a route that shows something."""
    return Operation(method="get", path=path, summary=summary, **{"shape": "object", **more})


def acts(method: str, path: str, summary: str, **more: Any) -> Operation:
    """Describe a route that does something."""
    return Operation(method=method, path=path, summary=summary, **{"shape": "object", **more})


def id_of(of: str) -> dict[str, Any]:
    return parameter("id", f"The id of the {of}.", WORD, "path")


KEY = parameter(
    "Idempotency-Key",
    "Makes a request that is sent again be done once.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "header",
)
