"""The entries of the close-out clock: each has its source and says how well it is confirmed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest

from finops_cli.domain.confidence import CONFIDENCES, Confidence
from finops_cli.errors import KnowledgeError
from finops_cli.kb import entries
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.program import Finops

CLOCK = "regulatory-clock.toml"
SPECIFIED = {
    *("as_of", "strictest", "sho204a", "sho204a1", "sho204a2", "sho204a3", "sho204b", "sho204c"),
    *("sho204d", "sho204e", "sho204f", "sho204t", "sho203b3", "finra4320", "grandfather"),
    *("threshold_test", "15c3_3m", "15c3_3d2", "15c3_3d3", "15c3_1", "finra11810", "nscc_buyin"),
    *("fails_charge", "fifo", "closings", "cycles", "weekend_35"),
}
NOT_CONFIRMED = {
    *("sho204c", "sho204d", "sho204e", "sho204f", "sho204t", "nscc_buyin", "fails_charge"),
    *("15c3_3d2", "15c3_3d3", "eras", "cycles"),
}
"""Entries with a part that is from memory: the list for counsel."""


def clock_entries(kb: KnowledgeBase) -> dict[str, entries.AnyEntry]:
    return {id: entry for id, entry in kb.entries.items() if id.startswith("clock.")}


def test_clock_has_every_entry_of_the_specification(kb: KnowledgeBase) -> None:
    """Each rule that the specification of the clock names is an entry `clock.NAME`."""
    assert {f"clock.{name}" for name in SPECIFIED} - set(kb.entries) == set()


def test_clock_entry_of_the_law_has_citation_and_evidence(kb: KnowledgeBase) -> None:
    """An entry that states the law alone has a citation, a confidence and its evidence."""
    laws = [entry for entry in clock_entries(kb).values() if entry.source == "regulation"]
    assert len(laws) > 20
    assert [law.id for law in laws if not (law.citation and law.confidence and law.evidence)] == []


def test_clock_entry_with_confidence_has_evidence(kb: KnowledgeBase) -> None:
    """An entry says where its text was seen whenever it says how well it is confirmed."""
    assert [
        e.id for e in kb.entries.values() if (e.confidence is None) != (e.evidence is None)
    ] == []


def test_clock_text_from_memory_is_unverified(kb: KnowledgeBase) -> None:
    """The entries that rest on memory are `unverified`, and no other entry is."""
    found = {id for id, entry in kb.entries.items() if entry.confidence == "unverified"}
    assert found == {f"clock.{name}" for name in NOT_CONFIRMED}


def test_clock_sources_name_the_confidences_in_order(kb: KnowledgeBase) -> None:
    """The entry `regulation` explains each confidence, the strongest first."""
    assert get_args(Confidence) == CONFIDENCES
    explained = re.findall(r"^\* `([a-z]+)`:", kb.entries["regulation"].text, re.MULTILINE)
    assert tuple(explained) == CONFIDENCES


@pytest.mark.parametrize("id", ["regulation.204", "regulation.203b3"])
def test_regulation_entry_points_to_the_clock(id: str, kb: KnowledgeBase) -> None:
    """The two provisions that the cards depart from name `finops clock` and its entries."""
    text = kb.entries[id].text
    assert "`finops clock`" in text
    assert "`clock.sho20" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('effective_from = "2008-09-18"', 'effective_from = "soon"',
         "effective_from is soon. Expected a day that exists, YYYY-MM-DD."),
        ('effective_to = "2009-07-30"', 'effective_to = "30.7.2009"',
         "effective_to is 30.7.2009. Expected a day that exists, YYYY-MM-DD."),
        ('unverified"\nevidence = "73 FR', 'certain"\nevidence = "73 FR',
         "confidence is certain. Expected one of: verified, secondary"),
    ],
)  # fmt: skip
def test_entry_with_invalid_provision_is_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    """Rule: the days and the confidence of a provision are checked; the message names the entry."""
    folder = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    text = (folder / CLOCK).read_text()
    assert text.count(old) == 1
    (folder / CLOCK).write_text(text.replace(old, new))
    with pytest.raises(KnowledgeError, match=re.escape(message)) as caught:
        load_kb(folder)
    assert "clock.sho204t" in str(caught.value)


def test_kb_show_prints_citation_and_confidence(finops: Finops) -> None:
    """`finops kb show` ends with the provision, its days and the confidence, in 80 columns."""
    lines = finops("kb", "show", "clock.sho204t").stdout.decode().splitlines()
    found = dict(re.split(r"  +", line, maxsplit=1) for line in lines[-8:] if "  " in line.strip())
    assert found["citation"] == "17 CFR 242.204T"
    assert found["confidence"] == "unverified"
    assert found["effective from"] == "2008-09-18"
    assert found["effective to"] == "2009-07-30"
    assert max(map(len, lines)) <= 80


def test_kb_show_json_has_the_given_keys_alone(finops: Finops) -> None:
    """`finops kb show --json` leaves out the citation and its companions where absent."""
    law = json.loads(finops("kb", "show", "clock.sho204a", "--json").stdout)
    assert (law["citation"], law["confidence"]) == ("17 CFR 242.204(a)", "verified")
    assert "effective_to" not in law
    card = json.loads(finops("kb", "show", "score.cap", "--json").stdout)
    assert set(card) == {"kind", "id", "title", "source", "as_of", "text", "unit", "value"}


@pytest.mark.parametrize("word", CONFIDENCES)
def test_kb_list_with_confidence_prints_title_and_citation(
    word: str, finops: Finops, kb: KnowledgeBase
) -> None:
    """`finops kb list --confidence WORD` lists the entries with that confidence and no other."""
    expected = [entry for entry in kb.entries.values() if entry.confidence == word]
    lines = finops("kb", "list", "--confidence", word).stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [entry.id for entry in expected]
    for line, entry in zip(lines, expected, strict=True):
        assert line.endswith(f"{entry.title} [{entry.citation or entry.source}]")
    listed = json.loads(finops("kb", "list", "--confidence", word, "--json").stdout)
    assert [entry["id"] for entry in listed] == [entry.id for entry in expected]


def test_kb_list_with_unknown_confidence_exits_2(finops: Finops) -> None:
    """A word that is not a confidence ends with exit code 2 and the accepted words."""
    done = finops("kb", "list", "--confidence", "sure")
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[0] == (
        f"finops: --confidence is sure. Expected one of: {', '.join(CONFIDENCES)}."
    )


def test_kb_list_without_a_match_says_so_on_stderr(finops: Finops, tmp_path: Path) -> None:
    """A knowledge base whose entries are all confirmed gives an empty list and a message."""
    folder = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    text = (folder / CLOCK).read_text()
    confirmed = text.replace('confidence = "unverified"', 'confidence = "verified"')
    (folder / CLOCK).write_text(confirmed)
    done = finops("--kb", folder, "kb", "list", "--confidence", "unverified")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == (
        "finops: the knowledge base has no entry with the confidence unverified\n"
    )
