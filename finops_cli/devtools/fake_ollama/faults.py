"""The script of the command: mostly right answers, some wrong, some failing, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from finops_cli.devtools.fake_ollama import behaviours
from finops_cli.devtools.fake_ollama.behaviours import (
    Behaviour,
    Changed,
    CorrectAnswer,
    ReceivedRequest,
    Script,
)
from finops_cli.errors import UsageError

FAULTS: dict[str, Callable[[], Behaviour]] = {
    "torn": behaviours.Torn,
    "no-done": behaviours.NoDone,
    "busy": behaviours.Busy,
    "crash": behaviours.Crash,
    "error-line": behaviours.ErrorLine,
    "half-prompt-count": behaviours.HalfPromptCount,
    "hang": behaviours.Hang,
    "drip": lambda: behaviours.Drip(0.2),
    "endless": lambda: behaviours.Drip(0.05, endless=True),
    "garbled": behaviours.Garbled,
    "length": behaviours.Length,
    "loaded": behaviours.Loaded,
    "too-long": behaviours.TooLong,
    "not-found": behaviours.NotFound,
    "bad-request": lambda: behaviours.BadRequest("the fake Ollama refuses, as its script asks"),
    "refused": behaviours.Refused,
    "prose": lambda: behaviours.FixedText("Sure! Here is the JSON you asked for."),
    "bad-gateway": lambda: behaviours.WrongStatus(502, "<html><h1>502 Bad Gateway</h1></html>"),
}
"""The faults that `--fault` can name."""
_WRONG_FIELDS = ("priority_score", "total_coverable")
_MOST_OFF = 9


def faulty(shares: Mapping[str, float], wrong: float, seed: int) -> Script:
    """Make a script that fails and errs in these proportions of all requests.

    The answer to a request depends on seed, prompt and attempt, not on the order of arrival, so
    runs with many clients can be repeated. Raises UsageError for an unknown name or an impossible
    proportion.
    """
    unknown = [name for name in shares if name not in FAULTS]
    if unknown:
        raise UsageError(f"--fault {unknown[0]}: none of {', '.join(FAULTS)}")
    if any(share < 0 for share in (*shares.values(), wrong)) or sum(shares.values()) + wrong > 1:
        raise UsageError(
            "--fault and --wrong: shares from 0 to 1 are expected, and no more than 1 together"
        )

    def script(request: ReceivedRequest) -> Behaviour:
        draw = random.Random(f"{seed}:{request.attempt}:{request.prompt}")  # noqa: S311 -- seeded on purpose
        place = draw.random()
        for name, share in shares.items():
            if place < share:
                return FAULTS[name]()
            place -= share
        return _wrong(draw) if place < wrong else CorrectAnswer()

    return script


def _wrong(draw: random.Random) -> Behaviour:
    off = draw.randint(1, _MOST_OFF)

    def change(answer: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value + off if name in _WRONG_FIELDS else value for name, value in answer.items()
        }

    return Changed(change)
