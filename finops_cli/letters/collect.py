"""Read an output, beside its records where they are given, into the rows of letters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import zip_longest

from finops_cli.domain.fail import FailRecord
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import InputLine
from finops_cli.kb.chapters.wording.letters import LetterKind
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.letters.facts import LetterInput, LineFacts, read_line
from finops_cli.letters.rows import KINDS, NoLetter
from finops_cli.letters.spool import Spool
from finops_cli.pipeline.input_source import decode_input, input_fail_id
from finops_cli.pipeline.parse import fail_id_of, parse_fail
from finops_cli.views.answers import NotALine

_SHOWN = 5
_NO_FACTS = "the line lacks the facts of the fail; give the output of finops run or finops book"


class Collected:
    """The moment of an output, its number of lines, and the lines that finops did not write."""

    def __init__(self) -> None:
        self.as_of: str | None = None
        """The moment of the lines, in Eastern Time."""
        self.lines = 0
        self.bad: list[NotALine] = []
        """The first lines that no run wrote."""
        self.bad_lines = 0

    def refuse_line(self, number: int, why: str) -> None:
        """Count a line that no run wrote."""
        self.bad_lines += 1
        if len(self.bad) < _SHOWN:
            self.bad.append(NotALine(number, why))


def collect(
    lines: Iterable[bytes],
    records: Iterable[InputLine] | None,
    kinds: Collection[LetterKind],
    kb: KnowledgeBase,
    spool: Spool,
) -> Collected:
    """Put the rows of each line into `spool`.

    `records` are the fails of the run, line by line. Raises UsageError for records of another run,
    and for lines of different moments.
    """
    found = Collected()
    for number, (facts, record) in enumerate(_pair(lines, records), start=1):
        found.lines += 1
        if isinstance(facts, str):
            found.refuse_line(number, facts)
            continue
        _take_moment(found, facts, number)
        if facts.fail is None:
            why = _NO_FACTS if facts.error is None else facts.error.message
            spool.add("chaser", number, NoLetter(fail_id=facts.fail_id, why=why))
            continue
        given = LetterInput(facts, facts.fail, record)
        for kind, rows_of in KINDS.items():
            for row in rows_of(given, kb) if kind in kinds else ():
                spool.add(kind, number, row)
    return found


def _pair(
    lines: Iterable[bytes], records: Iterable[InputLine] | None
) -> Iterator[tuple[LineFacts | str, FailRecord | None]]:
    """Yield each line with its facts and its record."""
    if records is None:
        yield from ((read_line(line), None) for line in lines)
        return
    for number, (line, given) in enumerate(zip_longest(lines, records), start=1):
        if line is None or given is None:
            raise _other_run(f"line {number} is in one of the two files alone")
        facts = read_line(line)
        yield facts, _record_of(facts, given, number)


def _record_of(facts: LineFacts | str, given: InputLine, number: int) -> FailRecord | None:
    read = decode_input(given)
    name = fail_id_of(read) or input_fail_id(given, number)
    if isinstance(facts, str):
        return None
    if facts.fail_id != name:
        raise _other_run(f"line {number} of the output answers {facts.fail_id}, not {name}")
    return parse_fail(read).value


def _other_run(why: str) -> UsageError:
    return UsageError(
        f"--fails: {why}", "give the file of fails that the output was made from, or leave it out"
    )


def _take_moment(found: Collected, facts: LineFacts, number: int) -> None:
    if facts.clock is None:
        return
    if found.as_of is None:
        found.as_of = facts.clock.as_of
    elif found.as_of != facts.clock.as_of:
        raise UsageError(
            f"line {number} is of {facts.clock.as_of}, earlier lines are of {found.as_of}",
            "give the output of one run with --as-of",
        )
