"""The verified backend: the result of each kind of answer under each policy, and no unmarked
correction.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain import exact_json
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
from tests.support.sentences import draw_stage1
from tests.support.text_models import Reply, ScriptedModel, a_model, correct_answer

KB = load_kb(bundled_kb_dir())
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


def make_fail(**changes: Any) -> FailRecord:
    ftrs = [{**FTR, "dtc": f"DTC-{n:04d}", "partial_delivery_history": True} for n in (1, 2, 3)]
    fail = FAIL.read(a_fail(inventory=INVENTORY, ftrs=ftrs, **changes))
    assert fail is not None
    return fail


def resolve_with(model: VerifiedBackend, fail: FailRecord) -> Answer[Any]:
    case = handoff(fail, triage(fail, KB), KB)
    assert not isinstance(case, NotApplicable)
    return model.resolve(case)


def reply_with(*texts: str | failures.ModelError | Completion | None) -> Reply:
    """Return a reply function that gives `texts` in turn and then repeats the last one. None is the
    correct answer.
    """

    def reply(ask: CompletionRequest, number: int) -> str | failures.ModelError | Completion:
        text = texts[min(number, len(texts)) - 1]
        return correct_answer(ask, KB) if text is None else text

    return reply


def set_wrong_score(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "priority_score": Decimal("12.5")}


def set_wrong_category(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "category": "DVP_FAIL"}


def reply_changed(change: Callable[[dict[str, Any]], dict[str, Any]], first: int = 10**9) -> Reply:
    """Return a reply function that changes the correct answer in the first attempts."""
    return lambda ask, number: correct_answer(ask, KB, change if number <= first else None)


def add_noise(value: Any) -> Any:
    """Add to each number that is not whole as little as binary floating point does, or more."""
    if isinstance(value, dict):
        return {name: add_noise(each) for name, each in value.items()}
    if isinstance(value, list):
        return [add_noise(each) for each in value]
    return value + Decimal("0.0000005") if isinstance(value, Decimal) else value


@pytest.mark.parametrize("prose", ["strict", "keep"])
@pytest.mark.parametrize("policy", POLICIES)
def test_number_within_the_tolerance_is_made_exact(policy: Any, prose: Any) -> None:
    """An answer whose numbers all differ by half a millionth is right, and gets the exact ones."""
    backend = VerifiedBackend(ScriptedModel(reply_changed(add_noise)), KB, policy, prose)
    first = backend.triage(make_fail())
    noisy = TRIAGE.read(add_noise(exact_json.decode(exact_json.encode(triage(make_fail(), KB)))))
    assert noisy is not None
    assert noisy != first.value == triage(make_fail(), KB)
    case = handoff(make_fail(), triage(make_fail(), KB), KB)
    assert not isinstance(case, NotApplicable)
    second = backend.resolve(case)
    assert second.value == resolve(case, KB)
    assert [(each.status, each.findings) for each in (first, second)] == [("ok", [])] * 2


def test_noise_of_any_triage_is_no_finding() -> None:
    """Numbers within the tolerance cause no finding, with the record and without, for generated
    records of every kind.
    """
    for _, answer in islice(draw_stage1(20261201, KB), 400):
        noisy = TRIAGE.read(add_noise(exact_json.decode(exact_json.encode(answer))))
        assert noisy is not None
        assert noisy != answer
        assert check_triage(noisy, KB, answer) == []
        assert check_triage(noisy, KB) == []


@pytest.mark.parametrize(
    ("policy", "reply", "status", "attempts"),
    [
        ("repair", reply_changed(set_wrong_score), "repaired", 1),
        ("retry", reply_changed(set_wrong_score), "repaired", 3),
        ("retry", reply_changed(set_wrong_score, first=2), "ok", 3),
        ("fallback", reply_changed(set_wrong_score), "fallback", 1),
        ("reject", reply_changed(set_wrong_score), "failed", 1),
        ("repair", reply_changed(set_wrong_category), "fallback", 1),
        ("retry", reply_changed(set_wrong_category), "fallback", 3),
        ("fallback", reply_changed(set_wrong_category), "fallback", 1),
        ("reject", reply_changed(set_wrong_category), "failed", 1),
        ("repair", reply_with("no idea"), "fallback", 2),
        ("repair", reply_with("no idea", None), "ok", 2),
        ("retry", reply_with("no idea"), "fallback", 3),
        ("fallback", reply_with("no idea"), "fallback", 2),
        ("reject", reply_with("no idea"), "failed", 2),
        ("reject", reply_with("no idea", None), "ok", 2),
        ("repair", reply_with(None), "ok", 1),
    ],
)
def test_answer_status_and_attempts_follow_the_policy(
    policy: Any, reply: Reply, status: str, attempts: int
) -> None:
    """Wrong numbers, a wrong judgement and a missing answer have the status and the attempts of
    their policy (kb: model.violation_policy).
    """
    fail = make_fail()
    answer = VerifiedBackend(ScriptedModel(reply), KB, policy).triage(fail)
    assert (answer.status, answer.attempts, len(answer.attempt_log)) == (status, attempts, attempts)
    assert bool(answer.findings) == (status != "ok")
    if status == "failed":
        assert answer.value is None
    else:
        assert answer.value is not None
        assert not check_triage(answer.value, KB, triage(fail, KB))


def test_repair_keeps_the_models_reason_and_reports_both() -> None:
    """A repair keeps the model's reason. The finding has the model's value and the
    corrected one.
    """
    answer = VerifiedBackend(
        ScriptedModel(
            reply_changed(
                lambda a: {**set_wrong_score(a), "reason": "A CRITICAL fail, 7 days old."}
            )
        ),
        KB,
        "repair",
    ).triage(make_fail())
    assert answer.value is not None
    assert answer.value.reason == "A CRITICAL fail, 7 days old."
    [finding] = answer.findings
    assert (finding.path, finding.expected, finding.actual) == (
        "/priority_score",
        Decimal("83.4"),
        Decimal("12.5"),
    )


def take_fewer_shares(answer: dict[str, Any]) -> dict[str, Any]:
    first, *rest = answer["resolution_steps"]
    return {**answer, "resolution_steps": [{**first, "qty": first["qty"] - 1}, *rest]}


def reverse_steps(answer: dict[str, Any]) -> dict[str, Any]:
    first, second, *rest = answer["resolution_steps"]
    return {**answer, "resolution_steps": [{**second, "step": 1}, {**first, "step": 2}, *rest]}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (take_fewer_shares, "repaired"),
        (lambda a: {**a, "residual_short": 1}, "repaired"),
        (lambda a: {**a, "escalation_reason": ""}, "repaired"),
        (reverse_steps, "fallback"),
        (lambda a: {**a, "resolution_steps": a["resolution_steps"][:-1]}, "fallback"),
        (lambda a: {**a, "fallback_strategy": "SOURCE_BORROW"}, "fallback"),
        (lambda a: {**a, "gridlock_detected": True}, "fallback"),
    ],
)
def test_repair_corrects_quantities_but_not_the_steps(change: Any, status: str) -> None:
    """A repair corrects the quantities of a plan. Wrong steps, parties or order give the engine's
    plan (kb: model.unrepairable_fields).
    """
    fail = make_fail()
    answer = resolve_with(VerifiedBackend(ScriptedModel(reply_changed(change)), KB, "repair"), fail)
    assert answer.status == status
    case = handoff(fail, triage(fail, KB), KB)
    assert not isinstance(case, NotApplicable)
    assert answer.value is not None
    assert check_resolution(answer.value, KB, resolve(case, KB), case.ftd_qty) == []


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
def test_failed_reply_ends_with_its_rule_after_its_retries(
    failure: failures.ModelError, attempts: int, policy: Any
) -> None:
    """Each failure is retried only where another request can help. Then the record is settled with
    the failure's rule as finding.
    """
    model = ScriptedModel(reply_with(failure))
    answer = VerifiedBackend(model, KB, policy).triage(make_fail())
    assert answer.status == ("failed" if policy == "reject" else "fallback")
    assert [finding.rule for finding in answer.findings] == [failure.rule]
    tries = attempts if attempts == 1 or policy != "retry" else 3
    assert (len(model.requests), answer.attempts) == (tries, tries)
    assert {attempt.failure for attempt in answer.attempt_log} == {failure.rule}


def test_every_model_failure_has_its_own_kb_entry() -> None:
    """Each class of ModelError has a rule of its own, and the knowledge base has an entry
    for it.
    """
    classes = [failures.ModelError]
    for kind in classes:
        classes += kind.__subclasses__()
    rules = [kind.rule for kind in classes[1:]]
    assert len(rules) == len(set(rules)) == 17
    assert set(rules) <= set(KB.entries)


def test_second_attempt_has_another_seed_and_the_schema() -> None:
    """After an unreadable answer the second attempt has another seed, the schema and the remaining
    room.
    """
    model = ScriptedModel(reply_with("no idea"), room=2048)
    VerifiedBackend(model, KB, "repair").triage(make_fail())
    first, second = model.requests
    assert (first.seed, second.seed) == (KB.models.seed, KB.models.seed + 1)
    assert (first.schema, first.max_tokens, first.is_repeat) == (None, None, False)
    assert second.schema == answer_schema(TRIAGE)
    assert second.max_tokens is not None
    assert 512 < second.max_tokens < 2048
    assert second.is_repeat
    assert second.prompt == first.prompt


def test_retry_for_a_wrong_number_uses_no_schema() -> None:
    """A retry for a wrong number uses no schema, because a grammar does not know the rules."""
    model = ScriptedModel(reply_changed(set_wrong_score))
    VerifiedBackend(model, KB, "retry").triage(make_fail())
    assert [ask.schema for ask in model.requests] == [None, None, None]


def test_resolver_retry_continues_after_its_reasoning() -> None:
    """After an answer without JSON the retry contains the model's own reasoning, neutralised, and
    asks only for the JSON.
    """
    model = ScriptedModel(reply_with("<think>\nBox first.<|fim|>\n</think>\n\nno JSON", None))
    answer = resolve_with(VerifiedBackend(model, KB, "repair"), make_fail())
    assert answer.status == "ok"
    first, second = model.requests
    assert second.prompt == f"{first.prompt}<think>\nBox first.< |fim|>\n</think>\n\n"


def test_resolver_retry_omits_reasoning_that_does_not_fit() -> None:
    """Reasoning that would exceed the context is replaced by an empty think block."""
    endless = "<think>\n" + "word " * 4000
    model = ScriptedModel(reply_with(endless, None), room=5120)
    resolve_with(VerifiedBackend(model, KB, "repair"), make_fail())
    assert model.requests[1].prompt == f"{model.requests[0].prompt}<think>\n\n</think>\n\n"


def test_too_long_prompt_is_not_sent_and_is_a_finding() -> None:
    """A prompt that exceeds the context is not sent. The finding has its size, and the engine
    answers except under `reject`.
    """
    model = ScriptedModel(reply_with(None), room=2048)
    long = make_fail(notes="call them " * 3000)
    answer = VerifiedBackend(model, KB, "repair").triage(long)
    assert (answer.status, answer.attempts, model.requests) == ("fallback", 0, [])
    [finding] = answer.findings
    assert finding.rule == "reply.context"
    assert finding.actual > 5000
    assert VerifiedBackend(model, KB, "reject").triage(long).status == "failed"
    assert VerifiedBackend(model, KB, "repair").triage(make_fail()).status == "ok"


def test_server_failure_is_separate_from_the_model_answer() -> None:
    """A server failure that a retry overcame is recorded in `attempt_errors`, and the answer has
    the status ok.
    """
    answer = VerifiedBackend(
        ScriptedModel(lambda ask, _: Completion(correct_answer(ask, KB), ("reply.crashed",))),
        KB,
        "repair",
    ).triage(make_fail())
    assert (answer.status, list(answer.findings)) == ("ok", [])
    assert answer.attempt_errors == (AttemptError("triage", 1, (), ("reply.crashed",)),)


def test_repair_uses_the_best_of_several_attempts() -> None:
    """A later attempt that is unreadable does not replace an earlier one that can be repaired."""
    texts = [reply_changed(set_wrong_score), reply_with("no idea"), reply_with("no idea")]
    answer = VerifiedBackend(
        ScriptedModel(lambda ask, number: texts[number - 1](ask, number)), KB, "retry"
    ).triage(make_fail())
    assert (answer.status, [finding.rule for finding in answer.findings]) == (
        "repaired",
        ["score.priority"],
    )


def test_grammar_schema_has_card_order_and_no_bounds() -> None:
    """The schema for the grammar has the fields in the order of the cards and the closed lists,
    without bounds and patterns.
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


def test_task_reference_passes_its_own_check(kb: KnowledgeBase) -> None:
    """The reference answer of a resolver task passes the check of that task."""
    case = handoff(make_fail(), triage(make_fail(), kb), kb)
    assert not isinstance(case, NotApplicable)
    question = resolver_task(case, kb)
    assert question.check(question.reference) == []


@pytest.mark.slow
@given(
    text=st.one_of(
        st.text(max_size=200),
        st.from_regex(
            r"(<think>)?[{}\[\]\":,a-z0-9` \n]*(</think>)?[{}\":,a-z0-9]*", fullmatch=True
        ),
    )
)
def test_noise_from_a_model_falls_back_to_the_engine(text: str) -> None:
    """Any noise from a model gives the status fallback, findings, and the engine's answer."""
    fail = make_fail()
    answer = VerifiedBackend(ScriptedModel(reply_with(text)), KB, "repair").triage(fail)
    assert answer.status == "fallback"
    assert answer.findings
    assert answer.value == triage(fail, KB)


def test_correct_model_is_accepted_unchanged() -> None:
    """The answers of a correct model have the status ok in both stages."""
    model = a_model(KB)
    assert model.triage(make_fail()).status == "ok"
    assert resolve_with(model, make_fail()).status == "ok"
