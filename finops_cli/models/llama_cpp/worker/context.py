"""A model of llama.cpp: its vocabulary, and a context with batches and logits as numpy arrays.

llama.cpp reads and writes the arrays directly.
"""

from __future__ import annotations

import ctypes
import os
import re
import warnings
from collections import deque
from itertools import takewhile
from typing import Any

import llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from finops_cli.models.llama_cpp.messages import Load, Sampling
from finops_cli.models.llama_cpp.worker.batch import Batch
from finops_cli.models.llama_cpp.worker.prompt_lookup import DRAFTED

_INT32_P = ctypes.POINTER(ctypes.c_int32)
_ERROR = 4  # GGML_LOG_LEVEL_ERROR; 5 goes on with what came before
_KEPT_ERRORS = 4
_PIECE_BYTES = 8
_ALL_LAYERS = 2**31 - 1
_CONTINUATIONS = ("A", "0", " ", "\n", '"', "<|im_end|>")
"""A text with every kind of character at which tokenizers split."""
_TURN = re.compile(rb"<\|im_start\|>(system|user)\n(.*?)<\|im_end\|>\n", re.DOTALL)
_errors: deque[str] = deque(maxlen=_KEPT_ERRORS)
"""The last errors that llama.cpp logged. It reports them nowhere else."""


class LoadFailed(Exception):
    """The model cannot be loaded. The message gives the reason."""


class DecodeFailed(Exception):
    """llama.cpp could not evaluate a batch, so its memory may be wrong."""


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: Any) -> None:
    if level == _ERROR:
        _errors.append(text.decode("utf-8", "replace").strip())


class Model:
    """The weights and the vocabulary that `load` names, shared by networks and threads."""

    def __init__(self, load: Load) -> None:
        lib.llama_log_set(_log, None)
        lib.llama_backend_init()
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = load.gpu_layers if load.gpu_layers >= 0 else _ALL_LAYERS
        self.handle = lib.llama_model_load_from_file(os.fsencode(load.path), parameters)
        if not self.handle:
            raise LoadFailed(errors())
        self.load = load
        self.has_gpu = load.gpu_layers != 0 and bool(lib.llama_supports_gpu_offload())
        self.vocab = lib.llama_model_get_vocab(self.handle)
        self.vocabulary = int(lib.llama_vocab_n_tokens(self.vocab))
        self.token_texts = TokenTexts(self.vocab)
        self.has_own_turns = lib.llama_vocab_type(self.vocab) == lib.LLAMA_VOCAB_TYPE_SPM
        """True for a vocabulary of SentencePiece, such as Mistral's: it has no turns of ChatML."""

    def tokenize(self, text: str) -> list[int] | int:
        """Tokenize `text`. If the tokens leave no room in the context, return only their number."""
        raw, size = text.encode(), self.load.context
        begins = False
        if self.has_own_turns:
            turns = own_turns(raw, lib.llama_model_chat_template(self.handle, None))
            # the template leaves the token that begins a text to the vocabulary
            begins, raw = turns != raw, turns
        tokens = (ctypes.c_int32 * size)()
        count = lib.llama_tokenize(self.vocab, raw, len(raw), tokens, size, begins, True)
        if count < 0:
            return int(-count)
        if count >= size:
            return int(count)
        found: list[int] = tokens[:count]
        return found

    def build_tokenizer(self) -> Any:
        """Build the tokenizer object of llguidance from the vocabulary."""
        from llguidance.llamacpp import lltokenizer_from_vocab

        eog = [
            token for token in range(self.vocabulary) if lib.llama_vocab_is_eog(self.vocab, token)
        ]
        with warnings.catch_warnings(
            action="ignore", category=DeprecationWarning
        ):  # llguidance 1.9 uses an old name
            return lltokenizer_from_vocab(self.vocab, eos_token=eog or None)


class DecodingNetwork:
    """A context of a model.

    Sequences 0 to `load.sequences` - 1 contain answers; the next one contains the common prefix.
    """

    def __init__(self, model: Model) -> None:
        load = model.load
        self.context = load.context
        self.token_texts, self.vocabulary = model.token_texts, model.vocabulary
        self._tokenize = model.tokenize
        self._has_own_turns = model.has_own_turns
        self.can_rewind = not (
            lib.llama_model_is_recurrent(model.handle) or lib.llama_model_is_hybrid(model.handle)
        )
        """False for a recurrent state (Qwen3.5): such a sequence cannot be shortened."""
        self.batch = max(load.batch, load.sequences)
        self._prefix_sequence = load.sequences
        self._handle = _context(model.handle, load, self.batch)
        self._memory = lib.llama_get_memory(self._handle)
        self._make_batch()
        self._held = [0] * load.sequences
        self._prefix: list[int] = []
        self._evaluate_prefix(_stable_tokens(model, load.prefix))

    def _make_batch(self) -> None:
        """Allocate the columns of a batch, which llama.cpp reads in place.

        Shape: each column (batch,).
        """
        size = self.batch
        self._tokens: NDArray[np.int32] = np.zeros(size, np.int32)
        self._positions: NDArray[np.int32] = np.zeros(size, np.int32)
        self._sequences: NDArray[np.int32] = np.zeros(size, np.int32)
        self._outputs: NDArray[np.int8] = np.zeros(size, np.int8)
        self._sequence_counts: NDArray[np.int32] = np.ones(size, np.int32)
        self._owners = (_INT32_P * size)(
            *(ctypes.cast(self._sequences.ctypes.data + 4 * at, _INT32_P) for at in range(size))
        )  # each token's list of sequences, of length one
        self._batch = lib.llama_batch(
            token=self._tokens.ctypes.data_as(_INT32_P),
            pos=self._positions.ctypes.data_as(_INT32_P),
            n_seq_id=self._sequence_counts.ctypes.data_as(_INT32_P),
            seq_id=ctypes.cast(self._owners, ctypes.POINTER(_INT32_P)),
            logits=self._outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        self._logits: NDArray[np.float32] = np.empty((0, self.vocabulary), np.float32)
        self._logits_key = (0, 0)

    def _evaluate_prefix(self, prefix: list[int]) -> None:
        for start in range(0, len(prefix), self.batch):
            batch = Batch()
            batch.add(self._prefix_sequence, start, prefix[start : start + self.batch])
            self.decode(batch)
        self._prefix = prefix

    def begin(self, sequence: int, tokens: list[int]) -> int:
        """Prepare `sequence` for the prompt `tokens`. Return the number of tokens that it already
        contains.
        """
        shared = len(self._prefix)
        if not shared or len(tokens) <= shared or tokens[:shared] != self._prefix:
            lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            self._held[sequence] = 0
            return 0
        if not self._held[sequence]:
            lib.llama_memory_seq_cp(self._memory, self._prefix_sequence, sequence, -1, -1)
            self._held[sequence] = shared
        return shared

    def release(self, sequence: int) -> None:
        """Remove the answer of `sequence`.

        The prefix stays, unless the memory of the model cannot be cut.
        """
        held = self._held[sequence]
        if not held or not lib.llama_memory_seq_rm(self._memory, sequence, held, -1):
            lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            self._held[sequence] = 0

    def rewind(self, sequence: int, position: int) -> None:
        """Remove the tokens of `sequence` from `position` on."""
        lib.llama_memory_seq_rm(self._memory, sequence, position, -1)

    def decode(self, batch: Batch) -> None:
        """Evaluate `batch`.

        llama.cpp aborts the process if the batch is empty or larger than `self.batch`.
        """
        count = len(batch.tokens)
        self._tokens[:count] = batch.tokens
        self._positions[:count] = batch.positions
        self._sequences[:count] = batch.sequences
        self._outputs[:count] = batch.outputs
        self._batch.n_tokens = count
        status = lib.llama_decode(self._handle, self._batch)
        if status:
            raise DecodeFailed(f"llama_decode gave {status}; {errors()}")

    def logits(self, rows: int) -> NDArray[np.float32]:
        """Return the logits of the requested tokens, in the order of the batch.

        The array is a view that the next `decode` overwrites. Shape: (rows, vocabulary) float32.
        """
        key = (ctypes.cast(lib.llama_get_logits(self._handle), ctypes.c_void_p).value or 0, rows)
        if key != self._logits_key:
            raw = (ctypes.c_float * (rows * self.vocabulary)).from_address(key[0])
            self._logits = np.frombuffer(raw, np.float32).reshape(rows, self.vocabulary)
            self._logits_key = key
        return self._logits

    def tokenize_choices(self, choices: tuple[str, ...]) -> list[list[int]]:
        """Return the tokens of each choice, as they follow the prompt of a chat."""
        found = [self._tokenize_answer(choice) for choice in choices]
        return [tokens if isinstance(tokens, list) and tokens else [0] for tokens in found]

    def _tokenize_answer(self, text: str) -> list[int] | int:
        """Tokenize the beginning of an answer, which in turns of SentencePiece follows a space."""
        found = self._tokenize(text)
        if not self._has_own_turns or not isinstance(found, list) or not found:
            return found
        begins_with_space = (self.token_texts[found[0]] or b"").startswith(b" ")
        return found if begins_with_space else self._tokenize(f" {text}")

    def sampler(self, sampling: Sampling, seed: int) -> TokenSampler | None:
        """Make the sampler of one answer; None if the likeliest token is always chosen."""
        if sampling.temperature <= 0 and sampling.repeat_penalty == 1:
            return None
        return TokenSampler(self._handle, self.vocabulary, sampling, seed)


class TokenTexts(dict[int, bytes | None]):
    """The text of each token, looked up once; None for a token that ends the answer.

    The text of a control token is its name.
    """

    def __init__(self, vocab: Any) -> None:
        super().__init__()
        self._vocab = vocab

    def __missing__(self, token: int) -> bytes | None:
        length = -_PIECE_BYTES
        while length < 0:  # that many bytes are needed
            buffer = ctypes.create_string_buffer(-length)
            length = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, True)
        text = None if lib.llama_vocab_is_eog(self._vocab, token) else buffer.raw[:length]
        self[token] = text
        return text


class TokenSampler:
    """The samplers of llama.cpp in the usual order, with a random generator for each answer.

    The penalty covers the answer, not the prompt, as in llama-cpp-python.
    """

    def __init__(self, handle: Any, vocabulary: int, sampling: Sampling, seed: int) -> None:
        self._handle = handle
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if sampling.repeat_penalty != 1:
            self._add(
                lib.llama_sampler_init_penalties(
                    vocabulary, sampling.penalised, sampling.repeat_penalty, 0.0, 0.0
                )
            )
        if sampling.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
            return
        self._add(lib.llama_sampler_init_top_k(sampling.top_k))
        self._add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        self._add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        self._add(lib.llama_sampler_init_temp(sampling.temperature))
        self._add(lib.llama_sampler_init_dist(seed & 0xFFFFFFFF))

    def _add(self, sampler: Any) -> None:
        lib.llama_sampler_chain_add(self._chain, sampler)

    def choose(self, at: int) -> int:
        """Choose a token by the logits at index `at` of the batch."""
        return int(lib.llama_sampler_sample(self._chain, self._handle, at))

    def close(self) -> None:
        """Free the memory."""
        lib.llama_sampler_free(self._chain)


def own_turns(prompt: bytes, template: bytes | None) -> bytes:
    """Render the turns of a ChatML prompt by the template of a model, as llama.cpp knows it.

    A text without turns, and one whose template is unknown, stays as it is.
    """
    turns = _TURN.findall(prompt)
    if not turns or template is None:
        return prompt
    chat = (lib.llama_chat_message * len(turns))(
        *(lib.llama_chat_message(role=role, content=text) for role, text in turns)
    )
    length = 4 * len(prompt)
    buffer = ctypes.create_string_buffer(length)
    count = lib.llama_chat_apply_template(template, chat, len(turns), True, buffer, length)
    return prompt if count < 0 else buffer.raw[:count]


def errors() -> str:
    """Join the last errors of llama.cpp."""
    return "; ".join(_errors) or "llama.cpp gives no reason"


def _stable_tokens(model: Model, prefix: str) -> list[int]:
    """Return the tokens of `prefix` that do not depend on the text after it. The last ones may."""
    is_whole = prefix and not model.has_own_turns  # half a turn cannot be rendered
    each = [model.tokenize(prefix + text) for text in _CONTINUATIONS] if is_whole else []
    tokens = [found for found in each if isinstance(found, list)]
    return [
        at_once[0]
        for at_once in takewhile(lambda column: len(set(column)) == 1, zip(*tokens, strict=False))
    ]


def _context(model: Any, load: Load, batch: int) -> Any:
    parameters = lib.llama_context_default_params()
    parameters.n_ctx = load.context * (load.sequences + 1)
    parameters.n_seq_max = load.sequences + 1
    parameters.n_outputs_max = max(parameters.n_seq_max, min(batch, load.sequences * (1 + DRAFTED)))
    parameters.n_batch = parameters.n_ubatch = batch
    parameters.n_threads = parameters.n_threads_batch = load.threads
    parameters.kv_unified = (
        False  # with one common memory each sequence would attend over all of it
    )
    on_gpu = load.gpu_layers and lib.llama_supports_gpu_offload()
    parameters.flash_attn_type = (
        lib.LLAMA_FLASH_ATTN_TYPE_AUTO if on_gpu else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )  # slower on a CPU
    parameters.no_perf = True
    context = lib.llama_init_from_model(model, parameters)
    if not context:
        raise LoadFailed(
            f"no memory for {load.sequences + 1} contexts of {load.context:,} tokens; {errors()}"
        )
    return context
