"""A stand-in for an Ollama server: it speaks the HTTP protocol truly and answers with the rules of
the desk.

For tests, which script how it answers and fails, and for trying the pipeline with no model:
`python -m finops_cli.devtools.standin`. What Ollama does was read from its sources, at about v0.33.
"""

from finops_cli.devtools.standin.behaviours import (
    BadRequest,
    Behaviour,
    Busy,
    Changed,
    Crash,
    Drip,
    ErrorLine,
    Garbled,
    HalfPromptCount,
    Hang,
    Heard,
    Length,
    Loaded,
    NoDone,
    NotFound,
    Refused,
    Right,
    Say,
    Script,
    TooLong,
    Torn,
    WrongStatus,
)
from finops_cli.devtools.standin.models import Model, default_models
from finops_cli.devtools.standin.server import StandIn
from finops_cli.models.gguf import write_gguf

__all__ = [
    "BadRequest",
    "Behaviour",
    "Busy",
    "Changed",
    "Crash",
    "Drip",
    "ErrorLine",
    "Garbled",
    "HalfPromptCount",
    "Hang",
    "Heard",
    "Length",
    "Loaded",
    "Model",
    "NoDone",
    "NotFound",
    "Refused",
    "Right",
    "Say",
    "Script",
    "StandIn",
    "TooLong",
    "Torn",
    "WrongStatus",
    "default_models",
    "write_gguf",
]
