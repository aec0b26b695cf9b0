"""Sentences: none may contradict the answer, and right ones may have any wording."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.checking.run_lines import check_run_line
from finops_cli.domain import limits
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.sentences import (
    Stage1,
    Stage2,
    contradict_plan,
    contradict_triage,
    draw_stage1,
    draw_stage2,
    fill,
    first_of_monday,
    half_of,
    places_of_plan,
    places_of_triage,
    plan_random_case,
    read_examples,
    read_forms,
    read_groups,
    read_records,
)
from tests.support.soak import scaled

SEED = 20261129
WRONG, RIGHT = read_forms("wrong_sentences.toml"), read_forms("right_sentences.toml")
RECORDS, ATTACK = "record_sentences.toml", "attack_sentences.toml"
UNJUDGED = "text.unverifiable"
ENGINE_SENTENCES, BLAMED = 5_000, 5
CONTRADICTIONS, CAUGHT = scaled(2_000, 5_000), 0.99
RIGHT_EACH, REPLACED = 10, 0.05


@pytest.fixture(scope="module")
def monday(kb: KnowledgeBase) -> tuple[Stage1, Stage2]:
    return first_of_monday(kb)


@pytest.mark.parametrize("form", WRONG, ids=".".join)
def test_wrong_form_is_a_finding(
    form: tuple[str, str], monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """Each sentence that contradicts the answer is a finding about its own text."""
    field, text = form[0], WRONG[form]
    stage1, stage2 = monday
    found = stage1.find(text, kb) if field == "reason" else stage2.find(field, text, kb)
    wrong = [each for each in found if each.rule != UNJUDGED]
    path = "/resolution_steps/0/rationale" if field == "rationale" else f"/{field}"
    assert {each.path for each in wrong} == {path}
    assert {each.actual for each in wrong} == {text}


def test_wrong_forms_have_two_halves() -> None:
    """Forty forms or more are in the half that the check was developed on, and in the other."""
    halves = [half_of(form) for form in WRONG]
    assert halves.count(0) >= 40
    assert halves.count(1) >= 40


def test_message_names_the_words_and_the_truth(
    monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """A finding gives the words of the sentence, their role, and the value of the answer."""
    [found] = monday[0].find("This is LOW.", kb)
    assert found.rule == "text.contradicted"
    assert found.message == "reason says LOW (tier; the answer has CRITICAL)"
    assert found.expected == monday[0].answer.reason


@pytest.mark.slow
def test_sentences_of_the_engine_are_supported(kb: KnowledgeBase) -> None:
    """Of 5,000 sentences of the engine about random records, at most 5 are blamed."""
    blamed = 0
    for stage1 in islice(draw_stage1(SEED, kb), ENGINE_SENTENCES // 2):
        blamed += len(stage1.find_own(kb))
    rng, seen = Random(SEED), 0
    drawn = draw_stage2(SEED, kb)
    while seen < ENGINE_SENTENCES // 2:
        for stage2 in (next(drawn), plan_random_case(rng, kb)):
            seen += stage2.sentences
            blamed += len(stage2.find_own(kb))
    assert blamed <= BLAMED


@pytest.mark.slow
def test_contradictions_are_caught(kb: KnowledgeBase) -> None:
    """Of sentences with one wrong value (5,000 in `just soak`), at least 99 % are findings."""
    rng, caught, missed = Random(SEED), 0, []
    half = CONTRADICTIONS // 2
    said = [
        *(
            (text, stage1.find(text, kb))
            for stage1 in islice(draw_stage1(SEED, kb), half)
            for text in [contradict_triage(stage1, rng)]
        ),
        *(
            (text, stage2.find("narrative", text, kb))
            for stage2 in islice(draw_stage2(SEED, kb), half)
            for text in [contradict_plan(stage2, rng)]
        ),
    ]
    for text, found in said:
        is_caught = any(each.rule != UNJUDGED for each in found)
        caught += is_caught
        missed += [] if is_caught else [text]
    assert caught >= CAUGHT * CONTRADICTIONS, missed[:10]


def find_monday(
    field: str, text: str, monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> list[str]:
    """Return the rules that a sentence about the first fail of Monday breaks."""
    stage1, stage2 = monday
    found = stage1.find(text, kb) if field == "reason" else stage2.find(field, text, kb)
    return [each.rule for each in found]


def test_right_sentences_of_monday_stand(monday: tuple[Stage1, Stage2], kb: KnowledgeBase) -> None:
    """Of right sentences with their own words, none is blamed and at most 5 % are not judged."""
    found = {
        text: rules
        for field, texts in read_groups("monday_sentences.toml", "right").items()
        for text in texts
        for rules in [find_monday(field, text, monday, kb)]
    }
    assert len(found) >= 90
    assert [text for text, rules in found.items() if set(rules) - {UNJUDGED}] == []
    assert sum(map(bool, found.values())) <= REPLACED * len(found)


def test_wrong_sentences_of_monday_do_not_pass(
    monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """No wrong sentence with its own words passes, and at least 95 % are findings."""
    found = {
        (field, text): find_monday(field, text, monday, kb)
        for field, texts in read_groups("monday_sentences.toml", "wrong").items()
        for text in texts
    }
    assert len(found) >= 200
    assert [text for text, rules in found.items() if not rules] == []
    assert sum(set(rules) != {UNJUDGED} for rules in found.values()) >= 0.95 * len(found)


@pytest.mark.parametrize(
    ("group", "expected"),
    [("wrong", {"contradicted"}), ("unjudged", {"unjudged"}), ("passing", {"passes"})],
)
def test_blind_sentence_is_judged_as_recorded(
    group: str, expected: set[str], monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """Wrong sentences of an attack are findings, or cannot be judged. Those that are known to pass
    are listed, so that a change that mends them shows it.
    """
    for field, texts in read_groups("blind_sentences.toml", group).items():
        found = {text: find_monday(field, text, monday, kb) for text in texts}
        judged = {
            text: "passes" if not rules else "unjudged" if rules == [UNJUDGED] else "contradicted"
            for text, rules in found.items()
        }
        assert {text: each for text, each in judged.items() if each not in expected} == {}


def test_right_blind_sentences_are_not_blamed(
    monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """Of 78 right sentences of an attack none is blamed, and at most one in ten is not judged."""
    found = {
        text: find_monday(field, text, monday, kb)
        for field, texts in read_groups("blind_sentences.toml", "right").items()
        for text in texts
    }
    assert len(found) >= 75
    assert [text for text, rules in found.items() if set(rules) - {UNJUDGED}] == []
    assert sum(map(bool, found.values())) <= 0.1 * len(found)


def judge_records(file: str, group: str, kb: KnowledgeBase) -> dict[tuple[str, str], list[str]]:
    """Return the rules that each sentence of a group about a record of the examples breaks."""
    records, found = read_examples(kb), {}
    for record, fields in read_records(file, group).items():
        stage1, stage2 = records[record]
        for field, texts in fields.items():
            for text in texts:
                if field == "reason":
                    findings = stage1.find(text, kb)
                else:
                    assert stage2 is not None
                    findings = stage2.find(field, text, kb)
                found[record, text] = [each.rule for each in findings]
    return found


def test_wrong_sentences_of_the_records_do_not_pass(kb: KnowledgeBase) -> None:
    """No wrong sentence of an attack on twelve records passes, and at least 93 % are findings."""
    found = judge_records(RECORDS, "wrong", kb)
    assert len(found) >= 230
    assert [text for text, rules in found.items() if not rules] == []
    assert sum(set(rules) != {UNJUDGED} for rules in found.values()) >= 0.93 * len(found)


def test_right_sentences_of_the_records_are_not_blamed(kb: KnowledgeBase) -> None:
    """Of right sentences of an attack none is blamed, and at most 7 % are not judged. Those that a
    documented rule refuses are listed apart.
    """
    found = judge_records(RECORDS, "right", kb)
    assert len(found) >= 175
    assert [text for text, rules in found.items() if set(rules) - {UNJUDGED}] == []
    assert sum(map(bool, found.values())) <= 0.07 * len(found)
    assert all(set(rules) - {UNJUDGED} for rules in judge_records(RECORDS, "refused", kb).values())


def test_wrong_sentences_of_an_attack_do_not_pass(kb: KnowledgeBase) -> None:
    """No sentence with one false number or word passes."""
    found = judge_records(ATTACK, "wrong", kb)
    assert len(found) >= 470
    assert [text for text, rules in found.items() if not rules] == []


def test_right_sentences_of_an_attack_are_not_blamed(kb: KnowledgeBase) -> None:
    """Of right sentences in free words none is blamed, and at least 70 % are judged."""
    found = judge_records(ATTACK, "right", kb)
    assert len(found) >= 120
    assert [text for text, rules in found.items() if set(rules) - {UNJUDGED}] == []
    assert sum(not rules for rules in found.values()) >= 0.7 * len(found)


def write_right_sentences(kb: KnowledgeBase) -> list[tuple[str, Stage1 | Stage2]]:
    """Fill each form for the first records that have its places."""
    written: list[tuple[str, Stage1 | Stage2]] = []
    for (field, name), form in RIGHT.items():
        drawn = draw_stage1(SEED, kb) if field == "reason" else draw_stage2(SEED, kb)
        filled = (
            (text, given)
            for given in islice(drawn, 2_000)
            for text in [
                fill(
                    form,
                    places_of_triage(given) if isinstance(given, Stage1) else places_of_plan(given),
                )
            ]
            if text is not None
        )
        each = list(islice(filled, RIGHT_EACH))
        assert len(each) == RIGHT_EACH, name
        written += each
    return written


@pytest.mark.slow
def test_right_sentences_in_other_forms_stand(kb: KnowledgeBase) -> None:
    """Of 200 right sentences in forms that are not the engine's, at most 5 % have a finding."""
    written = write_right_sentences(kb)
    assert len(written) == 200
    blamed = [
        text
        for text, given in written
        if (
            given.find(text, kb) if isinstance(given, Stage1) else given.find("narrative", text, kb)
        )
    ]
    assert len(blamed) <= REPLACED * len(written), blamed


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    ["not ", "chase DTC-0161 for 5 shares ", "1,111", "twelve thousand ", "low ", "( ", "T+", "9"],
)
def test_huge_text_gives_a_short_message(
    part: str, monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """The message about a text of any length stays short."""
    text = (part * limits.TEXT_CHARS)[: limits.TEXT_CHARS]
    for found in monday[1].find("narrative", text, kb):
        assert len(found.message) < limits.PROBLEMS * (limits.SHOWN_CHARS + 2) * 12


@pytest.mark.slow
@given(text=st.text(max_size=300))
def test_any_text_gets_findings_about_itself(text: str, kb: KnowledgeBase) -> None:
    """No text raises an exception, and each finding names the text and its field."""
    stage1, _ = first_of_monday(kb)
    for found in stage1.find(text, kb):
        assert (found.path, found.actual) == ("/reason", text)


PIECES = [
    *("chase", "DTC-0161", "12,000", "shares", "not", "no", "recall", "and", ",", ".", "LOW"),
    *("CRITICAL", "is", "threshold security", "T+6", "7 days", "of", "(", ")", "escalation", "L3"),
    *("box", "25%", "$13.4M", "below", "from", "?", "if", "residual", "ten days", ":", "594918104"),
]


@given(text=st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join))
def test_any_order_of_known_words_can_be_read(text: str, kb: KnowledgeBase) -> None:
    """Known words in any order give at most one finding about the sentence, and no exception."""
    stage1, stage2 = first_of_monday(kb)
    for found in (stage1.find(text, kb), stage2.find("narrative", text, kb)):
        assert sum(each.rule.startswith("text.") for each in found) <= 1


@pytest.mark.parametrize(
    ("rule", "is_sound"), [("text.unverifiable", True), ("score.priority", False)]
)
def test_ok_line_may_list_only_findings_about_sentences(rule: str, is_sound: bool) -> None:
    """A line of --prose keep has status ok and the findings about its sentences, no others."""
    finding = {"rule": rule, "path": "/reason"}
    line = {"status": "ok", "triage": {}, "verification": {"triage": [finding]}, "provenance": {}}
    assert (check_run_line(line) == []) is is_sound
