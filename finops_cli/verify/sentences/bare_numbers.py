"""Read a number without a label: a score, a factor, a percentage of the owed shares, or the shares
of a participant.
"""

from __future__ import annotations

from itertools import pairwise

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.claims import TOLD, Claim, Comparison, Context
from finops_cli.verify.sentences.labels import STEPS, Labels, list_steps
from finops_cli.verify.sentences.score_parts import FACTORS
from finops_cli.verify.sentences.tokens import Item, amount

_PARTS_OF_OWED = frozenset(
    (
        *("quantity:chase", "quantity:net", "quantity:apply", "quantity:box", "quantity:recall"),
        *("quantity:borrow", "quantity:receipts", "quantity:covered", "quantity:total"),
        *("quantity:sum", "quantity:left", "quantity:residual", "quantity:deliver"),
        *("quantity:escalate", "pair:chase", "pair:net"),
    )
)
"""Numbers of shares that a percentage may follow: "12,000 shares (37.5%)"."""
_WEIGHT = ("bare:factor",)
_PAIR_OF = {
    "party:chase": "pair:chase",
    "party:net": "pair:net",
    "party:from": "pair:any",
    "party:any": "pair:any",
}
"""The role of the shares directly behind a participant."""


class BareNumbers:
    """The numbers of one segment that have no label."""

    def __init__(
        self, items: list[Item], context: Context, labels: Labels, rules: SentenceRules
    ) -> None:
        self._items = items
        self._context = context
        self._labels = labels
        self._grammar = rules.grammar
        self._boundaries = rules.boundaries

    def read(self, i: int, comparison: Comparison) -> Claim:
        """Read the claim of the number at `i`; its role is unknown if no place makes it plain."""
        item = self._items[i]
        value = amount(item)
        sender = self._labels.party_of(i)
        if sender is not None and self._labels.begins_with_whole(i):
            self._context.is_vague = True  # of the 12,000 shares from DTC-0161, 8,000 ...
        if item.unit == "shares" and sender is not None:
            role = "bare:party" if self._is_of_subject(i) else "pair:any"
            return Claim((role,), (sender, value), item.text, comparison=comparison)
        claim = None if comparison else self._read_behind(i)
        if claim is not None:
            return claim
        return Claim(self._roles(i, comparison), value, item.text, comparison=comparison)

    def _read_behind(self, i: int) -> Claim | None:
        """Read a number by the claim before it: "12,000 shares (37.5%)", "DTC-0161 (12,000)"."""
        item, claims = self._items[i], self._context.claims
        if item.unit == "percent":
            return self._read_percent(i)
        if not claims or not self._begins(i):
            return None
        last = claims[-1]
        pair = _PAIR_OF.get(last.roles[0])
        is_last = i + 1 == len(self._items)
        if pair is not None and is_last and not item.unit and "." not in item.text:
            return Claim(
                (pair,) if pair != "pair:any" else ("bare:party", pair),
                (str(last.value), amount(item)),
                item.text,
            )
        if last.roles[0] in _PAIR_OF.values() and item.unit == "days":
            return Claim(("pair:age",), (str(last.value[0]), amount(item)), item.text)  # type: ignore[index]
        return None

    def _read_percent(self, i: int) -> Claim | None:
        """Read "12,000 shares (37.5%)", and "coverage to 37.5% and the box to 62.5%"."""
        item, claims = self._items[i], self._context.claims
        told = [each for each in claims[-2:] if _is_part(each)]
        if told:
            last = told[-1]
            shares = last.value[1] if isinstance(last.value, tuple) else last.value
            step = STEPS.get(last.roles[0].split(":")[1])
            role = "part_of_owed" if step is None else f"part_of_owed@{step}"
            return Claim((role,), (str(shares), amount(item)), item.text)
        sources = list_steps(self._items[:i])
        after_to = i > 0 and self._items[i - 1].text.lower() == "to"
        is_coverage = bool(claims) and claims[-1].roles[0].startswith("number:coverage@")
        if is_coverage and after_to and len(sources) == 1:
            return Claim((f"number:coverage@{sources[0]}",), amount(item), item.text)
        return None

    def _roles(self, i: int, comparison: Comparison) -> tuple[str, ...]:
        """List the roles that the place of a number gives it."""
        item = self._items[i]
        if self._labels.is_whole(i):
            return self._labels.roles_of_whole(i)
        if "." in item.text and not item.unit and self._labels.names_shares():
            return ("bare:fraction",)  # 83.2 are in the box
        roles: tuple[str, ...] = ("bare:limit" if comparison else f"bare:{item.unit}",)
        before = stem(self._items[i - 1].text) if i else ""
        is_factor = before in self._grammar["scaling"]
        factors = self._context.factors
        if not item.unit and (is_factor or (self._begins(i) and self._context.is_factor)):
            roles = self._roles_of_factor(i, is_factor)
        elif not item.unit and (comparison or (before in self._grammar["result"] and factors)):
            roles = ("number:score",)
        elif item.unit == "days" and ("quantity", "receipts") in self._context.labels:
            roles = ("number:receive_age:days",)
        elif item.unit == "days" and i > 1 and self._items[i - 2].means("flag") and before == "for":
            roles = ("bare:flag",)  # a threshold security for 7 days
        elif item.unit == "days" and not comparison and "recall" in list_steps(self._items):
            roles = ("number:notice",)
        self._context.is_factor = is_factor and roles != _WEIGHT
        return roles

    def _roles_of_factor(self, i: int, is_factor: bool) -> tuple[str, ...]:
        """List the roles of the numbers of "times 0.9 and 1.2"."""
        value = amount(self._items[i])
        has_weights = is_factor and any("_part" in each.roles[0] for each in self._context.claims)
        is_given = value in self._context.factors
        self._context.factors.append(value)
        if has_weights or is_given:
            return _WEIGHT  # a weight, or a factor that is given twice
        return (*FACTORS, *(() if is_factor or i else ("bare:",)))

    def _begins(self, i: int) -> bool:
        """Test for a number at the start of its segment, or behind its "and"."""
        return all(stem(each.text) in self._boundaries for each in self._items[:i])

    def _is_of_subject(self, i: int) -> bool:
        """Test for "DTC-0005 holds 12,000 shares" and "give DTC-0161 12,000 shares"."""
        if i and self._items[i - 1].kind == "party":
            return True
        return any(
            first.kind == "party" and stem(second.text) in self._grammar["possession"]
            for first, second in pairwise(self._items)
        )


def _is_part(claim: Claim) -> bool:
    """Test for a number of shares that is not the whole: of "28,000 of 32,000", the first."""
    role = claim.roles[0].replace(TOLD, "@").partition("@")[0].removesuffix(":all")
    return role in _PARTS_OF_OWED and "number:cap" not in claim.roles
