"""The tokenizer of a checkpoint as settings of a GGUF file: byte-level BPE of Qwen's kind, with the
tokens that were added to it.

What llama.cpp would split otherwise than Hugging Face's tokenizers is refused: another pattern,
another normaliser, tokens that take blanks along. How tokens are classed restates llama.cpp's
`conversion/base.py` (MIT, The ggml authors). llama.cpp does not normalise; where the tokenizer does
(NFC), texts must be NFC before they are sent, as `models.prompts` makes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.models.gguf import Pair
from finops_cli.weights.checkpoint import read_json

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERNS = {
    "qwen2": (
        _CONTRACTIONS
        + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen35": (
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
        r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""How a text is parted before merges, under llama.cpp's names for it (`src/llama-vocab.cpp`)."""
NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_BLANK = chr(ord(" ") + 256)
"""What stands for a blank in a vocabulary of bytes."""


class _Model(Struct, frozen=True):
    type: str
    vocab: dict[str, int]
    merges: list[list[str] | str]
    dropout: float | None = None
    unk_token: str | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    byte_fallback: bool = False
    ignore_merges: bool = False


class _Added(Struct, frozen=True):
    id: int
    content: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class _Tokenizer(Struct, frozen=True):
    model: _Model
    added_tokens: list[_Added] = []
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None
    post_processor: dict[str, Any] | None = None


FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""What is read of a folder; the last may be absent."""


def vocabulary(folder: Path, config: dict[str, Any], size: int) -> dict[str, Pair]:
    """The tokenizer in `folder` as settings, for a network of `size` tokens. `config` is
    config.json's text part.

    Raises UsageError for a tokenizer that llama.cpp would not follow token by token.
    """
    path = folder / FILES[0]
    read_json(path)
    try:
        tokenizer = msgspec.json.decode(path.read_bytes(), type=_Tokenizer)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: is no byte-level BPE tokenizer ({error})") from error
    _refuse_other_model(path, tokenizer.model)
    _refuse_other_texts(path, tokenizer)
    words, kinds = _words(path, tokenizer, size)
    said = read_json(folder / FILES[1])
    pairs: dict[str, Pair] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _pattern(path, tokenizer.pre_tokenizer),
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [_merge(pair) for pair in tokenizer.model.merges],
        **_ends(path, words, kinds, said, config),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
    }
    template = _template(folder, said)
    return {**pairs, "tokenizer.chat_template": template} if template else pairs


def _refuse_other_model(path: Path, model: _Model) -> None:
    asked = {
        "type": model.type != "BPE",
        "merges": not model.merges,
        "dropout": bool(model.dropout),
        "unk_token": model.unk_token is not None,
        "continuing_subword_prefix": bool(model.continuing_subword_prefix),
        "end_of_word_suffix": bool(model.end_of_word_suffix),
        "byte_fallback": model.byte_fallback,
        "ignore_merges": model.ignore_merges,
    }
    odd = [name for name, is_odd in asked.items() if is_odd]
    if odd:
        raise UsageError(
            f"{path}: model/{odd[0]} is not that of Qwen's byte-level BPE; llama.cpp would split"
            " texts otherwise"
        )


def _refuse_other_texts(path: Path, tokenizer: _Tokenizer) -> None:
    """Raises UsageError for what changes a text before it is split, or adds tokens to it."""
    if tokenizer.normalizer is not None and tokenizer.normalizer.get("type") != "NFC":
        raise UsageError(
            f"{path}: normalizer {tokenizer.normalizer.get('type')}; only NFC or none is converted"
            " here"
        )
    if tokenizer.post_processor is not None and not _adds_nothing(tokenizer.post_processor):
        raise UsageError(
            f"{path}: post_processor {tokenizer.post_processor.get('type')} adds tokens; it is not"
            " converted here"
        )
    for token in tokenizer.added_tokens:
        if token.lstrip or token.rstrip or token.single_word:
            raise UsageError(
                f"{path}: the token {token.content!r} takes blanks along or stands alone; llama.cpp"
                " does not do that"
            )


def _adds_nothing(processor: dict[str, Any]) -> bool:
    """Whether the tokens of a text are all that comes of it; transformers 5 saves a template that
    is only the text.
    """
    kind = processor.get("type")
    if kind == "Sequence":
        return all(_adds_nothing(each) for each in processor.get("processors", []))
    text_alone = all("Sequence" in piece for piece in processor.get("single", [{}]))
    return kind == "ByteLevel" or (kind == "TemplateProcessing" and text_alone)


def _pattern(path: Path, pre_tokenizer: dict[str, Any] | None) -> str:
    """llama.cpp's name of the way in which texts are parted."""
    steps = (pre_tokenizer or {}).get("pretokenizers") or []
    kinds = [step.get("type") for step in steps]
    if kinds == ["Split", "ByteLevel"]:
        split, by_bytes = steps
        as_is = (
            not by_bytes.get("add_prefix_space")
            and not by_bytes.get("use_regex")
            and not split.get("invert")
        )
        for name, pattern in PATTERNS.items():
            if (
                as_is
                and split.get("behavior") == "Isolated"
                and split.get("pattern") == {"Regex": pattern}
            ):
                return name
    raise UsageError(
        f"{path}: texts are parted by none of the patterns {', '.join(PATTERNS)}",
        "train with the tokenizer of Qwen",
    )


def _words(path: Path, tokenizer: _Tokenizer, size: int) -> tuple[list[str], list[int]]:
    """The word and the kind of each token.

    What the network has beyond the tokenizer is filled with words that no text holds.
    """
    added = {token.id: token for token in tokenizer.added_tokens}
    by_id = {number: word for word, number in tokenizer.model.vocab.items()}
    by_id |= {number: token.content for number, token in added.items()}
    if max(by_id) >= size or min(by_id) < 0:
        raise UsageError(
            f"{path}: has token {max(by_id):,}, the network ends at {size - 1:,} (vocab_size); they"
            " do not belong together"
        )
    words = [by_id.get(number, f"[PAD{number}]") for number in range(size)]
    if len(set(words)) != size:
        raise UsageError(f"{path}: two tokens have one text; llama.cpp cannot tell them apart")
    return words, [_kind(added.get(number), number in by_id) for number in range(size)]


def _kind(added: _Added | None, known: bool) -> int:
    if added is None:
        return NORMAL if known else _UNUSED
    looks_special = added.content.startswith("<|") and added.content.endswith("|>")
    return _CONTROL if added.special or looks_special else _USER_DEFINED


def _merge(pair: list[str] | str) -> str:
    return pair if isinstance(pair, str) else " ".join(part.replace(" ", _BLANK) for part in pair)


def _ends(
    path: Path, words: list[str], kinds: list[int], said: dict[str, Any], config: dict[str, Any]
) -> dict[str, Pair]:
    """The tokens that end an answer, fill a batch, and begin a text: as the tokenizer says, else as
    config.json does.
    """
    found: dict[str, Pair] = {}
    for role, key in (
        ("bos", "bos_token_id"),
        ("eos", "eos_token_id"),
        ("pad", "padding_token_id"),
    ):
        name = said.get(f"{role}_token")
        word = name.get("content") if isinstance(name, dict) else name
        number = (
            words.index(word)
            if isinstance(word, str) and word in words
            else config.get(f"{role}_token_id")
        )
        if isinstance(number, int) and 0 <= number < len(words):
            found[f"tokenizer.ggml.{key}"] = number
    end = found.get("tokenizer.ggml.eos_token_id")
    if not isinstance(end, int) or kinds[end] != _CONTROL:
        raise UsageError(
            f"{path}: no special token ends an answer (eos_token of {FILES[1]}); the model would"
            " never stop"
        )
    if found.get("tokenizer.ggml.padding_token_id") == end:
        raise UsageError(
            f"{path}: one token ends answers and fills batches; a model trained so never learnt to"
            " stop"
        )
    return found


def _template(folder: Path, said: dict[str, Any]) -> str | None:
    path = folder / FILES[2]
    if path.is_file():
        return path.read_text(encoding="utf-8")
    given = said.get("chat_template")
    return given if isinstance(given, str) else None
