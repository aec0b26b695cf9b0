"""Looked at before a model is loaded: what training data loses without a word. A row that fails is
an error, never cut and never left out.

What can go wrong, and did elsewhere (issues of TRL and Unsloth): a row that is longer than the
model is trained on loses its end, so that answers never stop; a padding token that is the one that
ends an answer is masked, with the same effect; a chat template that renders the prompt otherwise
with an answer behind it shifts what is trained; one that renders another prompt than inference
sends trains for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from finops_cli.datasets.rows import Message, Row
from finops_cli.datasets.scratchpad.drills import Drill
from finops_cli.errors import UsageError
from finops_cli.training.data.formats import Example
from finops_cli.training.data.lengths import prompt_text
from finops_cli.training.versions import TrainerName

IGNORED = -100
"""The label of a token that is not trained."""
_KERNELS = ("fla", "causal_conv1d")


class Encoded(NamedTuple):
    """A row in tokens; `labels` is IGNORED where the prompt is."""

    input_ids: list[int]
    labels: list[int]


class Fault(NamedTuple):
    """What is wrong with a row, by its kind (`length`, `drill`, `eos`, `prefix`, `prompt`,
    `answer`).
    """

    kind: str
    row: str
    message: str


def encode(example: Example, tokenizer: Any, longest: int) -> Encoded | Fault:
    """An example in tokens as it is trained, or why it must not be. `longest` in tokens."""
    found = (
        _drilled(example, tokenizer)
        if isinstance(example, Drill)
        else _conversed(example, tokenizer)
    )
    if isinstance(found, Fault):
        return found
    if len(found.input_ids) > longest:
        return Fault(
            "length",
            example.id,
            f"{len(found.input_ids):,} tokens; training.max_length is {longest:,}",
        )
    if isinstance(example, Drill):
        return (
            found
            if found.labels.count(IGNORED) < len(found.labels)
            else Fault("drill", example.id, "none of its tokens is trained")
        )
    if tokenizer.eos_token_id not in found.labels:
        return Fault(
            "eos",
            example.id,
            f"{tokenizer.eos_token} is not among the trained tokens: answers would not end",
        )
    return found


def _drilled(drill: Drill, tokenizer: Any) -> Encoded:
    """Piece by piece: what a model says itself is cut where it begins to say it."""
    ids = [(_ids(tokenizer, piece.text), piece.learned) for piece in drill.pieces]
    labels = [token if learned else IGNORED for tokens, learned in ids for token in tokens]
    return Encoded([token for tokens, _ in ids for token in tokens], labels)


def _conversed(row: Row, tokenizer: Any) -> Encoded | Fault:
    thinks = row.chat_template_kwargs.enable_thinking
    prompt = rendered(tokenizer, row.prompt, thinks, asks=True)
    whole = rendered(tokenizer, [*row.prompt, *row.completion], thinks, asks=False)
    if any(message.role == "system" for message in row.prompt) and prompt != prompt_text(row):
        return Fault(
            "prompt", row.id, "the chat template renders another prompt than inference sends"
        )
    if not whole.startswith(prompt):
        return Fault(
            "prefix",
            row.id,
            "the chat template renders the prompt otherwise when an answer follows",
        )
    if not whole[len(prompt) :].lstrip().startswith(row.completion[0].content):
        return Fault("answer", row.id, "the chat template changes the answer")
    asked, ids = _ids(tokenizer, prompt), _ids(tokenizer, whole)
    if ids[: len(asked)] != asked:
        return Fault("prefix", row.id, "the tokens of the prompt are others when an answer follows")
    return Encoded(ids, [IGNORED] * len(asked) + ids[len(asked) :])


def rendered(tokenizer: Any, messages: Sequence[Message], thinks: bool, asks: bool) -> str:
    """`messages` by the tokenizer's own chat template; `asks`: up to where the model begins to
    answer.
    """
    told = [{"role": message.role, "content": message.content} for message in messages]
    text: str = tokenizer.apply_chat_template(
        told, tokenize=False, add_generation_prompt=asks, enable_thinking=thinks
    )
    return text


def encoded_or_refused(example: Example, tokenizer: Any, longest: int) -> Encoded:
    """An example in tokens. Raises UsageError when it must not be trained."""
    found = encode(example, tokenizer, longest)
    if isinstance(found, Fault):
        raise UsageError(f"row {found.row}: {found.message}", _CURES[found.kind])
    return found


def tokenizer_faults(tokenizer: Any) -> list[str]:
    """What makes a tokenizer unfit for training, each with its cure."""
    wrong = {
        "the tokenizer has no chat template; take the base's instruct version": (
            not tokenizer.chat_template
        ),
        "the tokenizer names no token that ends an answer (eos_token)": (
            tokenizer.eos_token_id is None
        ),
        "the tokenizer names no padding token; set base.pad_token": tokenizer.pad_token_id is None,
        f"the padding token is {tokenizer.eos_token}, which ends an answer: it would not be"
        f" trained; set base.pad_token to another one": (
            tokenizer.pad_token_id is not None and tokenizer.pad_token_id == tokenizer.eos_token_id
        ),
    }
    return [text for text, holds in wrong.items() if holds]


def packing_fault(linear_attention: bool, packing: bool, trainer: TrainerName) -> str | None:
    """Why rows must not be packed: layers that keep a running state carry it from one row into the
    next unless their kernels reset it.
    """
    absent = [name for name in _KERNELS if find_spec(name) is None]
    if not packing or not linear_attention or trainer == "unsloth" or not absent:
        return None
    return (
        "training.packing=true: the linear-attention layers of this base would leak from one row"
        f" into the next without {' and '.join(absent)}; set training.packing=false"
    )


_CURES = {
    "length": "raise training.max_length or generate shorter rows",
    "drill": "take the kind out of data.mix",
    "eos": "take another chat template",
    "prefix": "take another chat template",
    "prompt": "take a base whose template is that of Qwen3 or Qwen3.5",
    "answer": "take another chat template",
}


def row_faults(faults: Iterable[Fault]) -> list[str]:
    """Faults as sentences, one a kind: how many, the first of them, the cure."""
    all_faults = list(faults)
    counted = Counter(fault.kind for fault in all_faults)
    first = {fault.kind: fault for fault in reversed(all_faults)}
    return [
        f"{number:,} row{'s' if number > 1 else ''}, the first {first[kind].row}:"
        f" {first[kind].message}; {_CURES[kind]}"
        for kind, number in counted.items()
    ]


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids
