"""Characters and words that a person takes for others than the check reads, and numbers that the
words around them change.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.sentences.look_alikes import find_look_alike, fold_characters
from tests.support.sentences import Stage1, Stage2, first_of_monday

UNJUDGED = "text.unverifiable"


@pytest.fixture(scope="module")
def monday(kb: KnowledgeBase) -> tuple[Stage1, Stage2]:
    return first_of_monday(kb)


@pytest.fixture(scope="module")
def covered(monday: tuple[Stage1, Stage2], kb: KnowledgeBase) -> Stage2:
    """Return the plan of Monday's first fail with a box that covers all of it."""
    case = monday[1].case
    stocked = replace(case, inventory=replace(case.inventory, box_qty=32_000))
    return Stage2(stocked, resolve(stocked, kb))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("scores 83.2 (L\u041eW)", "CYRILLIC CAPITAL LETTER O"),
        ("aged \U000e0039 days", "TAG DIGIT NINE"),
        ("aged 7\u0336 days", "COMBINING LONG STROKE OVERLAY"),
        ("aged \u202e7 days", "RIGHT-TO-LEFT OVERRIDE"),
        ("aged 7\b8 days", "U+0008"),
        ("the \u03b1 of it", "GREEK SMALL LETTER ALPHA"),
        ("12,000O shares", "12,000O"),
        ("of 5l shares", "5l"),
        ("S0 shares", "S0"),
        ("0x9F shares", "0x9F"),
        ("on the 13th", "13th"),
        ("factor 1.O", "1.O"),
        ("1,OOO shares", "1,OOO"),
        ("S,000 shares", "S,000"),
        ("deadline T+O", "T+O"),
        ("counterparty l, value 3", "l"),
        ("aged I days", "I"),
        ("B shares", "B shares"),
        ("Aged Sd", "Sd"),
        ("aged (100) days", "0) days"),
        ("aged <b>9</b> days", "9</b>"),
        ("for <8,000> shares", "0> shares"),
        ("12,000 -> 8,000 shares", "0 -> 8"),
        ("12,000! 8,000 shares", "0! 8"),
        ("12,000 hundred shares", "0 hundred"),
        ("scores minus 83.2", "minus 8"),
        ("t+6+7", "t+6+"),
        ("worth \u20ac13.4M", "EURO SIGN"),
        ("XLII shares", "XLII"),
        ("aged IX days", "IX"),
    ],
)
def test_look_alike_is_named(text: str, named: str) -> None:
    """The description has the name or the number of the character, or the word."""
    found = find_look_alike(fold_characters(text))
    assert found is not None
    assert named in found


@pytest.mark.parametrize(
    "text",
    [
        "12k shares, $13.4M, 5d, 32000sh, 15day, 1.15x, x1.15, 2bn, 1e6, 1st and 2nd step",
        "L3, T+6, T6, DTC0161, USD5M, 594918104, 36467W109, 12345*A19",
        "I would chase it, w/o a locate, o/s since T-1; it isn't the counterparty's a share",
        "MV $13.4M, a CD, $5 MM, DVP, FTD",
        "caf\u00e9, M\u00fcller, \u201cbox\u201d \u2013 25 %",
        "83.2 \u2192 L3 \u2026 \u26a0\ufe0f \u00d7 \u2265",
        "aged (7 days), coverage 25% -> 83.2 -> CRITICAL; 5 days; (1) chase",
        "32\u202f000 shares, non\u2011threshold, zero\u200bwidth",
    ],
)
def test_usual_words_and_marks_are_no_look_alikes(text: str) -> None:
    """Units, suffixes, names of the field, accents and typographic marks are read as they are."""
    assert find_look_alike(fold_characters(text)) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\uff2c\uff2f\uff37\uff0c \uff11\uff12", "LOW, 12"),
        ("\U0001d40b\U0001d40e\U0001d416 \U0001d7d7", "LOW 9"),
        ("L\u00d6W na\u00efve cafe\u0301", "LOW naive cafe"),
        ("\u0660\u0661\u0662", "012"),
        ("\u00bd \u2078 \u2264", "\u00bd \u2078 \u2264"),
    ],
)
def test_other_shapes_of_a_character_are_folded(text: str, plain: str) -> None:
    """Letters and digits of full width, of mathematics, of other scripts and with accents."""
    assert fold_characters(text) == plain


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_plain_text_is_not_folded(text: str) -> None:
    """ASCII stays as it is."""
    assert fold_characters(text) == text


@pytest.mark.parametrize(
    ("reason", "rule"),
    [
        ("Scores 83.2 (L\u041eW), aged 7 days.", UNJUDGED),
        ("Scores 83.2 (\uff2c\uff2f\uff37), aged 7 days.", "text.contradicted"),
        ("Scores 83.2 (L\u00d6W), aged 7 days.", "text.contradicted"),
        ("Scores 83.2, aged 7\u0336 days.", UNJUDGED),
        ("Scores 83.2, deadline T+O.", UNJUDGED),
        ("CRITICAL: XLII shares, aged 7 days.", UNJUDGED),
        ("CRITICAL: not 32,000 shares are owed.", "text.contradicted"),
        ("CRITICAL, aged not 7 days.", "text.contradicted"),
        ("CRITICAL, aged over 7 days.", "text.contradicted"),
        ("CRITICAL, concentration modifier two.", "text.contradicted"),
        ("CRITICAL, the score is ten.", "text.contradicted"),
        ("CRITICAL. The deadline is the thirteenth of May.", UNJUDGED),
        ("CRITICAL. The deadline is Friday.", UNJUDGED),
        ("CRITICAL, the deadline is T+6+1.", UNJUDGED),
        ("CRITICAL, escalate to level iii.", UNJUDGED),
        ("CRITICAL, aged 7 hours.", UNJUDGED),
        ('CRITICAL, aged "7" years.', UNJUDGED),
        ("CRITICAL, aged a fortnight.", UNJUDGED),
        ("CRITICAL: 32,000 bonds are owed.", UNJUDGED),
        ("CRITICAL: 32,000 dozen shares are owed.", UNJUDGED),
        ("CRITICAL: vierzigtausend shares are owed.", UNJUDGED),
        ("CRITICAL: a third of 32,000 shares is owed.", UNJUDGED),
        ("CRITICAL, aged ten times 7 days.", UNJUDGED),
        ("CRITICAL: 2 x 32,000 shares are owed.", UNJUDGED),
        ("CRITICAL, aged minus 7 days.", UNJUDGED),
        ("CRITICAL: 32,000 shares or more are owed.", UNJUDGED),
        ("CRITICAL, worth 13.4M euros.", UNJUDGED),
        ("CRITICAL, with a rate of 4\u2030.", UNJUDGED),
    ],
)
def test_reason_with_a_look_alike_does_not_pass(
    reason: str, rule: str, monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """A look-alike cannot be judged, nor can a number that a word beside it changes. A negated
    number, and one in words, are read as they mean.
    """
    assert [found.rule for found in monday[0].find(reason, kb)] == [rule]


def test_parts_of_the_base_are_points(monday: tuple[Stage1, Stage2], kb: KnowledgeBase) -> None:
    """In the list of parts behind the base score, an age is one of points and not of days."""
    stage1 = monday[0]
    own = stage1.answer.reason
    assert "base" in own
    assert "age 18" in own
    assert stage1.find(own.replace("age 18", "age 18.0"), kb) == []
    for wrong in ("age 7", "age 32,000", "age 83.2"):
        [found] = stage1.find(own.replace("age 18", wrong), kb)
        assert found.rule == "text.contradicted"


@pytest.mark.parametrize(
    ("narrative", "rules"),
    [
        ("Chase DTC-0161 for not 12,000 shares.", ["text.contradicted"]),
        ("Chase DTC-0161 for over 12,000 shares.", ["text.contradicted"]),
        ("Chase DTC-0161 for at least 12,000 shares.", []),
        ("Chase DTC-0161 for 12,000 shares and 1 more receive for 5,000.", ["text.contradicted"]),
        ("Escalate the missing 4,000 shares.", []),
        ("We lack 4,000 shares.", []),
        ("The plan leaves us without 4,000 shares.", []),
        ("Chase DTC-0161's shares: 12,000 of the 32,000 owed.", []),
        ("Borrow 3,000 shares from the box.", [UNJUDGED]),
        ("Apply 8,000 shares from the depot.", [UNJUDGED]),
        ("Apply 8,000 shares from the box.", []),
    ],
)
def test_words_before_a_quantity_count(
    narrative: str, rules: list[str], monday: tuple[Stage1, Stage2], kb: KnowledgeBase
) -> None:
    """A negation and a limit before the shares of a participant are part of the claim."""
    assert [found.rule for found in monday[1].find("narrative", narrative, kb)] == rules


@pytest.mark.parametrize(
    ("rationale", "rules"),
    [
        ("Aged 3d, 12,000 shares", []),
        ("Aged 3d, 0 shares", [UNJUDGED]),
        ("Aged 3d, \u0660,000 shares", [UNJUDGED]),
        ("Aged 3d, 12,000 shares, 0 shares remain in the end", []),
        ("Aged 3d, 12,000 shares, with 0 shares missing in the end", []),
        ("Aged 3d, over 12,000 shares", [UNJUDGED]),
        ("Aged 3d, 8,000 shares", ["plan.prose_figures", UNJUDGED]),
        ("Aged 3d, 20,000 shares", [UNJUDGED]),
    ],
)
def test_shares_of_a_rationale_are_those_of_its_receive(
    rationale: str, rules: list[str], covered: Stage2, kb: KnowledgeBase
) -> None:
    """A number of shares without a label must be of the step's own receive. A 0 needs a word for
    what is left.
    """
    assert not covered.plan.residual_short
    assert [each.rule for each in covered.find("rationale", rationale, kb)] == rules


@pytest.fixture(scope="module")
def of_two(monday: tuple[Stage1, Stage2], kb: KnowledgeBase) -> Stage2:
    """Return a plan with a second receive: 4,000 shares of DTC-0015, which settles on T+2."""
    case = monday[1].case
    [receive] = case.ftrs
    assert receive.settlement_date == "T+1"
    other = replace(receive, dtc="DTC-0015", qty=4_000, settlement_date="T+2")
    both = replace(case, ftrs=(receive, other))
    plan = resolve(both, kb)
    assert [step.dtc for step in plan.resolution_steps][:2] == ["DTC-0161", "DTC-0015"]
    return Stage2(both, plan)


@pytest.mark.parametrize(("day", "rules"), [("T+1", []), ("T+2", ["text.contradicted"])])
def test_settlement_of_a_rationale_is_that_of_its_receive(
    day: str, rules: list[str], of_two: Stage2, kb: KnowledgeBase
) -> None:
    """The day on which another receive settles is wrong in the rationale of a step."""
    found = of_two.find("rationale", f"Aged 3d, 12,000 shares, settles {day}", kb)
    assert [each.rule for each in found] == rules


@pytest.mark.parametrize(
    ("narrative", "rules"),
    [
        ("Chase DTC-0161 for at least 12,000 shares.", []),
        ("Chase DTC-0015 for at least 4,000 shares.", []),
        ("Chase DTC-0015 for at least 12,000 shares.", ["text.contradicted"]),
        ("Chase DTC-0161 for at most 4,000 shares.", ["text.contradicted"]),
    ],
)
def test_limit_of_a_participant_is_for_its_own_shares(
    narrative: str, rules: list[str], of_two: Stage2, kb: KnowledgeBase
) -> None:
    """The shares of another participant do not bear out a limit."""
    assert [each.rule for each in of_two.find("narrative", narrative, kb)] == rules
