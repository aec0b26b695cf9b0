"""`symbol` and `counterparty_name`: no rule and no model reads them, and the guard masks them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from finops_cli.datasets.rows import row_of_fail
from finops_cli.datasets.triage_examples import fails
from finops_cli.guard.placeholders import PLACEHOLDER
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.prompts import triage_prompt
from finops_cli.pipeline.parse import parse_fail
from finops_cli.pipeline.redaction import WithholdText
from finops_cli.rules.triage import triage
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl

KB = load_kb(bundled_kb_dir())
NAMES = {"symbol": "MSFT", "counterparty_name": "Jane Doe jane.doe@bank.com"}


def test_unread_fields_change_neither_prompt_nor_answer() -> None:
    """The prompt, the triage and the training row of a record are the same with the fields."""
    fail = next(fails(3, 7, KB, "coverage"))
    named = replace(fail, **NAMES)
    assert triage_prompt(named) == triage_prompt(fail)
    assert triage(named, KB) == triage(fail, KB)
    assert row_of_fail(named, KB).prompt == row_of_fail(fail, KB).prompt


@pytest.mark.parametrize(
    ("field", "value", "is_accepted"),
    [
        ("symbol", "X" * 16, True),
        ("symbol", "X" * 17, False),
        ("symbol", "", False),
        ("counterparty_name", "x" * 140, True),
        ("counterparty_name", "x" * 141, False),
    ],
)
def test_unread_fields_have_a_greatest_length(field: str, value: str, is_accepted: bool) -> None:
    """A symbol has up to 16 characters, a name up to 140."""
    assert (parse_fail(a_fail(**{field: value})).value is not None) == is_accepted


def test_unread_fields_are_withheld_without_a_detector() -> None:
    """Without an installed guard the fields are withheld like other text."""
    fail = parse_fail(a_fail(**NAMES)).value
    assert fail is not None
    shown, masks = WithholdText().fail(fail)
    assert (shown.symbol, shown.counterparty_name) == (PLACEHOLDER, PLACEHOLDER)
    assert masks is not None


def test_unread_fields_are_masked_by_the_guard(finops: Finops) -> None:
    """Personal data in the fields does not reach the output line."""
    pytest.importorskip("presidio_analyzer")
    options = ("--backend", "engine", "--guard", "on")
    done = finops("run", "-", *options, stdin=jsonl(a_fail(**NAMES)))
    assert b"jane.doe" not in done.stdout
    assert b"EMAIL" in done.stdout
