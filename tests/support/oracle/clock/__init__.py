"""A second implementation of the close-out clock, written from `regulatory-clock.md` alone.

It shares no code, no numbers and no calendar with `finops_cli.clock`.
"""

from tests.support.oracle.clock.block import clock_block
from tests.support.oracle.clock.facts import Refused
from tests.support.oracle.clock.threshold import threshold_series

__all__ = ["Refused", "clock_block", "threshold_series"]
