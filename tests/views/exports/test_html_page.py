"""Lists as an HTML page, read back by html.parser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finops_cli.views.exports.html_page import PAGE_COLUMNS, write_html
from tests.views.exports.reports import change_steps, planned_line, report_of
from tests.views.test_answer_index import line

VOID = frozenset({"meta", "input", "br"})


class Page(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(lines: list[bytes], earlier: list[bytes] | None = None, **options: Any) -> bytes:
    """Return the page of output lines."""
    out = io.BytesIO()
    with report_of(lines, earlier, **{"columns": PAGE_COLUMNS, **options}) as report:
        write_html(report, out)
    return out.getvalue()


def test_page_has_the_list_plans_changes_and_sources() -> None:
    """Each fail stands with its sentence, its plan in details, and the changes and sources."""
    page = Page(page_of([planned_line("F-1"), line("N", cusip="037833100")], [line("F-1")]))
    said = " ".join(page.text)
    for text in ("Deliver it.", "Chase the receive", "fallback 1", "uncovered", "What changed",
                 "1 step, 50 shares uncovered", "Base score and its weights"):  # fmt: skip
        assert text in said
    assert page.tags.count("details") == 1
    assert page.tags.count("h2") == 3


def test_page_loads_nothing() -> None:
    """No tag or style names a file or an address, and the policy allows only its own parts."""
    data = page_of([planned_line()], [line()]).decode()
    page = Page(data.encode())
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"src", "srcset", "style", "onclick"}
    assert [value for name, value in page.attributes if name == "href"] == ["#changes"]
    assert re.search(r"url\(|@import|https?://|fetch\(|XMLHttp", data) is None
    policy = next(value for _, value in page.attributes if (value or "").startswith("default-src"))
    assert policy is not None
    for tag in ("style", "script"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", data, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_equal_lists_give_equal_pages() -> None:
    """The page has no time of writing and no order by chance."""
    lines = [planned_line("A"), line("B")]
    assert page_of(lines, [line("A")]) == page_of(lines, [line("A")])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@example("<b>x</b>")
@example('"><script>x</script>')
@example("' onload=x y='")
@example("</style></details><!--")
@given(
    st.text(
        alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("<>&\"'/=! -")),
        max_size=40,
    )
)
def test_text_of_a_record_adds_no_tag(text: str) -> None:
    """A text stays text wherever it stands: the tags and attributes are those of any record."""

    def given_with(each: str) -> bytes:
        made = planned_line("F", counterparty=each, symbol=each, narrative=each, reason=each)
        read = json.loads(change_steps(made, rationale=each, action=each, dtc=each))
        read["headline"]["text"] = each
        read["origin"] = {"assumed": [each]}
        read["warnings"] = [
            {"rule": f"x{each}"}
        ]  # a rule of kb/ is listed once, however often named
        return json.dumps(read).encode()

    options = {"columns": ("fail_id", "security", "counterparty", "what_to_do", "assumed")}
    earlier = [line("other")]
    plain = Page(page_of([given_with("text")], earlier, **options))
    hostile = Page(page_of([given_with(text)], earlier, **options))
    assert hostile.tags == plain.tags
    assert [name for name, _ in hostile.attributes] == [name for name, _ in plain.attributes]


def test_page_counts_tiers_values_and_due() -> None:
    """The head counts the fails and the value of each tier, and what is due or overdue."""
    lines = [
        line("A", priority_tier="CRITICAL", market_value=1_250_000, age_days=14),
        line("B", priority_tier="CRITICAL", market_value=750_000),
        line("C", status="rejected", error={"line": 3, "message": "bad"}, triage=None),
    ]
    said = " ".join(Page(page_of(lines)).text)
    assert "CRITICAL 2 USD 2.0 million" in said
    assert "due today or overdue 1" in said
    assert "without an answer 1" in said
    assert "rejected: bad" in said
