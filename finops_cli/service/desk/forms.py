"""Reads the forms of pages, and the local addresses that they send people back to."""

from __future__ import annotations

import hashlib
import secrets
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.requests import Request

from finops_cli.service.problems import ServiceError, wrong_value
from finops_cli.service.store.answers import Claim

_FORM = "application/x-www-form-urlencoded"
_MOST_BYTES = 1024 * 1024
_MOST_FIELDS = 2_000
_MOST_KEY = 80
_SHOWN_DIGITS = 16
_KEY_BYTES = 16


def make_form_key() -> str:
    """Return a new key for the hidden field `key` of a form."""
    return secrets.token_hex(_KEY_BYTES)


class Form:
    """The fields of a form."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Return a field without blanks around it; empty where it is missing."""
        return self._fields.get(name, [""])[0].strip()

    def texts(self, name: str) -> list[str]:
        """Return each value of a field that may be repeated."""
        return self._fields.get(name, [])

    def claim(self, who: str, *content: str) -> Claim | None:
        """Return the claim of a form that `who` sends, so that one sent twice counts once.

        The same page may be used again for another `content`, such as after the browser's button
        Back: that is another claim. None: the form carries no key.
        """
        key = self.text("key")[:_MOST_KEY]
        if not key:
            return None
        said = repr((content, sorted(self._fields.items()))).encode()
        digest = hashlib.sha256(said).hexdigest()
        return Claim(who, f"form {key} {digest[:_SHOWN_DIGITS]}", digest)

    def whole(self, name: str) -> int | None:
        """Return a whole number; None where the field is empty. Raises ServiceError 422."""
        text = self.text(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise wrong_value(name, text[:80], "a whole number")
        return int(text)


async def read_form(request: Request, most_bytes: int = _MOST_BYTES) -> Form:
    """Read a form of at most `most_bytes`. Raises ServiceError 413, 415 and 422."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise ServiceError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            f"the form has the type {media_type[:80] or '(none)'}; accepted: {_FORM}",
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise ServiceError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-large",
                f"the form has more than {most_bytes:,} bytes",
            )
    try:
        fields = parse_qs(
            body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise wrong_value(
            "the form", "unreadable", f"up to {_MOST_FIELDS:,} fields of UTF-8"
        ) from (error)
    return Form(fields)


def local_path(text: str, otherwise: str = "/") -> str:
    """Return `text` if it is a path of this service, else `otherwise`.

    A form must not send a person to another site: `//evil.example` and `/\\evil.example` are such.
    """
    is_local = text.startswith("/") and text[1:2] not in ("/", "\\")
    return text if is_local and text.isprintable() and text.isascii() else otherwise
