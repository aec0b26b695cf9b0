"""What is guessed ahead changes no answer: right guesses save batches, wrong ones are taken
back.
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
from tests.support.llama_models import CONTEXT, Round, agrees, asks, plain_loop, prompts
from tests.support.tiny_gguf import Shape, write_tiny_gguf

TOKENS = st.lists(st.integers(0, 5), max_size=40)


@given(prompt=TOKENS, said=TOKENS)
def test_a_guess_is_what_stood_behind_the_longest_equal_end(
    prompt: list[int], said: list[int]
) -> None:
    """Of 8 or 3 tokens, where they stood last; else the last token again."""
    lookup = PromptLookup([9, *prompt], 0, NGramCache())
    for token in said:
        lookup.append(token)
    text = [9, *prompt, *said]
    assert lookup.can_draft == any(_stood(text, text[-reach:], reach) for reach in (8, 3))
    for token in lookup.draft():
        known = next(
            (
                found
                for reach in (8, 3)
                if (found := _stood([9, *prompt, *said], text[-reach:], reach))
            ),
            text[-1:],
        )
        assert token == known[-1]
        text.append(token)
    assert len(text) == 1 + len(prompt) + len(said) + DRAFTED


def _stood(text: list[int], end: list[int], reach: int) -> list[int]:
    """What stood behind `end` in `text`, in order."""
    return [
        text[at]
        for at in range(reach, len(text))
        if text[at - reach : at] == end and len(end) == reach
    ]


def test_earlier_answers_are_remembered_and_the_oldest_forgotten() -> None:
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


class Watched(Round):
    """Counts the batches that held guesses, and the sequences of which something was taken back."""

    def __init__(
        self, gguf: Path, sequences: int, batch: int = 512, context: int = CONTEXT
    ) -> None:
        super().__init__(gguf, sequences, batch, context=context)
        self.guessed = self.rewound = 0
        decode, rewind = self.network.decode, self.network.rewind

        def count_guesses(batch: Batch) -> None:
            self.guessed += batch.rows > sequences
            decode(batch)

        def count_rewinds(sequence: int, position: int) -> None:
            self.rewound += 1
            rewind(sequence, position)

        self.network.decode = count_guesses  # type: ignore[method-assign]
        self.network.rewind = count_rewinds  # type: ignore[method-assign]


def later(say: Generate, by: int, seed: int | None = None) -> Generate:
    """The same question under another number, of another seed where one is given."""
    return replace(say, number=say.number + by, seed=say.seed if seed is None else seed)


DRAWN = Sampling(1.0, 20, 0.8, 0.05)


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("sampling", [Sampling(), DRAWN, Sampling(0.7, repeat_penalty=1.2)])
def test_answers_with_guesses_are_those_of_the_plain_loop(
    sequences: int, sampling: Sampling, tiny: Path
) -> None:
    """The same questions again, so that earlier answers are good guesses; and drawn anew, so that
    some are bad ones.
    """
    texts = prompts(5, seed=11)
    round, plain = Watched(tiny, sequences), plain_loop(tiny)
    first = asks(texts, sampling=sampling)
    again = [later(say, 100) for say in first]
    other = [later(say, 200, seed=say.seed + 50) for say in first]
    said = round.answers([*first, *again, *other])
    loop = {
        "temp": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
    }
    loop["repeat_penalty"] = sampling.repeat_penalty
    expected = {
        say.number: plain(say.prompt, seed=say.seed, **loop) for say in (*first, *again, *other)
    }
    assert [number for number, answer in said.items() if not agrees(answer, expected[number])] == []
    assert round.guessed > 10
    assert sampling is not DRAWN or round.rewound > 5


def test_a_right_guess_saves_batches(tiny: Path) -> None:
    """An answer that was heard before takes less than half as many."""
    say = asks(prompts(1, seed=12), sampling=DRAWN)[0]
    round = Round(tiny, 1)
    round.answers([say])
    alone, round.steps = round.steps, 0
    round.answers([later(say, 100)])
    assert round.steps < alone / 2
    assert round.said[say.number].text == round.said[say.number + 100].text


def test_a_small_batch_has_no_room_for_guesses(tiny: Path) -> None:
    """An answer with three guesses takes four tokens of it."""
    texts = prompts(3, seed=13)
    assert _guessed(Watched(tiny, 1, batch=3), texts) == 0
    assert _guessed(Watched(tiny, 1, batch=4), texts) > 0


def test_guesses_stay_within_the_context(tmp_path: Path) -> None:
    """An answer that goes on to its last token is guessed up to there, and no further."""
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
    endless = write_tiny_gguf(tmp_path / "endless.gguf", shape=Shape(ends=False))
    round = Watched(endless, 1, context=256)
    say = replace(asks(prompts(1, seed=14), sampling=DRAWN)[0], max_tokens=None)
    said = round.answers([say, later(say, 100)])
    assert round.guessed > 10
    assert said[101].text == said[1].text
    assert said[101].prompt_tokens + said[101].tokens == 256


def _guessed(round: Watched, texts: list[str]) -> int:
    round.answers([*asks(texts), *(later(say, 100) for say in asks(texts))])
    return round.guessed
