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
SETTINGS_BYTES: Final = 1024 * 1024
"""The longest file of settings, such as a mapping or a recipe: twenty times the longest of ours."""
TOML_LINE_DOTS: Final = 500
"""The most full stops in a line of TOML: each may separate two parts of a key."""
PIPE_SECONDS: Final = 10
"""How long finops waits for the writer of a pipe that is given as a file of settings."""
YAML_LEVELS: Final = 64
"""The deepest nesting of brackets in a YAML file: PyYAML takes the square of it."""
YAML_NODES: Final = 100_000
"""The most values of a YAML file, where an alias counts as the values that it repeats."""
STEPS: Final = 1_000
FLAGS: Final = 100
"""The most flags of an answer: far more than there are kinds of them."""
NESTED: Final = 32
"""The depth to which free objects are read: deeper than anybody writes."""
GUARDED_CHARS: Final = 8 * TEXT_CHARS
"""The characters of one record's free objects that the guard reads; it withholds the texts after
them. An importer's `origin` has some hundred.
"""
GUARDED_TEXT: Final = 64
"""The characters that any text counts at least, because the guard reads none for less."""
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
CSV_REREAD_TIMES: Final = 8
"""How many times its own size the faulty rows of a CSV file may be read again."""
CSV_REREAD_CHARS: Final = TEXT_CHARS
"""The characters that may be read again in a file of any size: one cell without its closing quote.
"""
UNPACKED_TIMES: Final = 250
"""The most that a packed file may grow: fails as JSON or CSV grow 10 to 50 times, a bomb 1,000."""
UNPACKED_FREE_BYTES: Final = 64 * 1024 * 1024
"""The bytes that a packed file of any size may unpack to: this many are harmless."""
UNPACKING_BYTES: Final = 128 * 1024
"""The piece of unpacked data that is in memory at a time."""
ROW_GROUP_BYTES: Final = 16 * 1024 * 1024
"""The lines of a row group of a Parquet output, which is in memory while it is made."""
ROW_GROUP_ROWS: Final = 10_000
"""The most rows of a row group of a Parquet output."""
HEAD_BYTES: Final = 256 * 1024
"""The beginning of a file by which its kind is recognised."""
MERGED_CELLS: Final = 10_000
"""The most merged cells of a sheet: far more than a person merges."""
INPUT_FILES: Final = 100_000
"""The most files of a folder or a pattern that are read as one input."""
ARCHIVE_FILES: Final = 1_000
"""The most files of one archive, and the most files that are joined to one, that are read."""
