"""A fake server of OpenAI's API, as vLLM, SGLang, llama-server and llama-cpp-python speak it.

It answers with the rules of the desk, or fails as a script says. For tests, and for trying
`--backend openai` with no model: `python -m finops_cli.devtools.fake_openai`.
"""

from finops_cli.devtools.fake_openai.behaviours import (
    Behaviour,
    Changed,
    CorrectAnswer,
    ErrorEvent,
    Finish,
    FixedText,
    Garbled,
    HalfPromptCount,
    Hang,
    Huge,
    Interrupted,
    NoFinish,
    OddUsage,
    ReasoningOnly,
    Script,
    Status,
    Torn,
    Whole,
    WithLogprobs,
)
from finops_cli.devtools.fake_openai.kinds import KINDS, ReceivedRequest
from finops_cli.devtools.fake_openai.server import FakeOpenAI

__all__ = [
    "KINDS",
    "Behaviour",
    "Changed",
    "CorrectAnswer",
    "ErrorEvent",
    "FakeOpenAI",
    "Finish",
    "FixedText",
    "Garbled",
    "HalfPromptCount",
    "Hang",
    "Huge",
    "Interrupted",
    "NoFinish",
    "OddUsage",
    "ReasoningOnly",
    "ReceivedRequest",
    "Script",
    "Status",
    "Torn",
    "Whole",
    "WithLogprobs",
]
