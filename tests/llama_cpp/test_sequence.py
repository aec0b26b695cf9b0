"""One answer while it is decoded: where it ends, and the text of its bytes."""

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
    """Decode tokens with the bytes `words`, and then an end token if `ends`."""
    sequence = Sequence(Generate(number=1, prompt="", seed=1, stops=stops), [1, 2, 3], limit)
    for word in words:
        if sequence.end is None:
            sequence.append(7, word)
    if ends and sequence.end is None:
        sequence.end = "stop"
    return sequence.result()


def test_stop_split_over_tokens_ends_the_answer() -> None:
    """A stop sequence in one token or split over several ends the answer. The text before it is
    kept, the text after it is not.
    """
    for words in (
        [b"yes</s> no"],
        [b"yes<", b"/s> no"],
        [b"yes<", b"/", b"s", b">", b"no"],
        [b"yes", b"</s>"],
    ):
        result = decode(words, ("</s>",))
        assert (result.text, result.end) == ("yes", "stop")


def test_first_of_several_stops_ends_the_answer() -> None:
    """The first stop sequence in the text ends the answer, also if another one starts alike."""
    assert decode([b"a<|im", b"_end|>b</s>"], ("</s>", "<|im_end|>")).text == "a"
    assert decode([b"one, two. three"], (".", ",")).text == "one"
    assert decode([b"<|im_", b"start|><|im_end|>"], ("<|im_end|>",)).text == "<|im_start|>"


@given(
    st.text(alphabet="ab<|>é€", max_size=40),
    st.lists(st.integers(1, 5), min_size=60, max_size=60),
    st.text("ab<|>é", min_size=1, max_size=4),
)
def test_stop_does_not_depend_on_the_split_into_tokens(
    text: str, cuts: list[int], stop: str
) -> None:
    """However a text is split into tokens, the answer ends where the whole text first has
    the stop.
    """
    left, words = text.encode(), []
    for length in cuts:
        words.append(left[:length])
        left = left[length:]
    result = decode([*words, left], (stop,), ends=True)
    assert result.text == text.split(stop)[0]


def test_character_split_over_tokens_is_decoded_whole() -> None:
    """A character whose bytes are in several tokens is decoded whole. One that the limit cuts is
    omitted, and an invalid one is marked.
    """
    euro = "€".encode()
    words = [b"1", euro[:1], euro[1:2], euro[2:]]
    assert decode(words, ends=True).text == "1€"
    assert decode(words, limit=3).text == "1"
    assert decode(words[:3], ends=True).text == "1\ufffd"
    assert decode([b"\xff", b"a"], ends=True).text == "\ufffda"


def test_answer_limit_counts_tokens() -> None:
    """The limit counts tokens exactly, and a stop in the last token is a stop."""
    assert (decode([b"a"] * 9, limit=4).text, decode([b"a"] * 9, limit=4).tokens) == (
        "aaaa",
        4,
    )
    assert decode([b"a", b"b."], stops=(".",), limit=2).end == "stop"
    assert decode([b"a", b"b"], limit=2).end == "length"


def test_worker_messages_are_read_back_unchanged() -> None:
    """Several messages in one pipe are read back unchanged. A pipe that ends within a message ends
    the reading.
    """
    request = Generate(
        number=3, prompt="\x00€\U0010ffff<|im_end|>", seed=7, stops=("a",), schema=b"{}"
    )
    sent = (
        frame(Load(path="m.gguf", context=10))
        + frame(request)
        + frame(Cancel(3))
        + frame(GenerationResult(number=3, text="x", end="stop", prompt_tokens=1))
    )
    stream = io.BytesIO(sent + frame(request)[:-1])
    received = [next_frame(stream) for _ in range(5)]
    assert [TO_WORKER.decode(body) for body in received[:3] if body] == [
        Load(path="m.gguf", context=10),
        request,
        Cancel(3),
    ]
    assert received[3] is not None
    assert FROM_WORKER.decode(received[3]) == GenerationResult(
        number=3, text="x", end="stop", prompt_tokens=1
    )
    assert received[4] is None
