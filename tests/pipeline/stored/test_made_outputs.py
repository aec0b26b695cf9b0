"""Outputs that are made at the end of a run: Parquet, .gz and .zst, from a journal of lines."""

from __future__ import annotations

import gzip
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from finops_cli.errors import ResumeRefused
from finops_cli.files.line_files import reading_lines
from finops_cli.pipeline.resume import note_path, read_note
from finops_cli.pipeline.stored.journal import MadeOutput, journal_of
from finops_cli.views.exports.parquet_file import ANSWER_COLUMNS
from tests.support.program import EXAMPLES, ROOT, Finops
from tests.support.records import a_fail, jsonl, rows

MONDAY = EXAMPLES / "monday.jsonl"
ENGINE = ("--backend", "engine", "--no-timing", "--quiet")
GZIP = "out.jsonl.gz"
FORMS = [
    GZIP,
    pytest.param("out.jsonl.zst", marks=pytest.mark.slow),
    pytest.param("out.parquet", marks=pytest.mark.slow),
]
Form = pytest.mark.parametrize("name", FORMS)


@pytest.fixture(autouse=True)
def _packages(request: pytest.FixtureRequest) -> None:
    if getattr(request, "param", None) is None and "gz" not in request.node.name:
        pytest.importorskip("pyarrow")


def read_back(path: Path) -> bytes:
    with reading_lines(path) as file:
        return file.read()


def table_of(path: Path) -> Any:
    return pytest.importorskip("pyarrow.parquet").read_table(path)


def plain_output(finops: Finops, folder: Path, source: Path = MONDAY) -> bytes:
    """The output of a run in plain lines."""
    output = folder / "plain.jsonl"
    finops("run", source, *ENGINE, "-o", output)
    return output.read_bytes()


@Form
def test_made_output_holds_the_lines_and_its_digest(
    name: str, finops: Finops, tmp_path: Path
) -> None:
    """The output has the lines of a plain run, its note has its digest, and no journal is left."""
    output = tmp_path / "made" / name
    output.parent.mkdir()
    assert finops("run", MONDAY, *ENGINE, "-o", output).returncode == 0
    assert read_back(output) == plain_output(finops, tmp_path)
    assert sorted(path.name for path in output.parent.iterdir()) == [name, f"{name}.run.json"]
    evidence = read_note(output).evidence
    assert evidence is not None
    assert evidence.output is not None
    assert evidence.output.sha256 == sha256(output.read_bytes()).hexdigest()
    assert output.stat().st_mode & 0o077 == 0


@Form
def test_made_output_is_read_by_the_other_commands(
    name: str, finops: Finops, tmp_path: Path
) -> None:
    """check, list, show, audit and handoff read it as they read plain lines."""
    output, plain = tmp_path / name, tmp_path / "plain.jsonl"
    plain_output(finops, tmp_path)
    finops("run", MONDAY, *ENGINE, "-o", output)
    for command in (
        ("check", output, "--fails", MONDAY),
        ("list", output, "--format", "table"),
        ("show", output, "F-1001"),
        ("handoff", output, "--fails", MONDAY),
    ):
        as_plain = [plain if each is output else each for each in command]
        assert finops(*command).stdout == finops(*as_plain).stdout != b""
    assert finops("audit", output).returncode == 0


@Form
def test_equal_runs_make_equal_bytes(name: str, finops: Finops, tmp_path: Path) -> None:
    """Without times, two runs make the same bytes, also with worker processes."""
    one, two = tmp_path / f"1-{name}", tmp_path / f"2-{name}"
    finops("run", MONDAY, *ENGINE, "-o", one)
    finops("run", MONDAY, *ENGINE, "-o", two, "--workers", "2")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_parquet_columns_are_those_of_the_list(finops: Finops, tmp_path: Path) -> None:
    """The columns of `--format csv`, then `line`; money and scores are decimals, and exact."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(
        jsonl(a_fail(fail_id="F-1", market_value=123456789.123456))
        + b"not a record\n"
        + jsonl(a_fail(fail_id="=1+1"))
    )
    output = tmp_path / "out.parquet"
    finops("run", fails, *ENGINE, "-o", output)
    finops("run", fails, *ENGINE, "-o", tmp_path / "out.csv")
    table = table_of(output)
    head = (tmp_path / "out.csv").read_text("utf-8-sig").splitlines()[0].split(",")
    assert table.column_names == [*head, "line"] == [*ANSWER_COLUMNS, "line"]
    types = {name: str(table.schema.field(name).type) for name in ("market_value", "score", "qty")}
    assert types["market_value"] == types["score"] == "decimal128(38, 18)"
    assert types["qty"] == "int64"
    found = table.to_pylist()
    assert found[0]["market_value"] == Decimal("123456789.123456")
    assert found[1]["score"] is None
    assert found[1]["error"].startswith("line 2: ")
    assert found[2]["fail_id"] == "=1+1"
    assert [json.loads(each["line"])["fail_id"] for each in found] == ["F-1", "line-2", "=1+1"]


@pytest.mark.slow
def test_number_that_fits_no_column_is_null_and_reported(finops: Finops, tmp_path: Path) -> None:
    """A value with more decimals than the column is null there, exact in `line`, and reported."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.parquet"
    value = "1.1234567890123456789"
    given = a_fail()
    given["market_value"] = value
    fails.write_bytes(jsonl(given))
    done = finops("run", fails, "--backend", "engine", "--no-timing", "-o", output)
    [row] = table_of(output).to_pylist()
    assert row["market_value"] is None
    assert f'"market_value":{value}' in row["line"]
    assert b"market_value: 1 value" in done.stderr


@Form
def test_interrupted_making_is_repeated(name: str, finops: Finops, tmp_path: Path) -> None:
    """Wherever the making was killed, `--resume` gives the output and leaves nothing else."""
    output = tmp_path / name
    finops("run", MONDAY, *ENGINE, "-o", output)
    made, note = output.read_bytes(), note_path(output).read_bytes()
    fingerprint = read_note(output).fingerprint
    lost: list[tuple[Path, ...]] = [
        (output, note_path(output)),
        (note_path(output),),
        (),
    ]
    for paths in lost:
        with journal_of(output).open("a+b") as journal:
            MadeOutput(target=output, write=print).restore(journal, fingerprint)
        for path in paths:
            path.unlink()
        (tmp_path / f"{name}.part").write_bytes(b"half of it")
        assert finops("run", MONDAY, *ENGINE, "-o", output, "--resume").returncode == 0
        assert output.read_bytes() == made
        left = {path.name for path in tmp_path.iterdir()}
        assert left <= {name, f"{name}.run.json", f"{name}.part"}
        (tmp_path / f"{name}.part").unlink(missing_ok=True)
    assert (
        json.loads(note)["evidence"]["output"]
        == json.loads(note_path(output).read_bytes())["evidence"]["output"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [GZIP, "out.parquet"])
def test_killed_runs_resume_to_the_same_output(name: str, tmp_path: Path) -> None:
    """After kills (-9) at random moments, `--resume` gives the bytes of an uninterrupted run."""
    fails, output, whole = tmp_path / "fails.jsonl", tmp_path / name, tmp_path / f"whole-{name}"
    fails.write_bytes(b"".join(jsonl(a_fail(fail_id=f"F-{number}")) for number in range(3_000)))
    command = [sys.executable, "-m", "finops_cli", "run", str(fails), *ENGINE]
    subprocess.run([*command, "-o", str(whole)], check=False)
    place = random.Random(7)
    for _ in range(8):
        process = subprocess.Popen(
            [*command, "-o", str(output), "--resume"], stderr=subprocess.DEVNULL, cwd=ROOT
        )
        time.sleep(place.uniform(0.3, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run([*command, "-o", str(output), "--resume"], check=False, cwd=ROOT)
    assert done.returncode == 0
    assert output.read_bytes() == whole.read_bytes()
    assert not journal_of(output).exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [GZIP, "out.jsonl.zst", "out.parquet"])
def test_full_disk_keeps_the_journal(name: str, tmp_path: Path) -> None:
    """An output that finds no room leaves the journal: with room, `--resume` makes it."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / name
    noise = random.Random(3)
    fails.write_bytes(
        b"".join(jsonl(a_fail(fail_id=noise.randbytes(60).hex())) for _ in range(150))
    )
    command = [sys.executable, "-m", "finops_cli", "run", str(fails), *ENGINE, "-o", str(output)]
    assert subprocess.run([*command, "--resume"], check=False, cwd=ROOT).returncode == 0
    made, note = output.read_bytes(), read_note(output)
    with journal_of(output).open("a+b") as journal:
        MadeOutput(target=output, write=print).restore(journal, note.fingerprint)
    output.unlink()
    room = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (4_000, 4_000))
    full = subprocess.run(
        [*command, "--resume"], check=False, cwd=ROOT, preexec_fn=room, capture_output=True
    )
    assert full.returncode == 2, full.stderr
    assert b"File too large" in full.stderr
    assert b"--resume" in full.stderr
    assert not output.exists()
    assert subprocess.run([*command, "--resume"], check=False, cwd=ROOT).returncode == 0
    assert output.read_bytes() == made


def test_gz_journal_of_an_interrupted_run_is_not_lost(finops: Finops, tmp_path: Path) -> None:
    """A journal that is there needs --resume or --overwrite, and so does a complete output."""
    output = tmp_path / GZIP
    finops("run", MONDAY, *ENGINE, "-o", output)
    assert b"--overwrite" in finops("run", MONDAY, *ENGINE, "-o", output).stderr
    note = read_note(output)
    with journal_of(output).open("a+b") as journal:
        MadeOutput(target=output, write=print).restore(journal, note.fingerprint)
    output.unlink()
    refused = finops("run", MONDAY, *ENGINE, "-o", output)
    assert refused.returncode == 2
    assert b"--resume" in refused.stderr or b"--overwrite" in refused.stderr
    assert journal_of(output).exists()
    assert finops("run", MONDAY, *ENGINE, "-o", output, "--overwrite").returncode == 0


def test_gz_of_somebody_else_is_not_resumed(finops: Finops, tmp_path: Path) -> None:
    """`--resume` never replaces a file that no run made."""
    output = tmp_path / GZIP
    output.write_bytes(gzip.compress(b"mine"))
    done = finops("run", MONDAY, *ENGINE, "-o", output, "--resume")
    assert done.returncode == 2
    assert gzip.decompress(output.read_bytes()) == b"mine"


def test_gz_of_a_list_is_refused(finops: Finops, tmp_path: Path) -> None:
    """A packed CSV list, a table in a packed file and packed texts are refused with a cure."""
    for arguments in (
        ("run", MONDAY, "-o", tmp_path / "list.csv.gz"),
        ("run", MONDAY, "-o", tmp_path / "list.gz", "--format", "table"),
        ("run", MONDAY, "--format", "parquet"),
        ("sentiment", MONDAY, "-o", tmp_path / "tone.jsonl.gz"),
    ):
        done = finops(*arguments)
        assert done.returncode == 2, arguments
        assert b"fix: give" in done.stderr


def test_gz_from_a_pipe_needs_no_note(finops: Finops, tmp_path: Path) -> None:
    """Lines from a pipe are packed too; such a run cannot be resumed and has no note."""
    output = tmp_path / GZIP
    done = finops("run", "-", *ENGINE, "-o", output, stdin=MONDAY.read_bytes())
    assert done.returncode == 0
    assert len(rows(read_back(output))) == 8
    assert [path.name for path in tmp_path.iterdir()] == [GZIP]


def test_gz_restored_for_another_run_is_refused(tmp_path: Path, finops: Finops) -> None:
    """`--resume` of an output of other input names what differs, and changes nothing."""
    output, other = tmp_path / GZIP, tmp_path / "other.jsonl"
    other.write_bytes(MONDAY.read_bytes().splitlines(keepends=True)[0])
    finops("run", MONDAY, *ENGINE, "-o", output)
    before = output.read_bytes()
    done = finops("run", other, *ENGINE, "-o", output, "--resume")
    assert done.returncode == 2
    assert b"the content of the input" in done.stderr
    assert output.read_bytes() == before


def test_gz_verdicts_of_check(finops: Finops, tmp_path: Path) -> None:
    """`finops check -o verdicts.jsonl.gz` packs the verdicts."""
    output = tmp_path / "verdicts.jsonl.gz"
    finops("check", EXAMPLES / "cards" / "published.jsonl", "-o", output)
    plain = finops("check", EXAMPLES / "cards" / "published.jsonl").stdout
    assert gzip.decompress(output.read_bytes()) == plain


@pytest.mark.slow
def test_parquet_verdicts_of_check(finops: Finops, tmp_path: Path) -> None:
    """The verdicts are rows: the line, whether it is right, its findings and their rules."""
    output = tmp_path / "verdicts.parquet"
    published = EXAMPLES / "cards" / "published.jsonl"
    finops("check", published, "-o", output)
    found = table_of(output).to_pylist()
    plain = finops("check", published).stdout
    assert "".join(f"{each['line']}\n" for each in found).encode() == plain
    for row, verdict in zip(found, rows(plain), strict=True):
        assert row["number"] == verdict["line"]
        assert row["findings"] == len(verdict["findings"])
        assert row["ok"] == verdict["ok"]


def test_gz_is_equal_whenever_it_is_made(tmp_path: Path) -> None:
    """The packed bytes hold neither the time nor the name of the file."""
    from finops_cli.files.output_form import OutputForm, pack_lines

    def pack(path: Path) -> bytes:
        with path.open("wb") as out:
            pack_lines(OutputForm.GZIP, [b"{}\n"], out)
        return path.read_bytes()

    first: Callable[[], bytes] = partial(pack, tmp_path / "one.gz")
    assert first()[4:8] == bytes(4)
    assert first() == pack(tmp_path / "two.gz")


def test_restore_refuses_an_incomplete_gz(tmp_path: Path, finops: Finops) -> None:
    """An output whose note says that it is incomplete, without its journal, is not continued."""
    output = tmp_path / GZIP
    finops("run", MONDAY, *ENGINE, "-o", output)
    note = note_path(output)
    note.write_text(note.read_text().replace('"complete": true', '"complete": false'))
    with journal_of(output).open("a+b") as journal, pytest.raises(ResumeRefused, match="journal"):
        MadeOutput(target=output, write=print).restore(journal, read_note(output).fingerprint)
