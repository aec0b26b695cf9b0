"""The documentation site: generated pages are current, links and names exist, examples run."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import finops_cli
from finops_cli.cli import COMMAND_ORDER
from tests.support.program import ROOT
from tools import console_blocks
from tools.generate_docs.__main__ import PAGES, find_stale_pages, main

DOCS = ROOT / "docs"
WALKED = (
    DOCS / "quickstart.md",
    *sorted((DOCS / "tutorial").glob("*.md")),
    *sorted(page for page in (DOCS / "guide").glob("*.md") if page.stem != "limits"),
)
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_generated_page_is_current(page: str) -> None:
    """Each generated page equals what its generator writes; `just generate` updates it."""
    assert (ROOT / page).read_text() == PAGES[page](), f"{page} is stale. Fix: just generate"


@pytest.fixture(scope="module")
def rendered() -> Iterator[None]:
    """Render each page once for the tests of the generator."""
    with pytest.MonkeyPatch.context() as patched:
        for page, render in PAGES.items():
            patched.setitem(PAGES, page, cache(render))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("rendered")
def test_generator_names_a_stale_page(tmp_path: Path) -> None:
    """A page that differs in one letter, or that is absent, is stale; other pages are not."""
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    assert find_stale_pages(tmp_path) == []
    glossary = tmp_path / "docs/glossary.md"
    glossary.write_text(glossary.read_text().replace("Fail to deliver", "Fail to delivery"))
    (tmp_path / "docs/images/layers.svg").unlink()
    assert find_stale_pages(tmp_path) == ["docs/glossary.md", "docs/images/layers.svg"]


@pytest.mark.slow
@pytest.mark.usefixtures("rendered")
def test_generator_check_of_current_pages_ends_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generator with `--check` ends with exit 0 for current pages and writes nothing."""
    monkeypatch.setattr(sys, "argv", ["tools.generate_docs", "--check"])
    assert (main(), capsys.readouterr()) == (0, ("", ""))


def test_command_has_a_how_to_page() -> None:
    """Each command has a page `docs/how-to/NAME.md` that the index lists, and no other
    page exists, apart from the page of the desk in a browser.
    """
    assert {page.stem for page in HOW_TO} - {"index", "desk"} == set(COMMAND_ORDER)
    listed = (DOCS / "how-to/index.md").read_text()
    assert [name for name in COMMAND_ORDER if f"\n{name}\n" not in listed] == []


def test_library_page_has_every_public_name() -> None:
    """The page of the library lists every name of `finops_cli.__all__`."""
    text = (DOCS / "reference/python.md").read_text()
    named = set(re.findall(r"auto\w+:: (?:finops_cli\.\w+\.)?(\w+)", text))
    assert named == set(finops_cli.__all__) - {"__version__"}


def check_examples(page: Path, folder: Path, programs: Path) -> None:
    console_blocks.prepare_folder(folder)
    found = console_blocks.find_commands(page)
    assert found or page.stem == "index"
    for command, output in found:
        printed, messages = console_blocks.run_command(command, folder, programs)
        assert printed == output, f"{command}\n{messages}"


@pytest.mark.slow
@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.stem)
def test_walk_examples_print_what_the_page_shows(
    page: Path, tmp_path: Path, programs: Path
) -> None:
    """The commands of the quickstart, a tutorial or a guide, run in order, print what the page
    shows.
    """
    check_examples(page, tmp_path, programs)


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_how_to_examples_print_what_the_page_shows(
    page: Path, tmp_path: Path, programs: Path
) -> None:
    """Each how-to page has at least one example, and it prints what the page shows."""
    check_examples(page, tmp_path, programs)


def test_pages_name_only_real_commands() -> None:
    """Every `finops COMMAND` in a block of a page is a command."""
    shell = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
    typed = [
        text
        for page in DOCS.rglob("*.md")
        for text in (
            *shell.findall(page.read_text()),
            *(found.command for found in console_blocks.find_commands(page)),
        )
    ]
    names = re.compile(r"(?:^|[ |])finops (?:--kb \S+ )?([a-z][a-z-]*)", re.MULTILINE)
    assert {name for text in typed for name in names.findall(text)} == set(COMMAND_ORDER)
