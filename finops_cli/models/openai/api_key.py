"""The key that a server asks for: from the environment or a file, never from the command line.

It goes into one header. It is taken out of whatever a server sends back, so that no line, message
or capture can hold it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from finops_cli.errors import UsageError

VARIABLE = "FINOPS_API_KEY"
CURE = f"set {VARIABLE}, or give a file with the key: --api-key-file FILE"
_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO
_LONGEST_BYTES = 16_384
_SHORTEST_SCRUBBED = 4
"""A shorter key is a placeholder; words that happen to hold it would be damaged."""
_SCRUBBED = "[api key]"
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else found[2]


class ApiKey:
    """A key that cannot be printed by accident. An empty one counts as missing."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def __repr__(self) -> str:
        return "ApiKey(...)" if self._text else "ApiKey()"

    def __bool__(self) -> bool:
        return bool(self._text)

    def headers(self) -> dict[str, str]:
        """Return the headers of a request."""
        return {"Authorization": f"Bearer {self._text}"} if self._text else {}

    def scrub(self, text: str) -> str:
        """Return `text` without the key."""
        if len(self._text) < _SHORTEST_SCRUBBED:
            return text
        clean = text.replace(self._text, _SCRUBBED)
        return _SCRUBBED if self._text in _ESCAPE.sub(_unescape, clean) else clean


def read_api_key(file: Path | None) -> ApiKey:
    """Return the key of `file`, else of FINOPS_API_KEY, else no key.

    Raises UsageError for a file that others may read, and for a text that is not a key. No message
    holds any part of the text.
    """
    if file is None:
        return _checked(os.environ.get(VARIABLE, ""), VARIABLE)
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"--api-key-file {file}: not a regular file", "give a file")
            if os.name == "posix" and stat.S_IMODE(mode) & _OTHERS_MAY_READ:
                raise UsageError(
                    f"--api-key-file {file}: other users may read it (mode"
                    f" {stat.S_IMODE(mode):04o}). Expected 0600.",
                    f"chmod 600 {file}",
                )
            content = opened.read(_LONGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"--api-key-file {file}: {error.strerror}", "give a file that you can read"
        ) from error
    key = _checked(content.decode("utf-8", "replace"), f"--api-key-file {file}")
    if not key:
        raise UsageError(f"--api-key-file {file}: the file is empty", "write the key into it")
    return key


def _checked(text: str, place: str) -> ApiKey:
    key = text.strip()
    if len(key) > _LONGEST_BYTES or not all("!" <= character <= "~" for character in key):
        raise UsageError(
            f"{place}: not a key. Expected at most {_LONGEST_BYTES:,} printable ASCII characters"
            " without blanks.",
            "give the key alone, on one line",
        )
    return ApiKey(key)
