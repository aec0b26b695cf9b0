"""Find the label of each number of a segment: "recall 5,000", "5,000 recalled".

A number belongs to the label before it, else to the one behind it, else to the one of the segment
before. Of "4,000 of the 32,000 shares" the second number is a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.claims import Claim, Comparison, Context, Label
from finops_cli.verify.sentences.tokens import Item

_UNITS = {
    **dict.fromkeys(("age", "overdue", "left", "transit", "notice"), ("days", "")),
    **dict.fromkeys(("coverage", "cp_rate", "adv_rate"), ("percent", "")),
    "uncovered": ("percent",),
    "value": ("usd", ""),
}
"""The units of the numbers of a label; all others have numbers without a unit."""
_PAIRED = ("chase", "net", "owed", "we_owe")
"""Quantities that belong to the participant of their segment."""
_AFTER = {
    "number:coverage": ("number:coverage",),
    **dict.fromkeys(("quantity:left", "quantity:residual"), ("quantity:left",)),
    **dict.fromkeys(("quantity:covered", "quantity:total"), ("quantity:covered",)),
}
"""The numbers that a step changes, by their roles."""
_PARTS = frozenset(f"number:{name}_part" for name in ("age", "value", "regulatory", "cp"))
"""The parts of the base score."""
SOURCES = {
    **{name: name for name in ("chase", "net", "box", "depot", "recall", "borrow")},
    "apply": "box",
}
"""The step that the words for a source of shares mean."""
_OBJECTS = frozenset(("residual", "left", "owed", "total"))
"""Quantities that can be the object of a verb: "borrow the residual 4,000"."""
_VERBS = frozenset(("chase", "net", "apply", "depot", "recall", "borrow", "cash", "escalate"))
_LIMITS: dict[Comparison, Comparison] = {
    "below": "at least",
    "above": "at most",
    "at least": "below",
    "at most": "above",
}
"""The kinds of a limit, each with its opposite."""
_DENIALS = frozenset(("not", "never", "rather than", "instead of"))
_BEFORE_LIMIT = 3
_BEHIND = 3
_BEHIND_PERCENT = 6
"""Items that the label of a number other than of shares may be behind it."""


class Labels:
    """The labels and the numbers of one segment."""

    def __init__(self, items: list[Item], context: Context, rules: SentenceRules) -> None:
        self.has_bare_number = False
        self._items = items
        self._context = context
        self._grammar = rules.grammar
        self._numbers = [i for i, item in enumerate(items) if item.kind == "number"]
        self._labels: list[tuple[int, Label]] = [
            (i, (role, value))
            for i, item in enumerate(items)
            if item.meanings
            for role in ("quantity", "number")
            for value in self._labels_of(i, item, role)
        ]
        self._milestone = self._find_milestone() or context.milestone
        context.milestone = self._milestone

    def __bool__(self) -> bool:
        return bool(self._labels)

    def counts_shares(self) -> bool:
        """Test if the segment has a number that may be one of shares."""
        return any(self._items[n].unit in ("", "shares") for n in self._numbers)

    def read(self, i: int, is_negated: Callable[[int], bool]) -> Claim | None:
        """Read the claim of the number at `i`; None if it has neither label nor unit.

        `is_negated` says of an item if it is the verb of a negation.
        """
        item = self._items[i]
        value = _amount(item)
        if i and "step" in self._items[i - 1].means("milestone"):
            return None
        before = stem(self._items[i - 1].text) if i else ""
        if before in self._grammar["scaling"] and item.unit:
            self._context.is_vague = True  # "ten times 7 days"
        self._note_parts(i)
        part = self._part_of_the_base(i)
        if part is not None:
            return Claim((f"{part}:points",), value, item.text)
        denied, comparison = self._is_not_the_number(i), self._comparison(i)
        counted = self._count_role(i)
        if counted is not None:
            return Claim((f"count:{counted}",), value, item.text, denied, comparison)
        labels, others = self._labels_for(i, item)
        self._context.is_vague |= self._is_from_elsewhere(i, labels, others)
        comes_from = any(each.means("party") == ("from",) for each in self._items)
        if not self._labels and comes_from and item.unit in ("", "shares"):
            sender = self._party_of(i)  # "8,000 from the box, 12,000 from DTC-0161"
            if sender is not None:
                senders = ("pair:chase", "pair:net", "pair:owed")
                return Claim(senders, (sender, value), item.text, denied, comparison)
        if not labels:
            self.has_bare_number = True
            if not item.unit and not denied:
                return None
            return Claim((f"bare:{item.unit}",), value, item.text, denied, comparison)
        negated = labels[0][0] == "quantity" and any(
            is_negated(at) for at, _ in self._labels if at < i
        )
        roles = self._roles(i, item, labels)
        if roles[0].startswith("pair:"):
            amount = (str(self._party_of(i)), value)
            return Claim(roles, amount, item.text, negated ^ denied, comparison)
        doubtful = tuple(self._after_milestone(_role(each, item.unit)) for each in others)
        return Claim(roles, value, item.text, negated ^ denied, comparison, doubtful)

    def leave_to_next(self) -> None:
        """Leave the last label to the next segment, unless a number has used it up."""
        context = self._context
        if self._labels:
            last = self._labels[-1][0]
            given = [label for at, label in self._labels if at == last]
            context.other_labels = [] if self._numbers else [*context.other_labels, *context.labels]
            context.labels = [
                label for label in given if label[0] == "quantity" or not self._numbers
            ]
            if not any(item.kind == "party" for item in self._items):
                context.party = None
        elif self._numbers:
            context.labels = [label for label in context.labels if label[0] == "quantity"]

    def _labels_of(self, i: int, item: Item, role: str) -> tuple[str, ...]:
        is_followed_by_of = i + 1 < len(self._items) and self._items[i + 1].text.lower() == "of"
        names_fail = item.means("category") or item.means("direction")
        if role == "quantity" and is_followed_by_of and names_fail:
            return ("owed",)  # a DVP fail of 5,000
        return item.means(role)

    def _roles(self, i: int, item: Item, labels: list[Label]) -> tuple[str, ...]:
        """List the roles of a number with these labels; pair:... if it has a participant too."""
        is_whole = self._is_whole(i)
        kind, first = labels[0]
        if labels == [("quantity", "receipts")] and not item.unit:
            near = self._items[i + 1 : i + _BEHIND]
            words = {stem(word) for each in near for word in each.text.split()}
            some = bool(words & self._grammar["further"]) or self._party_of(i) is not None
            return ("count:some_receipts" if some else "count:receipts", "quantity:receipts")
        if not is_whole and self._party_of(i) is not None:
            if kind == "quantity" and first in _PAIRED:
                return (f"pair:{first}",)
            if first == "age" and item.unit == "days":
                return ("pair:age",)
        roles = [self._contribution(_role(each, item.unit), item) for each in labels]
        roles = [self._after_milestone(role) for role in roles]
        roles = self._of_source(i, roles)
        if not item.unit and not self._comparison(i):  # "age 18": the part of the score
            roles += [f"{role}_part" for role in roles if f"{role}_part" in _PARTS]
        if is_whole:
            roles += ["quantity:owed", "number:cap"]
        return tuple(roles)

    def _find_milestone(self) -> str | None:
        """Return the step after which the numbers of the segment are counted."""
        if self._context.has_step_list:
            return None
        for i, item in enumerate(self._items):
            for name in item.means("milestone"):
                if name != "step":
                    return name
                following = self._items[i + 1] if i + 1 < len(self._items) else None
                if following is not None and following.kind == "number":
                    return f"step {following.value}"
        return None

    def _after_milestone(self, role: str) -> str:
        if self._milestone is None or role not in _AFTER:
            return role
        return f"{_AFTER[role][0]}@{self._milestone}"

    def _of_source(self, i: int, roles: list[str]) -> list[str]:
        """Return the roles of "the box brings coverage to 62.5%", or covers 25%."""
        if roles != ["number:coverage"] or self._items[i].unit != "percent":
            return roles
        sources = {
            SOURCES[each]
            for item in self._items[:i]
            for each in item.means("quantity")
            if each in SOURCES
        }
        if len(sources) != 1:
            return roles
        source = sources.pop()
        after = f"number:coverage@{source}"
        return (
            [after] if self._items[i - 1].text.lower() == "to" else [f"number:part@{source}", after]
        )

    def _contribution(self, role: str, item: Item) -> str:
        """Return the role of "the age adds 18 points": the weighted part of the base score."""
        part = role if role.endswith("_part") else f"{role}_part"
        adds = any(stem(each.text) in self._grammar["contribution"] for each in self._items)
        return f"{part}:points" if part in _PARTS and adds and not item.unit else role

    def _labels_for(self, i: int, item: Item) -> tuple[list[Label], list[Label]]:
        """List the labels of a number, and those that it may have instead."""
        before, after = self._before(i, item), self._after(i, item)
        if before == [("quantity", "deliver")] and after:
            before = []  # deliver 8,000 from the box: the source counts
        labels = before or after
        others: list[Label] = after if before and after != before else []
        if before and self._context.labels:  # "recall and borrow bring 8,000"
            others = [*others, ("quantity", "sum")]
        if not labels and not self._labels:
            labels = [each for each in self._context.labels if _fits(each, item)]
            others = self._context.other_labels
            if labels and self._is_denied(i):  # "12,000 are sourced and 4,000 cannot"
                labels = [("quantity", "residual")]
        if not labels and self._milestone is not None and item.unit in ("", "shares"):
            labels = [("quantity", "left"), ("quantity", "covered")]
        if not labels and self._milestone is not None and item.unit == "percent":
            labels = [("number", "coverage")]
        return labels, others

    def _is_from_elsewhere(self, i: int, labels: list[Label], others: list[Label]) -> bool:
        """Test for "borrow 3,000 from the box": the verb and the source are different steps."""
        near = [each.text.lower() for each in self._items[i + 1 : i + _BEHIND]]
        meant = [
            {SOURCES[name] for _, name in each if name in SOURCES} for each in (labels, others)
        ]
        return "from" in near and all(meant) and meant[0].isdisjoint(meant[1])

    def _part_of_the_base(self, i: int) -> str | None:
        """Return the part that the number of "base 46 from value 25, age 18" adds to the base."""
        if self._items[i].unit or not self._context.has_parts:
            return None
        names = (f"number:{name.removesuffix('_part')}_part" for name in self._names_before(i))
        return next((name for name in names if name in _PARTS), None)

    def _note_parts(self, i: int) -> None:
        """Note in the context that "base 46 from" begins a list of parts."""
        following = self._items[i + 1].text.lower() if i + 1 < len(self._items) else ""
        if following == "from" and not self._items[i].unit and "base" in self._names_before(i):
            self._context.has_parts = True

    def _names_before(self, i: int) -> list[str]:
        """List the meanings of a label of numbers directly before the item at `i`."""
        return [name for at, (kind, name) in self._labels if at == i - 1 and kind == "number"]

    def _count_role(self, i: int) -> str | None:
        """Return `parties` for "two counterparties": they are counted, not the shares."""
        if i + 1 == len(self._items) or self._items[i].unit or not self._items[i].text.isdigit():
            return None
        meant = self._items[i + 1].means("quantity")
        return next((each for each in ("parties", "flags") if each in meant), None)

    def _comparison(self, i: int) -> Comparison:
        """Test for "coverage below 25%": the number is a limit. "Not below" is at least."""
        if i and stem(self._items[i - 1].text) in self._grammar["article"]:
            return ""  # "more than the 1,200 needed" compares something else
        start = max(0, i - _BEFORE_LIMIT)
        near = self._items[start:i]
        stems = {stem(each.text) for at, each in enumerate(near, start) if not self._adds(at)}
        for name in _LIMITS:
            if stems & self._grammar[name.replace(" ", "_")]:
                is_negated = any("no" in each.means("negation") for each in near)
                return _LIMITS[name] if is_negated else name
        return ""

    def _adds(self, i: int) -> bool:
        """Test for "8 more receipts for 5,000 shares": the word limits no number."""
        follows_number = i > 0 and self._items[i - 1].kind == "number"
        return follows_number and stem(self._items[i].text) in self._grammar["further"]

    def _is_denied(self, i: int) -> bool:
        return any("no" in each.means("negation") for each in self._items[i + 1 :])

    def _is_not_the_number(self, i: int) -> bool:
        """Test for "chase not 12,000 shares". "Lacks 12,000 shares" states the number."""
        return i > 0 and self._items[i - 1].text.lower() in _DENIALS

    def _is_whole(self, i: int) -> bool:
        """Test for the second number of "4,000 of the 32,000 shares"."""
        at = i - 1
        while at >= 0 and stem(self._items[at].text) in self._grammar["article"]:
            at -= 1
        if at < 1 or self._items[at].text.lower() not in ("of", "/"):
            return False
        at -= 2 if self._items[at - 1].text.lower() == "out" else 1
        return at >= 0 and self._items[at].kind == "number"

    def _before(self, i: int, item: Item) -> list[Label]:
        """List the labels of the last labelled item before a number, of those that fit."""
        fitting = [(at, label) for at, label in self._labels if at < i and _fits(label, item)]
        last = [label for at, label in fitting if at == fitting[-1][0]]
        if last and all(kind == "quantity" and name in _OBJECTS for kind, name in last):
            return self._verb_of_object(fitting) or last
        return last

    def _verb_of_object(self, fitting: list[tuple[int, Label]]) -> list[Label]:
        """Return the label of the verb of "borrow the residual 4,000"; empty without one."""
        end = fitting[-1][0]
        start = max((at for at, _ in fitting if at < end), default=None)
        if start is None or any(
            stem(each.text) not in self._grammar["article"] for each in self._items[start + 1 : end]
        ):
            return []
        return [label for at, label in fitting if at == start and label[1] in _VERBS]

    def _after(self, i: int, item: Item) -> list[Label]:
        """List the labels of the first labelled item between a number and the next one."""
        end = next((n for n in self._numbers if n > i), len(self._items))
        reach = _BEHIND_PERCENT if item.unit == "percent" else _BEHIND
        fitting = [
            (at, label)
            for at, label in self._labels
            if i < at < end and _fits(label, item) and (label[0] != "number" or at <= i + reach)
        ]
        return [label for at, label in fitting if at == fitting[0][0]]

    def _party_of(self, i: int) -> str | None:
        """Return the participant of the number at `i`; None for none or several."""
        names = [str(item.value) for item in self._items if item.kind == "party"]
        before = [str(item.value) for item in self._items[:i] if item.kind == "party"]
        candidates = set(before or names)
        if candidates:
            return candidates.pop() if len(candidates) == 1 else None
        return None if self._labels else self._context.party


def _amount(item: Item) -> Decimal:
    return item.value if isinstance(item.value, Decimal) else Decimal(0)


def _fits(label: Label, item: Item) -> bool:
    role, value = label
    if role == "number":
        if not item.unit and value in _UNITS and value != "value" and not item.text.isdigit():
            return "." in item.text
        return item.unit in _UNITS.get(value, ("",))
    return item.unit == "shares" or (not item.unit and "." not in item.text)


def _role(label: Label, unit: str) -> str:
    role = ":".join(label)
    return f"{role}:days" if label == ("number", "age") and unit else role
