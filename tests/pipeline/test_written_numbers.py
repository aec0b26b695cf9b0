"""The exact numbers of a triage as output lines write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from finops_cli.domain import exact_json, limits
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.pipeline.output import Line, Provenance, Verification, encode
from finops_cli.pipeline.parse import parse_fail, parse_fail_line
from finops_cli.rules.triage import triage
from tests.support.records import a_fail


def line_with(factor: str, kb: KnowledgeBase) -> Line:
    """Return an output line whose triage states an age factor in these digits."""
    fail = parse_fail(a_fail()).value
    assert fail is not None
    answer = triage(fail, kb)
    components = replace(answer.score_components, age_factor=Decimal(factor))
    origin = Engine(kb).origin
    return Line(
        fail_id="F-1",
        status="ok",
        triage=replace(answer, score_components=components),
        verification=Verification(triage=[]),
        provenance=Provenance(origin.name, origin.models, kb.version, None, 1, None),
    )


def test_equal_numbers_are_written_in_their_own_digits(kb: KnowledgeBase) -> None:
    """A line writes 10.0 and 10.00 as they are, also after a line with an equal number."""
    for digits in ("10", "10.0", "10.00", "1E+1"):
        line = line_with(digits, kb)
        assert encode(line) == exact_json.encode(line) + b"\n"
        assert f'"age_factor":{digits},'.encode() in encode(line)


def test_scores_of_many_lines_keep_their_numbers(kb: KnowledgeBase) -> None:
    """The lines of ten thousand different scores are written as each says."""
    for number in range(10_000):
        line = line_with(f"{number}.5", kb)
        assert f'"age_factor":{number}.5,'.encode() in encode(line)


@pytest.mark.parametrize(
    ("field", "high"),
    [
        ("market_value", limits.USD),
        ("inventory_coverage_pct", limits.PERCENT),
        ("cp_fail_rate_pct", 100),
        ("security_fail_rate_pct_adv", limits.PERCENT),
    ],
)
def test_fraction_is_held_against_its_own_field(field: str, high: int) -> None:
    """A fraction is accepted from 0 to the highest number of its field, and rejected beyond."""
    rest = exact_json.encode({name: value for name, value in a_fail().items() if name != field})
    for digits, is_accepted in (
        ("0.0", True),
        (f"{high}.0", True),
        (f"{high}.01", False),
        ("-0.01", False),
    ):
        parsed = parse_fail_line(rest[:-1] + f',"{field}":{digits}}}'.encode())
        assert (parsed.value is not None) == is_accepted
        if parsed.value is not None:
            assert str(getattr(parsed.value, field)) == digits
