"""Prompt lookup decoding: drafted tokens change no answer, correct ones save batches, and wrong
ones are taken back.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from finops_cli.models.llama_cpp.messages import Generate, Sampling
from finops_cli.models.llama_cpp.worker.batch import Batch
from finops_cli.models.llama_cpp.worker.prompt_lookup import DRAFTED, NGramCache, PromptLookup
from tests.support.llama_models import (
    CONTEXT,
    LocalDecoder,
    agrees,
    make_requests,
    plain_loop,
    prompts,
)
from tests.support.tiny_gguf import Shape, write_tiny_gguf

TOKENS = st.lists(st.integers(0, 5), max_size=40)


@given(prompt=TOKENS, results=TOKENS)
def test_draft_follows_the_last_equal_end_of_the_text(
    prompt: list[int], results: list[int]
) -> None:
    """A draft continues the text as it continued after the last equal end of 8 or 3 tokens.
    Otherwise it repeats the last token.
    """
    lookup = PromptLookup([9, *prompt], 0, NGramCache())
    for token in results:
        lookup.append(token)
    text = [9, *prompt, *results]
    assert lookup.can_draft == any(tokens_after(text, text[-reach:], reach) for reach in (8, 3))
    for token in lookup.draft():
        known = next(
            (
                found
                for reach in (8, 3)
                if (found := tokens_after([9, *prompt, *results], text[-reach:], reach))
            ),
            text[-1:],
        )
        assert token == known[-1]
        text.append(token)
    assert len(text) == 1 + len(prompt) + len(results) + DRAFTED


def tokens_after(text: list[int], end: list[int], reach: int) -> list[int]:
    """Return the tokens that followed each occurrence of `end` in `text`, in order."""
    return [
        text[at]
        for at in range(reach, len(text))
        if text[at - reach : at] == end and len(end) == reach
    ]


def test_ngram_cache_forgets_the_oldest_answer() -> None:
    """The cache drafts from earlier answers, and forgets the oldest one when it is full."""
    cache = NGramCache(max_entries=2)
    for first in (10, 20, 30):
        earlier = PromptLookup([first], 0, cache)
        for token in range(first + 1, first + 6):
            earlier.append(token)
        earlier.close()
        assert PromptLookup([first, first + 1, first + 2], 0, cache).draft() == [
            first + 3,
            first + 4,
            first + 5,
        ]
    assert PromptLookup([20, 21, 22], 0, cache).draft() == [23, 24, 25]
    assert PromptLookup([10, 11, 12], 0, cache).draft() == [12, 12, 12]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


class CountingDecoder(LocalDecoder):
    """A decoder that counts the batches with drafts and the sequences that were taken back."""

    def __init__(
        self, gguf: Path, sequences: int, batch: int = 512, context: int = CONTEXT
    ) -> None:
        super().__init__(gguf, sequences, batch, context=context)
        self.drafted = self.rewound = 0
        decode, rewind = self.network.decode, self.network.rewind

        def count_guesses(batch: Batch) -> None:
            self.drafted += batch.rows > sequences
            decode(batch)

        def count_rewinds(sequence: int, position: int) -> None:
            self.rewound += 1
            rewind(sequence, position)

        self.network.decode = count_guesses  # type: ignore[method-assign]
        self.network.rewind = count_rewinds  # type: ignore[method-assign]


def renumber(request: Generate, by: int, seed: int | None = None) -> Generate:
    """Return the same request under another number, with another seed if one is given."""
    return replace(request, number=request.number + by, seed=request.seed if seed is None else seed)


SAMPLED = Sampling(temperature=1.0, top_k=20, top_p=0.8, min_p=0.05)


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize(
    "sampling", [Sampling(), SAMPLED, Sampling(temperature=0.7, repeat_penalty=1.2)]
)
def test_drafted_answers_equal_the_plain_loop(
    sequences: int, sampling: Sampling, tiny: Path
) -> None:
    """Answers with correct and wrong drafts are those of the plain loop."""
    texts = prompts(5, seed=11)
    decoder, plain = CountingDecoder(tiny, sequences), plain_loop(tiny)
    first = make_requests(texts, sampling=sampling)
    again = [renumber(request, 100) for request in first]
    other = [renumber(request, 200, seed=request.seed + 50) for request in first]
    results = decoder.answers([*first, *again, *other])
    loop = {
        "temp": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
    }
    loop["repeat_penalty"] = sampling.repeat_penalty
    expected = {
        request.number: plain(request.prompt, seed=request.seed, **loop)
        for request in (*first, *again, *other)
    }
    assert [
        number for number, answer in results.items() if not agrees(answer, expected[number])
    ] == []
    assert decoder.drafted > 10
    assert sampling is not SAMPLED or decoder.rewound > 5


def test_correct_drafts_save_batches(tiny: Path) -> None:
    """An answer that was given before needs less than half as many batches."""
    request = make_requests(prompts(1, seed=12), sampling=SAMPLED)[0]
    decoder = LocalDecoder(tiny, 1)
    decoder.answers([request])
    alone, decoder.steps = decoder.steps, 0
    decoder.answers([renumber(request, 100)])
    assert decoder.steps < alone / 2
    assert decoder.results[request.number].text == decoder.results[request.number + 100].text


def test_small_batch_has_no_room_for_drafts(tiny: Path) -> None:
    """A batch of three tokens has no drafts, because an answer with three drafts needs four."""
    texts = prompts(3, seed=13)
    assert count_drafted(CountingDecoder(tiny, 1, batch=3), texts) == 0
    assert count_drafted(CountingDecoder(tiny, 1, batch=4), texts) > 0


def test_drafts_stay_within_the_context(tmp_path: Path) -> None:
    """Drafts end at the last token of the context."""
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
    endless = write_tiny_gguf(tmp_path / "endless.gguf", shape=Shape(ends=False))
    decoder = CountingDecoder(endless, 1, context=256)
    request = replace(make_requests(prompts(1, seed=14), sampling=SAMPLED)[0], max_tokens=None)
    results = decoder.answers([request, renumber(request, 100)])
    assert decoder.drafted > 10
    assert results[101].text == results[1].text
    assert results[101].prompt_tokens + results[101].tokens == 256


def count_drafted(decoder: CountingDecoder, texts: list[str]) -> int:
    decoder.answers(
        [*make_requests(texts), *(renumber(request, 100) for request in make_requests(texts))]
    )
    return decoder.drafted
