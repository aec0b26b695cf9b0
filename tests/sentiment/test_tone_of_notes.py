"""`finops run --sentiment`: the tone of notes beside a fail, and never in its score."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Finops
from tests.support.records import a_fail, jsonl

NOTES = (
    "The recall was refused; no shares before Friday.",
    None,
    "They confirmed that the shares will be delivered tomorrow morning.",
    "  ",
)
RUN = ("run", "--backend", "engine", "-q", "--no-timing")
needs_guard = pytest.mark.skipif(
    find_spec("presidio_analyzer") is None, reason="needs the extra guard"
)
pytestmark = needs_guard


@pytest.fixture
def fails(tmp_path: Path) -> Path:
    path = tmp_path / "fails.jsonl"
    records = [a_fail(fail_id=f"F-{n}", notes=notes) for n, notes in enumerate(NOTES * 3)]
    path.write_bytes(b"".join(jsonl(each) for each in records))
    return path


def lines_of(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_tone_stands_beside_an_unchanged_answer(finops: Finops, fails: Path) -> None:
    """Each record with notes has its label; all else equals the run without --sentiment."""
    plain = lines_of(finops(*RUN, fails, "--guard", "require").stdout)
    toned = lines_of(finops(*RUN, fails, "--sentiment=baseline").stdout)
    tones = [line.pop("tone") for line in toned]
    assert toned == plain
    labels = [tone and tone["sentiment"]["label"] for tone in tones[:4]]
    assert labels == ["negative", None, "positive", None]
    assert {tone["backend"] for tone in tones if tone} == {"baseline"}


@pytest.mark.parametrize(
    "words", [("--sentiment",), ("--sentiment", "baseline"), ("--sentiment=baseline",)]
)
def test_option_takes_its_backend_or_none(
    finops: Finops, fails: Path, words: tuple[str, ...]
) -> None:
    """`--sentiment` alone is `auto` and takes no file for its value."""
    for given in ((*words, fails), (fails, *words)):
        done = finops(*RUN, *given)
        assert done.returncode == 0, done.stderr
        assert lines_of(done.stdout)[0]["tone"]["status"] == "ok"


def test_unknown_backend_is_refused(finops: Finops, fails: Path) -> None:
    """Another name ends with 2 and lists the backends."""
    done = finops(*RUN, fails, "--sentiment=oracle")
    assert done.returncode == 2
    assert b"baseline" in done.stderr


def test_resumed_run_has_equal_bytes(finops: Finops, fails: Path, tmp_path: Path) -> None:
    """A resumed run has the bytes of one that was not; without --sentiment it is refused."""
    out = tmp_path / "out.jsonl"
    run = (*RUN, fails, "-o", out, "--sentiment=baseline")
    assert finops(*run).returncode == 0
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert finops(*RUN, fails, "-o", out, "--resume").returncode == 2
    assert finops(*run, "--resume").returncode == 0
    assert out.read_bytes() == whole


@pytest.mark.slow
def test_workers_write_equal_bytes(finops: Finops, fails: Path) -> None:
    """Any number of workers writes the same lines."""
    one = finops(*RUN, fails, "--sentiment=baseline").stdout
    assert finops(*RUN, fails, "--sentiment=baseline", "--workers", "2").stdout == one


def test_notes_are_masked_before_they_are_read(finops: Finops, tmp_path: Path) -> None:
    """The default of --guard is require: the line names what was masked and holds none of it."""
    path = tmp_path / "fails.jsonl"
    path.write_bytes(jsonl(a_fail(notes="Refused by Ann, SSN 219-09-9999, ann@bank.example.")))
    done = finops(*RUN, path, "--sentiment=baseline")
    (line,) = lines_of(done.stdout)
    assert "SSN" in line["provenance"]["masked"]
    assert b"219-09" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"flags": ["low_confidence"]}, "/tone/flags"),
        ({"status": "failed"}, "/tone/status"),
        ({"sentiment": None}, "/tone/status"),
        ({"sentiment": {"label": "good"}}, "/tone"),
        ({"backend": 3}, "/tone"),
    ],
)
def test_check_finds_a_tone_that_contradicts_itself(
    finops: Finops, fails: Path, changes: dict[str, Any], path: str
) -> None:
    """`check` judges the tone of a line, and finds nothing in the tone of a run."""
    lines = finops(*RUN, fails, "--sentiment=baseline").stdout
    assert finops("check", "-", "-q", stdin=lines).returncode == 0
    line = lines_of(lines)[0]
    line["tone"] |= changes
    (verdict,) = lines_of(finops("check", "-", "-q", stdin=jsonl(line)).stdout)
    assert [each["path"] for each in verdict["findings"]] == [path]
    assert verdict["findings"][0]["rule"] == "check.tone"


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [("label", "positive", "label"), ("confidence", 0.5, "confidence")],
)
def test_check_compares_label_and_confidence_with_the_scores(
    finops: Finops, fails: Path, field: str, value: object, path: str
) -> None:
    """The label is the most probable one, and the confidence is its score."""
    line = lines_of(finops(*RUN, fails, "--sentiment=baseline").stdout)[0]
    line["tone"]["sentiment"][field] = value
    (verdict,) = lines_of(finops("check", "-", "-q", stdin=jsonl(line)).stdout)
    assert f"/tone/sentiment/{path}" in [each["path"] for each in verdict["findings"]]


def test_list_and_show_print_the_tone(finops: Finops, fails: Path, tmp_path: Path) -> None:
    """The list has a note below the fail, and the page a fact."""
    out = tmp_path / "out.jsonl"
    finops(*RUN, fails, "-o", out, "--sentiment=baseline")
    assert b"Tone of the notes: negative" in finops("list", out, "--format", "table").stdout
    assert b"tone of notes" in finops("show", out, "F-0").stdout
    assert b"tone of notes" not in finops("show", out, "F-1").stdout


@pytest.mark.parametrize(
    "notes", ["Ann Roe refused it, SSN 219-09-9999.", "The recall was refused."]
)
def test_check_with_fails_labels_the_notes_again(
    finops: Finops, tmp_path: Path, notes: str
) -> None:
    """A tone that agrees with itself and not with the notes is found with `--fails`, masked or not;
    so are a tone without notes, and notes without a tone.
    """
    path = tmp_path / "fails.jsonl"
    path.write_bytes(jsonl(a_fail(notes=notes), a_fail(fail_id="F-2")))
    lines = lines_of(finops(*RUN, path, "--sentiment=baseline").stdout)
    check = ("check", "-", "-q", "--fails", path)
    assert finops(*check, stdin=jsonl(*lines)).returncode == 0
    scores = {"negative": 0.1, "neutral": 0.1, "positive": 0.8}
    told = {"label": "positive", "confidence": 0.8, "scores": scores}
    lied = [{**lines[0], "tone": lines[0]["tone"] | {"sentiment": told, "flags": []}}, lines[1]]
    none = [{**lines[0], "tone": None}, lines[1]]
    made_up = [lines[0], {**lines[1], "tone": lines[0]["tone"]}]
    for changed, at, where in (
        (lied, 0, "/tone/sentiment"),
        (none, 0, "/tone"),
        (made_up, 1, "/tone"),
    ):
        verdicts = lines_of(finops(*check, stdin=jsonl(*changed)).stdout)
        assert [verdict["ok"] for verdict in verdicts] == [n != at for n in range(2)]
        [finding] = verdicts[at]["findings"]
        assert (finding["rule"], finding["path"]) == ("check.tone", where)


def test_check_leaves_the_tone_of_another_model(finops: Finops, fails: Path) -> None:
    """A tone of a baseline with another digest cannot be computed here; it is not a fault."""
    lines = lines_of(finops(*RUN, fails, "--sentiment=baseline").stdout)
    for line in lines:
        if line["tone"] is not None:
            scores = {"negative": 0.1, "neutral": 0.1, "positive": 0.8}
            told = {"label": "positive", "confidence": 0.8, "scores": scores}
            line["tone"] |= {"digest": "0" * 64, "sentiment": told, "flags": []}
    assert finops("check", "-", "-q", "--fails", fails, stdin=jsonl(*lines)).returncode == 0
