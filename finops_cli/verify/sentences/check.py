"""Compare each sentence of an answer with what the correct answer bears out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from operator import ge, gt, le, lt
from typing import Literal

from finops_cli.domain import limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.money import plain
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.verify.comparison import equal_within
from finops_cli.verify.quoted_numbers import QuotedNumber, is_supported, strip_phrases
from finops_cli.verify.sentences.claims import TOLD, Claim, Clause, Comparison, Value
from finops_cli.verify.sentences.clauses import read_clauses
from finops_cli.verify.sentences.look_alikes import find_look_alike, fold_characters
from finops_cli.verify.sentences.number_words import write_digits
from finops_cli.verify.sentences.plan_truths import truths_of_plan, truths_of_step
from finops_cli.verify.sentences.step_numbers import find_wrong_number, has_step_list
from finops_cli.verify.sentences.told_order import find_order_doubt
from finops_cli.verify.sentences.triage_truths import truths_of_triage
from finops_cli.verify.sentences.truths import Truths

CONTRADICTED = "text.contradicted"
UNVERIFIABLE = "text.unverifiable"
NO_SENTENCE = "text.no_sentence"
SENTENCE_RULES = frozenset(
    (CONTRADICTED, UNVERIFIABLE, NO_SENTENCE, "triage.reason_figures", "plan.prose_figures")
)
"""Rules about the wording of an answer, which --prose may keep."""
Support = Literal["supported", "contradicted", "unknown", "passed over"]
_WORD = re.compile(r"[^\W\d_]+")
_AFTER_STEP = re.compile(r"(\bafter (?:the )?steps? )(\d{1,2}\b)", re.IGNORECASE)
"""A step as the time of a number, which must not be removed as a reference to it."""
_ORDERED_ACTIONS = (("action",),)
_ORDERED_PARTIES = (("party:chase",), ("party:net",))
_ENDED = re.compile(r"[.!?][)\"'\u201d\u2019]*\s*\Z")
_COMPARISONS: dict[Comparison, Callable[[Decimal, Decimal], bool]] = {
    "above": gt,
    "below": lt,
    "at least": ge,
    "at most": le,
}
_PRECISE = frozenset(
    (
        "number:age:days",
        "number:left",
        "number:overdue",
        "bare:days",
        "number:inventory_modifier",
        "number:concentration_modifier",
    )
)
"""Numbers that are not rounded: days, and factors that are near 1."""


def is_about_sentence(finding: Finding) -> bool:
    """Test if a finding is about the wording of an answer."""
    return finding.rule in SENTENCE_RULES


def check_triage_sentence(
    answer: Triage, reference: Triage, fail: FailRecord | None, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Check the reason of a triage against the `reference` for the record.

    Without the record, the reference is the answer itself.
    """
    if answer.reason == reference.reason and fail is not None:
        return
    expected = None if fail is None else reference.reason
    name = None if fail is None else fail.fail_id
    reader = _Reader(truths_of_triage(reference, fail, kb), kb, name)
    yield from reader.check("/reason", answer.reason, expected)


def check_plan_sentences(
    answer: Resolution, reference: Resolution, case: ResolverInput | None, kb: KnowledgeBase
) -> Iterator[Finding]:
    """Check each rationale, the narrative and the escalation reason of a plan.

    Without the case, the reference is the answer itself. A text for a step that the reference does
    not have is checked against the plan.
    """
    wanted = dict(_texts(reference)) if case is not None else {}
    unlike = [(path, text) for path, text in _texts(answer) if text != wanted.get(path)]
    if not unlike:
        return
    truths = truths_of_plan(reference, case, kb)
    name = None if case is None else case.fail_id
    steps = reference.resolution_steps
    for path, text in unlike:
        own = truths
        if path.startswith("/resolution_steps/"):
            number = int(path.split("/")[2])
            own = truths_of_step(truths, steps[number], case) if number < len(steps) else truths
        elif path == "/escalation_reason" and not text:
            continue
        yield from _Reader(own, kb, name).check(path, text, wanted.get(path))


def _texts(plan: Resolution) -> Iterator[tuple[str, str]]:
    for i, step in enumerate(plan.resolution_steps):
        yield f"/resolution_steps/{i}/rationale", step.rationale
    yield "/narrative", plan.narrative
    yield "/escalation_reason", plan.escalation_reason


class _Reader:
    """Judges texts by one set of truths."""

    def __init__(self, truths: Truths, kb: KnowledgeBase, name: str | None) -> None:
        self._truths = truths
        self._rules: SentenceRules = kb.sentences
        self._accepted = kb.phrases
        self._tolerance = kb.tolerance
        self._name = name

    def check(self, path: str, text: str, expected: str | None) -> Iterator[Finding]:
        """Yield at most one finding about `text`: the worst."""
        field = path[1:]
        fault = find_no_sentence(text, expected, self._rules)
        if fault is not None:
            yield _finding(NO_SENTENCE, path, expected, text, f"{field} {fault}")
            return
        digits = _AFTER_STEP.sub(r"\1#\2", write_digits(fold_characters(text)))
        stripped = strip_phrases(digits, self._accepted, self._name)
        clauses = read_clauses(stripped, self._rules)
        judged = [(claim, self._judge(claim)) for clause in clauses for claim in clause.claims]
        vague = {id(claim) for clause in clauses if clause.is_vague for claim in clause.claims}
        wrong = [
            claim
            for claim, support in judged
            if support == "contradicted" and not (id(claim) in vague and _is_of_number(claim))
        ]
        claims = [claim for claim, _ in judged]
        wrong += self._find_disorder(digits, claims)
        wrong += self._find_incomplete(stripped, claims)
        if wrong:
            message = f"{field} says {self._explain(wrong)}"
            yield _finding(CONTRADICTED, path, expected, text, message)
            return
        alike = find_look_alike(stripped)
        doubt = (
            find_wrong_number(digits, self._truths, self._rules)
            or find_order_doubt(digits, clauses, self._truths, self._rules)
            or self._find_doubt(clauses, [support for _, support in judged])
            if alike is None
            else f"has {alike}, which may be taken for another"
        )
        if doubt is not None:
            yield _finding(UNVERIFIABLE, path, expected, text, f"{field} {doubt}")

    def _judge(self, claim: Claim) -> Support:
        unknown: Support = "unknown" if self._truths.has_record else "passed over"
        if any(self._holds(role, claim.value, claim.comparison) for role in claim.roles):
            if claim.comparison in ("above", "below") and any(
                claim.value in self._truths.true.get(role, ()) for role in claim.roles
            ):
                return unknown  # "over 5,000" of 5,000 shares, where another number is larger
            if claim.comparison and not self._is_limit(claim):
                return unknown  # "aged at most 30 days": true, but of no rule
            return "contradicted" if claim.negated else "supported"
        if self._is_undecided(claim) or any(
            self._holds(role, claim.value) for role in claim.doubtful
        ):
            return unknown
        return "supported" if claim.negated else "contradicted"

    def _is_limit(self, claim: Claim) -> bool:
        """Test for a limit that the answer or a rule has."""
        return any(
            claim.value in self._truths.true.get(role, ()) or claim.value in self._edges(role)
            for role in claim.roles
        )

    def _edges(self, role: str) -> frozenset[Decimal]:
        """Return the edges of a role that a text may name: of a score those of its own tier."""
        edges = self._truths.limits.get(role, frozenset())
        scores = [each for each in self._truths.true.get(role, ()) if isinstance(each, Decimal)]
        if role != "number:score" or len(scores) != 1:
            return edges
        below = [edge for edge in edges if edge <= scores[0]]
        return frozenset((*sorted(below)[-1:], *sorted(edges.difference(below))[:1]))

    def _find_disorder(self, text: str, claims: list[Claim]) -> Iterator[Claim]:
        """Find two steps whose order a text turns round: "first the box, then the chase"."""
        stems = {stem(word) for word in _WORD.findall(text.lower())}
        grammar, truths = self._rules.grammar, self._truths
        is_told = not (
            stems.isdisjoint(grammar["opening"]) or stems.isdisjoint(grammar["following"])
        )
        if not is_told and not has_step_list(text):
            return
        for roles, order in (
            (_ORDERED_ACTIONS, truths.order),
            (_ORDERED_PARTIES, truths.party_order),
        ):
            told = [str(each.value) for each in claims if each.roles in roles and not each.negated]
            for first, second in pairwise(dict.fromkeys(each for each in told if each in order)):
                if max(_places(order, second)) < min(_places(order, first)):
                    said = f"{first} before {second}"
                    yield Claim(("order",), said, f"first {first}, then {second}")

    def _find_incomplete(self, text: str, claims: list[Claim]) -> Iterator[Claim]:
        """Find a gridlock "among" some of its parties only; "and 1 more" names the others."""
        if any(stem(word) in self._rules.grammar["further"] for word in _WORD.findall(text)):
            return
        among = [each for each in claims if each.roles == ("party:among",) and not each.negated]
        named = {each.value for each in among}
        if len(named) > 1 and named < self._truths.true.get("party:among", set()):
            text = " and ".join(sorted(str(each) for each in named))
            yield Claim(("party:among",), text, f"gridlock among {text} alone")

    def _is_undecided(self, claim: Claim) -> bool:
        """Test for a claim that the answer neither bears out nor refutes."""
        truths, first = self._truths, claim.roles[0]
        if first == "statement":
            return claim.value not in truths.false
        known = [role for role in claim.roles if self._is_known(role.replace(TOLD, "@"))]
        if not known or (len(known) < len(claim.roles) and not truths.has_record):
            return True
        told = [role.partition(TOLD)[0] for role in claim.roles if TOLD in role]
        return (
            first.startswith("bare:")
            or (":sum@" in first and self._is_after(first, claim.value))
            or any(claim.value in truths.true.get(role, ()) for role in told)
            or any(claim.value in truths.undecided.get(role, ()) for role in (*claim.roles, *told))
        )

    def _is_after(self, role: str, value: Value) -> bool:
        """Test for "the box covers 20,000", which may be what is covered after the box."""
        return value in self._truths.true.get(f"quantity:covered@{role.partition('@')[2]}", ())

    def _is_known(self, role: str) -> bool:
        return role in self._truths.true or (":sum@" in role and bool(self._truths.given))

    def _holds(self, role: str, value: Value, comparison: Comparison = "") -> bool:
        """Test for a true value; a number with fewer decimals may be rounded half-up."""
        true = self._truths.true.get(role.replace(TOLD, "@"), set())
        if ":sum@" in role and isinstance(value, Decimal):
            return self._is_sum(role, value)
        if role.startswith("part_of_owed") and isinstance(value, tuple):
            after = f"number:coverage@{role.partition('@')[2]}"
            return self._is_part(*value) or self._holds(after, value[1])
        if comparison:
            return any(_is_within(each, value, comparison) for each in true)
        if value in true:
            return bool(value) or role != "bare:shares"  # 0 shares of what?
        if not isinstance(value, Decimal) or not value or role.startswith(("quantity", "bare:sh")):
            return False
        if role in _PRECISE:
            return any(equal_within(each, value, self._tolerance) for each in true)
        numbers = frozenset(each for each in true if isinstance(each, Decimal | str))
        return is_supported(QuotedNumber("", value), numbers)

    def _is_sum(self, role: str, value: Decimal) -> bool:
        """Test for "the chase and the box cover 20,000 shares", or a percentage of the fail."""
        given = sum(self._truths.given.get(name, 0) for name in role.partition("@")[2].split("+"))
        if role.startswith("quantity:"):
            return value == given
        return self._is_part(str(given), value)

    def _is_part(self, shares: str, percent: Decimal) -> bool:
        """Test for "12,000 shares (37.5%)" of the shares that are owed; a percentage may be
        rounded.
        """
        owed = self._truths.true.get("quantity:owed", set())
        parts = frozenset(
            100 * Decimal(shares) / each for each in owed if isinstance(each, Decimal)
        )
        return is_supported(QuotedNumber("", percent), parts)

    def _find_doubt(self, clauses: list[Clause], support: list[Support]) -> str | None:
        """Say why a text cannot be judged; None if it can."""
        if any(clause.is_vague for clause in clauses):
            return "asks, or leaves open what it says"
        if "unknown" in support:
            return "says more than the answer can bear out or refute"
        if any(self._mixes_parts(clause.claims) for clause in clauses):
            return "gives some parts of the score as points and others as factors"
        most = self._rules.max_unknown_pct
        for clause in clauses:
            if clause.beside_numbers:
                named = ", ".join(dict.fromkeys(clause.beside_numbers[: limits.PROBLEMS]))
                return f"uses words without a known meaning beside a number: {named}"
            if clause.unknown and (
                not clause.claims or 100 * len(clause.unknown) > most * clause.words
            ):
                named = ", ".join(dict.fromkeys(clause.unknown[: limits.PROBLEMS]))
                return f"uses words without a known meaning: {named}"
        claims = "supported" in support or any(clause.has_bare_number for clause in clauses)
        if not claims and self._truths.has_record:
            return "says nothing about the answer"
        return None

    def _mixes_parts(self, claims: list[Claim]) -> bool:
        """Test for "value 25, age 60" of a score with 25 points of a value and 60 of an age."""
        parts = {}
        for claim in claims:
            named = [role for role in claim.roles if "_part" in role]
            if named:
                parts[named[0].removesuffix(":points").removesuffix(":factor")] = claim
        return len(parts) > 1 and not any(
            all(self._holds(f"{name}:{kind}", claim.value) for name, claim in parts.items())
            for kind in ("points", "factor")
        )

    def _explain(self, wrong: list[Claim]) -> str:
        told = [
            f"{'not ' if claim.negated else ''}{claim.text[: limits.SHOWN_CHARS]}"
            f" ({_name_role(claim.roles[0])}; the answer has {self._show(claim)})"
            for claim in wrong[: limits.PROBLEMS]
        ]
        return ", ".join(dict.fromkeys(told))

    def _show(self, claim: Claim) -> str:
        role = claim.roles[0]
        true = self._truths.true.get(role, set())
        if role in ("statement", "order"):
            return "the opposite"
        if role.startswith("pair:") and isinstance(claim.value, tuple):
            true = {
                pair[1] for pair in true if isinstance(pair, tuple) and pair[0] == claim.value[0]
            }
        shown = sorted(plain(each) if isinstance(each, Decimal) else str(each) for each in true)
        return ", ".join(shown[: limits.PROBLEMS]) or "none"


def _is_of_number(claim: Claim) -> bool:
    return isinstance(claim.value, Decimal | tuple)


def _is_within(true: Value, limit: Value, comparison: Comparison) -> bool:
    """Test a number against a limit.

    The number of a participant is tested only against a limit of the same participant.
    """
    if isinstance(true, tuple) and isinstance(limit, tuple):
        return true[0] == limit[0] and _COMPARISONS[comparison](true[1], limit[1])
    return (
        isinstance(true, Decimal)
        and isinstance(limit, Decimal)
        and _COMPARISONS[comparison](true, limit)
    )


def _places(order: tuple[str, ...], action: str) -> list[int]:
    return [place for place, each in enumerate(order) if each == action]


def _name_role(role: str) -> str:
    kind, _, label = role.replace("@", " after ").partition(":")
    if kind == "statement":
        return "statement"
    return f"{kind} {label.replace(':', ' ').replace('_', ' ')}".strip()


def find_no_sentence(text: str, expected: str | None, rules: SentenceRules) -> str | None:
    """Say why a text has no sentence; None if it has one.

    `expected` is the engine's text, whose beginning alone is not a sentence.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    bare = " ".join(text.lower().strip(" \t\r\n.,;:!?()[]{}<>\"'*_-").split())
    if bare in rules.placeholders or re.fullmatch(r"\s*[\[{<][^\[\]{}<>]*[\]}>]\s*\.?\s*", text):
        return "is a placeholder"
    if len(set(words)) < 2 and not (len(words) == 1 and any(sign.isdigit() for sign in text)):
        return "has no sentence"
    if text.count("(") > text.count(")") or text.count("[") > text.count("]"):
        return "is cut: a bracket stays open"
    if _ENDED.search(text):
        return None
    if expected is not None and expected != text and expected.startswith(text.rstrip()):
        left = expected[len(text.rstrip()) :]
        if left.strip(" ."):
            return "is cut: it is the beginning of a longer sentence"
    if text.rstrip().endswith((",", "-", ":", "\u2013", "\u2014", "/", "+", "$", "x ", "=")):
        return "is cut: it ends with a mark that needs more"
    last = text.rstrip()[-40:].lower()
    tail = tuple(stem(word) for word in _WORD.findall(last))
    if last[-1:].isalpha() and any(tail[-n:] in rules.unfinished for n in (1, 2)):
        return "is cut: it ends with a word that needs another"
    return None


def _finding(rule: str, path: str, expected: str | None, actual: str, message: str) -> Finding:
    return Finding(rule=rule, path=path, expected=expected, actual=actual, message=message)
