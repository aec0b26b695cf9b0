"""The one renderer of prompts: what training sees and what inference sends, byte for byte.

ChatML as Qwen3 and Qwen3.5 use it. What the system turn says, and whether the model reasons before
it answers, follows from the Modelfile that it is made for (`models.bundled`). Triage answers at
once: its prompt ends in an empty think block; `enable_thinking` is false for whoever renders the
messages with the own template of a model. The resolver reasons first: its prompt ends where it
answers.
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

CASE_HEADING = "Resolve this fail:"
EMPTY_THINK = "<think>\n\n</think>\n\n"
_CONTROL = re.compile(r"<(?=\|[a-zA-Z_]+\|>|/?think>|/?tool_|/?s>|\|)", re.IGNORECASE)
"""The opening bracket of anything that the tokenizers of the models read as control: `<|im_end|>`,
`<think>`, `</think>` ...
"""


class Conversation(NamedTuple):
    """The turns before the answer."""

    system: str
    user: str
    thinks: bool
    """True when the model reasons before it answers (`enable_thinking`)."""

    @property
    def text(self) -> str:
        """The prompt as it is tokenised."""
        opening = "" if self.thinks else EMPTY_THINK
        return f"{_beginning(self.system)}{self.user}<|im_end|>\n<|im_start|>assistant\n{opening}"


def triage_prompt(fail: FailRecord, modelfile: str = "triage") -> Conversation:
    """The prompt of stage 1: the text form of the record."""
    return _build_conversation(modelfile, text_form.render(fail))


def resolver_prompt(case: ResolverInput, modelfile: str = "resolver") -> Conversation:
    """The prompt of stage 2: the resolver input as compact JSON, without `fail_id`, which only
    names an output line.
    """
    return _build_conversation(modelfile, f"{CASE_HEADING}\n{case_json(case)}")


def _build_conversation(modelfile: str, user: str) -> Conversation:
    return Conversation(system_prompt(modelfile), neutralise(user), _read(modelfile).thinks)


def sentiment_prompt(text: str) -> str:
    """The user turn of the third model: Mistral has no system turn, so the instruction opens it."""
    return f"{system_prompt('sentiment')}\n\n{neutralise(text)}"


def case_json(case: ResolverInput) -> str:
    """`case` as compact JSON in card 2's field order; optional fields only where they are given."""
    fields: dict[str, object] = {name: getattr(case, name) for name in _CARD_2_FIELDS}
    fields |= {
        name: value for name in _OPTIONAL_FIELDS if (value := getattr(case, name)) is not None
    }
    return exact_json.encode(fields).decode()


_CARD_2_FIELDS = ("triage", "cusip", "ftd_qty", "inventory", "ftrs", "related_fails")
_OPTIONAL_FIELDS = ("age_days", "corporate_action")


def common_prefix(modelfile: str) -> str:
    """How every prompt by a Modelfile begins: the system turn, and the header of the user's."""
    return _beginning(system_prompt(modelfile))


def _beginning(system: str) -> str:
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"


def system_prompt(modelfile: str) -> str:
    """The system prompt of `modelfiles/<modelfile>.Modelfile`.

    Raises UsageError when the file has none.
    """
    return _read(modelfile).prompt


_read = cache(bundled.modelfile)


@cache
def prompt_sha256(modelfile: str) -> str:
    """Digest what a prompt is made with: system prompt and layout.

    It goes into the provenance of every record.
    """
    return hashlib.sha256(_build_conversation(modelfile, "").text.encode()).hexdigest()


def prompts_sha256(modelfiles: Iterable[str]) -> str:
    """One digest of what the prompts of a run are made with: that of one Modelfile, or of the
    digests of several put together.
    """
    each = [prompt_sha256(modelfile) for modelfile in modelfiles]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def neutralise(text: str) -> str:
    """`text` in which nothing is a control token: a blank behind the bracket breaks each of them
    and leaves it readable.

    It is composed (NFC) first: the tokenizers that the models are trained with do that, llama.cpp
    does not.
    """
    return _CONTROL.sub("< ", unicodedata.normalize("NFC", text))
