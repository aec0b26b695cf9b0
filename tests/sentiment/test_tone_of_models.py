"""`finops run --sentiment` with language models: the rules answer the fails, a model the tone."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama, FixedText
from finops_cli.devtools.fake_ollama.models import Model
from tests.sentiment.test_tone_of_notes import RUN, lines_of, needs_guard
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl
from tests.support.tiny_gguf import write_tiny_gguf

pytestmark = needs_guard
FAILS = (
    a_fail(notes="The recall was refused, SSN 219-09-9999."),
    a_fail(fail_id="F-2"),
    a_fail(fail_id="F-3", notes="Delivery confirmed."),
)


@pytest.fixture
def fails(tmp_path: Path) -> Path:
    path = tmp_path / "fails.jsonl"
    path.write_bytes(jsonl(*FAILS))
    return path


@pytest.mark.parametrize(
    ("reply", "status", "flags"),
    [("negative", "ok", []), ("rubbish", "fallback", ["invalid_label"])],
)
def test_server_of_the_tone_is_named_beside_the_engine(
    reply: str, status: str, flags: list[str], fails: Path, finops: Finops
) -> None:
    """--host names the server of the tone where the rules answer the fails. The server reads masked
    notes; a reply without a label is replaced by the baseline's, and `check` accepts both.
    """
    with FakeOllama(models=[Model("finops-sentiment")]) as server:
        server.script = lambda _: FixedText(reply)
        done = finops(*RUN, fails, "--sentiment=ollama", "--host", server.url)
        asked = str(server.requests)
    first, without, _ = lines_of(done.stdout)
    assert (done.returncode, without["tone"]) == (0, None), done.stderr
    assert first["provenance"]["backend"] == "engine"
    assert (first["tone"]["backend"], first["tone"]["status"]) == ("ollama", status)
    assert (first["tone"]["sentiment"]["label"], "219-09" in asked) == ("negative", False)
    assert [flag for flag in first["tone"]["flags"] if flag != "low_confidence"] == flags
    note = b"sentiment    the baseline labelled 2 of 2 texts in place of finops-sentiment:"
    assert done.stderr.count(note) == (status == "fallback")
    assert finops("check", "-", "-q", "--fails", fails, stdin=done.stdout).returncode == 0


@pytest.mark.parametrize("tone", ["--sentiment=baseline", "--sentiment=llama-cpp", "-q"])
def test_host_without_a_server_is_still_refused(tone: str, fails: Path, finops: Finops) -> None:
    """--host beside the engine is refused where no tone asks a server."""
    done = finops(*RUN, fails, tone, "--host", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert b"--host: only for --backend ollama" in done.stderr


@pytest.mark.llama
@pytest.mark.slow
def test_model_file_is_asked_for_the_tone(fails: Path, finops: Finops, tmp_path: Path) -> None:
    """--sentiment=llama-cpp loads a model file beside the rules. This one has no first token of its
    own for each label, so the baseline answers for it; each line says so, and stderr once why.
    """
    pytest.importorskip("llama_cpp")
    path = tmp_path / "tone.gguf"
    write_tiny_gguf(path)
    done = finops(*RUN, fails, "--sentiment=llama-cpp", "--sentiment-gguf", path)
    first, without, third = lines_of(done.stdout)
    assert (done.returncode, without["tone"]) == (0, None), done.stderr
    for line in (first, third):
        assert (line["tone"]["backend"], line["tone"]["model"]) == ("llama-cpp", "tone.gguf")
        assert (line["tone"]["status"], line["tone"]["source"]) == ("fallback", "calibrated")
    said = b" ".join(done.stderr.split())
    assert said.count(b"the baseline labelled 2 of 2 texts in place of tone.gguf") == 1
    assert b"no separate first token for each choice" in said
    assert finops("check", "-", "-q", "--fails", fails, stdin=done.stdout).returncode == 0
