"""Check what a line of a run says of the shares that earlier lines promise."""

from __future__ import annotations

from typing import Any

from finops_cli.checking.inputs import split_warnings
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.headline import summarize
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.earlier_lines import RULE, Promises, count_held, draw_of, held_of
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLUTION
from finops_cli.verify.schemas import show_value


def remember_promise(record: FailRecord, promises: Promises, kb: KnowledgeBase) -> None:
    """Remember what the rules promise to a record whose line does not answer it."""
    answer = triage(record, kb)
    case = handoff(record, answer, kb)
    if not isinstance(case, NotApplicable):
        held = count_held(case.inventory, case.ftrs)
        draw = draw_of(summarize(record), answer.category, resolve(case, kb), held)
        promises.add([] if draw is None else [draw])


def check_promises(given: dict[str, Any], record: FailRecord, promises: Promises) -> list[Finding]:
    """Compare the warning of a line with what the lines before it take, and remember its own.

    The plan that the line states counts, also where another check finds a fault in it.
    """
    plan = RESOLUTION.read(given.get("resolution"))
    answer = given.get("triage")
    category = answer.get("category") if isinstance(answer, dict) else None
    held = held_of(record)
    draw = None if held is None else draw_of(summarize(record), category, plan, held)
    found = [] if draw is None else promises.add([draw])
    expected = [exact_json.decode(exact_json.encode(each.finding)) for each in found if each]
    stated = split_warnings(given)[1]
    if stated == expected:
        return []
    return [
        Finding(
            rule=RULE,
            path="/warnings",
            expected=expected,
            actual=stated,
            message=(
                f"the line says {show_value(stated)} of earlier lines; they give"
                f" {show_value(expected)}"
            ),
        )
    ]
