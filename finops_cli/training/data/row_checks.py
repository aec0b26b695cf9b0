"""Check rows and tokenizer before a model is loaded.

A faulty row is an error; rows are never cut or left out.

Four faults damage a model without an error message (issues of TRL and Unsloth):

* A row longer than `training.max_length` loses its end, so the model never learns to stop.
* A padding token that also ends answers is masked, with the same effect.
* A chat template that renders the prompt differently before an answer shifts the labels.
* A chat template that renders another prompt than inference sends trains the wrong task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from finops_cli.datasets.rows import Message, Row
from finops_cli.datasets.scratchpad.auxiliary_tasks import AuxiliaryTask
from finops_cli.errors import UsageError
from finops_cli.training.data.formats import Example
from finops_cli.training.data.lengths import render_prompt
from finops_cli.training.versions import TrainerName

IGNORED = -100
"""The label of a token that is not trained."""
_KERNELS = ("fla", "causal_conv1d")


class Encoded(NamedTuple):
    """A row in tokens."""

    input_ids: list[int]
    labels: list[int]
    """IGNORED for the prompt; the token id for the answer."""


class RowFault(NamedTuple):
    """A reason why a row cannot be trained on."""

    kind: str
    """A key of `_FIXES`."""
    row: str
    """The id of the row."""
    message: str


def encode(example: Example, tokenizer: Any, longest: int) -> Encoded | RowFault:
    """Encode an example as tokens, or return the reason why it cannot be trained on.

    `longest` is in tokens.
    """
    found = (
        _encode_auxiliary_task(example, tokenizer)
        if isinstance(example, AuxiliaryTask)
        else _encode_row(example, tokenizer)
    )
    if isinstance(found, RowFault):
        return found
    if len(found.input_ids) > longest:
        return RowFault(
            "length",
            example.id,
            f"{len(found.input_ids):,} tokens; training.max_length is {longest:,}",
        )
    if isinstance(example, AuxiliaryTask):
        return (
            found
            if found.labels.count(IGNORED) < len(found.labels)
            else RowFault("drill", example.id, "it has no token to train on")
        )
    if tokenizer.eos_token_id not in found.labels:
        return RowFault(
            "eos",
            example.id,
            f"{tokenizer.eos_token} is not trained on: the model would not learn to stop",
        )
    return found


def _encode_auxiliary_task(task: AuxiliaryTask, tokenizer: Any) -> Encoded:
    """Encode the pieces separately, so that each learned piece starts at a token."""
    ids = [(_tokenize(tokenizer, piece.text), piece.learned) for piece in task.pieces]
    labels = [token if learned else IGNORED for tokens, learned in ids for token in tokens]
    return Encoded([token for tokens, _ in ids for token in tokens], labels)


def _encode_row(row: Row, tokenizer: Any) -> Encoded | RowFault:
    thinks = row.chat_template_kwargs.enable_thinking
    prompt = render_chat(tokenizer, row.prompt, thinks, asks=True)
    whole = render_chat(tokenizer, [*row.prompt, *row.completion], thinks, asks=False)
    if any(message.role == "system" for message in row.prompt) and prompt != render_prompt(row):
        return RowFault(
            "prompt", row.id, "the chat template renders another prompt than finops sends"
        )
    if not whole.startswith(prompt):
        return RowFault(
            "prefix",
            row.id,
            "the chat template renders the prompt differently when an answer follows",
        )
    if not whole[len(prompt) :].lstrip().startswith(row.completion[0].content):
        return RowFault("answer", row.id, "the chat template changes the answer")
    asked, ids = _tokenize(tokenizer, prompt), _tokenize(tokenizer, whole)
    if ids[: len(asked)] != asked:
        return RowFault("prefix", row.id, "the prompt has other tokens when an answer follows")
    return Encoded(ids, [IGNORED] * len(asked) + ids[len(asked) :])


def render_chat(tokenizer: Any, messages: Sequence[Message], thinks: bool, asks: bool) -> str:
    """Render `messages` with the tokenizer's own chat template.

    With `asks` the text ends where the model's answer begins.
    """
    told = [{"role": message.role, "content": message.content} for message in messages]
    text: str = tokenizer.apply_chat_template(
        told, tokenize=False, add_generation_prompt=asks, enable_thinking=thinks
    )
    return text


def encode_or_raise(example: Example, tokenizer: Any, longest: int) -> Encoded:
    """Encode an example as tokens.

    Raises UsageError if it cannot be trained on.
    """
    found = encode(example, tokenizer, longest)
    if isinstance(found, RowFault):
        raise UsageError(f"row {found.row}: {found.message}; {_FIXES[found.kind]}")
    return found


def check_tokenizer(tokenizer: Any) -> list[str]:
    """Return the faults that make a tokenizer unfit for training, each with its fix."""
    faults = []
    if not tokenizer.chat_template:
        faults.append("the tokenizer has no chat template; use the base's instruct version")
    if tokenizer.eos_token_id is None:
        faults.append("the tokenizer has no token that ends an answer (eos_token)")
    if tokenizer.pad_token_id is None:
        faults.append("the tokenizer has no padding token; set base.pad_token")
    elif tokenizer.pad_token_id == tokenizer.eos_token_id:
        faults.append(
            f"the padding token is {tokenizer.eos_token}, which ends an answer and would not be"
            " trained; set base.pad_token to another token"
        )
    return faults


def check_packing(linear_attention: bool, packing: bool, trainer: TrainerName) -> str | None:
    """Return the reason why rows cannot be packed, or None.

    Layers that keep a running state carry it into the next row unless their kernels reset it.
    """
    absent = [name for name in _KERNELS if find_spec(name) is None]
    if not packing or not linear_attention or trainer == "unsloth" or not absent:
        return None
    return (
        "training.packing=true: the linear-attention layers of this base leak from one row into the"
        f" next without {' and '.join(absent)}; set training.packing=false"
    )


_FIXES = {
    "length": "raise training.max_length or generate shorter rows",
    "drill": "remove the kind from data.mix",
    "eos": "use another chat template",
    "prefix": "use another chat template",
    "prompt": "use a base with the chat template of Qwen3 or Qwen3.5",
    "answer": "use another chat template",
}


def describe_row_faults(faults: Iterable[RowFault]) -> list[str]:
    """Describe the faults in one sentence per kind: the count, the first one, the fix."""
    all_faults = list(faults)
    counted = Counter(fault.kind for fault in all_faults)
    first = {fault.kind: fault for fault in reversed(all_faults)}
    return [
        f"{number:,} row{'s' if number > 1 else ''}, the first {first[kind].row}:"
        f" {first[kind].message}; {_FIXES[kind]}"
        for kind, number in counted.items()
    ]


def _tokenize(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids
