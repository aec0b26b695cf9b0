"""`finops kb save`, `kb saved`, `kb diff` and `--kb-digest`: rules kept by their digest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finops_cli.kb.load import bundled_kb_dir, digest_rules
from tests.support.own_kb import change_kb
from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

MONDAY = EXAMPLES / "monday.jsonl"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Rules in which a threshold security weighs more."""
    return change_kb(tmp_path, "scoring.toml", "THRESHOLD = 1.20", "THRESHOLD = 1.30")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "rules"


def test_save_keeps_rules_by_their_digest(own: Path, store: Path, finops: Finops) -> None:
    """Saved rules stand in a folder that their full digest names. To save them again changes
    nothing.
    """
    first = finops("--kb", own, "kb", "save", "--kb-store", store)
    folder = store / digest_rules(own)
    assert first.stdout.decode().strip() == folder.name
    assert digest_rules(folder) == folder.name
    before = (folder / "saved.json").read_bytes()
    again = finops("--kb", own, "kb", "save", "--kb-store", store)
    assert b"kept already" in again.stderr
    assert (folder / "saved.json").read_bytes() == before
    assert [each.name for each in store.iterdir()] == [folder.name]
    assert folder.name.encode() in finops("kb", "saved", "--kb-store", store).stdout


def test_digest_finds_the_rules_that_made_a_line(
    own: Path, store: Path, tmp_path: Path, finops: Finops
) -> None:
    """`--kb-digest` takes the name of the rules in a line, or digits of the digest in a note, and
    gives the same answers after the folder of the desk has changed.
    """
    made = finops("--kb", own, "run", MONDAY, "--no-timing", "-q").stdout
    finops("--kb", own, "kb", "save", "--kb-store", store)
    name = rows(made)[0]["provenance"]["kb"]
    digest = digest_rules(own)
    for file in own.glob("*.toml"):
        file.unlink()
    for text in (name, digest, digest[:8], digest.upper()):
        done = finops("--kb-digest", text, "--kb-store", store, "run", MONDAY, "--no-timing", "-q")
        assert done.stdout == made, done.stderr
    assert made != finops("run", MONDAY, "--no-timing", "-q").stdout


def test_digest_of_the_bundled_rules_needs_no_store(store: Path, finops: Finops) -> None:
    """The rules that ship are found by their digest, without having been saved."""
    digest = digest_rules(bundled_kb_dir())
    done = finops("--kb-digest", digest, "--kb-store", store, "kb", "show", "tier.band")
    assert (done.returncode, done.stdout) == (0, finops("kb", "show", "tier.band").stdout)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123456789ab", "has no rules 0123456789ab"),
        ("0123", "is not a digest of rules"),
        ("monday", "is not a digest of rules"),
        ("", "is not a digest of rules"),
    ],
)
def test_unknown_digest_ends_with_2_and_a_cure(
    text: str, message: str, store: Path, finops: Finops
) -> None:
    """A digest of rules that were not kept, or a text that is none, is refused with a cure."""
    done = finops("--kb-digest", text, "--kb-store", store, "kb", "list")
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert b"fix: " in done.stderr


def test_kept_rules_that_were_changed_are_refused(own: Path, store: Path, finops: Finops) -> None:
    """Rules in the store whose files no longer have their digest are never used."""
    digest = finops("--kb", own, "kb", "save", "--kb-store", store).stdout.decode().strip()
    with (store / digest / "scoring.toml").open("a") as file:
        file.write("# a note\n")
    for arguments in (
        ("--kb-digest", digest, "--kb-store", store, "kb", "list"),
        ("--kb", own, "kb", "save", "--kb-store", store),
    ):
        done = finops(*arguments)
        assert done.returncode == 2
        assert b"was changed since it was saved" in done.stderr


def test_two_choices_of_rules_are_refused(own: Path, finops: Finops) -> None:
    """`--kb` and `--kb-digest` exclude each other."""
    done = finops("--kb", own, "--kb-digest", "0" * 12, "kb", "list")
    assert (done.returncode, b"exclude each other" in done.stderr) == (2, True)


def test_diff_names_each_value_that_changed(
    own: Path, store: Path, tmp_path: Path, finops: Finops
) -> None:
    """`kb diff` compares folders, digests and the rules of an output, and names entry, field and
    both values.
    """
    output = tmp_path / "out.jsonl"
    finops("--kb", own, "run", MONDAY, "-o", output, "-q")
    finops("--kb", own, "kb", "save", "--kb-store", store)
    for named in (own, output, digest_rules(own)[:12]):
        done = finops("kb", "diff", "bundled", named, "--kb-store", store)
        text = done.stdout.decode()
        assert done.returncode == 0, done.stderr
        assert text.startswith("1 entry differs: ")
        assert "members.THRESHOLD: 1.2 to 1.3" in text.replace("1.20", "1.2").replace("1.30", "1.3")
    [change] = json.loads(finops("kb", "diff", "bundled", own, "--json").stdout)
    assert change["fields"] == [{"field": "members.THRESHOLD", "before": 1.2, "after": 1.3}]
    assert finops("kb", "diff", own, own, "--json").stdout == b"[]\n"


def test_diff_lists_entries_that_came_and_went(own: Path, finops: Finops) -> None:
    """An entry that only one of the two has is added or removed."""
    glossary = own / "glossary.toml"
    text = (own / "headline.toml").read_text()
    extra = '\n[[entry]]\nid = "desk.own"\nkind = "rule"\ntitle = "Ours"\n'
    extra += 'source = "decision"\nas_of = "2026-11-29"\ntext = "A rule of the desk."\n'
    (own / "headline.toml").write_text(text + extra)
    assert glossary.exists()
    assert b"+ desk.own: Ours" in finops("kb", "diff", "bundled", own).stdout
    assert b"- desk.own: Ours" in finops("kb", "diff", own, "bundled").stdout


def test_check_judges_lines_by_kept_rules(own: Path, store: Path, finops: Finops) -> None:
    """`finops check` finds the rules that made a line in the store, and a wrong number is still
    found.
    """
    made = finops("--kb", own, "run", MONDAY, "--no-timing", "-q").stdout
    finops("--kb", own, "kb", "save", "--kb-store", store)
    done = finops("--kb-store", store, "check", "-", "--fails", MONDAY, stdin=made)
    verdicts = rows(done.stdout)
    assert done.returncode == 0, done.stdout
    assert {note["rule"] for each in verdicts for note in each["notes"]} == {"check.made_with"}
    wrong = made.replace(b'"base_score":77', b'"base_score":78')
    done = finops("--kb-store", store, "check", "-", "--fails", MONDAY, stdin=wrong)
    assert "score.base" in [each["rule"] for each in rows(done.stdout)[0]["findings"]]
