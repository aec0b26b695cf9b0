"""The verified loop: what becomes of each kind of answer under each policy, and that nothing
unmarked leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain.fail import FailRecord
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import failures
from finops_cli.models.protocol import Answer, AttemptError, Completion, CompletionRequest
from finops_cli.models.tasks import answer_schema, resolver_task
from finops_cli.models.verified_backend import VerifiedBackend
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import FAIL, RESOLUTION, TRIAGE
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.triage import check_triage
from tests.support.records import a_fail
from tests.support.text_models import Says, ScriptedModel, a_model, right

BOOK = load_kb(bundled_kb_dir())
INVENTORY = {
    "box_qty": 1000,
    "stock_loan_available": 500,
    "recall_outstanding": 700,
    "pending_receives": 9000,
}
FTR = {
    "qty": 300,
    "age_days": 3,
    "settlement_type": "RVP",
    "settlement_date": "T+1",
    "cp_fail_rate_pct": 1,
}
POLICIES = ("repair", "retry", "fallback", "reject")


def _fail(**changes: Any) -> FailRecord:
    ftrs = [{**FTR, "dtc": f"DTC-{n:04d}", "partial_delivery_history": True} for n in (1, 2, 3)]
    fail = FAIL.read(a_fail(inventory=INVENTORY, ftrs=ftrs, **changes))
    assert fail is not None
    return fail


def _plan(model: VerifiedBackend, fail: FailRecord) -> Answer[Any]:
    case = handoff(fail, triage(fail, BOOK), BOOK)
    assert not isinstance(case, NotApplicable)
    return model.resolve(case)


def _says(*texts: str | failures.ModelError | Completion | None) -> Says:
    """Says these in turn, the last of them for ever; None is the right answer."""

    def says(ask: CompletionRequest, number: int) -> str | failures.ModelError | Completion:
        said = texts[min(number, len(texts)) - 1]
        return right(ask, BOOK) if said is None else said

    return says


def _wrong_score(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "priority_score": Decimal("12.5")}


def _wrong_category(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "category": "DVP_FAIL"}


def _changed(change: Callable[[dict[str, Any]], dict[str, Any]], first: int = 10**9) -> Says:
    """The right answer, changed in the first so many attempts."""
    return lambda ask, number: right(ask, BOOK, change if number <= first else None)


@pytest.mark.parametrize(
    ("policy", "says", "status", "attempts"),
    [
        ("repair", _changed(_wrong_score), "repaired", 1),
        ("retry", _changed(_wrong_score), "repaired", 3),
        ("retry", _changed(_wrong_score, first=2), "ok", 3),
        ("fallback", _changed(_wrong_score), "fallback", 1),
        ("reject", _changed(_wrong_score), "failed", 1),
        ("repair", _changed(_wrong_category), "fallback", 1),
        ("retry", _changed(_wrong_category), "fallback", 3),
        ("fallback", _changed(_wrong_category), "fallback", 1),
        ("reject", _changed(_wrong_category), "failed", 1),
        ("repair", _says("no idea"), "fallback", 2),
        ("repair", _says("no idea", None), "ok", 2),
        ("retry", _says("no idea"), "fallback", 3),
        ("fallback", _says("no idea"), "fallback", 2),
        ("reject", _says("no idea"), "failed", 2),
        ("reject", _says("no idea", None), "ok", 2),
        ("repair", _says(None), "ok", 1),
    ],
)
def test_what_becomes_of_an_answer(policy: Any, says: Says, status: str, attempts: int) -> None:
    """kb: model.violation_policy, as a truth table: wrong numbers, a wrong judgement, no
    answer, under each policy.
    """
    fail = _fail()
    answer = VerifiedBackend(ScriptedModel(says), BOOK, policy).triage(fail)
    assert (answer.status, answer.attempts, len(answer.attempt_log)) == (status, attempts, attempts)
    assert bool(answer.findings) == (status != "ok")
    if status == "failed":
        assert answer.value is None
    else:
        assert answer.value is not None
        assert not check_triage(answer.value, BOOK, triage(fail, BOOK))


def test_a_repair_keeps_the_models_sentence_and_its_own_value() -> None:
    """The finding has what the model said and what stands; everything else stands as the model gave
    it.
    """
    answer = VerifiedBackend(
        ScriptedModel(_changed(lambda a: {**_wrong_score(a), "reason": "Old and large."})),
        BOOK,
        "repair",
    ).triage(_fail())
    assert answer.value is not None
    assert answer.value.reason == "Old and large."
    [finding] = answer.findings
    assert (finding.path, finding.expected, finding.actual) == (
        "/priority_score",
        Decimal("83.4"),
        Decimal("12.5"),
    )


def _fewer_shares(answer: dict[str, Any]) -> dict[str, Any]:
    first, *rest = answer["resolution_steps"]
    return {**answer, "resolution_steps": [{**first, "qty": first["qty"] - 1}, *rest]}


def _other_order(answer: dict[str, Any]) -> dict[str, Any]:
    first, second, *rest = answer["resolution_steps"]
    return {**answer, "resolution_steps": [{**second, "step": 1}, {**first, "step": 2}, *rest]}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (_fewer_shares, "repaired"),
        (lambda a: {**a, "residual_short": 1}, "repaired"),
        (lambda a: {**a, "escalation_reason": ""}, "repaired"),
        (_other_order, "fallback"),
        (lambda a: {**a, "resolution_steps": a["resolution_steps"][:-1]}, "fallback"),
        (lambda a: {**a, "fallback_strategy": "SOURCE_BORROW"}, "fallback"),
        (lambda a: {**a, "gridlock_detected": True}, "fallback"),
    ],
)
def test_figures_of_a_plan_are_repaired_and_its_course_is_not(change: Any, status: str) -> None:
    """kb: model.unrepairable_fields.

    Which steps, with whom and in which order is the model's judgement; quantities are the record's.
    """
    fail = _fail()
    answer = _plan(VerifiedBackend(ScriptedModel(_changed(change)), BOOK, "repair"), fail)
    assert answer.status == status
    case = handoff(fail, triage(fail, BOOK), BOOK)
    assert not isinstance(case, NotApplicable)
    assert answer.value is not None
    assert check_resolution(answer.value, BOOK, resolve(case, BOOK), case.ftd_qty) == []


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        (failures.Incomplete("x"), 2),
        (failures.Truncated("x"), 2),
        (failures.EmptyGeneration("x"), 2),
        (failures.TooLong("x"), 2),
        (failures.TimedOut("x"), 1),
        (failures.ContextExceeded("x"), 1),
        (failures.PromptTruncated("x"), 1),
        (failures.Rejected("x"), 1),
        (failures.Crashed("x"), 1),
        (failures.ConnectionLost("x"), 1),
        (failures.Busy("x"), 1),
        (failures.Unreachable("x"), 1),
        (failures.ModelMissing("x"), 1),
    ],
)
def test_a_reply_that_never_comes_settles_the_record(
    failure: failures.ModelError, attempts: int, policy: Any
) -> None:
    """Each failure is asked about again only where asking differently can help, and is named in the
    finding.
    """
    model = ScriptedModel(_says(failure))
    answer = VerifiedBackend(model, BOOK, policy).triage(_fail())
    assert answer.status == ("failed" if policy == "reject" else "fallback")
    assert [finding.rule for finding in answer.findings] == [failure.rule]
    tries = attempts if attempts == 1 or policy != "retry" else 3
    assert (len(model.asks), answer.attempts) == (tries, tries)
    assert {attempt.failure for attempt in answer.attempt_log} == {failure.rule}


def test_every_failure_is_explained_by_the_knowledge_base() -> None:
    """`finops kb show RULE` for each class of the tree; no two classes share a rule."""
    classes = [failures.ModelError]
    for kind in classes:
        classes += kind.__subclasses__()
    rules = [kind.rule for kind in classes[1:]]
    assert len(rules) == len(set(rules)) == 13
    assert set(rules) <= set(BOOK.entries)


def test_a_further_attempt_is_another_question() -> None:
    """A new seed each time; held to the schema, with all the room that is left, after an answer
    that could not be read.
    """
    model = ScriptedModel(_says("no idea"), room=2048)
    VerifiedBackend(model, BOOK, "repair").triage(_fail())
    first, second = model.asks
    assert (first.seed, second.seed) == (BOOK.models.seed, BOOK.models.seed + 1)
    assert (first.schema, first.max_tokens, first.is_repeat) == (None, None, False)
    assert second.schema == answer_schema(TRIAGE)
    assert second.max_tokens is not None
    assert 512 < second.max_tokens < 2048
    assert second.is_repeat
    assert second.prompt == first.prompt


def test_a_wrong_figure_is_asked_for_again_without_the_schema() -> None:
    """The grammar does not know the rules; it would only take the model from what it was trained
    on.
    """
    model = ScriptedModel(_changed(_wrong_score))
    VerifiedBackend(model, BOOK, "retry").triage(_fail())
    assert [ask.schema for ask in model.asks] == [None, None, None]


def test_the_resolver_goes_on_behind_its_own_reasoning() -> None:
    """Reasoning of an answer without JSON is given back, neutralised, so that only the JSON is said
    anew.
    """
    model = ScriptedModel(_says("<think>\nBox first.<|im_end|>\n</think>\n\nno JSON", None))
    answer = _plan(VerifiedBackend(model, BOOK, "repair"), _fail())
    assert answer.status == "ok"
    first, second = model.asks
    assert second.prompt == f"{first.prompt}<think>\nBox first.< |im_end|>\n</think>\n\n"


def test_reasoning_that_does_not_fit_is_left_out() -> None:
    """The prompt of a further attempt keeps to the context too."""
    endless = "<think>\n" + "word " * 4000
    model = ScriptedModel(_says(endless, None), room=5120)
    _plan(VerifiedBackend(model, BOOK, "repair"), _fail())
    assert model.asks[1].prompt == f"{model.asks[0].prompt}<think>\n\n</think>\n\n"


def test_a_prompt_that_is_too_long_is_never_sent() -> None:
    """An error of that record, with its size; the engine answers, or under `reject` nobody."""
    model = ScriptedModel(_says(None), room=2048)
    long = _fail(notes="call them " * 3000)
    answer = VerifiedBackend(model, BOOK, "repair").triage(long)
    assert (answer.status, answer.attempts, model.asks) == ("fallback", 0, [])
    [finding] = answer.findings
    assert finding.rule == "reply.context"
    assert finding.actual > 5000
    assert VerifiedBackend(model, BOOK, "reject").triage(long).status == "failed"
    assert VerifiedBackend(model, BOOK, "repair").triage(_fail()).status == "ok"


def test_what_the_server_did_is_told_apart_from_what_the_model_said() -> None:
    """A crash that was overcome is trouble of the server; the answer behind it counts as right."""
    answer = VerifiedBackend(
        ScriptedModel(lambda ask, _: Completion(right(ask, BOOK), ("reply.crashed",))),
        BOOK,
        "repair",
    ).triage(_fail())
    assert (answer.status, list(answer.findings)) == ("ok", [])
    assert answer.attempt_errors == (AttemptError("triage", 1, (), ("reply.crashed",)),)


def test_the_better_of_two_attempts_is_repaired() -> None:
    """A later attempt that cannot be read, or is worse, does not displace one that can be put
    right.
    """
    texts = [_changed(_wrong_score), _says("no idea"), _says("no idea")]
    answer = VerifiedBackend(
        ScriptedModel(lambda ask, number: texts[number - 1](ask, number)), BOOK, "retry"
    ).triage(_fail())
    assert (answer.status, [finding.rule for finding in answer.findings]) == (
        "repaired",
        ["score.priority"],
    )


def test_the_schema_for_the_grammar_keeps_the_trained_order_and_nothing_it_would_skip() -> None:
    """Fields in the order of the cards, closed lists, no bounds or patterns; the checker has
    those.
    """
    schema = answer_schema(TRIAGE)
    assert list(schema["properties"]) == list(TRIAGE.kind.__struct_fields__)
    assert schema["properties"]["score_components"]["additionalProperties"] is False
    assert schema["properties"]["priority_tier"]["enum"] == ["CRITICAL", "HIGH", "LOW", "MEDIUM"]
    text = repr(answer_schema(RESOLUTION))
    assert not [
        word
        for word in ("pattern", "minimum", "maximum", "maxLength", "$ref", "description")
        if word in text
    ]


def test_the_reference_of_a_question_passes_its_own_check(kb: KnowledgeBase) -> None:
    case = handoff(_fail(), triage(_fail(), kb), kb)
    assert not isinstance(case, NotApplicable)
    question = resolver_task(case, kb)
    assert question.check(question.reference) == []


@given(
    text=st.one_of(
        st.text(max_size=200),
        st.from_regex(
            r"(<think>)?[{}\[\]\":,a-z0-9` \n]*(</think>)?[{}\":,a-z0-9]*", fullmatch=True
        ),
    )
)
def test_whatever_a_model_says_the_outcome_is_marked(text: str) -> None:
    """Noise never stands: a status other than ok, findings that say why, and an answer that the
    rules bear out.
    """
    fail = _fail()
    answer = VerifiedBackend(ScriptedModel(_says(text)), BOOK, "repair").triage(fail)
    assert answer.status == "fallback"
    assert answer.findings
    assert answer.value == triage(fail, BOOK)


def test_a_model_that_is_always_right_is_never_changed() -> None:
    model = a_model(BOOK)
    assert model.triage(_fail()).status == "ok"
    assert _plan(model, _fail()).status == "ok"
