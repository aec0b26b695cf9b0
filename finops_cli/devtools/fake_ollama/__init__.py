"""A fake Ollama server: it speaks the HTTP protocol truly and answers with the rules of
the desk.

For tests, which script how it answers and fails, and for trying the pipeline with no model: `python
-m finops_cli.devtools.fake_ollama`. What Ollama does was read from its sources, at about v0.33.
"""

from finops_cli.devtools.fake_ollama.behaviours import (
    BadRequest,
    Behaviour,
    Busy,
    Changed,
    CorrectAnswer,
    Crash,
    Drip,
    ErrorLine,
    FixedText,
    Garbled,
    HalfPromptCount,
    Hang,
    Length,
    Loaded,
    NoDone,
    NotFound,
    OddStatistics,
    ReceivedRequest,
    Refused,
    Script,
    ThinkingOnly,
    TooLong,
    Torn,
    WrongStatus,
)
from finops_cli.devtools.fake_ollama.models import Model, default_models
from finops_cli.devtools.fake_ollama.server import FakeOllama
from finops_cli.weights.gguf_writer import write_gguf

__all__ = [
    "BadRequest",
    "Behaviour",
    "Busy",
    "Changed",
    "CorrectAnswer",
    "Crash",
    "Drip",
    "ErrorLine",
    "FakeOllama",
    "FixedText",
    "Garbled",
    "HalfPromptCount",
    "Hang",
    "Length",
    "Loaded",
    "Model",
    "NoDone",
    "NotFound",
    "OddStatistics",
    "ReceivedRequest",
    "Refused",
    "Script",
    "ThinkingOnly",
    "TooLong",
    "Torn",
    "WrongStatus",
    "default_models",
    "write_gguf",
]
