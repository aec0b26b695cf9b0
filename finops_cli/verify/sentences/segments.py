"""Read the claims of a segment: the words between two commas.

A negation turns the next claim of its segment round, or the one before it: "escalation is not
required".
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.claims import Claim, Context
from finops_cli.verify.sentences.labels import SOURCES, list_steps
from finops_cli.verify.sentences.number_claims import NumberClaims
from finops_cli.verify.sentences.tokens import Item

_SIMPLE = frozenset(("action", "category", "direction", "flag", "level", "statement"))
_CLAIMS = _SIMPLE | {"tier"}
_LABELS = frozenset(("quantity", "number", "party", "milestone"))
_NONE = ("no", "none", "nothing", "neither", "nor")
_NEAR = 4
"""Items that a negation, a level or a role may be away from its claim."""
_NEAR_DAY = 5
_SETTLING = ("party:chase", "party:from", "party:net")
_DEADLINES = ("has_deadline", "past_deadline", "before_deadline", "deadline_reached")


class Segment:
    """The claims of one segment."""

    def __init__(self, items: list[Item], context: Context, rules: SentenceRules) -> None:
        self._items = items
        self._context = context
        self._grammar = rules.grammar
        self._filling = rules.boundaries | rules.grammar["filling"]
        self._numbers = NumberClaims(items, context, rules)
        self.turns_nothing = False
        """A negation of the segment turns no claim round."""
        self._negated = self._find_negated()
        self.is_bare_negation = self._is_bare_negation()

    @property
    def has_bare_number(self) -> bool:
        return self._numbers.has_bare_number

    def read(self) -> Iterator[Claim]:
        """Yield each claim, in the order of the words."""
        context = self._context
        if self._begins_condition():
            context.hypothetical = True
        if self.is_bare_negation:
            last = context.claims.pop()
            yield last._replace(negated=not last.negated)
            return
        party_role: str | None = None
        for i, item in enumerate(self._items):
            roles = item.means("party")
            if roles and not (party_role and roles == ("from",)):
                party_role = roles[0]
                context.party_role, context.negated = party_role, i in self._negated
            yield from self._read_item(i, item, party_role)
        yield from self._compare_sources()
        self._numbers.labels.leave_to_next()

    def _read_item(self, i: int, item: Item, party_role: str | None) -> Iterator[Claim]:
        negated = i in self._negated
        if item.kind == "party" and item.text.isdigit() and not self._is_named(i):
            yield Claim(("bare:",), Decimal(item.text), item.text)
        elif item.kind == "party":
            yield self._party(i, item, party_role)
        elif item.kind == "aside":
            yield self._numbers.read_aside(i)
        elif item.kind == "number":
            claim = self._numbers.read(i, self._is_negated_verb)
            if claim is not None:
                yield claim
        elif item.kind == "cusip":
            is_new = any("option_b" in each.means("statement") for each in self._items)
            yield Claim(("cusip_new" if is_new else "cusip",), item.value, item.text)
        elif item.kind == "day":
            yield self._day(i, item)
        elif item.kind == "level":
            yield Claim(("level",), item.value, item.text, negated)
        elif self._is_imperative(i):
            negated = any("no" in each.means("negation") for each in self._items[:i])
            yield Claim(("action",), "DELIVER", item.text, negated)
        if "covered" in item.means("statement") and not negated:
            yield from self._whole_of_source(i, item)
        for role in item.meanings:
            if role in _SIMPLE and not self._is_passed_over(i, item, role):
                own = "own_direction" if role == "direction" and self._is_this_fail(i) else role
                yield from (Claim((own,), value, item.text, negated) for value in item.means(role))
        for value in item.means("tier"):
            yield from self._tier(i, item, value)

    def _whole_of_source(self, i: int, item: Item) -> Iterator[Claim]:
        """Yield what "the chases cover the fail in full" claims of the source."""
        self._context.is_vague |= any(each.kind == "party" for each in self._items)
        sources = list(dict.fromkeys(list_steps(self._items[:i])))
        for source in sources:
            yield Claim((f"number:part@{source}",), Decimal(100), item.text)

    def _is_named(self, i: int) -> bool:
        """Test for "counterparty 0005". Alone, 0005 may be a number."""
        return i > 0 and bool(self._items[i - 1].means("party"))

    def _compare_sources(self) -> Iterator[Claim]:
        """Yield what "more is borrowed than recalled" and "only the box" claim of sources."""
        if any(item.kind == "number" for item in self._items) or self._context.hypothetical:
            return
        stems = [stem(item.text) for item in self._items]
        if "than" in stems:
            at = stems.index("than")
            before, after = self._sources(0, at), self._sources(at + 1, len(stems))
            words = set(stems[:at])
            if len(before) == len(after) == 1:
                pair = (*before, *after) if words & self._grammar["larger"] else (*after, *before)
                if words & (self._grammar["larger"] | self._grammar["smaller"]):
                    text = f"{pair[0]} larger than {pair[1]}"
                    yield Claim((f"larger:{pair[0]}:{pair[1]}",), "yes", text)
            return
        for i, word in enumerate(stems):
            if word in self._grammar["alone"]:
                at = i + 1
                while at < len(stems) and stems[at] in self._grammar["article"]:
                    at += 1
                for source in self._sources(at, at + 1):
                    yield Claim(("sole",), source, f"only {source}")

    def _sources(self, start: int, end: int) -> list[str]:
        """List the sources of shares that the items from `start` to `end` name."""
        named = (each for item in self._items[start:end] for each in item.means("quantity"))
        return list(dict.fromkeys(SOURCES[each] for each in named if each in SOURCES))

    def _begins_condition(self) -> bool:
        """Test for "if the recall fails" and "should the recall fail"."""
        return stem(self._items[0].text) in self._grammar["inverted"] or any(
            "condition" in item.means("negation") for item in self._items
        )

    def _is_imperative(self, i: int) -> bool:
        """Test for "deliver ..." as an order: only filling words stand before it."""
        if self._items[i].text.lower() != "deliver" or self._context.hypothetical:
            return False
        return all(
            not each.means("quantity")
            and (stem(each.text) in self._filling or bool(each.means("negation")))
            for each in self._items[:i]
        )

    def _is_bare_negation(self) -> bool:
        """Test for the answer of a form: "Threshold security: no"."""
        return (
            bool(self._context.claims)
            and len(self._items) == 1
            and bool({"no", "behind"}.intersection(self._items[0].means("negation")))
        )

    def _find_negated(self) -> set[int]:
        """List the items that a negation before or behind them turns round."""
        negated: set[int] = set()
        is_pending, at, last = False, 0, None
        for i, item in enumerate(self._items):
            if "no" in item.means("negation"):
                if self._is_before_limit(i):
                    continue
                if last is not None and self._is_predicate(last, i):
                    negated ^= {last}
                else:
                    is_pending, at = not is_pending, i
            elif "behind" in item.means("negation"):
                if last is not None and i - last <= _NEAR:
                    negated ^= {last}
                elif item.means("statement"):
                    pass  # "not yet due" alone is a statement
                elif item.text.lower().startswith("not "):  # does not need to be escalated
                    is_pending, at = not is_pending, i
                else:
                    self.turns_nothing = True
            elif item.kind == "level" or not _CLAIMS.isdisjoint(item.meanings):
                joins = self._items[i - 1].text.lower() in ("or", "nor", "/")
                if is_pending or (last in negated and joins):
                    negated.add(i)
                is_pending, last = self._leaves_nothing(i), i
        if is_pending:
            self.turns_nothing |= self._is_unattached(at)
        return negated

    def _is_unattached(self, i: int) -> bool:
        """Test for a negation that turns no claim round: "none of 12,000 shares"."""
        if self._items[i].meanings.keys() & _LABELS:
            return False  # missing 4,000 shares
        numbers = [n for n, item in enumerate(self._items) if item.kind == "number"]
        if numbers and i > numbers[-1]:  # "28,000 are covered, 4,000 cannot", but no label
            return any("quantity" in item.meanings for item in self._items[i + 1 :])
        if numbers:
            return i + 1 not in numbers or self._items[i].text.lower() in _NONE
        return not any(item.meanings.keys() & _LABELS for item in self._items[i + 1 :])

    def _is_before_limit(self, i: int) -> bool:
        """Test for "not below": the negation turns the limit round."""
        following = self._items[i + 1].text if i + 1 < len(self._items) else ""
        return stem(following) in self._grammar["above"] | self._grammar["below"]

    def _is_predicate(self, claim: int, negation: int) -> bool:
        """Test for "escalation is not ...": only auxiliaries are between claim and negation."""
        between = self._items[claim + 1 : negation]
        return 0 < len(between) < _NEAR and all(
            stem(word) in self._grammar["auxiliary"]
            for each in between
            for word in each.text.split()
        )

    def _leaves_nothing(self, i: int) -> bool:
        """Test for "nothing is left to escalate": the phrase is a claim and a negation."""
        following = self._items[i + 1].text.lower() if i + 1 < len(self._items) else ""
        return following == "to" and self._items[i].text.lower().startswith(("no ", "nothing "))

    def _is_negated_verb(self, i: int) -> bool:
        return i in self._negated and bool(self._items[i].means("action"))

    def _is_passed_over(self, i: int, item: Item, role: str) -> bool:
        """Test for words that claim nothing where they stand."""
        if self._context.hypothetical:
            self._context.is_vague |= role in ("category", "flag")
            return role != "level"
        if (
            role == "statement"
            and "behind" in item.means("negation")
            and self._negated & {*range(i)}
        ):
            return True  # "the buy-in is not yet due" says nothing about the deadline
        if role == "statement":  # "residual 4,000" is a quantity, "residual" alone a statement
            return bool(item.means("quantity")) and self._numbers.labels.counts_shares()
        if role in ("category", "direction"):
            return self._is_of_another(i)
        is_escalation = role == "action" and item.means(role) == ("ESCALATE",)
        return is_escalation and i not in self._negated and self._names_level(i)

    def _is_of_another(self, i: int) -> bool:
        """Test for "a related DVP fail" and "3 fails to receive": the fail is another one."""
        before = self._items[max(0, i - _NEAR + 1) : i]
        is_counted = bool(before) and before[-1].kind == "number"
        return is_counted or any(stem(each.text) in self._grammar["another"] for each in before)

    def _is_this_fail(self, i: int) -> bool:
        """Test for "this is a fail to receive": the fail itself, not one of its receives."""
        before = [stem(each.text) for each in self._items[max(0, i - 2) : i]]
        return len(before) > 1 and before[0] in self._grammar["copula"] and before[1] in ("a", "an")

    def _names_level(self, i: int) -> bool:
        """Test for "escalate to L2": the level alone is the claim."""
        following = self._items[i + 1 : i + _NEAR]
        return any(each.kind == "level" or each.means("level") for each in following)

    def _tier(self, i: int, item: Item, value: str) -> Iterator[Claim]:
        """Yield a tier, unless the word describes a number, such as low coverage."""
        is_plain = " " not in item.text and not item.text.isupper()
        if is_plain and (self._describes_next(i) or self._is_described(i)):
            return
        if self._context.hypothetical:  # "HIGH would be an exaggeration"
            self._context.is_vague = True
            return
        before = self._items[i - 1].text.lower() if i else ""
        role = "tier_before" if before.endswith("from") else "tier"
        negated = i in self._negated
        near = self._items[max(0, i - 2) : i]
        stems = {stem(each.text) for each in near}
        for limit in ("above", "below"):
            if stems & self._grammar[limit]:
                role = f"tier_{limit}"
                negated ^= i >= 3 and "no" in self._items[i - 3].means("negation")
                negated ^= any("no" in each.means("negation") for each in near)
        yield Claim((role,), value, item.text, negated)

    def _describes_next(self, i: int) -> bool:
        for item in self._items[i + 1 : i + _NEAR - 1]:
            if set(item.means("quantity")) - {"owed"} or set(item.means("number")) - {"score"}:
                return item.text.lower() not in ("aged", "old", "late", "outstanding", "after")
            if stem(item.text) not in self._grammar["attribute"] and item.kind != "word":
                return False
        return False

    def _is_described(self, i: int) -> bool:
        at = i - 1
        while at >= 0 and stem(self._items[at].text) in self._grammar["copula"]:
            at -= 1
        if not 0 <= at < i - 1:
            return False
        return bool(set(self._items[at].means("number")) - {"score"})

    def _party(self, i: int, item: Item, role: str | None) -> Claim:
        context = self._context
        if role is None:
            role = self._role_behind(i) or self._role_of_segment(i)
        if role is None and not self._numbers.labels:
            role = context.party_role
        context.party = str(item.value)
        negated = role is not None and context.negated
        if role in ("gridlock", "among"):
            negated = any("no" in each.means("negation") for each in self._items)
            self._context.is_vague |= any(
                stem(each.text) in self._grammar["alone"] or "except" in each.means("quantity")
                for each in self._items
            )
        return Claim((f"party:{role or 'any'}",), item.value, item.text, negated)

    def _role_of_segment(self, i: int) -> str | None:
        """Return the role that the words of a segment give a participant, wherever they stand."""
        before = self._items[i - 1].text.lower() if i else ""
        for item in self._items:
            names = item.means("quantity")
            if "gridlock" in item.means("statement"):
                return "gridlock"
            if "notice" in item.means("party"):
                return "notice"
            delivers = "deliver" in names or "DELIVER" in item.means("action")
            if delivers and before == "to":
                return "deliver"
            if {"recall", "recallable"} & set(names):
                return "recall"
            if {"borrow", "borrowable"} & set(names):
                return "borrow"
        escalates = any("ESCALATE" in item.means("action") for item in self._items[:i])
        return "escalate" if escalates else None

    def _role_behind(self, i: int) -> str | None:
        """Return the role of "DTC-0161 is chased" and "DTC-0161 is the bottleneck"."""
        for at in range(i + 1, min(i + _NEAR, len(self._items))):
            item = self._items[at]
            if item.means("party"):
                return item.means("party")[0] if at > i + 1 else None
            if stem(item.text) not in self._grammar["auxiliary"] | self._grammar["article"]:
                return None
        return None

    def _day(self, i: int, item: Item) -> Claim:
        near = self._items[max(0, i - _NEAR_DAY) : i + _NEAR]
        words = {stem(word) for each in near for word in each.text.split()}
        told = [each for each in self._context.claims if not each.negated]
        parties = {str(each.value) for each in self._items if each.kind == "party"}
        parties = parties or {str(each.value) for each in told if each.roles[0] in _SETTLING}
        if {"box", "depot", "recall", "borrow"} & set(list_steps(self._items)):
            return Claim(("day:unknown",), item.value, item.text)
        settles = bool(words & self._grammar["settlement"])
        is_due = bool(words & self._grammar["deadline"])
        if is_due and not (parties and words & self._grammar["due"]):
            role = "day:deadline"
        elif len(parties) == 1 and not words & self._grammar["deadline"] - self._grammar["due"]:
            return Claim(("day:of_party",), f"{parties.pop()} {item.value}", item.text)
        elif settles:
            role = "day:settlement"
        elif len(self._items) == 1 and any(
            each.roles == ("statement",) and each.value in _DEADLINES for each in told
        ):
            role = "day:deadline"
        else:
            role = "day:any"
        is_only_due = words & self._grammar["deadline"] <= self._grammar["due"]
        doubtful = ("day:settlement",) if role == "day:deadline" and is_only_due else ()
        return Claim((role,), item.value, item.text, i - 1 in self._negated, doubtful=doubtful)
