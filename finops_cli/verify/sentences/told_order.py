"""Find words of order, of condition and of comparison that the plan does not confirm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.claims import Clause
from finops_cli.verify.sentences.labels import list_steps
from finops_cli.verify.sentences.step_numbers import ACTIONS, has_step_list
from finops_cli.verify.sentences.tokens import Item
from finops_cli.verify.sentences.truths import Truths

_MOVED = ("BUY_IN_NOTICE", "OFFSET_FTR", "NET_GRIDLOCK", "PARTIAL_DELIVER")
"""Steps that the engine itself tells at another place."""
_NOUNS = ("chase", "receive", "receipt", "step", "source")
_FURTHER = ("count:some_receipts",)
_RANKS = (
    ("oldest", "pair:age", max),
    ("youngest", "pair:age", min),
    ("largest", "pair:owed_to_us", max),
    ("smallest", "pair:owed_to_us", min),
)
"""The words of a rank, the numbers that are ranked, and the one that is meant."""


def find_order_doubt(
    text: str, clauses: list[Clause], truths: Truths, rules: SentenceRules
) -> str | None:
    """Say which words about an order the plan does not confirm; None if there are none."""
    if not truths.order:
        return None
    reader = _OrderReader(truths, rules)
    miscount = _find_miscount(clauses, truths)
    if miscount is not None:
        return miscount
    for clause in clauses:
        doubt = reader.find(clause)
        if doubt is not None:
            return doubt
    if has_step_list(text) or any(reader.follows(clause) for clause in clauses):
        told = [each for clause in clauses for each in reader.list_actions(clause)]
        if any(reader.is_turned(first, second) for first, second in pairwise(dict.fromkeys(told))):
            return "tells its steps in another order"
    return None


def _find_miscount(clauses: list[Clause], truths: Truths) -> str | None:
    """Find a receive that a text counts twice, and "8 more receives for 5,000 shares" that are not
    those behind the ones that it names.
    """
    claims = [each for clause in clauses for each in clause.claims]
    told = [
        each.value
        for each in claims
        if each.roles[0] in ("pair:chase", "pair:net") and isinstance(each.value, tuple)
    ]
    left = Counter(truths.receives)
    for name, qty in told:
        own = [each for each in left.elements() if each[0] == name]
        if left[name, qty]:
            left[name, qty] -= 1
        elif own and sum(each[1] for each in own) == qty:
            left.subtract(own)
        elif len([each for each in truths.receives if each[0] == name]) > 1:
            return f"counts shares of {name} twice"
    rest = list(left.elements())
    count = len(rest) - 1 + truths.further_receives if truths.further_receives else len(rest)
    for number, shares in pairwise((*claims, None)):
        if told and number is not None and number.roles == _FURTHER:
            is_sum = shares is None or shares.value == sum(qty for _, qty in rest)
            if number.value not in (len(rest), count) or not is_sum:
                return "counts the further receives in another way"
    return None


class _OrderReader:
    def __init__(self, truths: Truths, rules: SentenceRules) -> None:
        self._truths = truths
        self._grammar = rules.grammar
        self._order = (*(each for each in truths.order if each != "NONE"), "ESCALATE")

    def find(self, clause: Clause) -> str | None:
        """Say which words of a clause cannot be confirmed."""
        items, named = clause.items, list(self._list_actions(clause))
        parties = list(dict.fromkeys(str(i.value) for i in items if i.kind == "party"))
        words = {stem(word) for item in items for word in item.text.split()}
        actions = {action for _, action in named}
        texts = [item.text.lower() for item in items]
        is_at_once = bool({"parallel", "same", "simultaneously"} & words) or "at once" in texts
        if self._opens(items) and not is_at_once and not self._is_first(named, parties):
            return "begins with a step that is not the first"
        if self._has(items, "closing") and not self._is_last(named, parties):
            return "ends with a step that is not the last"
        after = any(
            first.text.lower() == "after" and second.kind == "party"
            for first, second in pairwise(items)
        )
        if (after or self._has(items, "relation")) and len(actions) + len(parties) > 1:
            return "sets steps in an order"
        is_noun = any(
            stem(first.text) in self._grammar["opening"] and second.text.lower() in _NOUNS
            for first, second in pairwise(items)
        )
        if is_noun and not parties and len(self._truths.party_order) > 1:
            return "counts its steps in words"
        if self._has(items, "ordinal") and (named or parties):
            return "counts its steps in words"
        if not self._follows_milestones(items, named):
            return "tells a step after one that follows it"
        if actions and self._is_conditional(items):
            return "makes a step depend on something"
        is_choice = any(
            text == "or" and (i + 1 == len(items) or items[i + 1].kind != "number")
            for i, text in enumerate(texts)
        )
        if is_choice and len(actions) > 1 and not any(_is_negation(item) for item in items):
            return "leaves a step open"
        comparing = {stem(text) for text in texts} & self._grammar["comparing"]
        is_of_time = any("time" in text for text in texts)  # at the same time
        if comparing and not is_of_time and not any(i.kind == "number" for i in items):
            is_known = any(claim.roles[0].startswith("larger:") for claim in clause.claims)
            return None if is_known else "compares what it does not give"
        return self._find_rank(items, words, parties)

    def follows(self, clause: Clause) -> bool:
        """Test for a word such as then."""
        return self._has(clause.items, "following")

    def list_actions(self, clause: Clause) -> list[str]:
        """List the steps that a clause names and that have a fixed place."""
        return [
            action
            for _, action in self._list_actions(clause)
            if action in self._order and action not in _MOVED
        ]

    def is_turned(self, first: str, second: str) -> bool:
        """Test for two steps that a text tells in the other order than the plan."""
        places = [
            [place for place, each in enumerate(self._order) if each == action]
            for action in (first, second)
        ]
        return max(places[1]) < min(places[0])

    def _list_actions(self, clause: Clause) -> Iterator[tuple[int, str]]:
        for i, item in enumerate(clause.items):
            if item.means("milestone"):
                continue
            named = [each for each in item.means("action") if each in self._order]
            named += [ACTIONS[each] for each in item.means("quantity") if each in ACTIONS]
            if named:
                yield i, named[0]

    def _has(self, items: list[Item], part: str) -> bool:
        """Test for a word of a part of the grammar that is not "the last 4,000 shares"."""
        return any(
            stem(item.text) in self._grammar[part]
            and not (i + 1 < len(items) and items[i + 1].kind in ("number", "mark"))
            for i, item in enumerate(items)
        ) or (part == "closing" and any(stem(i.text) in self._grammar["finally"] for i in items))

    def _opens(self, items: list[Item]) -> bool:
        return any(stem(item.text) in self._grammar["opening"] for item in items)

    def _is_first(self, named: list[tuple[int, str]], parties: list[str]) -> bool:
        order, first = self._truths.party_order, self._order[0]
        if named and named[0][1] != first:
            return False
        return not parties or not order or parties[0] == order[0]

    def _is_last(self, named: list[tuple[int, str]], parties: list[str]) -> bool:
        if parties or not named:
            return not parties
        return named[0][1] in self._order[-2:]

    def _follows_milestones(self, items: list[Item], named: list[tuple[int, str]]) -> bool:
        passed = [
            self._order.index(ACTIONS[name])
            for item in items
            for name in item.means("milestone")
            if ACTIONS.get(name) in self._order
        ]
        told = [self._order.index(action) for _, action in named if action in self._order]
        return not passed or not told or min(told) > max(passed)

    def _is_conditional(self, items: list[Item]) -> bool:
        """Test for "if the recall fails", and not for "if the counterparty agrees"."""
        if any("needs_agreement" in item.means("statement") for item in items):
            return False
        return any(stem(item.text) in self._grammar["conditional"] for item in items[:-1])

    def _is_ranked_source(self, items: list[Item], choose: Callable[..., int]) -> bool:
        """Test for "borrowing 20,000 shares is the largest single source"."""
        given = {name: qty for name, qty in self._truths.given.items() if qty}
        named = set(list_steps(items)) & given.keys()
        return len(named) == 1 and given[named.pop()] == choose(given.values())

    def _find_rank(self, items: list[Item], words: set[str], parties: list[str]) -> str | None:
        for part, role, choose in _RANKS:
            if not words & self._grammar[part]:
                continue
            numbers: dict[str, Decimal] = {}
            for pair in self._truths.true.get(role, ()):
                if isinstance(pair, tuple) and pair[0] in self._truths.party_order:
                    numbers[pair[0]] = max(pair[1], numbers.get(pair[0], pair[1]))
            told = [item.value for item in items if item.kind == "number"]
            if told and not parties and len(numbers) > 1:
                is_source = role != "pair:age" and self._is_ranked_source(items, choose)
                if choose(numbers.values()) not in told and not is_source:
                    return "ranks what it does not name"
            if len(parties) != 1:
                continue
            if parties[0] not in numbers or numbers[parties[0]] != choose(numbers.values()):
                return "ranks a participant"
        return None


def _is_negation(item: Item) -> bool:
    return "no" in item.means("negation")
