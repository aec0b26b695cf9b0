"""Links to the glossary on the documentation site. CI runs these tests with the extra `docs`."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import ROOT

pytest.importorskip("myst_parser")

PAGE = """\
# Waterfall and CNS

`CNS` comes first. Then CNS, CNS again, two FTDs, a waterfall. Fails are everyday words here.

See [the recall](other.md), card 1 and T+6.
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of two pages and the glossary, built with the settings of the documentation."""
    source = tmp_path_factory.mktemp("site")
    (source / "reference").mkdir()
    for name in ("conf.py", "glossary.md", "reference/rules.md"):
        shutil.copy(ROOT / "docs" / name, source / name)
    for name in ("_static", "_ext"):
        (source / name).symlink_to(ROOT / "docs" / name)
    (source / "index.md").write_text(
        "# Index\n\n```{toctree}\npage\nother\nglossary\nreference/rules\n```\n"
    )
    (source / "page.md").write_text(PAGE)
    (source / "other.md").write_text("# Other\n\nThe firm sends a recall.\n")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", ".", "built"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return source / "built"


def find_links(page: Path) -> list[tuple[str, str]]:
    """Find the links to the glossary and to the rules: target and text."""
    found = re.findall(
        r'href="((?:glossary|reference/rules)\.html#[^"]+)"[^>]*>(.*?)</a>', page.read_text()
    )
    return [(target, html.unescape(re.sub("<.*?>", "", text))) for target, text in found]


def test_first_use_of_a_word_is_linked_once(site: Path) -> None:
    """Only the first use of a word on a page, also as a plural, links to the glossary. Headings,
    code and links stay unchanged.
    """
    assert find_links(site / "page.html") == [
        ("glossary.html#term-CNS", "CNS"),
        ("glossary.html#term-FTD", "FTDs"),
        ("glossary.html#term-waterfall", "waterfall"),
        ("reference/rules.html#kb-card-1", "card 1"),
        ("glossary.html#term-T-6", "T+6"),
    ]


def test_each_page_has_its_own_first_use(site: Path) -> None:
    """A word that one page has linked is linked on the next page too."""
    assert find_links(site / "other.html") == [("glossary.html#term-recall", "recall")]
