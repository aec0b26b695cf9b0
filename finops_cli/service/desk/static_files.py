"""The style sheet, the scripts and the picture of the desk, each under a name with its digest.

They are read once. A browser keeps them for ever: a file that changes has another name.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from finops_cli.service.problems import not_found
from finops_cli.service.routes import NamedRoute

FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_DIGEST_CHARACTERS = 12
_KEPT = "public, max-age=31536000, immutable"
_FOLDER_URL = "/static/"


class StaticFile(NamedTuple):
    """A file that browsers keep."""

    url: str
    content: bytes
    media_type: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Return each file by its name without the digest."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix not in _MEDIA_TYPES:
            continue
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]
        url = f"{_FOLDER_URL}{path.stem}.{digest}{path.suffix}"
        found[path.name] = StaticFile(url, content, _MEDIA_TYPES[path.suffix])
    return found


def static_url(name: str) -> str:
    """Return the path of a static file. Raises KeyError for a file that does not exist."""
    return static_files()[name].url


@cache
def _by_url() -> dict[str, StaticFile]:
    return {file.url: file for file in static_files().values()}


async def _answer(request: Request) -> Response:
    """Send a static file. Raises ServiceError 404."""
    file = _by_url().get(_FOLDER_URL + request.path_params["name"])
    if file is None:
        raise not_found("this static file")
    headers = {"Cache-Control": _KEPT}
    return Response(file.content, headers=headers, media_type=file.media_type)


def list_static_routes() -> list[NamedRoute]:
    """Return the route of the static files."""
    return [NamedRoute("/static/{name:path}", _answer)]
