"""`finops show`: the page of one fail, and the name that finds it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finops_cli.domain import exact_json
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.views.fail_page.line import read_fail_line
from finops_cli.views.fail_page.page import render_page
from finops_cli.views.fail_page.search import Search
from finops_cli.views.paint import choose_paint, colour_tier
from tests.support.program import EXAMPLES, GOLDEN, Finops
from tests.support.records import rows
from tests.support.terminal import run_on_terminal

KB = load_kb(bundled_kb_dir())
MONDAY = EXAMPLES / "monday.expected.jsonl"
WIDTHS = (80, 120)


def lines_of(text: str) -> list[str]:
    return text.splitlines()


def make_page(line: dict[str, Any], width: int = 80) -> str:
    return "\n".join(render_page(read_fail_line(exact_json.encode(line)), KB, width)) + "\n"


def with_findings(line: dict[str, Any]) -> dict[str, Any]:
    """A line of a model whose score was corrected, and whose coverage does not fit its box."""
    score = {
        "rule": "score.base",
        "path": "/score_components/base_score",
        "expected": 77,
        "actual": "7\u001b[31m3.5",
        "message": "base_score is 73.5; the factors give 77",
    }
    coverage = {
        "rule": "input.coverage",
        "path": "/inventory_coverage_pct",
        "expected": 25,
        "actual": 80,
        "message": "inventory_coverage_pct is 80, box_qty / qty gives 25",
    }
    return {
        **line,
        "status": "repaired",
        "verification": {"triage": [score], "resolution": []},
        "warnings": [coverage],
        "origin": {"derived": ["side"], "assumed": ["cp_fail_rate_pct"]},
        "provenance": {
            "backend": "ollama",
            "models": {"triage": "finops-triage", "resolver": None},
            "kb": "0.0.9+0123456789ab",
            "attempts": 2,
        },
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_page_equals_the_golden_page(width: int, finops: Finops) -> None:
    """The page has headline, facts, score, plan, dates of the law, reason and rules; no line is
    wider than the terminal.
    """
    done = finops("run", EXAMPLES / "monday.jsonl", "--as-of", "2026-11-18", "--backend", "engine")
    line = rows(done.stdout)[0]
    del line["provenance"]
    page = make_page(line, width)
    assert max(map(len, lines_of(page))) <= width
    assert page == (GOLDEN / f"show-{width}.txt").read_text()


def test_page_of_a_corrected_line_equals_the_golden_page() -> None:
    """A page shows a corrected number and the one of the model, each contradiction, and whether the
    rules have another version; text of a model cannot steer the terminal.
    """
    line = with_findings(json.loads(MONDAY.read_text().splitlines()[0]))
    page = make_page(line).replace(KB.version, "VERSION")
    assert "\u001b" not in page
    assert page == (GOLDEN / "show-repaired.txt").read_text()


def test_bars_add_up_to_the_base_score(finops: Finops) -> None:
    """The points of the factors add up to the base score, for each fail of each example."""
    for file in ("monday", "gridlock", "corporate-action", "back-to-back", "damaged"):
        for line in rows((EXAMPLES / f"{file}.expected.jsonl").read_bytes()):
            if line["triage"] is None:
                continue
            factors = make_page(line).partition("\nScore\n")[2].splitlines()[:5]
            shown = {row.split()[0]: row.split()[1] for row in factors}
            base = float(shown.pop("base"))
            assert sum(map(float, shown.values())) == base
            assert base == line["triage"]["score_components"]["base_score"]


def test_other_weights_leave_the_points_out() -> None:
    """Where the weights of these rules give another base score, the factors have no points."""
    line = json.loads(MONDAY.read_text().splitlines()[0])
    line["triage"]["score_components"]["base_score"] = 70
    page = make_page(line)
    assert "factor 60" in page
    assert "60 x 0.30" not in page


@pytest.mark.parametrize(
    "field", ["fail", "headline", "triage", "resolution", "clock", "clock_skipped", "warnings"]
)
def test_page_of_a_line_with_less_still_renders(field: str) -> None:
    """A page leaves out what the line does not have, such as the triage of `finops resolve`."""
    line = json.loads(MONDAY.read_text().splitlines()[0])
    line.pop(field)
    assert make_page(line).startswith("F-1001")


def test_every_rule_of_a_page_can_be_shown(finops: Finops) -> None:
    """Each `finops kb show ID` of a page names an entry of the knowledge base."""
    page = finops("show", MONDAY, "F-1001").stdout.decode()
    named = [line.split()[3] for line in lines_of(page) if "finops kb show" in line]
    assert len(named) > 10
    assert set(named) <= set(KB.entries)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("F-1001", ["F-1001"]),
        ("36467W109", ["F-1003"]),
    ],
)
def test_show_finds_a_fail_by_name_or_only_security(
    name: str, shown: list[str], finops: Finops
) -> None:
    """An ID is a `fail_id`, or the CUSIP of a security that has one fail in the file."""
    done = finops("show", MONDAY, name, "--format", "json")
    assert done.returncode == 0
    assert [json.loads(done.stdout)["fail_id"]] == shown


def test_show_json_is_the_line(finops: Finops) -> None:
    """`--format json` prints the whole line, value by value."""
    done = finops("show", MONDAY, "F-1001", "--format", "json")
    assert json.loads(done.stdout) == json.loads(MONDAY.read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("f-1001", "did you mean F-1001"),
        ("F-101", "did you mean F-1001"),
        ("zzz", "`finops list"),
        ("594918104", "F-1008"),
        ("", "`finops list"),
    ],
)
def test_show_refuses_a_name_that_means_no_one_fail(name: str, said: str, finops: Finops) -> None:
    """An unknown name ends with 2 and names that look like it; a CUSIP with several fails lists
    them.
    """
    done = finops("show", MONDAY, name)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


def test_show_shows_each_line_of_a_repeated_name(finops: Finops) -> None:
    """A name that the input repeats is shown once as answered, once as rejected with its error."""
    done = finops("show", EXAMPLES / "damaged.expected.jsonl", "D-1")
    text = done.stdout.decode()
    assert "Line 1, one of 2 lines with this name" in text
    assert "D-1\nRejected: the record could not be used." in text
    assert "fail_id D-1 was used on line 1 already" in " ".join(text.split())


def test_show_shows_a_rejected_line_without_a_name(finops: Finops) -> None:
    """A record without a `fail_id` is called by its line, and its page says why it was refused."""
    done = finops("show", EXAMPLES / "damaged.expected.jsonl", "line-5")
    assert done.stdout.decode().startswith("line-5\nRejected")
    assert b"the line is empty" in done.stdout


def test_show_refuses_a_file_that_no_run_wrote(finops: Finops) -> None:
    """A blotter is refused: it has records, not output lines."""
    done = finops("show", EXAMPLES / "monday.jsonl", "F-1001")
    assert (done.returncode, b"has no output line" in done.stderr) == (2, True)


def test_search_keeps_a_limited_number_of_lines() -> None:
    """A name that each line has keeps twenty of them and counts all, so memory stays flat."""
    lines = [json.dumps({"fail_id": "X", "status": "ok"}).encode() for _ in range(300)]
    search = Search(lines, "X")
    assert (len(search.named), search.count_named) == (20, 300)


@pytest.mark.parametrize(
    ("is_terminal", "environment", "has_colour"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_only_for_terminals_that_want_it(
    is_terminal: bool, environment: dict[str, str], has_colour: bool
) -> None:
    """NO_COLOR counts when it is not empty; a pipe and a dumb terminal get none."""
    assert (choose_paint(is_terminal, environment) is colour_tier) is has_colour


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("no_color", ["", "1"])
def test_show_on_a_terminal_fits_and_colours_the_tier(width: int, no_color: str) -> None:
    """On a terminal the page is as wide as it, and only the tier has a colour."""
    shown = run_on_terminal(
        "show", MONDAY, "F-1001", columns=width, environment={"NO_COLOR": no_color}
    )
    assert shown.status == 0
    assert ("\x1b[1;31mCRITICAL\x1b[0m" in shown.screen) is (not no_color)
    plain = shown.screen.replace("\x1b[1;31m", "").replace("\x1b[0m", "")
    assert max(map(len, lines_of(plain))) <= width
    assert plain == make_page(json.loads(MONDAY.read_text().splitlines()[0]), width)
