"""Find the label of each number of a segment: "recall 5,000", "5,000 recalled".

A number belongs to the label before it, else to the one behind it, else to the one of the segment
before. Of "4,000 of the 32,000 shares" the second number is a whole.
"""

from __future__ import annotations

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.claims import Context, Label
from finops_cli.verify.sentences.tokens import Item, amount

_UNITS = {
    **dict.fromkeys(("age", "overdue", "left", "transit", "notice"), ("days", "")),
    **dict.fromkeys(("coverage", "cp_rate", "adv_rate"), ("percent", "")),
    "uncovered": ("percent",),
    "value": ("usd", ""),
}
"""The units of the numbers of a label; all others have numbers without a unit."""
SOURCES = {
    **{name: name for name in ("chase", "net", "box", "depot", "recall", "borrow")},
    "apply": "box",
    "box_held": "box",
}
"""The step that the words for a source of shares mean."""
STEPS = SOURCES | {"receipts": "chase"}
"""The step that a word tells."""
WATERFALL = ("chase", "net", "box", "partial", "depot", "recall", "borrow")
"""The steps in the order in which a plan takes them."""
_OBJECTS = frozenset(("residual", "left", "owed", "total"))
"""Quantities that can be the object of a verb: "borrow the residual 4,000"."""
_GOALS = frozenset(("deliver", "left", "residual", "owed"))
"""Quantities that a source can be for: "1,500 shares are needed from the box"."""
_OPEN = frozenset(("left", "residual"))
_CLOSED = frozenset(("covered", "total", "recall", "borrow", "chase"))
"""Quantities that exclude each other."""
_VERBS = frozenset(("chase", "net", "apply", "depot", "recall", "borrow", "cash", "escalate"))
_NOUNS = ("coverage", "uncovered")
"""Labels whose number may lack its percent sign, behind the word itself."""
NEAR_BEHIND = 3
_AGE = ("number", "age")
_OVERDUE = ("number", "overdue")
_BEHIND_PERCENT = 6
"""Items that the label of a number other than of shares may be behind it."""


class Labels:
    """The labels and the numbers of one segment."""

    def __init__(self, items: list[Item], context: Context, rules: SentenceRules) -> None:
        self._items = items
        self._context = context
        self._grammar = rules.grammar
        self.numbers = [i for i, item in enumerate(items) if item.kind == "number"]
        self.labelled: list[tuple[int, Label]] = [
            (i, (role, value))
            for i, item in enumerate(items)
            if item.meanings
            for role in ("quantity", "number")
            for value in self._labels_of(i, item, role)
        ]
        self._used_behind: int | None = None
        """The place of the label of the last number, if it is behind it."""
        self._milestones = [] if context.step_list else self._find_milestones()
        self._earlier = context.milestone
        if self._milestones:
            context.milestone = self._milestones[-1][1]

    def __bool__(self) -> bool:
        return bool(self.labelled)

    def counts_shares(self) -> bool:
        """Test if the segment has a number that may be one of shares."""
        return any(self._items[n].unit in ("", "shares") for n in self.numbers)

    def labels_for(self, i: int, item: Item) -> tuple[list[Label], list[Label]]:
        """List the labels of a number, and those that it may have instead."""
        before, after = self._before(i, item), self._after(i, item)
        used: list[Label] = []
        if before and self._is_used(i, before):
            before, used = [], before
        if before == [("quantity", "deliver")] and after:
            before = []  # deliver 8,000 from the box: the source counts
        source = self._source_behind(i)
        if source and i and self._text(i - 1) == "by":
            before = after = source  # the loop is closed by 1,500 shares from the box
        elif source and all(name in _GOALS for _, name in before or after):
            before, after = source, [*before, *after]
        if not before and after and self._context.is_continued and self._ends_with_source():
            return [], []  # 20,000 shares come from the chase and the box
        if _names(before) & _OPEN and _names(after) & _CLOSED:
            self._context.is_vague = True  # the remaining 4,000 shares can be covered
        labels = before or after
        counts = item.unit == "" and after == [("quantity", "receipts")]
        is_used = bool(after) and not before and not counts  # 3 receipts for 5,000 shares
        self._used_behind = self._place(i, after) if is_used else None
        others: list[Label] = after if before and after != before else used
        if before and self._context.labels:  # "recall and borrow bring 8,000"
            others = [*others, ("quantity", "sum")]
        if before and after and self.names_at(i + 1)[:1] in (["overdue"], ["left"]):
            labels, others = after, before  # aged 7 days ago
        if not labels and all(self._is_of_whole(at, label) for at, label in self.labelled):
            labels = [each for each in self._context.labels if _fits(each, item)]
            others = [*self._context.other_labels, ("quantity", "sum")]
            if labels and self._is_denied(i):  # "12,000 are sourced and 4,000 cannot"
                labels = [("quantity", "residual")]
        if not labels and self.milestone_of(i) is not None and item.unit in ("", "shares"):
            labels = [("quantity", "left"), ("quantity", "covered")]
        if not labels and self.milestone_of(i) is not None and item.unit == "percent":
            labels = [("number", "coverage")]
        return labels, others

    def release(self) -> None:
        """Free the label that the last number has behind it, for the next number."""
        self._used_behind = None

    def leave_to_next(self) -> None:
        """Leave the last label to the next segment, unless a number has used it up."""
        context = self._context
        context.has_number = bool(self.numbers)
        context.listed = [] if self.numbers else [*context.listed, *list_steps(self._items)]
        context.told += list_steps(self._items)
        if self.labelled:
            last = self.labelled[-1][0]
            is_unused = not self.numbers or (last > self.numbers[-1] and self._used_behind is None)
            given = [label for at, label in self.labelled if at == last]
            context.other_labels = [] if self.numbers else [*context.other_labels, *context.labels]
            context.labels = [label for label in given if label[0] == "quantity" or is_unused]
            if not any(item.kind == "party" for item in self._items):
                context.party = None
        elif self.numbers:
            context.labels = [label for label in context.labels if label[0] == "quantity"]

    def party_of(self, i: int) -> str | None:
        """Return the participant of the number at `i`; None for none or several."""
        names = [str(item.value) for item in self._items if item.kind == "party"]
        before = [str(item.value) for item in self._items[:i] if item.kind == "party"]
        candidates = set(before or names)
        if candidates:
            return candidates.pop() if len(candidates) == 1 else None
        return None if self.labelled else self._context.party

    def names_shares(self) -> bool:
        """Test for a label of shares in the segment."""
        return any(kind == "quantity" for _, (kind, _) in self.labelled)

    def names_at(self, i: int) -> list[str]:
        """List the meanings of the item at `i` as a label of numbers."""
        return [name for at, (kind, name) in self.labelled if at == i and kind == "number"]

    def is_whole(self, i: int) -> bool:
        """Test for the second number of "4,000 of the 32,000 shares"."""
        at = i - 1
        while at >= 0 and stem(self._items[at].text) in self._grammar["article"]:
            at -= 1
        if at < 1 or self._items[at].text.lower() not in ("of", "/"):
            return False
        at -= 2 if self._items[at - 1].text.lower() == "out" else 1
        at -= self._items[at].kind == "aside"
        return at >= 0 and self._items[at].kind == "number"

    def begins_with_whole(self, i: int) -> bool:
        """Test for "Of the 32,000 shares owed, ..."."""
        if self._context.claims or self._items[0].text.lower() != "of":
            return False
        return all(stem(each.text) in self._grammar["article"] for each in self._items[1:i])

    def roles_of_whole(self, i: int) -> tuple[str, ...]:
        """List the roles of the second number of "28,000 of 32,000" and "83.2 out of 100"."""
        last = [n for n in self.numbers if n < i][-1]
        part = self._items[last]
        kinds = {kind for at, (kind, _) in self.labelled if at == last - 1}
        if self._is_in_box(i):
            return ("bare:whole", "quantity:box_held")  # of the shares, or of those in the box
        is_own_part = bool(part.unit) and amount(part) == amount(self._items[i])  # 5 shares of 5
        if is_own_part or (self._context.is_of_rest and i == self.numbers[-1]):
            return ("bare:whole",)  # 8,000 of the 20,000 shares that remain
        if "." in part.text and not part.unit:
            return ("number:cap",)
        if part.unit or "quantity" in kinds or amount(part) > amount(self._items[i]):
            return ("quantity:owed",)
        if stem(self._text(i + 1)) in self._grammar["contribution"]:
            is_score = ("number", "score") in {label for at, label in self.labelled if at < i}
            return ("number:cap",) if is_score else ("number:base",)  # 25 of the 77 points
        return ("number:cap",) if kinds else ("number:cap", "quantity:owed")

    def is_in_box(self, i: int) -> bool:
        """Test for "8,000 shares are in the box"."""
        places = [at for at, label in self.labelled if at > i and label == ("quantity", "box")]
        before = [self._text(at) for at in range(i + 1, places[0])] if places else []
        while before and before[-1] in self._grammar["article"]:
            before.pop()
        return bool(before) and before[-1] == "in"

    def _is_in_box(self, i: int) -> bool:
        """Test for the second number of "8,000 of the 9,000 shares in the box"."""
        near = self._items[i + 2 : i + 2 + NEAR_BEHIND]
        return self._text(i + 1) == "in" and any("box" in each.means("quantity") for each in near)

    def is_from_elsewhere(self, i: int, labels: list[Label], others: list[Label]) -> bool:
        """Test for "borrow 3,000 from the box": the verb and the source are different steps."""
        near = [each.text.lower() for each in self._items[i + 1 : i + NEAR_BEHIND]]
        meant = [
            {SOURCES[name] for _, name in each if name in SOURCES} for each in (labels, others)
        ]
        return "from" in near and all(meant) and meant[0].isdisjoint(meant[1])

    def _labels_of(self, i: int, item: Item, role: str) -> tuple[str, ...]:
        is_followed_by_of = i + 1 < len(self._items) and self._items[i + 1].text.lower() == "of"
        names_fail = item.means("category") or item.means("direction")
        if role == "quantity" and is_followed_by_of and names_fail:
            return ("owed",)  # a DVP fail of 5,000
        return item.means(role)

    def milestone_of(self, i: int) -> str | None:
        """Return the step after which the number at `i` counts: the one behind it, or before."""
        end = next((n for n in self.numbers if n > i), len(self._items))
        behind = [name for at, name in self._milestones if i < at < end]
        before = [name for at, name in self._milestones if at < i]
        return next(iter((*behind[:1], *before[-1:])), self._earlier)

    def _find_milestones(self) -> list[tuple[int, str]]:
        """List the steps after which something counts, with their places."""
        found: list[tuple[int, str]] = []
        for i, item in enumerate(self._items):
            for name in item.means("milestone"):
                at = i + 1 + (self._text(i + 1) in ("with", "of", "from"))
                following = self._items[at] if at < len(self._items) else None
                if name != "step":
                    own = following.value if following and following.kind == "party" else ""
                    found.append((i, f"{name}:{own}" if own else name))
                elif following is not None and following.kind == "number":
                    found.append((i, f"step {following.value}"))
        return found

    def _is_used(self, i: int, labels: list[Label]) -> bool:
        """Test for a label that the number before has: "score 77 gives 83.2"."""
        last = max((n for n in self.numbers if n < i), default=-1)
        at = max(at for at, label in self.labelled if at < i and label in labels)
        return at == self._used_behind or (at < last and not self.is_whole(i))

    def _place(self, i: int, labels: list[Label]) -> int:
        """Return the place of the first of these labels behind the number at `i`."""
        return next(at for at, label in self.labelled if at > i and label in labels)

    def has_source_before(self) -> bool:
        """Test for a segment before that names a source and has no number."""
        earlier = {name for kind, name in self._context.labels if kind == "quantity"}
        return not self._context.has_number and not earlier.isdisjoint(STEPS)

    def _text(self, i: int) -> str:
        return self._items[i].text.lower() if i < len(self._items) else ""

    def _ends_with_source(self) -> bool:
        last = len(self._items) - 1
        return any(at == last and label[1] in SOURCES for at, label in self.labelled)

    def _source_behind(self, i: int) -> list[Label]:
        """Return the label of the source in "the remaining 2,000 shares come from the box"."""
        for at in range(i + 1, len(self._items)):
            is_from = self._items[at].text.lower().endswith("from")
            labels = [label for where, label in self.labelled if at < where <= at + 2]
            if is_from:
                return [label for label in labels if label[1] in SOURCES]
        return []

    def _is_of_whole(self, at: int, label: Label) -> bool:
        """Test for the label of "12,000 of the 32,000 owed", which is that of the whole."""
        return label == ("quantity", "owed") and self.is_whole(at - 1)

    def _is_denied(self, i: int) -> bool:
        return any("no" in each.means("negation") for each in self._items[i + 1 :])

    def _before(self, i: int, item: Item) -> list[Label]:
        """List the labels of the last labelled item before a number, of those that fit."""
        fitting = [
            (at, label)
            for at, label in self.labelled
            if at < i and _fits(label, item, self._items[at].text)
        ]
        last = [label for at, label in fitting if at == fitting[-1][0]]
        if last and all(kind == "quantity" and name in _OBJECTS for kind, name in last):
            is_from = any(self._text(at) == "from" for at in range(fitting[-1][0], i))
            return last if is_from else self._verb_of_object(fitting) or last
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
        following = (n for n in self.numbers if n > i and not self.is_whole(n))
        end = next(following, len(self._items))
        reach = _BEHIND_PERCENT if item.unit == "percent" else NEAR_BEHIND
        fitting = [
            (at, label)
            for at, label in self.labelled
            if i < at < end
            and _fits(label, item, self._items[at].text)
            and (label[0] != "number" or at <= i + reach)
            and (label != _OVERDUE or at == i + 1)  # 7 days is past T+6, but 1 day past T+6
            and (label != _AGE or self._items[at].text.lower() != "after")  # 1 day after T+6
            and (at == i + 1 or not self._is_of_whole(at, label))
        ]
        return [label for at, label in fitting if at == fitting[0][0]]


def _names(labels: list[Label]) -> set[str]:
    return {name for kind, name in labels if kind == "quantity"}


def list_steps(items: list[Item]) -> list[str]:
    """List the steps that words name, such as `box`, in their order."""
    return [
        name
        for item in items
        for name in (
            *(STEPS[each] for each in item.means("quantity") if each in STEPS),
            *(["partial"] if "PARTIAL_DELIVER" in item.means("action") else []),
        )
    ]


def _fits(label: Label, item: Item, text: str = "coverage") -> bool:
    role, value = label
    if role == "number" and not item.unit and value in _NOUNS:
        return value in text.lower()  # coverage 62.5, but not: covers 62.5
    if role == "number":
        if not item.unit and value in _UNITS and value != "value" and not item.text.isdigit():
            return "." in item.text
        return item.unit in _UNITS.get(value, ("",))
    return item.unit == "shares" or (not item.unit and "." not in item.text)


def role_of(label: Label, unit: str) -> str:
    """Return the role of a number with this label and unit."""
    role = ":".join(label)
    return f"{role}:days" if label == ("number", "age") and unit else role
