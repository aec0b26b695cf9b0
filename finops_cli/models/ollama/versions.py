"""The features of Ollama that finops uses, by version, and the oldest supported version."""

from __future__ import annotations

import re
from typing import NamedTuple

from finops_cli.errors import MissingPiece

Version = tuple[int, int, int]

FROM_SOURCE: Version = (0, 0, 0)
"""The version that a server built from source reports."""

_VERSION = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?:[-+].*)?", re.DOTALL)


class Gate(NamedTuple):
    """A feature that servers older than `since` lack."""

    since: Version
    what: str
    required: bool = False
    """finops does not work without it."""

    @property
    def version(self) -> str:
        return ".".join(map(str, self.since))


GATES = (
    Gate((0, 12, 0), "RENDERER and PARSER of a Modelfile"),
    Gate((0, 12, 11), "log probabilities of the answers"),
    Gate((0, 14, 0), "REQUIRES of a Modelfile"),
    Gate(
        (0, 17, 1), "models of the architecture qwen35, the published triage model", required=True
    ),
    Gate(
        (0, 30, 0),
        "GGUF models in llama-server, which requests with raw prompts and shift:false need",
        required=True,
    ),
    Gate((0, 30, 9), "a clear error for a prompt longer than the context"),
    Gate((0, 31, 2), "the JSON schema with thinking off in chat mode"),
    Gate((0, 32, 10), "a repeat_penalty of 1.0 where none is given: 1.1 damages JSON"),
    Gate((0, 32, 15), "recovery of a model whose output parser failed (ollama #17883)"),
)
"""The gates, oldest first.

A guard against repeated tokens (ollama #18374) came after the last one, in an unknown version.
"""

OLDEST = max((gate for gate in GATES if gate.required), key=lambda gate: gate.since)


def parse_version(text: str) -> Version | None:
    """Parse `0.33.0`, `v0.33.0` or `0.33.0-rc1`; None for anything else."""
    found = _VERSION.fullmatch(text.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def known(version: str) -> bool:
    """Return true if `version` gives the age of the server.

    `0.0.0` (a build from source) and other texts do not.
    """
    return parse_version(version) not in (None, FROM_SOURCE)


def gates(version: str) -> list[Gate]:
    """List the features that a server of this version lacks; empty if its age is unknown."""
    numbers = parse_version(version)
    if numbers is None or numbers == FROM_SOURCE:
        return []
    return [gate for gate in GATES if numbers < gate.since]


def refuse_too_old(version: str) -> None:
    """Raise MissingPiece for a version that lacks a required feature.

    A version of unknown age is accepted; see `known`.
    """
    lacking = [gate for gate in gates(version) if gate.required]
    if lacking:
        reason = "; ".join(gate.what for gate in lacking)
        raise MissingPiece(
            f"Ollama {version} is too old; it lacks: {reason}",
            f"install Ollama {OLDEST.version} or newer (https://ollama.com/download) and start it"
            " with `ollama serve`",
        )
