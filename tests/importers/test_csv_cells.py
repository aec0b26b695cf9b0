"""Cells of a blotter: every field can be mapped, and numbers are read as desks write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain.fail import FailRecord, Inventory
from finops_cli.importers.cells import CELLS, whole


def test_every_field_of_a_record_can_be_mapped_or_is_a_list() -> None:
    """Rule: a new field of the record needs a cell here, or a reason why a row cannot hold it."""
    elsewhere = {"ftrs", "related_fails", "origin", "inventory", "corporate_action"}
    own = set(FailRecord.__struct_fields__) - elsewhere
    inner = {f"inventory.{field}" for field in Inventory.__struct_fields__}
    assert set(CELLS) == own | inner | {
        "corporate_action.pre_event_deliverable",
        "corporate_action.new_cusip",
    }


@given(st.integers(-(10**12), 10**12))
def test_whole_numbers_are_read_as_desks_write_them(number: int) -> None:
    """Rule: 5000, 5,000, -5,000 and (5,000) are the same numbers, and 5,000.00 too."""
    assert whole(str(number)) == whole(f"{number:,}") == whole(f"{number:,}.00") == number
    assert whole(f"({abs(number):,})") == -abs(number)
