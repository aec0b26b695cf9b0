"""Check the headline and the `fail` block of a line (kb: `headline.checked`, `check.fail`)."""

from __future__ import annotations

from typing import Any

import msgspec

from finops_cli.domain import exact_json
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.headline import FailSummary, summarize
from finops_cli.guard.records import could_be_masked
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.headline import make_headline
from finops_cli.verify.codecs import RESOLUTION, triage_codec
from finops_cli.verify.schemas import show_value

_UNANSWERED = ("rejected", "failed")
_TEXTS = ("symbol", "counterparty_name")
"""The fields of the block that the guard may have masked."""
_OPTIONAL = ("new_cusip",)
"""The fields of the block that a record may not give."""


def check_headline(given: dict[str, Any], kb: KnowledgeBase) -> list[Finding]:
    """Compare the headline with the one that the parts of the same line give.

    A line without a headline, or whose parts are not readable, has no finding here.
    """
    if "headline" not in given:
        return []
    stated = given["headline"]
    if given.get("status") in _UNANSWERED:
        expected = None
    else:
        triage = triage_codec(kb.scoring.components).read(given.get("triage"))
        plan = RESOLUTION.read(given.get("resolution"))
        fail, clock = _convert(given.get("fail"), FailSummary), _convert(given.get("clock"), Clock)
        if fail is None:
            return [_finding("check.fail", "/fail", "the facts of the record", given.get("fail"))]
        if triage is None:
            return []  # the check of the triage reports it
        expected = exact_json.decode(
            exact_json.encode(make_headline(fail, triage, plan, clock, kb.headline))
        )
    return _compare(expected, stated)


def check_fail_block(given: dict[str, Any], fail: FailRecord) -> list[Finding]:
    """Compare the `fail` block of a line with its record."""
    if "fail" not in given:
        return []
    stated = given["fail"]
    expected = exact_json.decode(exact_json.encode(summarize(fail)))
    if not isinstance(stated, dict):
        return [_finding("check.fail", "/fail", expected, stated)]
    provenance = given.get("provenance")
    masked = provenance.get("masked") if isinstance(provenance, dict) else None
    kinds = [kind for kind in masked if isinstance(kind, str)] if isinstance(masked, list) else []
    return [
        _finding("check.fail", f"/fail/{name}", value, stated.get(name))
        for name, value in {**dict.fromkeys(_OPTIONAL), **expected}.items()
        if stated.get(name) != value and not _is_masked(name, value, stated.get(name), kinds)
    ]


def _is_masked(name: str, value: Any, shown: Any, kinds: list[str]) -> bool:
    return (
        name in _TEXTS
        and isinstance(value, str)
        and isinstance(shown, str)
        and could_be_masked(value, shown, kinds)
    )


def _convert(given: Any, kind: type[Any]) -> Any:
    if given is None:
        return None
    try:
        return msgspec.json.decode(exact_json.encode(given), type=kind)
    except msgspec.ValidationError:
        return None


def _compare(expected: Any, stated: Any) -> list[Finding]:
    if not isinstance(expected, dict) or not isinstance(stated, dict):
        same = expected == stated
        return [] if same else [_finding("headline.checked", "/headline", expected, stated)]
    return [
        _finding("headline.checked", f"/headline/{name}", value, stated.get(name))
        for name, value in expected.items()
        if stated.get(name) != value
    ]


def _finding(rule: str, path: str, expected: Any, actual: Any) -> Finding:
    message = f"{path[1:]} is {show_value(actual)}; the line gives {show_value(expected)}"
    return Finding(rule=rule, path=path, expected=expected, actual=actual, message=message)
