"""Who may send to an embedded model: a record that kills its process takes its neighbours with it once, and never again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Condition

import pytest

from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.book import Book
from finops_cli.models import failures
from finops_cli.models.llama_cpp import opening
from finops_cli.models.llama_cpp.opening import Team, open_llama_cpp, profile, team_for
from finops_cli.models.llama_cpp.process import Died, NotLoaded
from finops_cli.models.llama_cpp.speaker import LlamaCppSpeaker, Profile
from finops_cli.models.llama_cpp.wire import Load, Said, Sampling, Say
from finops_cli.models.protocol import Ask, Origin
from finops_cli.models.wanted import Wanted

TOGETHER = 4


class Fragile:
    """A process in name only: it answers when `TOGETHER` wait or a moment is over, and dies under a prompt that says so."""

    def __init__(self, log: Counter[str]) -> None:
        self.alive = True
        self._log = log
        self._inside: list[str] = []
        self._changed = Condition()
        self._death = Died("the process of the model was ended by signal 11")

    def ready(self, patience: float) -> None:
        """At once."""

    def say(self, say: Say, seconds: float, silence: float) -> Said:
        with self._changed:
            self._inside.append(say.prompt)
            self._log[say.prompt] += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._inside) >= TOGETHER or not self.alive, timeout=0.05)
            if any(prompt.startswith("kills") for prompt in self._inside):
                self.alive = False
                self._changed.notify_all()
            self._inside.remove(say.prompt)
            if not self.alive:
                raise failures.Crashed(str(self._death)) from self._death
        return Said(say.number, say.prompt.upper(), "stop", 1)

    def stop(self) -> None:
        self.alive = False


def speaker_with(book: Book, start: Callable[[Load], object]) -> LlamaCppSpeaker:
    one = Profile(Load("model.gguf", 1000, TOGETHER), Sampling())
    return LlamaCppSpeaker(Origin("llama-cpp"), {"triage": one}, book.answering, start=start)  # type: ignore[arg-type]


def outcome(speaker: LlamaCppSpeaker, prompt: str) -> str:
    try:
        return speaker.speak(Ask("triage", prompt, 1)).text
    except failures.NoReply as failure:
        return failure.rule


@pytest.mark.parametrize("poison", [1, 2, 4])
def test_records_that_kill_the_process_are_alone_in_the_end(poison: int, quick: Book) -> None:
    """Each of them is settled without the model; every neighbour is answered."""
    log: Counter[str] = Counter()
    speaker = speaker_with(quick, lambda _: Fragile(log))
    good = [f"record {n}" for n in range(12)]
    texts = [*good[:2], *(f"kills {n}" for n in range(poison)), *good[2:]]
    with ThreadPoolExecutor(TOGETHER) as lanes:
        outcomes = list(lanes.map(lambda text: outcome(speaker, text), texts))
    assert outcomes == [text.upper() if text in good else "reply.crashed" for text in texts]
    assert {log[text] for text in texts if text not in good} == {1 + quick.answering.retries["crashed"]}


def test_a_process_that_cannot_be_loaded_is_given_up_by_the_breaker(quick: Book) -> None:
    """The run ends, with the last reason and what to do."""
    tries: list[int] = []

    def start(_: Load) -> object:
        tries.append(1)
        raise NotLoaded("no memory", by_itself=True)

    speaker = speaker_with(quick, start)
    with ThreadPoolExecutor(8) as lanes, pytest.raises(failures.EverythingDown, match=r"no memory.*free some memory.*--resume"):
        list(lanes.map(lambda n: outcome(speaker, f"record {n}"), range(16)))
    settings = quick.answering.breaker
    assert len(tries) <= settings["failures"] + settings["probes"] + 8  # those already inside when it opened


def test_without_the_extra_the_cure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, book: Book) -> None:
    """Before a file is looked at, and without an import of what is missing."""
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name != "numpy" else object())
    with pytest.raises(MissingPiece, match=r"llama-cpp-python and llguidance: pip install 'finops\[llama\]'"):
        open_llama_cpp(Wanted("llama-cpp", ("triage",), triage_gguf=tmp_path / "none.gguf"), book)


OPTIONS = {"num_ctx": 2048, "temperature": 0.1, "top_k": 40, "top_p": 0.9, "repeat_penalty": 1.0, "num_predict": 512}


def test_a_model_is_asked_as_its_modelfile_says(gguf: Path) -> None:
    """Every parameter that sways an answer arrives; one that only Ollama does is refused, not dropped."""
    made = profile(gguf, {**OPTIONS, "stop": ["<|im_end|>"], "num_predict": -1, "seed": 3}, "prefix")
    assert (made.load.context, made.load.prefix, made.sampling, made.stops) == (2048, "prefix", Sampling(0.1), ("<|im_end|>",))
    assert made.predict is None
    assert profile(gguf, OPTIONS, "").predict == 512
    with pytest.raises(UsageError, match="presence_penalty: --backend llama-cpp does not do that"):
        profile(gguf, {**OPTIONS, "presence_penalty": 1.0}, "")


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    """Not there, a folder, or something else."""
    (tmp_path / "text.gguf").write_text("hello")
    for name, told in (("none.gguf", "no such GGUF file"), (".", "no such GGUF file"), ("text.gguf", "is no GGUF file")):
        with pytest.raises(UsageError, match=told):
            profile(tmp_path / name, OPTIONS, "")


def test_small_models_are_decoded_by_one_team_for_each_core() -> None:
    """Large ones by all cores together; whoever says how many answers at once gets as many, or a few more."""
    small, large = 1_000_000, 5_000_000_000
    assert team_for(small, 2, None) == Team(8, 2, 1)
    assert team_for(large, 16, None) == Team(4, 1, 16)
    assert team_for(small, 2, 1) == Team(1, 1, 2)
    assert team_for(small, 2, 5) == Team(3, 2, 1)
    assert team_for(large, 4, 12) == Team(12, 1, 4)


def test_a_speaker_says_what_it_speaks_with(gguf: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """File name, digest of the file, digest of the prompts, and all that sways an answer; how many are decoded at once does not."""
    monkeypatch.setattr(opening, "find_spec", lambda _: object())
    speakers = [open_llama_cpp(Wanted("llama-cpp", ("triage",), workers=n, triage_gguf=gguf), book) for n in (None, 3)]
    first, second = (speaker.origin for speaker in speakers)
    assert first == second
    assert (first.name, first.models.triage) == ("llama-cpp", "tiny.gguf")
    assert first.digests is not None
    assert first.digests.triage == opening.sha256(gguf)
    assert first.settings is not None
    assert '"temperature":0.1' in first.settings
    assert speakers[0].room("triage") == 2048
    assert speakers[1].lanes < speakers[0].lanes
