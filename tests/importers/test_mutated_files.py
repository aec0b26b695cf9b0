"""Mutated cells of blotters and mutated market messages: no file ends in a fault of finops."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from random import Random

import pytest

from tests.support.mutation import NUMBERS, TEXTS, mutate_bytes
from tests.support.program import EXAMPLES, Finops
from tests.support.soak import scaled

BLOTTERS = {
    "blotter.csv": ("mapping.yaml", "utf-8", ","),
    "dated-blotter.csv": ("dated-mapping.yaml", "utf-8", ","),
    "european-blotter.csv": ("european-mapping.yaml", "cp1252", ";"),
}
MESSAGES = ("mt537.txt", "mt548.txt", "semt018.xml", "sese024.xml")
_COUNTS = re.compile(rb"records ([\d,]+)  rows ([\d,]+)  files 1  damaged lines ([\d,]+)")
_CELLS = [*TEXTS, *NUMBERS, "5,000", "(5,000)", "5.000,00", "11/31/2026", "2026-11-12", "S", "Yes"]


def mutated_blotter(name: str, count: int, seed: int) -> bytes:
    """Return a blotter of `count` rows, each with one to three odd cells and a name of its own."""
    _, encoding, delimiter = BLOTTERS[name]
    text = (EXAMPLES / "csv" / name).read_text(encoding)
    table = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    top = next(at for at, row in enumerate(table) if len(row) > 3)
    rows = [row for row in table[top + 1 :] if len(row) == len(table[top])]
    rng, out = Random(seed), io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows(table[: top + 1])
    for number in range(count):
        row = [f"M-{number}", *rng.choice(rows)[1:]]
        for _ in range(rng.choice([1, 1, 3])):
            row[rng.randrange(1, len(row))] = rng.choice(_CELLS)
        writer.writerow(row)
    return out.getvalue().encode(encoding, "replace")


def check_blotter(finops: Finops, name: str, count: int, folder: Path) -> None:
    """Import and run a mutated blotter; each row is a record or a damaged line."""
    file, mapping = folder / name, EXAMPLES / "csv" / BLOTTERS[name][0]
    file.write_bytes(mutated_blotter(name, count, 5))
    done = finops("import", "csv", file, "--map", mapping)
    assert done.returncode == 1, done.stderr[-2_000:]
    counts = _COUNTS.search(done.stderr)
    assert counts, done.stderr[-2_000:]
    records, rows, damaged = (int(each.replace(b",", b"")) for each in counts.groups())
    assert records + damaged == rows
    assert count <= rows < count * 1.01  # a damaged row with a line break counts as two
    assert done.stdout.count(b"\n") == records > count / 50
    ran = finops("run", file, "--map", mapping, "--backend", "engine", "-q")
    assert (ran.returncode, ran.stdout.count(b"\n")) == (1, rows), ran.stderr[-2_000:]
    assert ran.stdout.count(b'"status":"rejected"') == damaged
    for said in (done.stderr, ran.stdout, ran.stderr):
        assert b"Traceback" not in said
        assert b"internal.error" not in said


@pytest.mark.parametrize("name", BLOTTERS)
def test_mutated_cells_are_records_or_damaged_lines(
    name: str, finops: Finops, tmp_path: Path
) -> None:
    """Of 150 rows with odd cells, each is imported or reported, and runs to one line."""
    check_blotter(finops, name, 150, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOTTERS)
def test_three_thousand_mutated_rows_lose_none(name: str, finops: Finops, tmp_path: Path) -> None:
    """Of 3,000 rows with odd cells, each is imported or reported, and runs to one line."""
    check_blotter(finops, name, 3_000, tmp_path)


def check_messages(finops: Finops, name: str, count: int, folder: Path) -> None:
    """Import mutations of a file of messages, one after the other."""
    given, rng = (EXAMPLES / "swift" / name).read_bytes(), Random(7)
    for number in range(count):
        file = folder / f"{number}-{name}"
        data = given
        for _ in range(rng.choice([1, 1, 2, 5])):
            data = _change_message(data, rng)
        file.write_bytes(data)
        done = finops("import", "swift", file, "-q")
        assert done.returncode in (0, 1, 2), (file, done.stderr)
        assert b"Traceback" not in done.stderr, (file, done.stderr)
        assert done.returncode == 0 or done.stderr.strip(), file
        assert len(done.stderr) < 600 * (10 + data.count(b"\n")), file


def _change_message(data: bytes, rng: Random) -> bytes:
    """Change bytes, a whole line, or the text of a field of a file of messages."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    way = rng.randrange(6)
    if way == 0:
        return mutate_bytes(data, rng)
    if way == 1:
        lines[at] = mutate_bytes(lines[at] or b" ", rng)
    elif way == 2:
        lines[at : at + rng.choice([1, 1, 4])] = []
    elif way == 3:
        lines[at:at] = [lines[at]] * rng.choice([1, 2, 300])
    else:
        odd = rng.choice([*TEXTS, *NUMBERS]).encode("utf-8", "replace")
        found = list(re.finditer(rb"(?<=[/:>])[A-Za-z0-9,.-]+", lines[at]))
        place = rng.choice(found).span() if found else (0, len(lines[at]))
        lines[at] = lines[at][: place[0]] + odd + lines[at][place[1] :]
    return b"\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", MESSAGES)
def test_mutated_messages_end_with_a_reason(name: str, finops: Finops, tmp_path: Path) -> None:
    """Each of 15 mutated files is imported, or the reason why a part is not is on stderr."""
    check_messages(finops, name, 15, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MESSAGES)
def test_many_mutated_messages_end_with_a_reason(name: str, finops: Finops, tmp_path: Path) -> None:
    """Each of many mutated files (150 in `just soak`) is imported, or stderr says what is not."""
    check_messages(finops, name, scaled(30, 150), tmp_path)
