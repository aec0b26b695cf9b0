"""Tiny models in llama.cpp: a plain loop as reference, and a decoder that answers several requests
at once.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from msgspec.structs import replace

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.llama_cpp.messages import Begun, Generate, GenerationResult, Load, Sampling
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile
from finops_cli.models.protocol import Origin

PREFIX = (
    "<|im_start|>system\nYou are a triage assistant. Output JSON"
    " only.<|im_end|>\n<|im_start|>user\n"
)
BEHIND = "<|im_end|>\n<|im_start|>assistant\n"
TIED = 0.02
"""Two logits so close that the order in which floats are summed may choose between them."""
CONTEXT = 768
TOKENS = 40


class Plain(NamedTuple):
    """The answer of the plain loop: the bytes of each token, and how far its logit was above the
    next one's.
    """

    words: list[bytes]
    margins: list[float]
    ended: bool

    @property
    def text(self) -> str:
        """Whole characters; one that the limit of tokens cut is left out."""
        return codecs.getincrementaldecoder("utf-8")("replace").decode(
            b"".join(self.words), final=self.ended
        )


def plain_loop(gguf: Path, context: int = CONTEXT) -> Callable[..., Plain]:
    """Return a function that answers one prompt with llama-cpp-python alone."""
    import llama_cpp
    import numpy as np

    llama = llama_cpp.Llama(
        str(gguf), n_ctx=context, n_batch=512, n_threads=1, n_threads_batch=1, verbose=False
    )
    vocab = llama_cpp.llama_model_get_vocab(llama.model)

    def request(prompt: str, tokens: int = TOKENS, seed: int = 1, **sampling: Any) -> Plain:
        llama.set_seed(seed)
        words: list[bytes] = []
        margins: list[float] = []
        tokens_in = llama.tokenize(prompt.encode(), add_bos=False, special=True)
        for token in llama.generate(tokens_in, **{"temp": 0.0, "repeat_penalty": 1.0, **sampling}):
            if llama_cpp.llama_vocab_is_eog(vocab, token):
                return Plain(words, margins, True)
            logits = np.ctypeslib.as_array(
                llama_cpp.llama_get_logits_ith(llama.ctx, -1), shape=(llama.n_vocab(),)
            )
            second, first = np.partition(logits, -2)[-2:]
            margins.append(float(first - second))
            words.append(llama.detokenize([token], special=True))
            if len(words) == tokens:
                break
        return Plain(words, margins, False)

    return request


def agrees(result: GenerationResult, plain: Plain) -> bool:
    """Return whether a result equals the plain loop's, token for token, up to the first tie of
    two logits.
    """
    if (result.text, result.tokens, result.end == "stop") == (
        plain.text,
        len(plain.words),
        plain.ended,
    ):
        return True
    shared = (
        n
        for n in range(len(plain.words), -1, -1)
        if result.text.startswith(_whole_characters(plain.words[:n]))
    )
    parted = next(shared)
    return parted < len(plain.words) and plain.margins[parted] < TIED


def _whole_characters(words: list[bytes]) -> str:
    return codecs.getincrementaldecoder("utf-8")("replace").decode(b"".join(words))


def prompts(count: int, seed: int = 3, longest: int = 120) -> list[str]:
    """Seeded prompts of different lengths behind the common prefix."""
    draw = Random(seed)
    letters = "abcdefgh ijklmno:\n0123456789ü€"
    users = ["".join(draw.choices(letters, k=draw.randrange(1, longest))) for _ in range(count)]
    return [f"{PREFIX}{user}{BEHIND}" for user in users]


class LocalDecoder:
    """The decoder of the worker, run in this process."""

    def __init__(
        self,
        gguf: Path,
        sequences: int,
        batch: int = 512,
        prefix: str = PREFIX,
        context: int = CONTEXT,
    ) -> None:
        from finops_cli.models.llama_cpp.worker.context import DecodingNetwork, Model
        from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory
        from finops_cli.models.llama_cpp.worker.scheduler import Scheduler

        self.model = Model(
            Load(path=str(gguf), context=context, sequences=sequences, batch=batch, prefix=prefix)
        )
        self.network = DecodingNetwork(self.model)
        self.results: dict[int, GenerationResult] = {}
        self.steps = 0
        self.scheduler = Scheduler(
            self.network, sequences, self._receive, GrammarFactory(self.model)
        )

    def _receive(self, message: Begun | GenerationResult) -> None:
        if isinstance(message, GenerationResult):
            self.results[message.number] = replace(message, generating_ms=0.0)  # no two are equal

    def answers(
        self,
        requests: Iterable[Generate],
        each_step: Callable[[LocalDecoder], None] = lambda _: None,
    ) -> dict[int, GenerationResult]:
        """Start the requests in order, as slots become free, and return all results."""
        waiting = list(requests)[::-1]
        while waiting or self.scheduler.is_busy:
            while waiting and self.scheduler.free_slots:
                request = waiting.pop()
                self.scheduler.start(request, self.model.tokenize(request.prompt))
            self.scheduler.step()
            self.steps += 1
            each_step(self)
        return self.results


def make_requests(
    texts: Iterable[str], tokens: int = TOKENS, sampling: Sampling | None = None
) -> list[Generate]:
    """One request for each text, numbered and seeded from 1."""
    return [
        Generate(number=n, prompt=text, seed=n, sampling=sampling or Sampling(), max_tokens=tokens)
        for n, text in enumerate(texts, start=1)
    ]


def model_of(
    gguf: Path, kb: KnowledgeBase, sequences: int = 4, groups: int = 1, **options: Any
) -> LlamaCppModel:
    """Return a LlamaCppModel with the model `gguf` for triage, limited to `TOKENS` tokens by
    default.
    """
    load = Load(path=str(gguf), context=CONTEXT, sequences=sequences, groups=groups, prefix=PREFIX)
    profile = Profile(
        load=load,
        sampling=Sampling(),
        stops=options.pop("stops", ()),
        max_tokens=options.pop("max_tokens", TOKENS),
    )
    return LlamaCppModel(
        origin=Origin("llama-cpp", is_model=True),
        profiles={"triage": profile},
        settings=kb.models,
        **options,
    )
