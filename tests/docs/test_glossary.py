"""The glossary and the sources of the rules, as `finops kb` prints them."""

from __future__ import annotations

import json
import re

import pytest

from finops_cli.kb import entries
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.program import ROOT, Finops

WORDS_OF_THE_ISSUE = {"FTD", "FTR", "box", "recall", "CNS", "T+6", "L3", "Reg SHO", "CUSIP"}


def test_cited_source_is_an_entry(kb: KnowledgeBase) -> None:
    """Every source that a kb entry cites, such as `card-1`, is an entry itself."""
    cited = {source for entry in kb.entries.values() for source in entry.source.split(", ")}
    assert cited == set(entries.SOURCES)
    assert {id for id, entry in kb.entries.items() if isinstance(entry, entries.Source)} == cited


@pytest.mark.parametrize("folder", ["kb", "finops_cli", "docs", "training", "modelfiles"])
def test_named_card_is_an_entry(folder: str, kb: KnowledgeBase) -> None:
    """Every card that a text of the repository names, as `card-N` or `card N`, is an entry of the
    sources.
    """
    files = [
        file
        for ending in ("toml", "py", "md", "yaml", "modelfile")
        for file in (ROOT / folder).rglob(f"*.{ending}")
    ]
    named = {
        f"card-{number}"
        for file in files
        for number in re.findall(r"\b[Cc]ard[- ]([0-9]+)", file.read_text())
    }
    assert named - set(kb.entries) == set()


def test_glossary_is_in_alphabetical_order(kb: KnowledgeBase) -> None:
    """The glossary is sorted, has the domain words, and explains each in a full sentence."""
    glossary = kb.entries["glossary"]
    assert isinstance(glossary, entries.Terms)
    words = list(glossary.members)
    assert words == sorted(words, key=str.casefold)
    assert set(words) >= WORDS_OF_THE_ISSUE
    assert [word for word, text in glossary.members.items() if not text.endswith(".")] == []


@pytest.mark.parametrize("word", ["FTD", "ftd", "FTDs"])
def test_kb_glossary_explains_one_word(word: str, finops: Finops) -> None:
    """`finops kb glossary WORD` explains the word, in any case and number."""
    output = finops("kb", "glossary", word).stdout.decode()
    assert output.startswith("FTD  Fail to deliver")
    assert "FTR" not in output


def test_kb_glossary_without_a_word_prints_all(finops: Finops, kb: KnowledgeBase) -> None:
    """Without a word, the command prints the whole glossary."""
    glossary = kb.entries["glossary"]
    assert isinstance(glossary, entries.Terms)
    lines = finops("kb", "glossary").stdout.decode().splitlines()
    assert [word for word in glossary.members if not any(x.startswith(word) for x in lines)] == []
    assert max(map(len, lines)) <= 80
    listed = json.loads(finops("kb", "glossary", "--json").stdout)
    assert listed == dict(glossary.members)


def test_kb_glossary_with_a_misspelt_word_suggests_near_ones(finops: Finops) -> None:
    """A word that the glossary does not have ends with exit code 2 and the words near it."""
    done = finops("kb", "glossary", "recal")
    assert done.stderr.decode().splitlines() == [
        "finops: the glossary has no word recal",
        "fix: did you mean recall, residual, partial?",
    ]


def test_kb_show_of_a_word_names_the_glossary(finops: Finops) -> None:
    """`finops kb show` of a glossary word ends with exit 2 and the command that explains it."""
    done = finops("kb", "show", "FTD")
    assert (done.returncode, b"finops kb glossary FTD" in done.stderr) == (2, True)


def test_kb_search_for_a_word_finds_the_glossary_first(finops: Finops) -> None:
    """`finops kb search` ranks the glossary first for one of its words, although the glossary is
    long.
    """
    found = finops("kb", "search", "FTD").stdout.decode().splitlines()
    assert found[0].split()[0] == "glossary"
    assert len(found) > 1


@pytest.mark.parametrize(
    ("card", "name"),
    [("card-1", "finops-fail-triage"), ("card-2", "finops-resolver"), ("card-3", "FinTune")],
)
def test_kb_show_of_a_card_explains_it(card: str, name: str, finops: Finops) -> None:
    """`finops kb show card-N` describes the document, what finops takes from it and where finops
    departs from it.
    """
    output = finops("kb", "show", card).stdout.decode()
    for part in (name, "What finops takes from it", "Where finops departs from it"):
        assert part in output
    assert max(map(len, output.splitlines())) <= 80
