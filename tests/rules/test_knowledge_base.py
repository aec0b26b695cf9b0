"""The knowledge base: the rules' numbers are in kb/ with their source, the code holds none, and a
desk can change one.
"""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from finops_cli.domain import enums
from finops_cli.errors import KnowledgeError
from finops_cli.kb import entries
from finops_cli.kb.compiler import Compiler
from finops_cli.kb.factors import FACTORS
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase, compile_kb, compile_with
from finops_cli.kb.search import search
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl, rows

WORD_LISTS = {
    "enum.category": enums.Category,
    "enum.direction": enums.Direction,
    "enum.side": enums.Side,
    "enum.reg_sho_status": enums.RegShoStatus,
    "enum.tier": enums.Tier,
    "enum.escalation_level": enums.EscalationLevel,
    "enum.lifecycle_state": enums.LifecycleState,
    "enum.handoff_lifecycle_state": enums.HandoffLifecycleState,
    "enum.action": enums.Action,
    "enum.flag": enums.Flag,
    "enum.handoff_flag": enums.HandoffFlag,
    "enum.step_action": enums.StepAction,
    "enum.fallback": enums.Fallback,
    "enum.settlement_type": enums.SettlementType,
    "enum.related_category": enums.RelatedCategory,
    "enum.status": enums.Status,
}
ARITHMETIC = {-1, 0, 1, 2, 10, 100, 200}
"""Numbers that the rules' code may hold: places in a list, halves for rounding, percent, powers of
ten.
"""


@pytest.mark.parametrize("id", WORD_LISTS)
def test_kb_terms_define_every_word_of_each_enum(id: str, kb: KnowledgeBase) -> None:
    """Each closed list of words in the code has a kb entry. The entry defines every word of the
    list and no other.
    """
    entry = kb.entries[id]
    assert isinstance(entry, entries.Terms)
    assert set(entry.members) == set(get_args(WORD_LISTS[id]))
    assert all(entry.members.values())


def test_every_kb_number_is_used_by_a_rule(kb: KnowledgeBase) -> None:
    """Every table and number of the knowledge base is compiled into a rule, so a change of it has
    an effect.
    """
    compiler = Compiler(kb.entries)
    compile_with("test", compiler, kb.entries)
    data = (
        entries.Number
        | entries.Choice
        | entries.Switch
        | entries.Lookup
        | entries.Bands
        | entries.Quantiles
        | entries.Words
    )
    assert {id for id, entry in kb.entries.items() if isinstance(entry, data)} == compiler.used


@pytest.mark.parametrize("package", ["rules", "verify", "guard"])
def test_rule_code_holds_no_number(package: str) -> None:
    """The code of the rules takes its numbers from the knowledge base. Only plain arithmetic, cache
    sizes and a few listed constants are exceptions.
    """
    found = {
        (file.name, node.value)
        for file in (ROOT / "finops_cli" / package).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and type(node.value) in (int, float)
        and node.value not in ARITHMETIC
    }
    cache_sizes = {
        ("scoring.py", 4096),
        ("triage.py", 4096),
        ("possible_scores.py", 4096),
        ("triage_facts.py", 8),
        ("deadlines.py", 1024),
        ("handoff.py", 256),
        ("handoff.py", 4096),
        ("implied_bounds.py", 8),
    }
    sentences = {("narrative.py", 3)}  # told one by one; ten names
    slices = {("scoring.py", 5)}
    bases = {("normalise.py", 16)}  # of %2D
    signals = {("gridlock.py", 3), ("gridlock.py", 4)}
    assert found - cache_sizes - sentences - signals - slices - bases == set()


def test_every_rule_id_in_the_code_is_a_kb_entry(kb: KnowledgeBase) -> None:
    """Every rule that a finding or an error names has a kb entry, so `finops kb show RULE` explains
    it.
    """
    named = re.compile(
        r'"((?:schema|cusip|input|import|data|trace|reply|score|tier|triage|plan|waterfall'
        r'|gridlock)\.[a-z_0-9]+)"'
    )
    found = {
        rule
        for package in (
            "verify",
            "pipeline",
            "domain",
            "importers",
            "foundry",
            "models",
            "models/ollama",
            "models/openai",
            "models/servers",
        )
        for file in (ROOT / "finops_cli" / package).glob("*.py")
        for rule in named.findall(file.read_text())
    }
    assert len(found) > 30
    assert found - set(kb.entries) == set()


def test_every_id_in_an_entry_text_exists(kb: KnowledgeBase) -> None:
    """An id in the text of an entry, such as `regsho.state`, is the id of another entry."""
    refers = re.compile(
        r"`((?:score|tier|triage|action|flag|regsho|deadline|recall|handoff|waterfall|plan"
        r"|gridlock|enum|regulation|answer|reply|guard|clock)\.[a-z_0-9]+)`"
    )
    referred = {
        (id, target) for id, entry in kb.entries.items() for target in refers.findall(entry.text)
    }
    assert referred
    assert {pair for pair in referred if pair[1] not in kb.entries} == set()


def test_regulation_entries_list_the_rules_that_differ(kb: KnowledgeBase) -> None:
    """The entries for 17 CFR 242.204 and 242.203(b)(3) list the finops rules that depart from them,
    and those rules exist.
    """
    laws = [entry for entry in kb.entries.values() if isinstance(entry, entries.Regulation)]
    assert {law.id for law in laws} == {"regulation.204", "regulation.203b3"}
    assert all(target in kb.entries for law in laws for target in law.differs)


@pytest.fixture
def own_kb(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))


def replace_in_file(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))


def test_changed_kb_number_changes_score_and_provenance(own_kb: Path, finops: Finops) -> None:
    """A desk can change a factor in its own copy of kb/. The score follows, and the provenance
    records another knowledge base.
    """
    replace_in_file(own_kb, "scoring.toml", "{ to = 9, value = 60 }", "{ to = 9, value = 40 }")
    [ours] = rows(finops("triage", "-", stdin=jsonl(a_fail())).stdout)
    [theirs] = rows(finops("--kb", own_kb, "triage", "-", stdin=jsonl(a_fail())).stdout)
    mine, other = (line["triage"]["score_components"] for line in (ours, theirs))
    assert (mine["age_factor"], other["age_factor"]) == (60, 40)
    weight = load_kb(own_kb).scoring.weight("age")
    assert mine["base_score"] - other["base_score"] == 20 * weight > 0
    assert ours["provenance"]["kb"] != theirs["provenance"]["kb"]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("scoring.toml", 'id = "score.cap"', 'id = "score.kap"', "score.cap"),
        ("scoring.toml", 'id = "score.cap"', 'id = "score.base"', "used twice"),
        ("scoring.toml", 'id = "score.cap"\n', 'id = "score.cap"\nvalu = 1\n',
         "valu is not a known key (did you mean value?)"),
        ("scoring.toml", "value = 1.50", 'value = "high"', "score.concentration_cap"),
        ("scoring.toml", "value = 1\n", "value = 1.5\n", "whole number"),
        ("scoring.toml", 'value = "MEDIUM"\n', 'value = "MIDDLE"\n', "MIDDLE"),
        ("scoring.toml", "{ to = 3, value = 10 }", "{ to = 30, value = 10 }", "must rise"),
        ("scoring.toml", "{ to = 3, value = 10 }", "{ value = 10 }", "every row"),
        ("scoring.toml", "age = 0.30, ", "", "age is missing. Expected the members age"),
        ("scoring.toml", "members = { LOW = \"NONE\"", "members = { LOW = \"L9\"", "L9"),
        ("handoff.toml", "value = 50000", "value = fifty", "handoff.toml"),
        ("handoff.toml", "# Between", "stray = 1\n# Between", "nothing else"),
        ("handoff.toml", 'kind = "rule"\ntitle = "Score components',
        'kind = "poem"\ntitle = "Score components', "poem"),
        ("checks.toml", 'implies an age"\nsource = "decision"',
        'implies an age"\nsource = "rumour"', "rumour"),
        ("serve.toml", "lease = 30", "lease = 10", "lease is 10. Expected more than twice"),
    ],
)  # fmt: skip
def test_invalid_kb_is_refused_with_its_file_or_entry(
    file: str, old: str, new: str, message: str, own_kb: Path
) -> None:
    """A knowledge base with a missing, repeated, misspelt, ill-typed or unordered entry is refused.
    The message names the file or the entry.
    """
    replace_in_file(own_kb, file, old, new)
    with pytest.raises(KnowledgeError, match=re.escape(message)):
        load_kb(own_kb)


@pytest.mark.slow
def test_kb_entry_missing_or_of_another_kind_is_named(
    kb: KnowledgeBase,
) -> None:
    """Rule: for every entry that the code reads, the message has its id and the expected kind."""
    stand_in = kb.entries["glossary"]
    refused = 0
    for id in kb.entries:
        without = {key: entry for key, entry in kb.entries.items() if key != id}
        for changed, fault in (
            (without, "is missing"),
            ({**without, id: stand_in}, "is of kind terms"),
        ):
            message = _refusal(changed)
            if message is not None:
                refused += 1
                assert message.startswith(f"kb entry {id} {fault}. Expected ")
                assert not re.search("NoneType|<class|Decimal", message)
    assert refused > 100


def _refusal(changed: Mapping[str, entries.AnyEntry]) -> str | None:
    try:
        compile_kb("test", dict(changed), FACTORS)
    except KnowledgeError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("scoring.toml", "{ to = 3, value = 10 }", '{ below = "x", value = 10 }'),
        ("scoring.toml", 'id = "score.cap"', 'idx = "score.cap"'),
        ("scoring.toml", 'id = "score.cap"', "id = 3"),
        ("handoff.toml", 'kind = "rule"', 'kind = "poem"'),
        ("handoff.toml", "# Between", "= 1"),
    ],
)
def test_fault_of_a_file_is_described_in_plain_words(
    file: str, old: str, new: str, own_kb: Path
) -> None:
    """Rule: the message names the file, uses no type of a library, and has a cure."""
    replace_in_file(own_kb, file, old, new)
    with pytest.raises(KnowledgeError) as caught:
        load_kb(own_kb)
    assert file in str(caught.value)
    assert not re.search(r"`|\$|str\b|decimal|Object", str(caught.value))
    assert caught.value.cure


def test_folder_without_a_kb_is_refused_with_its_kind(tmp_path: Path) -> None:
    """Rule: a missing folder, a file, an empty folder and an empty file have their own words."""
    file = tmp_path / "scoring.toml"
    for given, fault in (
        (tmp_path / "absent", "no such folder"),
        (tmp_path, "no .toml file"),
    ):
        with pytest.raises(KnowledgeError, match=fault) as caught:
            load_kb(given)
        assert caught.value.cure
    file.write_text("")
    for given, fault in ((file, "is a file"), (tmp_path, "it has none. Expected")):
        with pytest.raises(KnowledgeError, match=fault) as caught:
            load_kb(given)
        assert caught.value.cure


def test_search_ranks_titles_first_and_matches_stems(kb: KnowledgeBase) -> None:
    """Search ranks a match in the title first and matches words by their stem, so `deadlines` finds
    deadline. A query without words finds nothing.
    """
    assert search(kb.entries, "recall notice")[0].id == "recall.notice_days"
    assert "deadline.threshold" in [entry.id for entry in search(kb.entries, "threshold deadlines")]
    assert search(kb.entries, 'xyz"zy (') == []
    assert search(kb.entries, "  ") == []


def test_kb_show_prints_table_and_source_in_80_columns(finops: Finops) -> None:
    """`finops kb show` prints the title, the source and each row of a table in lines of at most 80
    characters.
    """
    output = finops("kb", "show", "score.value_factor").stdout.decode()
    for part in ("Value factor", "source card-1", "from 1,000,000 to 5,000,000", "over 5,000,000"):
        assert part in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["kb"], ["kb", "list"]])
def test_kb_list_prints_every_entry_in_order(
    arguments: list[str], finops: Finops, kb: KnowledgeBase
) -> None:
    """`finops kb` and `finops kb list` print one line for each entry, in the order of the knowledge
    base.
    """
    listed = [line.split()[0] for line in finops(*arguments).stdout.decode().splitlines()]
    assert listed == list(kb.entries)


def test_kb_list_json_prints_every_entry_with_its_value(finops: Finops, kb: KnowledgeBase) -> None:
    """`finops kb list --json` prints all entries with their exact values and sources."""
    import json

    listed = json.loads(finops("kb", "list", "--json").stdout, parse_float=Decimal)
    assert [entry["id"] for entry in listed] == list(kb.entries)
    [cap] = [entry for entry in listed if entry["id"] == "score.concentration_cap"]
    assert (cap["value"], cap["source"]) == (Decimal("1.50"), "card-1")


def test_every_decision_has_a_reason_and_a_date() -> None:
    """Each entry that rests on a decision has a day and a reason; only decisions have reasons."""
    for file in bundled_kb_dir().glob("*.toml"):
        for entry in tomllib.loads(file.read_text("utf-8"))["entry"]:
            is_decision = "decision" in entry["source"].split(", ")
            assert is_decision == ("reason" in entry), entry["id"]
            if is_decision:
                assert entry["reason"].endswith("."), entry["id"]
                assert entry["as_of"], entry["id"]


def test_reason_of_a_decision_does_not_repeat_its_entry() -> None:
    """A reason says why. Six words in a row of the title or text are a copy of what is decided."""
    for file in bundled_kb_dir().glob("*.toml"):
        for entry in tomllib.loads(file.read_text("utf-8"))["entry"]:
            told = _list_runs(f"{entry['title']}\n{entry['text']}")
            assert not told & _list_runs(entry.get("reason", "")), entry["id"]


def _list_runs(text: str, length: int = 6) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


def test_show_names_the_reason_of_a_decision_and_links_a_source(finops: Finops) -> None:
    """`finops kb show` says when and why a decision was taken, and where a source is."""
    text = finops("kb", "show", "gridlock.min_attempts").stdout.decode()
    assert "Decided on 2026-11-20: Card 2 asks if a chase" in text
    for source in ("card-1", "card-2", "card-3", "regulation", "decision"):
        assert "\nSee: " in finops("kb", "show", source).stdout.decode(), source
