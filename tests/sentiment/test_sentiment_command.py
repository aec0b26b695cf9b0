"""`finops sentiment`: input forms, output lines, order, resume, guard and exit codes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import EXAMPLES, Finops

TEXTS = EXAMPLES / "sentiment" / "texts.jsonl"
pytest.importorskip("presidio_analyzer")


def lines_of(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_sentiment_line_has_the_fields_of_the_contract(finops: Finops) -> None:
    """A line has id, status, label with confidence and scores, flags, masked kinds, provenance."""
    done = finops("sentiment", TEXTS, "--backend", "baseline", "--no-timing")
    assert done.returncode == 0
    found = lines_of(done.stdout)
    assert [line["id"] for line in found] == ["T-1", "T-2", "T-3", "T-4", "T-5"]
    for line in found:
        assert list(line)[:6] == ["id", "status", "format", "sentiment", "flags", "pii"]
        scores = line["sentiment"]["scores"]
        assert list(scores) == ["negative", "neutral", "positive"]
        assert line["sentiment"]["confidence"] == max(scores.values())
        assert scores[line["sentiment"]["label"]] == line["sentiment"]["confidence"]
        assert line["provenance"]["confidence"] == "calibrated"
        assert line["provenance"]["latency_ms"] is None
    assert [line["pii"] for line in found] == [[], [], [], ["EMAIL"], []]
    assert b"jane.doe" not in done.stdout + done.stderr


FORMS: dict[str, tuple[str, bytes, list[str]]] = {
    "jsonl": ("t.jsonl", b'{"id":"a","text":"Profit rose."}\n{"text":"Sales fell."}\n', []),
    "packed": ("t.gz", gzip.compress(b'{"id":"a","text":"Profit rose."}\n{"text":"x"}\n'), []),
    "lines": ("t.txt", b"Profit rose.\nSales fell.\n", ["--lines"]),
    "csv": ("t.csv", b"id,text\na,Profit rose.\nb,Sales fell.\n", []),
    "one column": ("t.csv", b"text\nProfit rose.\nSales fell.\n", []),
    "other column": ("t.csv", b"id;body\na;Profit rose.\nb;Sales fell.\n", ["--field", "body"]),
    "notes": (
        "fails.jsonl",
        b'{"fail_id":"a","notes":"No stock, no date."}\n{"fail_id":"b","notes":null}\n',
        ["--field", "notes"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_sentiment_reads_each_form_of_input(form: str, finops: Finops, tmp_path: Path) -> None:
    """JSON Lines, packed files, plain lines and columns give one line for each text, in order."""
    name, content, options = FORMS[form]
    source = tmp_path / name
    source.write_bytes(content)
    done = finops("sentiment", source, "--backend", "baseline", *options)
    assert done.returncode == 0, done.stderr
    assert len(lines_of(done.stdout)) == 2


def test_sentiment_of_a_record_without_notes_is_null(finops: Finops, tmp_path: Path) -> None:
    """A fail record without notes has no sentiment, a reason, and the status ok."""
    source = write(tmp_path / "f.jsonl", {"fail_id": "F-1"}, {"fail_id": "F-2", "notes": " "})
    done = finops("sentiment", source, "--field", "notes", "--backend", "baseline")
    assert done.returncode == 0
    assert [(line["id"], line["sentiment"], line["skipped"]) for line in lines_of(done.stdout)] == [
        ("F-1", None, "the record has no notes"),
        ("F-2", None, "the record has no notes"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "is not JSON"),
        ('{"id": "x"}', "text"),
        ('{"text": ""}', "text"),
        ('{"text": 3}', "text is"),
        ("[1]", "one JSON object per line"),
        ("", "is empty"),
    ],
)
def test_unusable_line_is_rejected_in_its_place(
    line: str, message: str, finops: Finops, tmp_path: Path
) -> None:
    """A line without a text is one rejected line with the reason; its neighbours go on."""
    source = tmp_path / "t.jsonl"
    source.write_text(f'{{"text": "Profit rose."}}\n{line}\n{{"text": "Sales fell."}}\n')
    done = finops("sentiment", source, "--backend", "baseline")
    first, second, third = lines_of(done.stdout)
    assert done.returncode == 1
    assert (first["status"], second["status"], third["status"]) == ("ok", "rejected", "ok")
    assert message in second["error"]["message"]


def test_repeated_id_is_rejected(finops: Finops, tmp_path: Path) -> None:
    """The second line with an id is rejected; lines without an id are not compared."""
    rows = [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}, {"text": "z"}, {"text": "z"}]
    done = finops("sentiment", write(tmp_path / "t.jsonl", *rows), "--backend", "baseline")
    assert [line["status"] for line in lines_of(done.stdout)] == ["ok", "rejected", "ok", "ok"]


def test_sentences_of_a_text_are_weighed_and_shown(finops: Finops, tmp_path: Path) -> None:
    """With --split sentences a line has each sentence with its place, and the weighted result."""
    text = "Operating profit rose sharply. Mr. Ames spoke in May. Costs fell again."
    source = write(tmp_path / "t.jsonl", {"text": text})
    done = finops("sentiment", source, "--split", "sentences", "--backend", "baseline")
    [line] = lines_of(done.stdout)
    places = [(part["start"], part["end"]) for part in line["parts"]]
    assert [text[start:end].strip() for start, end in places] == [
        "Operating profit rose sharply.",
        "Mr. Ames spoke in May.",
        "Costs fell again.",
    ]
    assert (places[0][0], places[-1][1]) == (0, len(text))
    words = [4, 5, 3]
    for label, total in line["sentiment"]["scores"].items():
        parts = [part["sentiment"]["scores"][label] for part in line["parts"]]
        mean = sum(n * p for n, p in zip(words, parts, strict=True)) / sum(words)
        assert total == pytest.approx(mean, abs=0.0002)


def test_low_confidence_is_flagged_below_the_limit(finops: Finops, tmp_path: Path) -> None:
    """A confidence below kb sentiment.low_confidence has the flag, one above it has not."""
    rows = [
        {"text": "xyzzy plugh qwerty"},
        {"text": "Net profit rose and the dividend was raised."},
    ]
    done = finops("sentiment", write(tmp_path / "t.jsonl", *rows), "--backend", "baseline")
    for line in lines_of(done.stdout):
        is_low = line["sentiment"]["confidence"] < 0.6
        assert ("low_confidence" in line["flags"]) == is_low


@pytest.mark.slow
def test_workers_and_resume_give_equal_bytes(finops: Finops, tmp_path: Path) -> None:
    """Two processes write the same bytes as one, and a resumed run ends like a whole one."""
    texts = [{"id": f"T-{n}", "text": f"Profit rose by {n} percent."} for n in range(700)]
    source = write(tmp_path / "t.jsonl", *texts)
    whole, other = tmp_path / "whole.jsonl", tmp_path / "other.jsonl"
    command = ("sentiment", source, "--no-timing", "--backend", "baseline", "-q")
    assert finops(*command, "-o", whole).returncode == 0
    assert finops(*command, "-o", other, "--workers", 2).returncode == 0
    assert other.read_bytes() == whole.read_bytes()
    other.write_bytes(whole.read_bytes()[:9_999])
    note = other.with_name("other.jsonl.run.json")
    note.write_text(note.read_text().replace('"complete": true', '"complete": false'))
    assert finops(*command, "-o", other, "--resume").returncode == 0
    assert other.read_bytes() == whole.read_bytes()
    changed = finops(*command, "-o", other, "--resume", "--split", "sentences")
    assert changed.returncode == 2
    assert b"--split" in changed.stderr


def test_keep_raw_shows_the_masked_text_only(finops: Finops, tmp_path: Path) -> None:
    """--keep-raw keeps the text as the model saw it: without the personal data."""
    source = write(tmp_path / "t.jsonl", {"text": "Write to jane.doe@example.com: profit rose."})
    done = finops("sentiment", source, "--keep-raw", "--backend", "baseline")
    [line] = lines_of(done.stdout)
    assert line["raw"] == {"text": "Write to [EMAIL]: profit rose."}
    off = finops("sentiment", source, "--keep-raw", "--backend", "baseline", "--guard", "off")
    [line] = lines_of(off.stdout)
    assert (line["raw"]["text"], line["pii"]) == (
        "Write to jane.doe@example.com: profit rose.",
        [],
    )


def test_stats_count_labels_and_flags(finops: Finops, tmp_path: Path) -> None:
    """--stats-json counts the labels of the run."""
    stats = tmp_path / "stats.json"
    done = finops("sentiment", TEXTS, "--stats-json", stats, "--backend", "baseline")
    assert done.returncode == 0
    found = json.loads(stats.read_text())
    assert sum(found["labels"].values()) == found["records"] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lines", "--field", "notes"], b"exclude each other"),
        (["--backend", "engine"], b"baseline"),
        (["--resume"], b"-o FILE"),
        (["--baseline", "none.json"], b"cannot be read"),
    ],
)
def test_wrong_use_is_refused(options: list[str], message: bytes, finops: Finops) -> None:
    """Options that contradict each other and files that are missing end with 2."""
    done = finops("sentiment", TEXTS, *options)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
