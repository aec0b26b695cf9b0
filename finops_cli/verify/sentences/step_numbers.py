"""Compare the step numbers of a text with the order of the plan."""

from __future__ import annotations

import re
from itertools import pairwise

from finops_cli.kb.chapters.wording.sentences import SentenceRules
from finops_cli.verify.sentences.clauses import read_clauses
from finops_cli.verify.sentences.truths import Truths

_FALLBACKS = ("INITIATE_RECALL", "SOURCE_BORROW", "ESCALATE")
"""Actions without a step of their own, which a text may count behind the steps."""
ACTIONS = {
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


def find_wrong_number(text: str, truths: Truths, rules: SentenceRules) -> str | None:
    """Describe a step number that the plan does not give its action or participant; None if there
    is none.
    """
    order = truths.order
    numbers = _read_numbers(text)
    if any(second <= first and second != 1 for first, second in pairwise(numbers)):
        return "counts its steps in another order"
    for found in _NUMBERED.finditer(text):
        if found["step"] is None:
            continue
        number = int(found["step"])
        if number > len(order):
            return f"names step {number} of {len(order)}"
        start = max(map(text.rfind, ".;,", [0] * 3, [found.start()] * 3)) + 1
        action, party = _first_action(found["text"], rules)
        if action is None:
            action, party = _first_action(text[start : found.start()], rules)
        if action in order:
            places = {i for i, each in enumerate(order, start=1) if each == action}
            is_own_count = action in _FALLBACKS and number < max(places) and len(numbers) > 1
            if number not in places and not is_own_count:
                return f"calls {action} step {number}"
        parties = truths.step_parties
        if party is not None and number <= len(parties) and parties[number - 1] != party:
            return f"names {party} in step {number}"
    return None


def _read_numbers(text: str) -> list[int]:
    return [int(found["step"] or found["mark"]) for found in _NUMBERED.finditer(text)]


def _first_action(text: str, rules: SentenceRules) -> tuple[str | None, str | None]:
    """Return the first action and the first participant that a text names."""
    found, party = None, None
    for clause in read_clauses(text, rules):
        for claim in clause.claims:
            kind, _, name = claim.roles[0].partition(":")
            action = str(claim.value) if kind == "action" else ACTIONS.get(name)
            if found is None and kind in ("action", "quantity", "pair") and not claim.negated:
                found = action
            if party is None and kind == "party":
                party = str(claim.value)
    return found, party
