"""Convert the tokenizer of a checkpoint, a byte-level BPE like Qwen's, to settings of a GGUF file.

A tokenizer that llama.cpp would apply differently is refused: another pattern, another normalizer,
added tokens that include spaces. llama.cpp does not normalize. If the tokenizer does (NFC), texts
must be NFC before they are sent, as `models.prompts` does.

Source: llama.cpp's `conversion/base.py` (MIT, The ggml authors) for the types of tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
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
"""The patterns that split a text before merging, by llama.cpp's names (`src/llama-vocab.cpp`)."""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
_SPACE = chr(ord(" ") + 256)
"""The character for a space in a byte-level vocabulary."""


class BpeModel(Struct, frozen=True):
    """The part `model` of tokenizer.json."""

    type: str
    vocab: dict[str, int]
    merges: list[list[str] | str]
    dropout: float | None = None
    unk_token: str | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    byte_fallback: bool = False
    ignore_merges: bool = False


class AddedToken(Struct, frozen=True):
    """A token that is looked for before a text is split."""

    id: int
    content: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class TokenizerFile(Struct, frozen=True):
    """The content of tokenizer.json."""

    model: BpeModel
    added_tokens: list[AddedToken] = []
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None
    post_processor: dict[str, Any] | None = None


FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""The files that are read from a folder. The last one may be absent."""


def read_tokenizer_file(folder: Path) -> TokenizerFile:
    """Read tokenizer.json. Raises UsageError for a file of another form."""
    path = folder / FILES[0]
    read_json(path)
    try:
        return msgspec.json.decode(path.read_bytes(), type=TokenizerFile)
    except UNREADABLE as error:
        raise UsageError(
            f"{path} is not a BPE tokenizer ({error})",
            "give the tokenizer of a Qwen or Mistral model",
        ) from error


def byte_level_pairs(
    folder: Path, tokenizer: TokenizerFile, config: dict[str, Any], size: int
) -> dict[str, Pair]:
    """Return a byte-level tokenizer in `folder` as settings, for a network of `size` tokens.

    `config` is the text part of config.json. Raises UsageError for a tokenizer that llama.cpp would
    apply differently.
    """
    path = folder / FILES[0]
    _refuse_other_model(path, tokenizer.model)
    _refuse_text_changes(path, tokenizer)
    tokens, types = _read_tokens(path, tokenizer, size)
    settings = read_json(folder / FILES[1])
    pairs: dict[str, Pair] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _find_pattern(path, tokenizer.pre_tokenizer),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [_format_merge(pair) for pair in tokenizer.model.merges],
        **find_special_tokens(path, tokens, types, settings, config),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
    }
    template = read_template(folder, settings)
    return {**pairs, "tokenizer.chat_template": template} if template else pairs


def _refuse_other_model(path: Path, model: BpeModel) -> None:
    differences = {
        "type": model.type != "BPE",
        "merges": not model.merges,
        "dropout": bool(model.dropout),
        "unk_token": model.unk_token is not None,
        "continuing_subword_prefix": bool(model.continuing_subword_prefix),
        "end_of_word_suffix": bool(model.end_of_word_suffix),
        "byte_fallback": model.byte_fallback,
        "ignore_merges": model.ignore_merges,
    }
    odd = [name for name, is_odd in differences.items() if is_odd]
    if odd:
        raise UsageError(
            f"{path}: model/{odd[0]} is not as in Qwen's byte-level BPE; llama.cpp would split"
            " texts"
            " differently",
            "give the unchanged tokenizer of a Qwen model",
        )


def _refuse_text_changes(path: Path, tokenizer: TokenizerFile) -> None:
    """Raise UsageError for a step that changes a text before the split, or adds tokens to it."""
    if tokenizer.normalizer is not None and tokenizer.normalizer.get("type") != "NFC":
        raise UsageError(
            f"{path}: normalizer {tokenizer.normalizer.get('type')} is not supported. Expected NFC"
            " or"
            " none."
        )
    if tokenizer.post_processor is not None and not _adds_nothing(tokenizer.post_processor):
        raise UsageError(
            f"{path}: post_processor {tokenizer.post_processor.get('type')} adds tokens, which is"
            " not supported",
            "give the unchanged tokenizer of a Qwen model",
        )
    for token in tokenizer.added_tokens:
        if token.lstrip or token.rstrip or token.single_word:
            raise UsageError(
                f"{path}: the token {token.content!r} includes spaces or needs a whole word;"
                " llama.cpp"
                " does not support that",
                "remove the token from the tokenizer, or define it without these options",
            )


def _adds_nothing(processor: dict[str, Any]) -> bool:
    """Return true if a post-processor adds no tokens. transformers 5 saves such a processor."""
    kind = processor.get("type")
    if kind == "Sequence":
        return all(_adds_nothing(each) for each in processor.get("processors", []))
    text_alone = all("Sequence" in piece for piece in processor.get("single", [{}]))
    return kind == "ByteLevel" or (kind == "TemplateProcessing" and text_alone)


def _find_pattern(path: Path, pre_tokenizer: dict[str, Any] | None) -> str:
    """Return llama.cpp's name of the pattern that splits texts."""
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
        f"{path}: texts are split by an unsupported pattern. Expected one of:"
        f" {', '.join(PATTERNS)}",
        "train with the tokenizer of Qwen",
    )


def _read_tokens(path: Path, tokenizer: TokenizerFile, size: int) -> tuple[list[str], list[int]]:
    """Return the text and the type of each token.

    If the network has more tokens than the tokenizer, the others get texts that never occur.
    """
    added = {token.id: token for token in tokenizer.added_tokens}
    by_id = {number: word for word, number in tokenizer.model.vocab.items()}
    by_id |= {number: token.content for number, token in added.items()}
    if max(by_id) >= size or min(by_id) < 0:
        raise UsageError(
            f"{path} has token {max(by_id):,}, but the network ends at {size - 1:,} (vocab_size);"
            " they"
            " do not belong together",
            "give the tokenizer and config.json of one model",
        )
    tokens = [by_id.get(number, f"[PAD{number}]") for number in range(size)]
    if len(set(tokens)) != size:
        raise UsageError(
            f"{path}: two tokens have the same text; llama.cpp cannot tell them apart",
            "give the unchanged tokenizer of a Qwen model",
        )
    return tokens, [_token_type(added.get(number), number in by_id) for number in range(size)]


def _token_type(added: AddedToken | None, known: bool) -> int:
    if added is None:
        return NORMAL if known else UNUSED
    looks_special = added.content.startswith("<|") and added.content.endswith("|>")
    return CONTROL if added.special or looks_special else USER_DEFINED


def _format_merge(pair: list[str] | str) -> str:
    return pair if isinstance(pair, str) else " ".join(part.replace(" ", _SPACE) for part in pair)


def find_special_tokens(
    path: Path,
    tokens: list[str],
    types: list[int],
    settings: dict[str, Any],
    config: dict[str, Any],
) -> dict[str, Pair]:
    """Find the tokens that start a text, end an answer and pad a batch.

    They come from the tokenizer, else from config.json.
    """
    found: dict[str, Pair] = {}
    for role, key in (
        ("bos", "bos_token_id"),
        ("eos", "eos_token_id"),
        ("pad", "padding_token_id"),
    ):
        name = settings.get(f"{role}_token")
        word = name.get("content") if isinstance(name, dict) else name
        number = (
            tokens.index(word)
            if isinstance(word, str) and word in tokens
            else config.get(f"{role}_token_id")
        )
        if isinstance(number, int) and 0 <= number < len(tokens):
            found[f"tokenizer.ggml.{key}"] = number
    end = found.get("tokenizer.ggml.eos_token_id")
    if not isinstance(end, int) or types[end] != CONTROL:
        raise UsageError(
            f"{path}: no special token ends an answer (eos_token of {FILES[1]}); the model would"
            " never stop",
            "name the token that ends an answer as eos_token",
        )
    if found.get("tokenizer.ggml.padding_token_id") == end:
        raise UsageError(
            f"{path}: the same token ends answers and pads batches; a model trained with it did not"
            " learn to stop",
            "train again with a padding token of its own",
        )
    return found


def read_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """Return the chat template, from its own file or from the settings; None without one."""
    path = folder / FILES[2]
    if path.is_file():
        return path.read_text(encoding="utf-8")
    given = settings.get("chat_template")
    return given if isinstance(given, str) else None
