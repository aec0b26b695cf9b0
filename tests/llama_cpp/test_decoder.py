"""The decoder of the worker: it gives the answers of a plain llama-cpp-python loop, whatever else
is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from finops_cli.models.llama_cpp.messages import Generate, Sampling
from finops_cli.models.llama_cpp.worker.batch import Batch
from tests.support.llama_models import (
    BEHIND,
    CONTEXT,
    PREFIX,
    LocalDecoder,
    Plain,
    agrees,
    make_requests,
    plain_loop,
    prompts,
)
from tests.support.tiny_gguf import Shape, write_tiny_gguf

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Callable[..., Plain]:
    return plain_loop(tiny)


def test_tiny_model_is_identical_for_the_same_seed(tiny: Path, tmp_path: Path) -> None:
    """The tiny model has the same bytes for the same seed, others for another seed, and less than a
    megabyte.
    """
    assert write_tiny_gguf(tmp_path / "again.gguf").read_bytes() == tiny.read_bytes()
    assert write_tiny_gguf(tmp_path / "other.gguf", seed=8).read_bytes() != tiny.read_bytes()
    assert tiny.stat().st_size < 1_000_000


@pytest.mark.parametrize("sequences", [1, 3, 8, 17])
@pytest.mark.parametrize("batch", [16, 100, 512])
def test_decoder_answers_equal_the_plain_loop(
    sequences: int, batch: int, tiny: Path, plain: Callable[..., Plain]
) -> None:
    """At temperature 0 the decoder gives the tokens of the plain loop, for any number of slots and
    any batch size.
    """
    requests = make_requests(prompts(24))
    results = LocalDecoder(tiny, sequences, batch).answers(requests)
    assert [
        request.number
        for request in requests
        if not agrees(results[request.number], plain(request.prompt))
    ] == []
    assert len({answer.text for answer in results.values()}) > 20  # or nothing was compared


def test_decoder_answers_do_not_depend_on_the_order(tiny: Path) -> None:
    """Each answer is the one that it gets alone, in any order and beside any other requests."""
    requests = make_requests(prompts(20, seed=5))
    alone = {
        request.number: LocalDecoder(tiny, 1).answers([request])[request.number]
        for request in requests
    }
    for seed in range(4):
        shuffled = Random(seed).sample(requests, k=len(requests))
        assert LocalDecoder(tiny, 5, batch=64).answers(shuffled) == alone


@pytest.mark.parametrize("prefix", ["", PREFIX, "something else"])
def test_decoder_prefix_does_not_change_answers(
    prefix: str, tiny: Path, plain: Callable[..., Plain]
) -> None:
    """Prompts with the common prefix, without it and shorter than it give the answers of the plain
    loop.
    """
    texts = [
        text
        for pair in zip(
            prompts(6), ["x", "something else", PREFIX, "a b", PREFIX + "x", "é"], strict=True
        )
        for text in pair
    ]
    results = LocalDecoder(tiny, 2, prefix=prefix).answers(make_requests(texts))
    assert [n for n, text in enumerate(texts, start=1) if not agrees(results[n], plain(text))] == []


def test_decoder_evaluates_the_prefix_only_once(tiny: Path) -> None:
    """A request evaluates only the tokens after the common prefix."""
    counted: list[int] = []
    decoder = LocalDecoder(tiny, 1)
    decode = decoder.network.decode
    decoder.network.decode = lambda batch: (counted.append(len(batch.tokens)), decode(batch))[1]  # type: ignore[method-assign,func-returns-value]
    decoder.answers(make_requests([f"{PREFIX}abc{BEHIND}"] * 3, tokens=1))
    behind = decoder.model.tokenize(f"{PREFIX}abc{BEHIND}"), decoder.model.tokenize(PREFIX)
    assert isinstance(behind[0], list)
    assert isinstance(behind[1], list)
    assert counted == [len(behind[0]) - len(behind[1])] * 3


def test_decoder_token_texts_are_complete(tiny: Path) -> None:
    """Each token has its whole text, and only the tokens that end an answer have none."""
    model = LocalDecoder(tiny, 1).model
    text = "<|im_start|> category:<think></think>"
    tokens = model.tokenize(text)
    assert isinstance(tokens, list)
    assert len(tokens) < len(text) / 2
    assert b"".join(model.token_texts[token] or b"?" for token in tokens) == text.encode()
    ended = model.tokenize("<|im_end|><|endoftext|>")
    assert isinstance(ended, list)
    assert [model.token_texts[token] for token in ended] == [None, None]


@pytest.mark.parametrize("batch", [4, 7, 16, 24])
def test_decoder_batches_are_within_their_limits(batch: int, tiny: Path) -> None:
    """No batch is empty or larger than its limit. Its sequences are in order, and only sampled
    tokens request logits.
    """
    decoder = LocalDecoder(tiny, 4, batch=batch)
    decode, network = decoder.network.decode, decoder.network

    def checked(filled: Batch) -> None:
        assert 1 <= len(filled.tokens) <= batch
        assert filled.sequences == sorted(filled.sequences)
        assert filled.rows == sum(filled.outputs) <= 16
        decode(filled)

    network.decode = checked  # type: ignore[method-assign]
    requests = make_requests(prompts(9), tokens=9)
    assert decoder.answers(requests) == LocalDecoder(tiny, 4).answers(requests)


def test_decoder_copies_the_prefix_if_memory_cannot_be_cut(
    tiny: Path, plain: Callable[..., Plain], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the memory cannot be cut behind the prefix, as with Qwen3.5, the slot is emptied and the
    prefix is copied into it.
    """
    import llama_cpp

    remove = llama_cpp.llama_memory_seq_rm
    whole: list[bool] = []

    def only_whole(memory: object, sequence: int, start: int, end: int) -> bool:
        whole.append(start < 0)
        return bool(remove(memory, sequence, start, end)) if start < 0 else False

    monkeypatch.setattr(llama_cpp, "llama_memory_seq_rm", only_whole)
    requests = make_requests(prompts(9, seed=6))
    decoder = LocalDecoder(tiny, 2)
    decoder.network.can_rewind = False
    results = decoder.answers(requests)
    assert [
        request.number
        for request in requests
        if not agrees(results[request.number], plain(request.prompt))
    ] == []
    assert True in whole
    assert False in whole


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.1, top_k=40, top_p=0.9),
        Sampling(temperature=1.0, top_k=20, top_p=0.8, min_p=0.05),
        Sampling(temperature=0.0, repeat_penalty=1.5),
        Sampling(temperature=0.7, repeat_penalty=1.2),
    ],
)
def test_decoder_sampled_answers_equal_the_plain_loop(
    sampling: Sampling, tiny: Path, plain: Callable[..., Plain]
) -> None:
    """With sampling the same seed gives the tokens of the plain loop, beside any other requests."""
    requests = make_requests(prompts(16, seed=9), sampling=sampling)
    options = {
        "temp": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
    }
    results = LocalDecoder(tiny, 6).answers(requests)
    for request in requests:
        expected = plain(
            request.prompt, seed=request.seed, repeat_penalty=sampling.repeat_penalty, **options
        )
        assert (results[request.number].text, results[request.number].tokens) == (
            expected.text,
            len(expected.words),
        )


def test_decoder_gives_each_seed_its_own_answer(tiny: Path) -> None:
    """One prompt with eight seeds at once gives eight different answers."""
    results = LocalDecoder(tiny, 8).answers(
        make_requests([prompts(1)[0]] * 8, sampling=Sampling(temperature=1.0))
    )
    assert len({answer.text for answer in results.values()}) == 8


def test_decoder_greedy_answer_ignores_sampled_neighbours(
    tiny: Path, plain: Callable[..., Plain]
) -> None:
    """Greedy answers beside sampled ones are those of the plain loop."""
    texts = prompts(12, seed=4)
    mixed = [
        Generate(
            number=n,
            prompt=text,
            seed=n,
            sampling=Sampling(temperature=1.0 if n % 2 else 0.0),
            max_tokens=30,
        )
        for n, text in enumerate(texts, start=1)
    ]
    results = LocalDecoder(tiny, 4).answers(mixed)
    assert [
        n for n in range(2, 13, 2) if not agrees(results[n], plain(texts[n - 1], tokens=30))
    ] == []


def test_decoder_invalid_prompts_do_not_affect_neighbours(
    tiny: Path, plain: Callable[..., Plain]
) -> None:
    """Prompts that are too long, empty or meaningless end for themselves with their true token
    count. Other answers are unaffected.
    """
    good = prompts(6)
    fits, too_long, huge = "!" * (CONTEXT - 1), "!" * CONTEXT, "!" * 100_000
    odd = "\x00\x01\x02\x7f" + "\x00" * 40 + "\ufffe\U0010ffff"
    texts = [
        text
        for pair in zip(good, [fits, too_long, huge, "", odd, " "], strict=True)
        for text in pair
    ]
    results = LocalDecoder(tiny, 3, batch=64).answers(make_requests(texts))
    assert [n for n in range(1, 13, 2) if not agrees(results[n], plain(texts[n - 1]))] == []
    ends_of_bad = {n: (results[n].end, results[n].prompt_tokens) for n in (4, 6, 8)}
    assert ends_of_bad == {4: ("context", CONTEXT), 6: ("context", 100_000), 8: ("refused", 0)}
    assert (results[2].end, results[2].tokens, results[2].prompt_tokens) == (
        "length",
        1,
        CONTEXT - 1,
    )
    assert agrees(results[10], plain(odd))


def test_decoder_answer_fills_the_context_to_the_last_token(tmp_path: Path) -> None:
    """An answer without a limit ends where prompt and answer fill the context."""
    endless = write_tiny_gguf(tmp_path / "endless.gguf", shape=Shape(ends=False))
    texts = ["a b c", "!" * 200]
    results = LocalDecoder(endless, 2, context=256).answers(
        [Generate(number=n, prompt=text, seed=n) for n, text in enumerate(texts)]
    )
    assert [(answer.end, answer.prompt_tokens + answer.tokens) for answer in results.values()] == [
        ("length", 256)
    ] * 2


def test_decoder_cancelled_answer_does_not_affect_neighbours(
    tiny: Path, plain: Callable[..., Plain]
) -> None:
    """A cancelled request returns its text so far, its slot serves the next one, and other answers
    are unaffected.
    """
    texts = ["".join(prompts(1)) + "!" * 400, *prompts(11, seed=8)]

    def cancel_some(decoder: LocalDecoder) -> None:
        if decoder.steps in (3, 20):
            decoder.scheduler.cancel(
                1
                if decoder.steps == 3
                else next(n for n in range(2, 13) if n not in decoder.results)
            )

    results = LocalDecoder(tiny, 3, batch=32).answers(make_requests(texts), cancel_some)
    cancelled = [n for n, answer in results.items() if answer.end == "cancelled"]
    assert 1 in cancelled
    assert len(cancelled) == 2
    assert [
        n for n in results if n not in cancelled and not agrees(results[n], plain(texts[n - 1]))
    ] == []
    assert plain(texts[max(cancelled) - 1]).text.startswith(
        results[max(cancelled)].text.rstrip("\ufffd")
    )
