"""Render prompts. Training and inference use the same bytes.

The format is ChatML, as in Qwen3 and Qwen3.5. The Modelfile that a model was trained for
(`models.bundled`) gives the system message, and says if the model reasons before it answers. Triage
answers at once: its prompt ends with an empty think block, and `enable_thinking` is false for the
model's own template. The resolver reasons first: its prompt ends where its text begins.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from finops_cli.domain import exact_json, text_form
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import ResolverInput
from finops_cli.models import bundled

CASE_HEADING = text_form.CASE_HEADING
EMPTY_THINK = "<think>\n\n</think>\n\n"
_CONTROL = re.compile(
    r"<(?=[|\uff5c]|/?\w{1,40}\|?>|/?tool_|(?i:start|end)_of_)"
    r"|\[(?=\||(?i:/?inst|gmask)\]"
    r"|/?(?:TOOL_[A-Z]+|AVAILABLE_TOOLS|SYSTEM_PROMPT|THINK|BOS|EOS|CLS|SEP|PAD|UNK|MASK)\])"
)
"""The opening bracket of every text that a tokenizer may read as a control token: `<|im_end|>`,
`<think>`, `<extra_id_1>`, `[INST]`, `[TOOL_CALLS]` ... Each family of models has its own, so all
texts of these forms count. Words in square brackets are listed, because placeholders of the guard
look alike (`[WITHHELD]`).
"""


class Conversation(NamedTuple):
    """The messages before the answer."""

    system: str
    user: str
    thinks: bool
    """The model reasons before it answers (`enable_thinking`)."""

    @property
    def text(self) -> str:
        """Return the prompt as the tokenizer gets it."""
        opening = "" if self.thinks else EMPTY_THINK
        return f"{_beginning(self.system)}{self.user}<|im_end|>\n<|im_start|>assistant\n{opening}"


def triage_prompt(fail: FailRecord, modelfile: str = "triage") -> Conversation:
    """Build the prompt of stage 1: the text form of the record."""
    return _build_conversation(modelfile, text_form.render(fail))


def resolver_prompt(case: ResolverInput, modelfile: str = "resolver") -> Conversation:
    """Build the prompt of stage 2: the case as compact JSON.

    `fail_id` is left out, because it only names an output line.
    """
    return _build_conversation(modelfile, f"{CASE_HEADING}\n{case_json(case)}")


def _build_conversation(modelfile: str, user: str) -> Conversation:
    return Conversation(system_prompt(modelfile), neutralise(user), _read(modelfile).thinks)


def sentiment_prompt(text: str) -> str:
    """Build the user message of the third model.

    Mistral has no system message, so the instruction comes first.
    """
    return f"{system_prompt('sentiment')}\n\n{neutralise(text)}"


def sentiment_text(text: str) -> str:
    """Build the whole prompt of the third model, as training renders its rows: without a system
    message.
    """
    return f"{_USER}{sentiment_prompt(text)}<|im_end|>\n{_ANSWER}"


def sentiment_prompt_sha256() -> str:
    """Compute the digest of the prompt of the third model, without a text."""
    return hashlib.sha256(sentiment_text("").encode()).hexdigest()


def sentiment_prefix() -> str:
    """Return the text that every prompt of the third model begins with."""
    return f"{_USER}{system_prompt('sentiment')}\n\n"


_USER = "<|im_start|>user\n"
_ANSWER = f"<|im_start|>assistant\n{EMPTY_THINK}"


def case_json(case: ResolverInput) -> str:
    """Encode `case` as compact JSON in the field order of the resolver's model card.

    Optional fields are present only if they are given.
    """
    fields: dict[str, object] = {name: getattr(case, name) for name in _CARD_2_FIELDS}
    fields |= {
        name: value for name in _OPTIONAL_FIELDS if (value := getattr(case, name)) is not None
    }
    return exact_json.encode(fields).decode()


_CARD_2_FIELDS = ("triage", "cusip", "ftd_qty", "inventory", "ftrs", "related_fails")
_OPTIONAL_FIELDS = ("age_days", "corporate_action")


def common_prefix(modelfile: str) -> str:
    """Return the text that every prompt of a Modelfile begins with: the system message, and the
    header of the user's.
    """
    return _beginning(system_prompt(modelfile))


def _beginning(system: str) -> str:
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"


def system_prompt(modelfile: str) -> str:
    """Return the system prompt of `modelfiles/<modelfile>.Modelfile`.

    Raises UsageError if the file has none.
    """
    return _read(modelfile).prompt


_read = cache(bundled.modelfile)


@cache
def prompt_sha256(modelfile: str) -> str:
    """Compute the digest of system prompt and layout.

    It is part of the provenance of every record.
    """
    return hashlib.sha256(_build_conversation(modelfile, "").text.encode()).hexdigest()


def prompts_sha256(modelfiles: Iterable[str]) -> str:
    """Compute one digest for the prompts of a run.

    For one Modelfile it is the digest of that prompt; for several, the digest of their digests.
    """
    each = [prompt_sha256(modelfile) for modelfile in modelfiles]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def neutralise(text: str) -> str:
    """Insert a space after opening brackets, so that `text` contains no control token.

    The text stays readable. It is composed (NFC) first: the tokenizers used in training do that,
    but llama.cpp does not.
    """
    return _CONTROL.sub(r"\g<0> ", unicodedata.normalize("NFC", text))
