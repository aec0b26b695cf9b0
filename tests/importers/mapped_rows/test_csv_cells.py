"""Cells of a blotter: every field of a record can be mapped, and numbers are read in the forms that
desks use.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain.clock_facts import ClockFacts
from finops_cli.domain.fail import FailRecord, Inventory
from finops_cli.importers.mapped_rows.cells import CELLS, whole


def test_csv_cells_cover_every_mappable_record_field() -> None:
    """Each field of a record has a cell type, except the fields that a row cannot hold. A new field
    needs one or the other.
    """
    elsewhere = {"ftrs", "related_fails", "origin", "inventory", "corporate_action", "clock_facts"}
    lists = {"threshold_days", "fail_history", "lots", "events"}
    own = set(FailRecord.__struct_fields__) - elsewhere
    inner = {f"inventory.{field}" for field in Inventory.__struct_fields__}
    facts = {f"clock_facts.{field}" for field in {*ClockFacts.__struct_fields__} - lists}
    assert set(CELLS) == own | inner | facts | {
        "corporate_action.pre_event_deliverable",
        "corporate_action.new_cusip",
        "origin.symbol",
    }


@given(st.integers(-(10**12), 10**12))
def test_csv_whole_number_in_any_desk_form_is_the_same(number: int) -> None:
    """5000, 5,000 and 5,000.00 are the same number, and parentheses make it negative."""
    assert whole(str(number)) == whole(f"{number:,}") == whole(f"{number:,}.00") == number
    assert whole(f"({abs(number):,})") == -abs(number)
