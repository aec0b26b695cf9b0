"""The rules between keys of a training recipe, as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from finops_cli.training.recipe_schema import Settings


class Rule(NamedTuple):
    """A rule that a recipe may break."""

    keys: tuple[str, ...]
    """The keys that contradict each other. A section means every key in it."""
    text: str
    """The rule as a sentence that says how to keep it."""
    is_broken: Callable[[Settings], bool]


def broken_rules(settings: Settings) -> list[Rule]:
    """Return every rule that `settings` break, in the order of the table."""
    return [rule for rule in RULES if rule.is_broken(settings)]


def _has_two_bases(settings: Settings) -> bool:
    return settings.base.folder is not None and settings.base.scratch is not None


def _has_not_one_tokenizer(settings: Settings) -> bool:
    base = settings.base
    return base.scratch is not None and (base.tokenizer is None) == (base.vocabulary is None)


def _has_uneven_heads(settings: Settings) -> bool:
    scratch = settings.base.scratch
    return scratch is not None and scratch.heads % scratch.kv_heads != 0


def _has_odd_head_dim(settings: Settings) -> bool:
    scratch = settings.base.scratch
    return scratch is not None and scratch.head_dim % 2 != 0


def _has_two_starts(settings: Settings) -> bool:
    scratch = settings.base.scratch
    return scratch is not None and scratch.start is not None and scratch.weights is not None


def _adapts_random_weights(settings: Settings) -> bool:
    return settings.base.scratch is not None and settings.adapter.method == "lora"


def _trains_four_bits(settings: Settings) -> bool:
    return settings.base.quantization == "nf4" and settings.adapter.method == "full"


def _has_half_of_muon(settings: Settings) -> bool:
    return (settings.training.optimizer == "muon") != (settings.training.muon is not None)


def _adapts_with_muon(settings: Settings) -> bool:
    return settings.training.optimizer == "muon" and settings.adapter.method == "lora"


def _has_half_of_a_schedule(settings: Settings) -> bool:
    training = settings.training
    return (training.scheduler == "warmup_stable_decay") != (training.hold is not None)


def _cuts_batches_by_tokens_elsewhere(settings: Settings) -> bool:
    data, training = settings.data, settings.training
    wanted = ("stream", 1, 0)
    return training.tokens is not None and (data.source, training.batch, training.workers) != wanted


def _mixes_without_tokens(settings: Settings) -> bool:
    return settings.data.mix is not None and settings.training.tokens is None


def _has_a_stream_without_end(settings: Settings) -> bool:
    return settings.data.source == "stream" and settings.training.max_steps is None


def _formats_a_file(settings: Settings) -> bool:
    return settings.data.source == "file" and settings.data.format != "card"


def _packs_a_stream(settings: Settings) -> bool:
    return settings.data.source == "stream" and settings.training.packing


RULES = (
    Rule(
        ("base.folder", "base.scratch"),
        "base.folder (a model that exists) and base.scratch (random weights) exclude each other",
        _has_two_bases,
    ),
    Rule(
        ("base.scratch", "base.tokenizer", "base.vocabulary"),
        "base.scratch needs exactly one of base.tokenizer (a folder or GGUF file) and"
        " base.vocabulary (a tokenizer to learn)",
        _has_not_one_tokenizer,
    ),
    Rule(
        ("base.scratch.heads", "base.scratch.kv_heads"),
        "base.scratch.heads must be a multiple of base.scratch.kv_heads",
        _has_uneven_heads,
    ),
    Rule(("base.scratch.head_dim",), "base.scratch.head_dim must be even", _has_odd_head_dim),
    Rule(
        ("base.scratch", "adapter.method"),
        "base.scratch needs adapter.method=full: an adapter on random weights learns little",
        _adapts_random_weights,
    ),
    Rule(
        ("base.quantization", "adapter.method"),
        "base.quantization=nf4 needs adapter.method=lora: 4-bit weights cannot be trained",
        _trains_four_bits,
    ),
    Rule(
        ("base.scratch.start", "base.scratch.weights"),
        "base.scratch.start and base.scratch.weights exclude each other",
        _has_two_starts,
    ),
    Rule(
        ("training.optimizer", "training.muon"),
        "training.optimizer=muon and training.muon need each other",
        _has_half_of_muon,
    ),
    Rule(
        ("training.optimizer", "adapter.method"),
        "training.optimizer=muon needs adapter.method=full",
        _adapts_with_muon,
    ),
    Rule(
        ("training.scheduler", "training.hold"),
        "training.scheduler=warmup_stable_decay and training.hold need each other",
        _has_half_of_a_schedule,
    ),
    Rule(
        ("training.tokens", "data.source", "training.batch", "training.workers"),
        "training.tokens needs data.source=stream, training.batch=1 and training.workers=0:"
        " a stream is cut into batches in order",
        _cuts_batches_by_tokens_elsewhere,
    ),
    Rule(
        ("data.mix", "training.tokens"),
        "data.mix needs training.tokens: each batch holds one kind of example",
        _mixes_without_tokens,
    ),
    Rule(
        ("data.source", "training.max_steps"),
        "data.source=stream has no epochs: set training.max_steps (--max-steps N)",
        _has_a_stream_without_end,
    ),
    Rule(
        ("data.source", "data.format"),
        "data.source=file needs data.format=card: the rows of a file are worded already",
        _formats_a_file,
    ),
    Rule(
        ("data.source", "training.packing"),
        "data.source=stream needs training.packing=false: packing needs the lengths of all rows",
        _packs_a_stream,
    ),
)
