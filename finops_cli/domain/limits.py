"""Guards of the input format: technical bounds, not rules of the desk.

Each keeps hostile or damaged input from costing more than its own line. Whole numbers stay far
below 2**53, above which jq and JavaScript round silently.
"""

from __future__ import annotations

from typing import Final

SHARES: Final = 10**12
USD: Final = 10**15
PERCENT: Final = 10**9
AGE_DAYS: Final = 100_000
ID_CHARS: Final = 128
SYMBOL_CHARS: Final = 16
NAME_CHARS: Final = 140
TEXT_CHARS: Final = 65_536
FTRS: Final = 10_000
LINE_BYTES: Final = 4 * 1024 * 1024
STEPS: Final = 1_000
NESTED: Final = 32
"""The depth to which free objects are read: deeper than anybody writes."""
PROBLEMS: Final = 20
"""The most faults of one line that are listed: enough to correct it, cheap for a hostile one."""
SCORE_NUMBER: Final = 10**6
"""A score, factor or percentage of an answer, either sign: far beyond any true one, small enough
to compute with.
"""
NUMBER_DIGITS: Final = 18
"""Digits before the point up to which 7.0 counts as the whole number 7."""
SHOWN_CHARS: Final = 80
"""The part of an offending value that an error repeats."""
REPLY_CHARS: Final = 512 * 1024
"""The longest answer of a model that is read; a plan of `STEPS` steps is shorter."""
HISTORY_ROWS: Final = 2_000
"""Days of a fail's history, of its threshold listing, and lots of one record."""
CLOCK_EVENTS: Final = 2_000
"""Purchases, deliveries, notices and other events of one record."""
UNPACKED_TIMES: Final = 250
"""The most that a packed file may grow: fails as JSON or CSV grow 10 to 50 times, a bomb 1,000."""
UNPACKED_FREE_BYTES: Final = 64 * 1024 * 1024
"""The bytes that a packed file of any size may unpack to: this many are harmless."""
UNPACKING_BYTES: Final = 128 * 1024
"""The piece of unpacked data that is in memory at a time."""
HEAD_BYTES: Final = 256 * 1024
"""The beginning of a file by which its kind is recognised."""
MERGED_CELLS: Final = 10_000
"""The most merged cells of a sheet: far more than a person merges."""
ARCHIVE_FILES: Final = 1_000
"""The most files of one archive, and the most files that are joined to one, that are read."""
