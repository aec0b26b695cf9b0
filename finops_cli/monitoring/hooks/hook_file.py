"""The file of hooks (TOML): commands and webhooks of this machine, and their events."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from finops_cli.errors import UsageError
from finops_cli.files.settings_text import decode_settings, parse_toml, read_settings
from finops_cli.files.user_files import UserFileModel, validate
from finops_cli.monitoring.events import EVENT_NAMES, EventName

_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO
_SECRET_CHARS = 16
_LOOPBACK = "http://127.0.0.1:PORT/PATH, http://localhost:PORT/PATH or http://[::1]:PORT/PATH"


class Hook(UserFileModel):
    """One hook: a command or a webhook."""

    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    """A program and its arguments, without a shell. It gets the event as JSON on stdin."""
    url: str | None = None
    """A webhook on this machine. It gets the event as the body of a POST."""
    secret: str | None = Field(default=None, min_length=_SECRET_CHARS)
    """Signs the body of a webhook: HMAC-SHA-256 in `X-Finops-Signature`."""
    events: tuple[EventName, ...] = EVENT_NAMES
    """The events that it gets (default: all)."""

    @field_validator("command")
    @classmethod
    def _refuse_no_program(cls, command: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if command is not None and not Path(command[0]).is_absolute():
            raise ValueError("a program with its whole path, such as /usr/local/bin/page-desk")
        return command

    @field_validator("url")
    @classmethod
    def _refuse_other_machines(cls, url: str | None) -> str | None:
        if url is not None and not is_loopback(url):
            raise ValueError(f"{_LOOPBACK}: nothing leaves this machine")
        return url

    @model_validator(mode="after")
    def _require_one(self) -> Hook:
        if (self.command is None) == (self.url is None):
            raise ValueError("either command or url in each hook")
        if self.secret is not None and self.url is None:
            raise ValueError("secret beside url only: a command is not signed")
        return self

    @property
    def name(self) -> str:
        """Return the name of the hook in messages and in the outbox."""
        return self.url or " ".join(self.command or ())


class HookFile(UserFileModel):
    """The hooks of a file."""

    hook: tuple[Hook, ...]

    @field_validator("hook")
    @classmethod
    def _refuse_none(cls, hook: tuple[Hook, ...]) -> tuple[Hook, ...]:
        if not hook:
            raise ValueError("at least one hook")
        return hook


def is_loopback(url: str) -> bool:
    """Return true for an http address of this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme != "http" or not host or port == 0 or parts.username is not None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_hooks(path: Path) -> tuple[Hook, ...]:
    """Read the hooks of a file. Raises UsageError that lists every fault.

    A file with a secret is refused where other users of the machine may read it.
    """
    given = _parse(path, decode_settings(path, read_settings(path)))
    hooks = validate(HookFile, given, f"--hooks {path}").hook
    if any(hook.secret for hook in hooks) and path.stat().st_mode & _OTHERS_MAY_READ:
        raise UsageError(
            f"--hooks {path}: holds a secret, and other users of the machine may read it",
            f"chmod 600 {path}",
        )
    return hooks


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:
        raise UsageError(
            f"--hooks {path}: is not TOML: {error}",
            'write [[hook]], and below it command = ["/PATH/PROGRAM"] or url = "http://..."',
        ) from error
