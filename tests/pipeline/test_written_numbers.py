"""The exact numbers of a triage as output lines write them."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.pipeline.output import Line, Provenance, Verification, encode
from finops_cli.pipeline.parse import parse_fail
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
