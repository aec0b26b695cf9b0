"""The views of a plan of the whole book: list, page of a fail, picture of a pool."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from finops_cli.domain.allotment import AllottedShares, BookPlace
from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.views.pool_page.page import render_pool_page
from finops_cli.views.pool_page.picture import NARROW, WIDE, draw_pool
from finops_cli.views.pool_page.pool import PoolFail, make_pool
from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

CUSIP = "594918104"
FAILS, INVENTORY = EXAMPLES / "book" / "fails.jsonl", EXAMPLES / "book" / "inventory.jsonl"


@pytest.fixture
def book(finops: Finops, tmp_path: Path) -> Path:
    """Plan the book of the examples."""
    pytest.importorskip("networkx")
    output, proof = tmp_path / "book.jsonl", tmp_path / "proof.jsonl"
    finops("book", FAILS, "--inventory", INVENTORY, "-q", "-o", output, "--certificate", proof)
    return output


def pool_fail(name: str, owed: int, place: int, *shares: AllottedShares, of: int = 2) -> PoolFail:
    """Make a fail of a pool; what it is not given is missing."""
    uncovered = owed - sum(each.qty for each in shares if not each.beside_borrow)
    late = sum(each.qty for each in shares if each.late)
    return PoolFail(
        fail_id=name,
        tier="HIGH",
        owed=owed,
        counterparty="DTC-0005",
        days_left=-1,
        place=BookPlace(
            cusip=CUSIP, place=place, of=of, uncovered=uncovered, late=late, alone=0, cut="why"
        ),
        allotment=shares,
    )


def read(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314 - the picture is our own


def elements(picture: str, name: str, kind: str) -> list[ET.Element]:
    """Return the elements of a picture with this name and class."""
    return [each for each in read(picture).iter(name) if kind in each.get("class", "").split()]


def test_heights_of_a_picture_are_shares() -> None:
    """Bars, bands and the hatched part have heights in proportion to their shares; what a source
    does not give is drawn too.
    """
    box = AllottedShares(kind="BOX", id="", qty=300)
    recall = AllottedShares(kind="RECALL", id="R", qty=100, late=True)
    inventory = [
        InventoryLine(cusip=CUSIP, kind="BOX", qty=500),
        InventoryLine(cusip=CUSIP, kind="RECALL", qty=100, id="R"),
    ]
    pool = make_pool(
        CUSIP, [pool_fail("A", 300, 1, box), pool_fail("B", 300, 2, recall)], inventory
    )
    picture = draw_pool(pool, WIDE, "wide")
    heights = [float(each.get("height", "0")) for each in elements(picture, "rect", "bar")]
    owed = [float(each.get("height", "0")) for each in elements(picture, "rect", "owed")]
    [missing] = [float(each.get("height", "0")) for each in elements(picture, "rect", "edge")]
    whole = [float(each.get("height", "0")) for each in elements(picture, "rect", "idle")]
    unit = owed[0] / 300
    assert [round(each / unit) for each in heights] == [300, 100]
    assert [round(each / unit) for each in whole] == [500, 100]
    assert [round(each / unit) for each in owed] == [300, 300]
    assert round(missing / unit) == 200
    assert len(elements(picture, "path", "band")) == 2
    assert len(elements(picture, "path", "late")) == 1


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_texts_of_a_picture_do_not_meet(layout: Any) -> None:
    """Every text of a column stands below the one before, in both widths."""
    fails = [pool_fail(f"F-{n}", 1 + n % 3, n + 1, of=20) for n in range(20)]
    picture = draw_pool(make_pool(CUSIP, fails), layout, "wide")
    height = float(read(picture).get("viewBox", "").split()[3])
    places = [
        float(each.get("y", "0"))
        for each in read(picture).iter("text")
        if each.get("text-anchor") == "start"
    ]
    assert all(after - before >= 12 for before, after in pairwise(places))
    assert places[-1] < height


def test_hostile_names_are_text() -> None:
    """Names with markup are shown as they are, and the page has no script and loads nothing."""
    name = '<script>alert(1)</script>"&'
    box = AllottedShares(kind="BOX", id=name, qty=1)
    page = render_pool_page(make_pool(CUSIP, [pool_fail(name, 3, 1, box)]), [name])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4
    assert not re.search(r"(src|href)=", page)
    assert "script-src" not in page
    assert "default-src 'none'" in page


def test_long_queue_shares_a_row() -> None:
    """A picture of 5,000 fails draws the first ones, and adds the others up."""
    box = [AllottedShares(kind="BOX", id="", qty=1)]
    fails = [pool_fail(f"F-{n}", 2, n + 1, *box, of=5000) for n in range(5000)]
    picture = draw_pool(make_pool(CUSIP, fails), WIDE, "wide")
    assert len(picture) < 40_000
    assert "4,976 more" in picture
    assert "4,976 missing" in picture
    assert len(elements(picture, "path", "band")) == 25


def test_show_draws_the_pool_of_a_fail(finops: Finops, book: Path, tmp_path: Path) -> None:
    """`finops show` writes the page of a pool, by a fail or its security, and equal pages for
    equal books.
    """
    page, again = tmp_path / "pool.html", tmp_path / "again.html"
    more = ("--inventory", INVENTORY, "--certificate", tmp_path / "proof.jsonl")
    assert finops("show", book, "B-3", "-o", page, *more).returncode == 0
    assert finops("show", book, CUSIP, "-o", again, *more).returncode == 0
    text = page.read_text()
    assert text == again.read_text()
    assert "5,000 stay uncovered in any plan." in text
    assert "3,000 more shares in the box or from a lender would clear B-1." in text
    assert all(name in text for name in ("B-1", "B-2", "B-3", "depot London", "3 days away"))
    assert finops("show", book, "B-3", "-o", page).returncode != 0
    plain = finops("show", book, "B-3", "--format", "html").stdout.decode()
    assert plain.startswith("<!doctype html>")


def test_page_of_a_pool_needs_a_book(finops: Finops, book: Path, tmp_path: Path) -> None:
    """A fail without a pool, the output of a run and a proof of another book are refused."""
    other = tmp_path / "run.jsonl"
    finops("run", FAILS, "-q", "-o", other)
    for source, name in ((book, "B-7"), (other, "B-1")):
        done = finops("show", source, name, "--format", "html")
        assert done.returncode == 2
        assert b"finops book" in done.stderr
    proof = tmp_path / "other.jsonl"
    proof.write_bytes(b'{"total":{}}\n')
    done = finops("show", book, "B-1", "--format", "html", "--certificate", proof)
    assert done.returncode == 2
    stdin = finops("show", "-", "B-1", "--format", "html", stdin=book.read_bytes())
    assert stdin.returncode == 2


def test_show_has_the_queue_of_the_security(finops: Finops, book: Path) -> None:
    """The page of a fail says its place, what it competes with, who gets what, and the cut."""
    shown = finops("show", book, "B-3").stdout.decode()
    queue = shown[shown.index("\nQueue\n") : shown.index("\nScore\n")]
    assert "place 3 of 3 in the queue of 594918104" in queue
    assert "5,000 stay uncovered in any plan." in " ".join(queue.split())
    assert re.search(r"1  B-1 +CRITICAL +9,000  box 6,000 +3,000", queue)
    assert re.search(r">  3  B-3 +LOW +2,000  nothing +2,000", queue)
    lone = finops("show", "-", "B-3", stdin=book.read_bytes()).stdout.decode()
    assert "place 3 of 3" in lone


def test_list_says_the_place_and_the_cut(finops: Finops, book: Path, tmp_path: Path) -> None:
    """A list of a book has the place in the queue and the cut's sentence, in words, as columns and
    as fields; a list of a run has none of them.
    """
    table = " ".join(finops("list", book, "--format", "table").stdout.decode().split())
    assert "Place 3 of 3 in the queue of 594918104: 2,000 shares uncovered. B-1, B-2" in table
    line = next(each for each in rows(finops("list", book).stdout) if each["fail_id"] == "B-3")
    assert (line["place"], line["of"], line["uncovered"], line["late"]) == (3, 3, 2000, 0)
    assert line["cut"].endswith("5,000 stay uncovered in any plan.")
    sheet = tmp_path / "list.csv"
    finops("list", book, "-q", "-o", sheet)
    assert sheet.read_text().splitlines()[0].endswith(",place,of,uncovered,late,cut")
    run = tmp_path / "run.jsonl"
    finops("run", FAILS, "-q", "-o", run)
    finops("list", run, "-q", "--overwrite", "-o", sheet)
    assert sheet.read_text().splitlines()[0].endswith(",error")
    assert "place" not in json.loads(finops("list", run).stdout.splitlines()[0])


def test_workbook_has_the_columns_of_a_book(finops: Finops, book: Path, tmp_path: Path) -> None:
    """A workbook of a book has the place in the queue, and the cut in words."""
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "list.xlsx"
    assert finops("list", book, "-q", "-o", path).returncode == 0
    sheet = openpyxl.load_workbook(path).worksheets[0]
    head, *others = sheet.iter_rows(values_only=True)
    found = {row[head.index("Fail")]: row for row in others}
    assert found["B-3"][head.index("Place in queue")] == 3
    assert found["B-3"][head.index("Why uncovered")].endswith("5,000 stay uncovered in any plan.")
