"""The frame of the desk: files that browsers keep, forms, words, and what the wheel needs."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal

import pytest

from finops_cli.service.desk import wording
from finops_cli.service.desk.forms import local_path
from finops_cli.service.desk.rendering import TEMPLATES, environment
from finops_cli.service.desk.static_files import FOLDER, static_files

HTMX = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"
"""SHA-256 of dist/htmx.min.js in the package htmx.org 4.0.1 of npm."""


def test_htmx_is_the_file_of_its_release() -> None:
    """The vendored script is byte for byte that of htmx.org 4.0.1, with its licence beside it."""
    assert hashlib.sha256((FOLDER / "htmx.min.js").read_bytes()).hexdigest() == HTMX
    assert "Zero-Clause BSD" in (FOLDER / "htmx.LICENSE.txt").read_text()


def test_static_name_has_the_digest_of_its_content() -> None:
    """The name of each file changes with its content, so that browsers may keep it for ever."""
    assert {"desk.css", "desk.js", "htmx.min.js", "icon.svg"} <= set(static_files())
    for file in static_files().values():
        digest = hashlib.sha256(file.content).hexdigest()[:12]
        assert f".{digest}." in file.url


def test_templates_have_nothing_that_the_policy_forbids() -> None:
    """No template has an inline script, a style, a handler, an address of another host, or a value
    that is not escaped, except in the one macro for drawings.
    """
    patterns = (
        r"<script(?![^>]*\bsrc=)", r"<style", r"\sstyle=", r"\son\w+=",
        r"""(src|href|action)=["'](https?:)?//""", r"hx-on", r"javascript:",
    )  # fmt: skip
    for path in TEMPLATES.iterdir():
        text = path.read_text()
        for pattern in patterns:
            assert not re.search(pattern, text), f"{path.name}: {pattern}"
        assert text.count("|safe") == (path.name == "_macros.html"), path.name


def test_characters_that_turn_a_line_are_written_out() -> None:
    """A name with a right-to-left mark, or with NUL, cannot read as another name; other scripts,
    emoji, line breaks and drawings stay as they are.
    """
    page = environment().from_string("{{ name }}|{{ '<b>'|safe }}")
    turned = page.render(name="gpj\u202efdp.\u2066x\0<i>")
    assert turned == "gpj\\u202efdp.\\u2066x\\x00&lt;i&gt;|<b>"
    plain = "שלום\r\n\tعمر \U0001f468\u200d\U0001f469"
    assert page.render(name=plain) == f"{plain}|<b>"


def test_each_template_compiles() -> None:
    """Each template can be read."""
    for path in TEMPLATES.iterdir():
        environment().get_template(path.name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/fails?tier=HIGH", "/fails?tier=HIGH"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_form_sends_people_to_this_service_only(given: str, expected: str) -> None:
    """An address of another site, or one with a line break, becomes the first page."""
    assert local_path(given) == expected


def test_words_of_codes_and_numbers() -> None:
    """Codes become words, numbers get separators, and nothing becomes a dash."""
    assert wording.write_label("CNS_FAIL") == "CNS fail"
    assert wording.write_label("LOCATE_AND_DELIVER") == "Locate and deliver"
    assert wording.write_label("SEND_DK_NOTICE") == "Send DK notice"
    assert wording.write_money(Decimal("13400000.4")) == "$13,400,000"
    assert wording.write_short_money(Decimal(13_400_000)) == "$13.4 m"
    assert wording.write_short_money(250_400) == "$250 k"
    assert wording.write_days(-1) == "1 day late"
    assert wording.write_days(2) == "2 days left"
    assert wording.write_money(None) == wording.write_score(None) == wording.NOTHING
    assert wording.write_time("2026-11-29T13:05:59.07+00:00") == "2026-11-29 13:05 UTC"
