"""The embedded decoder says what a plain llama-cpp-python loop says, whoever else is answered in
the same batch.
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
    Plain,
    Round,
    agrees,
    asks,
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


def test_the_model_of_the_tests_is_the_same_each_time(tiny: Path, tmp_path: Path) -> None:
    """Equal bytes for equal seeds, other bytes for others, below a megabyte."""
    assert write_tiny_gguf(tmp_path / "again.gguf").read_bytes() == tiny.read_bytes()
    assert write_tiny_gguf(tmp_path / "other.gguf", seed=8).read_bytes() != tiny.read_bytes()
    assert tiny.stat().st_size < 1_000_000


@pytest.mark.parametrize("sequences", [1, 3, 8, 17])
@pytest.mark.parametrize("batch", [16, 100, 512])
def test_answers_are_those_of_the_plain_loop(
    sequences: int, batch: int, tiny: Path, plain: Callable[..., Plain]
) -> None:
    """Token for token at temperature 0, for any number of seats and prompts on either side of a
    batch.
    """
    asked = asks(prompts(24))
    said = Round(tiny, sequences, batch).answers(asked)
    assert [say.number for say in asked if not agrees(said[say.number], plain(say.prompt))] == []
    assert len({answer.text for answer in said.values()}) > 20  # or nothing was compared


def test_order_and_neighbours_change_nothing(tiny: Path) -> None:
    """Each answer is the one that it gets alone: last or first, beside few or many, in the seat of
    another.
    """
    asked = asks(prompts(20, seed=5))
    alone = {say.number: Round(tiny, 1).answers([say])[say.number] for say in asked}
    for seed in range(4):
        shuffled = Random(seed).sample(asked, k=len(asked))
        assert Round(tiny, 5, batch=64).answers(shuffled) == alone


@pytest.mark.parametrize("prefix", ["", PREFIX, "something else"])
def test_the_common_prefix_changes_nothing(
    prefix: str, tiny: Path, plain: Callable[..., Plain]
) -> None:
    """Prompts that begin with it, that do not, and that are no longer than it, take turns in the
    same seats.
    """
    texts = [
        text
        for pair in zip(
            prompts(6), ["x", "something else", PREFIX, "a b", PREFIX + "x", "é"], strict=True
        )
        for text in pair
    ]
    said = Round(tiny, 2, prefix=prefix).answers(asks(texts))
    assert [n for n, text in enumerate(texts, start=1) if not agrees(said[n], plain(text))] == []


def test_the_prefix_is_evaluated_once(tiny: Path) -> None:
    """A request evaluates what comes behind the prefix, and nothing before."""
    counted: list[int] = []
    round = Round(tiny, 1)
    decode = round.network.decode
    round.network.decode = lambda batch: (counted.append(len(batch.tokens)), decode(batch))[1]  # type: ignore[method-assign,func-returns-value]
    round.answers(asks([f"{PREFIX}abc{BEHIND}"] * 3, tokens=1))
    behind = round.model.tokenize(f"{PREFIX}abc{BEHIND}"), round.model.tokenize(PREFIX)
    assert isinstance(behind[0], list)
    assert isinstance(behind[1], list)
    assert counted == [len(behind[0]) - len(behind[1])] * 3


def test_every_token_says_all_that_it_says(tiny: Path) -> None:
    """However long its name is; only the tokens that end an answer say nothing."""
    model = Round(tiny, 1).model
    text = "<|im_start|> category:<think></think>"
    tokens = model.tokenize(text)
    assert isinstance(tokens, list)
    assert len(tokens) < len(text) / 2
    assert b"".join(model.token_texts[token] or b"?" for token in tokens) == text.encode()
    ended = model.tokenize("<|im_end|><|endoftext|>")
    assert isinstance(ended, list)
    assert [model.token_texts[token] for token in ended] == [None, None]


@pytest.mark.parametrize("batch", [4, 7, 16, 24])
def test_no_batch_is_empty_or_larger_than_the_limit(batch: int, tiny: Path) -> None:
    """Either would abort the process; sequences stand in it in order, and only those that will
    speak ask for logits.
    """
    round = Round(tiny, 4, batch=batch)
    decode, network = round.network.decode, round.network

    def checked(filled: Batch) -> None:
        assert 1 <= len(filled.tokens) <= batch
        assert filled.sequences == sorted(filled.sequences)
        assert filled.rows == sum(filled.outputs) <= 16
        decode(filled)

    network.decode = checked  # type: ignore[method-assign]
    asked = asks(prompts(9), tokens=9)
    assert round.answers(asked) == Round(tiny, 4).answers(asked)


def test_a_memory_that_cannot_be_cut_gets_the_prefix_anew(
    tiny: Path, plain: Callable[..., Plain], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for Qwen3.5: what follows the prefix cannot be removed alone, so the seat is emptied and
    the prefix copied into it.
    """
    import llama_cpp

    remove = llama_cpp.llama_memory_seq_rm
    whole: list[bool] = []

    def only_whole(memory: object, sequence: int, start: int, end: int) -> bool:
        whole.append(start < 0)
        return bool(remove(memory, sequence, start, end)) if start < 0 else False

    monkeypatch.setattr(llama_cpp, "llama_memory_seq_rm", only_whole)
    asked = asks(prompts(9, seed=6))
    round = Round(tiny, 2)
    round.network.can_rewind = False
    said = round.answers(asked)
    assert [say.number for say in asked if not agrees(said[say.number], plain(say.prompt))] == []
    assert True in whole
    assert False in whole


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.1, 40, 0.9),
        Sampling(1.0, 20, 0.8, 0.05),
        Sampling(0.0, repeat_penalty=1.5),
        Sampling(0.7, repeat_penalty=1.2),
    ],
)
def test_drawn_answers_are_those_of_the_plain_loop_too(
    sampling: Sampling, tiny: Path, plain: Callable[..., Plain]
) -> None:
    """The same seed draws the same tokens, whoever draws beside it."""
    asked = asks(prompts(16, seed=9), sampling=sampling)
    options = {
        "temp": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
    }
    said = Round(tiny, 6).answers(asked)
    for say in asked:
        expected = plain(
            say.prompt, seed=say.seed, repeat_penalty=sampling.repeat_penalty, **options
        )
        assert (said[say.number].text, said[say.number].tokens) == (
            expected.text,
            len(expected.words),
        )


def test_another_seed_draws_another_answer(tiny: Path) -> None:
    """One prompt, eight seeds beside each other: each has its own generator."""
    said = Round(tiny, 8).answers(asks([prompts(1)[0]] * 8, sampling=Sampling(1.0)))
    assert len({answer.text for answer in said.values()}) == 8


def test_greedy_and_drawn_answers_sit_side_by_side(tiny: Path, plain: Callable[..., Plain]) -> None:
    """A greedy request is not swayed by a neighbour that draws."""
    texts = prompts(12, seed=4)
    mixed = [
        Generate(n, text, n, Sampling(1.0 if n % 2 else 0.0), max_tokens=30)
        for n, text in enumerate(texts, start=1)
    ]
    said = Round(tiny, 4).answers(mixed)
    assert [n for n in range(2, 13, 2) if not agrees(said[n], plain(texts[n - 1], tokens=30))] == []


def test_prompts_that_cannot_be_answered_harm_no_neighbour(
    tiny: Path, plain: Callable[..., Plain]
) -> None:
    """Too long by one token or by far, empty, or bytes that mean nothing: each ends for itself,
    with the true count.
    """
    good = prompts(6)
    fits, too_long, huge = "!" * (CONTEXT - 1), "!" * CONTEXT, "!" * 100_000
    odd = "\x00\x01\x02\x7f" + "\x00" * 40 + "\ufffe\U0010ffff"
    texts = [
        text
        for pair in zip(good, [fits, too_long, huge, "", odd, " "], strict=True)
        for text in pair
    ]
    said = Round(tiny, 3, batch=64).answers(asks(texts))
    assert [n for n in range(1, 13, 2) if not agrees(said[n], plain(texts[n - 1]))] == []
    told = {n: (said[n].end, said[n].prompt_tokens) for n in (4, 6, 8)}
    assert told == {4: ("context", CONTEXT), 6: ("context", 100_000), 8: ("refused", 0)}
    assert (said[2].end, said[2].tokens, said[2].prompt_tokens) == ("length", 1, CONTEXT - 1)
    assert agrees(said[10], plain(odd))


def test_an_answer_uses_the_context_to_its_last_token(tmp_path: Path) -> None:
    """Without a limit of its own it ends where prompt and answer fill the context, and its
    neighbours go on.
    """
    endless = write_tiny_gguf(tmp_path / "endless.gguf", shape=Shape(ends=False))
    texts = ["a b c", "!" * 200]
    said = Round(endless, 2, context=256).answers(
        [Generate(n, text, n) for n, text in enumerate(texts)]
    )
    assert [(answer.end, answer.prompt_tokens + answer.tokens) for answer in said.values()] == [
        ("length", 256)
    ] * 2


def test_a_cancelled_answer_harms_no_neighbour(tiny: Path, plain: Callable[..., Plain]) -> None:
    """Cancelled while its prompt is read or while it speaks: what it said by then comes back, and
    its seat serves the next.
    """
    texts = ["".join(prompts(1)) + "!" * 400, *prompts(11, seed=8)]

    def cancels(round: Round) -> None:
        if round.steps in (3, 20):
            round.scheduler.cancel(
                1 if round.steps == 3 else next(n for n in range(2, 13) if n not in round.said)
            )

    said = Round(tiny, 3, batch=32).answers(asks(texts), cancels)
    cancelled = [n for n, answer in said.items() if answer.end == "cancelled"]
    assert 1 in cancelled
    assert len(cancelled) == 2
    assert [
        n for n in said if n not in cancelled and not agrees(said[n], plain(texts[n - 1]))
    ] == []
    assert plain(texts[max(cancelled) - 1]).text.startswith(
        said[max(cancelled)].text.rstrip("\ufffd")
    )
