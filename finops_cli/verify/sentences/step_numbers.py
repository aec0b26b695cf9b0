"""Compare the step numbers of a text with the order of the plan."""

from __future__ import annotations

import re
from itertools import pairwise

from finops_cli.kb.chapters.wording.sentences import SentenceRules
from finops_cli.verify.sentences.clauses import read_clauses

_FALLBACKS = ("INITIATE_RECALL", "SOURCE_BORROW", "ESCALATE")
"""Actions without a step of their own, which a text may count behind the steps."""
_ACTIONS = {
    "chase": "CHASE_FTR",
    "apply": "APPLY_BOX",
    "box": "APPLY_BOX",
    "depot": "DEPOT_MOVEMENT",
    "recall": "INITIATE_RECALL",
    "borrow": "SOURCE_BORROW",
}
"""The action that the source of a quantity means."""
_NUMBERED = re.compile(
    r"(?<!after )(?<!after the )\bstep #?(?P<step>\d{1,2})\b(?P<text>[^.;,]*)"
    r"|(?:\A|(?<=\s)|(?<=[(]))(?P<mark>\d{1,2})[.)](?=\s)",
    re.IGNORECASE,
)
"""A numbered step, or the mark of a list: `step 2 ...`, `2.`, `(2)`."""


def has_step_list(text: str) -> bool:
    """Test for two numbered steps or more, whose order a text thus tells."""
    return len(_read_numbers(text)) > 1


def find_wrong_number(text: str, order: tuple[str, ...], rules: SentenceRules) -> str | None:
    """Describe a step number that the plan does not give its action; None if there is none.

    `order` lists the actions of the plan, first to last.
    """
    numbers = _read_numbers(text)
    if any(second <= first and second != 1 for first, second in pairwise(numbers)):
        return "counts its steps in another order"
    for found in _NUMBERED.finditer(text):
        if found["step"] is None:
            continue
        number = int(found["step"])
        action = _first_action(found["text"], rules)
        if number > len(order):
            return f"names step {number} of {len(order)}"
        if action is None or action not in order:
            continue
        at = order.index(action) + 1
        places = {i for i, each in enumerate(order, start=1) if each == action}
        if number in places or (action in _FALLBACKS and number < at):
            continue
        return f"calls {action} step {number}"
    return None


def _read_numbers(text: str) -> list[int]:
    return [int(found["step"] or found["mark"]) for found in _NUMBERED.finditer(text)]


def _first_action(text: str, rules: SentenceRules) -> str | None:
    for clause in read_clauses(text, rules):
        for claim in clause.claims:
            kind, _, name = claim.roles[0].partition(":")
            action = str(claim.value) if kind == "action" else _ACTIONS.get(name)
            if kind in ("action", "quantity", "pair") and action and not claim.negated:
                return action
    return None
