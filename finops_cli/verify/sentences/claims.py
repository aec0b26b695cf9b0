"""A claim: a value that a text names in a role, such as ("flag", HIGH_VALUE)."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from finops_cli.verify.sentences.tokens import Item

Value = Decimal | str | tuple[str, Decimal]
"""A number, a name or a word; or a participant with a number."""
Comparison = Literal["", "above", "below", "at least", "at most"]
TOLD = "~"
"""Between a role and the step that a text has told, where it does not name one for the number."""
Label = tuple[str, str]
"""The role and the meaning of a word that a number belongs to, such as ("quantity", "recall")."""


class Claim(NamedTuple):
    """A value in a role."""

    roles: tuple[str, ...]
    """It is true if one of these roles has the value."""
    value: Value
    text: str
    """The words, for a message."""
    negated: bool = False
    comparison: Comparison = ""
    """The value is a limit: "coverage below 25%"."""
    doubtful: tuple[str, ...] = ()
    """Roles that the value may have instead, where the grammar is not clear."""


class Clause(NamedTuple):
    """The claims between two full stops."""

    items: list[Item]
    claims: list[Claim]
    words: int
    unknown: list[str]
    """Words that no entry has."""
    beside_numbers: list[str]
    """Those of them that may change a number: 32,000 bonds, forty-odd shares."""
    is_vague: bool
    """It asks, or hedges what it says."""
    has_bare_number: bool
    """A number has no label."""


@dataclass(slots=True)
class Context:
    """The words that a segment takes over from the segments before it in its clause."""

    told: list[str] = field(default_factory=list)
    """The steps that the text has told so far, in its order."""
    told_before: int = 0
    """The number of them that clauses before this one tell."""
    labels: list[Label] = field(default_factory=list)
    """Labels that the next number may belong to."""
    party_role: str | None = None
    other_labels: list[Label] = field(default_factory=list)
    """Labels without a number before these: "recall and borrow: 5,000 and 3,000"."""
    party: str | None = None
    negated: bool = False
    """True where a negated verb gives the role of the participant."""
    hypothetical: bool = False
    is_vague: bool = False
    """A claim is hypothetical: "it would be critical"."""
    step_list: str | None = None
    """The last of the steps after which a clause counts, where it lists several."""
    listed: list[str] = field(default_factory=list)
    """The sources that the clause has named since its last number."""
    has_number: bool = False
    """The segment before has a number."""
    is_continued: bool = False
    """The next segment only names a source: "and the box"."""
    is_of_rest: bool = False
    """The next segment says that the last number is what is left: "that remain"."""
    has_parts: bool = False
    """The clause lists the parts of the base score."""
    factors: list[Decimal] = field(default_factory=list)
    """The factors without a label so far."""
    is_factor: bool = False
    """The last number was a factor: "times 0.9 and 1.2"."""
    milestone: str | None = None
    """The step that the numbers are counted after: `chase`, `step 2`."""
    claims: list[Claim] = field(default_factory=list)
