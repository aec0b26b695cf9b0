"""Read the claims of the numbers of a segment: role and value, and if a number is denied."""

from __future__ import annotations

from collections.abc import Callable

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.bare_numbers import BareNumbers
from finops_cli.verify.sentences.claims import TOLD, Claim, Comparison, Context, Label, Value
from finops_cli.verify.sentences.labels import (
    NEAR_BEHIND,
    SOURCES,
    STEPS,
    WATERFALL,
    Labels,
    list_steps,
    role_of,
)
from finops_cli.verify.sentences.score_parts import FACTORS, PARTS, ScoreParts
from finops_cli.verify.sentences.tokens import Item, amount

_TODAY = ("quantity:deliver@today",)
_PAIRED = ("chase", "net", "owed", "owed_to_us", "we_owe")
"""Quantities that belong to the participant of their segment."""
_RECEIVED = ("chase", "net", "receipts", "owed_to_us")
"""Quantities that several participants have."""
_AFTER = {
    "number:coverage": "number:coverage",
    "number:uncovered": "number:uncovered",
    **dict.fromkeys(("quantity:left", "quantity:residual"), "quantity:left"),
    **dict.fromkeys(("quantity:covered", "quantity:total"), "quantity:covered"),
}
"""The numbers that a step changes, by their roles."""
_NO_AGE = frozenset(("box", "depot", "recall", "borrow"))
_OF_NOBODY = frozenset(
    ("escalate", "residual", "left", "except", "box", "apply", "depot", "recall", "borrow")
)
"""Quantities that no participant has."""
_CHASED = ("party:chase", "party:net", "pair:chase", "pair:net")
_LIMITS: dict[Comparison, Comparison] = {
    "below": "at least",
    "above": "at most",
    "at least": "below",
    "at most": "above",
}
"""The kinds of a limit, each with its opposite."""
_DENIALS = frozenset(("not", "never", "rather than", "instead of"))
_BEFORE_LIMIT = 3


class NumberClaims:
    """The claims of the numbers of one segment."""

    def __init__(self, items: list[Item], context: Context, rules: SentenceRules) -> None:
        self.has_bare_number = False
        self.labels = Labels(items, context, rules)
        self._items = items
        self._context = context
        self._grammar = rules.grammar
        self._bare = BareNumbers(items, context, self.labels, rules)
        self._parts = ScoreParts(items, context, self.labels, rules)

    def read(self, i: int, is_negated: Callable[[int], bool]) -> Claim | None:
        """Read the claim of the number at `i`; None if it has neither label nor unit.

        `is_negated` says of an item if it is the verb of a negation.
        """
        item = self._items[i]
        value = amount(item)
        if i and "step" in self._items[i - 1].means("milestone"):
            return None
        before = stem(self._items[i - 1].text) if i else ""
        if before in self._grammar["scaling"] and item.unit:
            self._context.is_vague = True  # "ten times 7 days"
        self._parts.note(i)
        part = self._parts.part_of_base(i)
        if part is not None:
            return Claim((f"{part}:points",), value, item.text)
        denied, comparison = self._is_not_the_number(i), self._comparison(i)
        claim = self._read_count(i) or self._read_sum(i) or self._read_sender(i)
        if claim is not None:
            return claim._replace(negated=denied, comparison=comparison)
        labels, others = self.labels.labels_for(i, item)
        self._context.is_vague |= self.labels.is_from_elsewhere(i, labels, others)
        if not labels:
            self.has_bare_number = True
            return self._bare.read(i, comparison)._replace(negated=denied)
        denied ^= labels[0][0] == "quantity" and any(
            is_negated(at) for at, _ in self.labels.labelled if at < i
        )
        claim = self._read_labelled(i, labels, others)
        self._context.is_factor = claim.roles == FACTORS
        return claim._replace(negated=denied, comparison=comparison)

    def read_aside(self, i: int) -> Claim:
        """Read the percentage in brackets at `i`, behind its number."""
        return self._bare.read(i, "")

    def _read_count(self, i: int) -> Claim | None:
        """Read the number of "2 counterparties"."""
        counted, value = self._count_role(i), amount(self._items[i])
        if counted == "among":
            value += sum(each.roles == ("party:among",) for each in self._context.claims)
        return None if counted is None else Claim((f"count:{counted}",), value, self._items[i].text)

    def _read_sum(self, i: int) -> Claim | None:
        """Read the number of "the chase and the box cover 20,000 shares"."""
        item = self._items[i]
        if not self._context.listed or any(n < i for n in self.labels.numbers):
            return None
        listed = sorted({*self._context.listed, *list_steps(self._items[:i])})
        at, label = max(
            ((at, label) for at, label in self.labels.labelled if at < i), default=(i, ("", ""))
        )
        is_total = label[1] in ("covered", "coverage", "total")
        is_source = label[1] in STEPS and at < i - 1
        if len(listed) < 2 or not (is_total or is_source) or self.labels.milestone_of(i):
            return None
        kind = "number" if item.unit == "percent" else "quantity"
        return Claim((f"{kind}:sum@{'+'.join(listed)}",), amount(item), item.text)

    def _read_sender(self, i: int) -> Claim | None:
        """Read the number of "8,000 from the box, 12,000 from DTC-0161"."""
        item = self._items[i]
        delivers = all(label == ("quantity", "deliver") for _, label in self.labels.labelled)
        if self.labels.begins_with_whole(i):
            return None
        if not delivers or item.unit not in ("", "shares") or not self._comes_from(i):
            return None
        sender = self.labels.party_of(i)
        if sender is None:
            return None
        self.labels.release()
        return Claim(
            ("pair:chase", "pair:net", "pair:owed_to_us"), (sender, amount(item)), item.text
        )

    def _read_labelled(self, i: int, labels: list[Label], others: list[Label]) -> Claim:
        """Read a number with these labels, or with the others instead."""
        item = self._items[i]
        value = amount(item)
        names = {name for kind, name in labels if kind == "quantity"}
        of_others = names & {"recall", "borrow"} and any(
            each.text.lower() == "counterparty" for each in self._items[i:]
        )
        if of_others or (names and names <= _OF_NOBODY and self._names_party()):
            self._context.is_vague = True  # escalate 4,000 shares to DTC-0161
        if i and names and names <= SOURCES.keys() and self._items[i - 1].text.lower() == "to":
            self._context.is_vague = True  # the recall reduces that to 4,000
        roles = self._roles(i, item, labels)
        if roles == FACTORS:
            self._context.factors.append(value)
        if roles[0].startswith("pair:") and self._lists_parties():
            roles = ("bare:parties",)
        if roles[0].startswith("pair:"):
            owner = self.labels.party_of(i) or self._party_of_age(i)
            return Claim(roles, (str(owner), value), item.text)
        doubtful = [role for each in labels if (role := role_of(each, item.unit)) in FACTORS]
        if roles[0].startswith("quantity:left") and roles[1:] == ("quantity:owed",):
            roles, doubtful = roles[:1], [*doubtful, *roles[1:]]  # 4,000 short: left, not owed
        for other in others:
            doubtful += self._at_step(i, role_of(other, item.unit))
        return Claim(roles, value, item.text, doubtful=tuple(doubtful))

    def _comes_from(self, i: int) -> bool:
        """Test for "from" with no other number between it and the number at `i`."""
        for at, each in enumerate(self._items):
            if each.means("party") == ("from",):
                start, end = sorted((at, i))
                is_near = not any(start < n < end for n in self.labels.numbers)
                if is_near and (i < at or not any(at < n < i for n, _ in self.labels.labelled)):
                    return True
        return False

    def _roles(self, i: int, item: Item, labels: list[Label]) -> tuple[str, ...]:
        """List the roles of a number with these labels; pair:... if it has a participant too."""
        kind, first = labels[0]
        plain = self._roles_of_shares(i, item, labels) if kind == "quantity" else None
        if plain is not None:
            return plain
        if self.labels.begins_with_whole(i):
            return ("quantity:owed",)
        if first == "age" and item.unit == "days" and self._party_of_age(i) is not None:
            return ("pair:age",)
        if first == "cp_rate" and not self._names_counterparty():
            return ("number:cp_rate", "number:adv_rate")
        roles = [self._parts.contribution(i, role_of(each, item.unit)) for each in labels]
        roles = [each for role in roles for each in self._at_step(i, role)]
        roles = self._of_source(i, roles)
        is_about_stock = any(each.roles[0] == "number:coverage" for each in self._context.claims)
        if first == "age" and (self._has_count(i) or _NO_AGE & set(list_steps(self._items[:i]))):
            return ("bare:days",)
        if first == "age" and self._is_of_receive():
            roles = [role.replace("number:age", "number:receive_age") for role in roles]
        if tuple(roles) == FACTORS and is_about_stock:
            roles = roles[:1]  # inventory covers 25%, so the modifier is 0.9
        if not item.unit and not self._comparison(i):  # "age 18": the part of the score
            roles += [f"{role}_part" for role in roles if f"{role}_part" in PARTS]
        return self.labels.roles_of_whole(i) if self.labels.is_whole(i) else tuple(roles)

    def _roles_of_shares(self, i: int, item: Item, labels: list[Label]) -> tuple[str, ...] | None:
        """List the roles that a quantity has by its place; None where its labels are its roles."""
        first, party = labels[0][1], self.labels.party_of(i)
        if first == "box" and self._gives():
            return ("quantity:apply",)
        if first == "box" and self.labels.is_in_box(i) and not self.labels.is_whole(i):
            return ("quantity:box_held",)
        if labels == [("quantity", "receipts")] and not item.unit:
            near = self._items[i + 1 : i + NEAR_BEHIND]
            if not any("receipts" in each.means("quantity") for each in near):
                return ("quantity:receipts",)  # the receives of DTC-0161: 12,000
            words = {stem(word) for each in near for word in each.text.split()}
            if words & self._grammar["further"]:
                return ("count:some_receipts",)
            counted = "count:receipts" if party is None else "count:some_receipts"
            return (counted, "quantity:receipts")
        if self.labels.is_whole(i) or self.labels.begins_with_whole(i):
            return None
        if party is None:
            is_of_all = first in _RECEIVED and not self._names_party_so_far()
            return (f"quantity:{first}:all",) if is_of_all else None
        if first in _PAIRED:
            return (f"pair:{first}",)
        if first == "receipts" or (first == "deliver" and self._party_delivers()):
            return ("pair:any",)
        return None

    def _names_party_so_far(self) -> bool:
        """Test for a participant or "8 more receives", whose shares a number may be."""
        roles = (each.roles[0] for each in self._context.claims)
        named = any(role.startswith(("party:", "pair:", "count:some")) for role in roles)
        return named or any(each.kind == "party" for each in self._items)

    def _names_counterparty(self) -> bool:
        """Test for "the counterparty has a fail rate of 4%": it is not that of the security."""
        roles = (each.roles[0] for each in self._context.claims)
        words = {stem(word) for each in self._items for word in each.text.split()}
        is_told = any(role.startswith("party:") for role in roles) or words & {"counterparty", "cp"}
        return bool(is_told) or any(each.kind == "party" for each in self._items)

    def _has_count(self, i: int) -> bool:
        """Test for "the 3 receives are 7 days old", of which some may be younger."""
        return any(n < i and not self._items[n].unit for n in self.labels.numbers)

    def _is_of_receive(self) -> bool:
        """Test for "the receive is 3 days old": the age is not that of the fail."""
        return any("receipts" in item.means("quantity") for item in self._items)

    def _lists_parties(self) -> bool:
        """Test for "DTC-0789 and DTC-0015 owe us 9,000 and 4,000 shares"."""
        here: set[Value] = {item.value for item in self._items if item.kind == "party"}
        told = self._context.claims
        last = max((n for n, each in enumerate(told) if isinstance(each.value, tuple)), default=-1)
        parties = {
            str(each.value) for each in told[last + 1 :] if each.roles[0].startswith("party:")
        }
        return len(parties - here) > (0 if here else 1)

    def _names_party(self) -> bool:
        """Test for a participant that is not part of "after chasing DTC-0161"."""
        for i, item in enumerate(self._items):
            if item.kind == "party":
                return not any(each.means("milestone") for each in self._items[:i])
        return False

    def _party_of_age(self, i: int) -> str | None:
        """Return the participant of "DTC-0161 owes us 12,000 shares (3 days old)"."""
        told = {
            str(each.value) for each in self._context.claims if each.roles[0].startswith("party:")
        }
        return self.labels.party_of(i) or (told.pop() if len(told) == 1 else None)

    def _gives(self) -> bool:
        delivers = ("quantity", "deliver") in {label for _, label in self.labels.labelled}
        return delivers or any(
            stem(each.text) in self._grammar["contribution"] for each in self._items
        )

    def _party_delivers(self) -> bool:
        """Test for "DTC-0161 should deliver": the participant is the subject of the verb."""
        first = next((i for i, each in enumerate(self._items) if each.kind == "party"), None)
        verb = next((at for at, (_, name) in self.labels.labelled if name == "deliver"), None)
        return (
            first is not None
            and verb is not None
            and first < verb
            and all(
                stem(each.text) in self._grammar["auxiliary"]
                for each in self._items[first + 1 : verb]
            )
        )

    def _at_step(self, i: int, role: str) -> list[str]:
        """List the roles of the number at `i` by the step after which it counts: the one that is
        named, or else the last step that the text has told, or the whole plan.
        """
        if role == "quantity:deliver" and self._is_for_today():
            return [*_TODAY]
        if role not in _AFTER:
            return [role]
        if self._context.step_list:
            return [f"{_AFTER[role]}{TOLD}{self._context.step_list}"]
        milestone = self.labels.milestone_of(i)
        if milestone is not None:
            return [f"{_AFTER[role]}@{milestone}"]
        if any(each.roles == _TODAY for each in self._context.claims):
            return [f"{_AFTER[role]}@partial"]  # 20,000 go out today, which leaves 12,000
        told = self._context.told
        here = [*told[self._context.told_before :], *list_steps(self._items[:i])]
        last = sorted(here or told, key=WATERFALL.index)[-1:]
        party = self._party_told()
        if here and last in (["chase"], ["net"]) and party is not None:
            return [f"{_AFTER[role]}@{last[0]}:{party}"]
        roles = [f"{_AFTER[role]}{TOLD}{step}" for step in last]
        is_of_list = bool(here) and role == "quantity:total"  # 9,000 and 4,000, 13,000 in total
        is_plain = role not in _AFTER.values() and not is_of_list
        return [role, *roles] if is_plain or not roles else roles

    def _party_told(self) -> str | None:
        """Return the participant of "chase DTC-0161, leaving 20,000"; None for none or several."""
        pairs = (each.value for each in self._context.claims if each.roles[0] in _CHASED)
        named = {pair[0] if isinstance(pair, tuple) else str(pair) for pair in pairs}
        return named.pop() if len(named) == 1 else None

    def _is_for_today(self) -> bool:
        words = (stem(word) for each in self._items for word in each.text.split())
        return any(word in self._grammar["today"] for word in words)

    def _of_source(self, i: int, roles: list[str]) -> list[str]:
        """Return the roles of "the box brings coverage to 62.5%", or covers 25%."""
        role = roles[0].partition(TOLD)[0]
        if role not in ("number:coverage", "quantity:covered") or self.labels.milestone_of(i):
            return roles
        sources = {
            STEPS[each]
            for item in self._items[:i]
            for each in item.means("quantity")
            if each in STEPS
        }
        if len(sources) != 1 or self.labels.has_source_before():
            return roles
        source = sources.pop()
        if role == "quantity:covered":
            return [f"quantity:sum@{source}"]
        after = f"number:coverage@{source}"
        return [after] if self._items[i - 1].text.lower() == "to" else [f"number:part@{source}"]

    def _count_role(self, i: int) -> str | None:
        """Return `parties` for "two counterparties": they are counted, not the shares."""
        if i + 1 == len(self._items) or self._items[i].unit or "." in self._items[i].text:
            return None
        if any("number:base" in each.roles for each in self._context.claims):
            return None  # age 18 + counterparty 6
        is_gridlocked = any("gridlock" in each.means("statement") for each in self._items)
        if is_gridlocked and "parties" in self._items[i + 1].means("quantity"):
            return "gridlocked"
        if self._context.party_role == "among" and self._is_further(i + 1):
            return "among"
        if self._items[i + 1].text.lower() == "chases":
            return "receipts"
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

    def _is_further(self, i: int) -> bool:
        return stem(self._items[i].text) in self._grammar["further"]

    def _adds(self, i: int) -> bool:
        """Test for "8 more receipts for 5,000 shares": the word limits no number."""
        follows_number = i > 0 and self._items[i - 1].kind == "number"
        return follows_number and self._is_further(i)

    def _is_not_the_number(self, i: int) -> bool:
        """Test for "chase not 12,000 shares". "Lacks 12,000 shares" states the number."""
        return i > 0 and self._items[i - 1].text.lower() in _DENIALS
