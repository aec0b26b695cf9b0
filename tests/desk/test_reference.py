"""The pages to look things up in: rules, words, problems, and the API."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import httpx
import pytest

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.service.auth.roles import ROLES
from finops_cli.service.desk.reference.api_page import list_groups
from finops_cli.service.desk.reference.help_page import list_roles, list_words
from finops_cli.service.desk.reference.marked_text import Block, Span, read_blocks
from finops_cli.service.desk.reference.problem_texts import PROBLEMS
from finops_cli.service.desk.reference.rules_page import list_chapters, view_rule
from finops_cli.service.openapi import openapi_document
from finops_cli.service.operations import ALL_OPERATIONS
from tests.desk.conftest import open_browser, sign_in
from tests.service.conftest import Server
from tests.support.program import ROOT

KB = load_kb(bundled_kb_dir())
ENTRIES = dict(KB.entries)
slow = pytest.mark.slow


def raised_problems() -> Iterator[tuple[str, str, str]]:
    """Yield file, status and name of each problem that the service raises."""
    for path in sorted((ROOT / "finops_cli/service").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            is_error = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ServiceError"
            if not is_error or len(node.args) < 2 or not isinstance(node.args[1], ast.Constant):
                continue
            status = node.args[0].attr if isinstance(node.args[0], ast.Attribute) else ""
            yield path.name, status, str(node.args[1].value)


def test_each_problem_has_a_page() -> None:
    """Each problem that the code names is explained, with the status that the code gives it."""
    from http import HTTPStatus

    found = list(raised_problems())
    assert len(found) > 30
    for file, status, name in found:
        assert name in PROBLEMS, f"{file}: {name} has no text"
        assert PROBLEMS[name].status == HTTPStatus[status], f"{file}: {name}"


def test_rule_text_becomes_blocks() -> None:
    """Paragraphs, lists, tables, bold text, code and links are distinguished; the rest is text."""
    text = "See `score.base`, **not** `x`.\n\n* one\n* two\n\n| a | b |\n|---|---|\n| 1 | <b> |"
    found = read_blocks(text, {"score.base"})
    assert [block.kind for block in found] == ["paragraph", "list", "table"]
    assert found[0].rows[0][0] == [
        Span("text", "See "),
        Span("code", "score.base", "/rules/score.base"),
        Span("text", ", "),
        Span("bold", "not"),
        Span("text", " "),
        Span("code", "x"),
        Span("text", "."),
    ]
    assert found[1].rows == [[[Span("text", "one")]], [[Span("text", "two")]]]
    assert found[2].rows[1][1] == [Span("text", "<b>")]


def test_link_of_another_kind_stays_text() -> None:
    """Only https links become links."""
    assert read_blocks("[x](javascript:alert(1))", ()) == [
        Block("paragraph", [[[Span("text", "[x](javascript:alert(1))")]]])
    ]


def test_each_rule_has_its_words_and_values() -> None:
    """No word of a rule's text is lost, and each rule with numbers shows them."""
    for id, entry in ENTRIES.items():
        view = view_rule(entry, ENTRIES)
        cells = [cell for block in view.blocks for row in block.rows for cell in row]
        shown = "".join(span.text for cell in cells for span in cell)
        assert re.sub(r"[\s*`|-]|\]\(.*?\)|\[", "", entry.text) == re.sub(
            r"[\s*`|-]|\[", "", shown
        ), id
        assert view.sources, id
        assert bool(view.values) == (type(entry).__name__ not in NO_VALUES), id


NO_VALUES = ("Rule", "Check", "Regulation", "Source")


def test_chapters_have_each_rule_once() -> None:
    """The list has each rule once."""
    listed = [entry.id for chapter in list_chapters(ENTRIES) for entry in chapter.entries]
    assert sorted(listed) == sorted(ENTRIES)


def test_help_has_statuses_and_roles() -> None:
    """The help explains the statuses of lines, and says what each role may do."""
    words = {each.id: {word for _, word, _ in each.words} for each in list_words(KB)}
    assert {"ok", "repaired", "fallback", "rejected", "failed"} <= words["enum.status"]
    assert "THRESHOLD_SECURITY" in words["enum.flag"]
    assert [role for role, _ in list_roles()] == list(ROLES)
    assert "audit log" in dict(list_roles())["auditor"]


def test_api_page_has_each_operation() -> None:
    """The page of the API has each operation of the document once."""
    groups = list_groups(openapi_document(KB))
    shown = [(each.method.lower(), each.path) for group in groups for each in group.operations]
    assert sorted(shown) == sorted((each.method, each.path) for each in ALL_OPERATIONS)
    [run] = [each for group in groups for each in group.operations if each.path == "/v1/run"]
    assert (run.takes_schema, run.gives_schema, run.status) == ("fail", "run", "200")
    assert "as_of" in [each.name for each in run.parameters]


@slow
def test_rules_are_found_by_words(analyst: httpx.Client) -> None:
    """The search shows the best rule first; a rule leads to its sources and to other rules."""
    page = analyst.get("/rules", params={"q": "close-out of a long sale"}).text
    assert page.index("/rules/clock.sho204a1") < page.index("/rules/clock.sho204t")
    rule = analyst.get("/rules/regsho.state").text
    assert "Decided on 2026-11-20" in rule
    assert 'href="/rules/regsho.close_out_min_days"' in rule
    assert analyst.get("/rules/none").status_code == 404
    assert "&lt;script&gt;" in analyst.get("/rules", params={"q": "<script>"}).text


@slow
def test_problem_pages_need_no_token(desk: Server) -> None:
    """Whoever gets a problem can read what it means; an unknown one lists the known."""
    with open_browser(desk) as browser:
        for name, text in PROBLEMS.items():
            page = browser.get(f"/problems/{name}")
            assert page.status_code == 200
            assert text.title in page.text.replace("&#39;", "'")
        assert browser.get("/problems/none").status_code == 404


@slow
@pytest.mark.parametrize("path", ["/help", "/docs", "/rules", "/jobs", "/export"])
def test_pages_need_a_token(desk: Server, path: str) -> None:
    """Every other page asks for a token, and a reader may see it."""
    with open_browser(desk) as browser:
        assert browser.get(path).status_code == 303
    with sign_in(desk, "reader") as reader:
        assert reader.get(path).status_code == 200


@slow
def test_python_of_the_api_page_runs(desk: Server, analyst: httpx.Client, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The client on the page is at most ten lines, and answers each record."""
    import html
    import subprocess
    import sys

    from tests.service.conftest import TOKENS

    page = analyst.get("/docs").text
    program = html.unescape(re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)[1])
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    (tmp_path / "token.txt").write_text(TOKENS["analyst"])
    (tmp_path / "fails.jsonl").write_bytes((ROOT / "examples/monday.jsonl").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
    assert "CRITICAL" in done.stdout
