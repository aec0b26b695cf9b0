"""Deliver one event to a command or to a webhook of this machine (kb: `hooks.limits`)."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING

from finops_cli.domain import exact_json
from finops_cli.monitoring.events import Event

if TYPE_CHECKING:
    from finops_cli.monitoring.hooks.hook_file import Hook

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""The whole environment of a command: no secret of this process goes on."""
_SUCCESS = range(200, 300)


class Undelivered(Exception):
    """A hook could not be told of an event; the text is the reason."""


def encode_event(event: Event) -> bytes:
    """Encode an event as JSON, with exact numbers."""
    return exact_json.encode(event)


def deliverer(hook: Hook, limits: Mapping[str, int]) -> Callable[[Event], None]:
    """Return the function that tells `hook` of an event, with several tries.

    It raises Undelivered when the last try fails.
    """

    def deliver(event: Event) -> None:
        body = encode_event(event)
        for number in range(1, limits["tries"] + 1):
            try:
                if hook.command is not None:
                    run_command(hook.command, body, limits["seconds"])
                else:
                    post(hook, event, body, limits["seconds"])
                return
            except Undelivered:
                if number == limits["tries"]:
                    raise
                sleep(limits["pause_seconds"])

    return deliver


def run_command(command: tuple[str, ...], body: bytes, seconds: float) -> None:
    """Run a command with `body` on stdin. After `seconds` its process group is killed."""
    try:
        child = subprocess.Popen(  # noqa: S603 - the user's own program, without a shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Undelivered(f"cannot be started: {error.strerror}") from error
    try:
        child.communicate(body, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Undelivered(f"did not end within {seconds:g} s and was killed") from None
    finally:
        with suppress(ProcessLookupError):  # what it started may live longer than itself
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.returncode:
        raise Undelivered(f"ended with status {child.returncode}")


def post(hook: Hook, event: Event, body: bytes, seconds: float) -> None:
    """Post `body` to a webhook: no proxy, no redirect, and a signature where it has a secret."""
    import httpx

    headers = {"content-type": "application/json", "x-finops-event": event.event}
    if hook.secret is not None:
        headers["x-finops-signature"] = f"sha256={sign(hook.secret, body)}"
    try:
        with httpx.Client(trust_env=False, follow_redirects=False, timeout=seconds) as client:
            status = client.post(hook.url or "", content=body, headers=headers).status_code
    except httpx.HTTPError as error:
        raise Undelivered(f"cannot be reached: {error or type(error).__name__}") from error
    if status not in _SUCCESS:
        raise Undelivered(f"answered {status}")


def sign(secret: str, body: bytes) -> str:
    """Return the HMAC-SHA-256 of `body`, in hexadecimal."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
