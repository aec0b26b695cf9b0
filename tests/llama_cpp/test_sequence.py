"""One answer while it is decoded: where it ends, and which text its bytes are."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from finops_cli.models.llama_cpp.messages import (
    FROM_WORKER,
    TO_WORKER,
    Cancel,
    Generate,
    GenerationResult,
    Load,
    frame,
    next_frame,
)
from finops_cli.models.llama_cpp.worker.sequence import Sequence


def decode(
    words: list[bytes], stops: tuple[str, ...] = (), limit: int = 1000, ends: bool = False
) -> GenerationResult:
    """What is said by tokens that say `words`, and then, if it `ends`, by the one that ends it."""
    sequence = Sequence(Generate(1, "", 1, stops=stops), [1, 2, 3], limit)
    for word in words:
        if sequence.end is None:
            sequence.append(7, word)
    if ends and sequence.end is None:
        sequence.end = "stop"
    return sequence.result()


def test_a_stop_is_found_over_any_number_of_tokens() -> None:
    """In one token, split over two or in single bytes; what stands before it is kept, what stands
    behind is not.
    """
    for words in (
        [b"yes</s> no"],
        [b"yes<", b"/s> no"],
        [b"yes<", b"/", b"s", b">", b"no"],
        [b"yes", b"</s>"],
    ):
        said = decode(words, ("</s>",))
        assert (said.text, said.end) == ("yes", "stop")


def test_the_first_of_several_stops_counts() -> None:
    """Wherever it stands, also where one begins like the other."""
    assert decode([b"a<|im", b"_end|>b</s>"], ("</s>", "<|im_end|>")).text == "a"
    assert decode([b"one, two. three"], (".", ",")).text == "one"
    assert decode([b"<|im_", b"start|><|im_end|>"], ("<|im_end|>",)).text == "<|im_start|>"


@given(
    st.text(alphabet="ab<|>é€", max_size=40),
    st.lists(st.integers(1, 5), min_size=60, max_size=60),
    st.text("ab<|>é", min_size=1, max_size=4),
)
def test_a_stop_ends_an_answer_as_it_would_the_whole_text(
    text: str, cuts: list[int], stop: str
) -> None:
    """However the bytes of a text come in tokens, it ends where the text first has the stop."""
    left, words = text.encode(), []
    for length in cuts:
        words.append(left[:length])
        left = left[length:]
    said = decode([*words, left], (stop,), ends=True)
    assert said.text == text.split(stop)[0]


def test_a_character_split_over_tokens_is_one() -> None:
    """No token of it is an error; one that the limit cuts is left out, one that the model never
    finished shows as such.
    """
    euro = "€".encode()
    words = [b"1", euro[:1], euro[1:2], euro[2:]]
    assert decode(words, ends=True).text == "1€"
    assert decode(words, limit=3).text == "1"
    assert decode(words[:3], ends=True).text == "1\ufffd"
    assert decode([b"\xff", b"a"], ends=True).text == "\ufffda"


def test_the_limit_is_one_of_tokens() -> None:
    """Exactly so many are said; a stop within the last of them is a stop."""
    assert (decode([b"a"] * 9, limit=4).text, decode([b"a"] * 9, limit=4).tokens) == (
        "aaaa",
        4,
    )
    assert decode([b"a", b"b."], stops=(".",), limit=2).end == "stop"
    assert decode([b"a", b"b"], limit=2).end == "length"


def test_messages_come_out_as_they_went_in() -> None:
    """Several in one pipe, with every character; a pipe that ends within a message ends."""
    say = Generate(3, "\x00€\U0010ffff<|im_end|>", 7, stops=("a",), schema=b"{}")
    sent = (
        frame(Load("m.gguf", 10))
        + frame(say)
        + frame(Cancel(3))
        + frame(GenerationResult(3, "x", "stop", 1))
    )
    stream = io.BytesIO(sent + frame(say)[:-1])
    received = [next_frame(stream) for _ in range(5)]
    assert [TO_WORKER.decode(body) for body in received[:3] if body] == [
        Load("m.gguf", 10),
        say,
        Cancel(3),
    ]
    assert received[3] is not None
    assert FROM_WORKER.decode(received[3]) == GenerationResult(3, "x", "stop", 1)
    assert received[4] is None
