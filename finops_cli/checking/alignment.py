"""Find the input line that an output line answers, where lines are missing or have moved.

Both files are read once, and of the inputs only a window is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from finops_cli.checking.run_lines import has_fail_id, has_masks
from finops_cli.domain.finding import Finding
from finops_cli.files.jsonl import InputLine
from finops_cli.pipeline.input_source import decode_input, input_fail_id
from finops_cli.pipeline.parse import fail_id_of
from finops_cli.verify.schemas import show_value

_WINDOW = 10_000
"""Inputs that are kept on each side."""
_MASKED_WINDOW = 200
"""Inputs on each side that a name with placeholders is compared with, one by one."""


class AskedRecord(NamedTuple):
    """A line of the input."""

    number: int
    """Counted from 1."""
    line: InputLine
    record: Any
    """The decoded line, or the Problem with it."""
    given_name: str | None

    @property
    def name(self) -> str:
        """The `fail_id` of its output line."""
        return self.given_name or input_fail_id(self.line, self.number)


class Answered(NamedTuple):
    """The input line of an output line, and what is wrong with its place."""

    asked: AskedRecord | None
    findings: list[Finding]
    is_next: bool = True
    """False for an input before one that was answered already: what it left is known."""


class Alignment:
    """The inputs of a run, and which of them have an output line."""

    def __init__(self, inputs: Iterable[InputLine]) -> None:
        self._inputs = _number(inputs)
        self._ahead = _Window()
        self._unanswered = _Window()
        """Inputs before the next one that no line has answered."""
        self._skipped: OrderedDict[int, AskedRecord] = OrderedDict()
        """Those of them that `take_skipped` has not given yet."""
        self._last = 0
        """The highest input line that was answered in its place."""
        self._settled = 0
        """The highest input line that was answered, or that `take_skipped` gave."""
        self._passed_over: int | None = None
        """The first of several inputs that the line before this one passed over."""

    def take_next(self) -> AskedRecord | None:
        """Take the next input: the one that an output line in order answers."""
        return self._ahead.pop_first() or next(self._inputs, None)

    def find(self, given: dict[str, Any]) -> Answered:
        """Find the input that an output line of a run answers. The next one is tried first."""
        passed_over, self._passed_over = self._passed_over, None
        asked = self.take_next()
        if asked is not None and has_fail_id(given, asked.name):
            self._last = asked.number
            return self._settle(asked, [])
        earlier = self._unanswered.find(given, from_end=True)
        if earlier is not None:
            if asked is not None:
                self._ahead.put_first(asked)
            return self._answer_earlier(earlier, is_next=earlier.number == passed_over)
        if asked is None:
            return Answered(None, [_misplaced(None, given, "the input has no more lines")])
        self._read_ahead()
        later = self._ahead.find(given)
        if later is None:  # the line is at the place of this input
            self.skip(asked)
            return Answered(None, [_misplaced(asked, given, "no line near it has this name")])
        return self._answer_later(asked, later, given)

    def skip(self, asked: AskedRecord | None) -> None:
        """Leave an input without an answer: its place has a line that names no record."""
        if asked is not None:
            self._unanswered.put_last(asked)
            if asked.number > self._settled:
                self._skipped[asked.number] = asked
            if len(self._unanswered) > _WINDOW:
                self._unanswered.pop_first()

    def take_skipped(self, before: int | None) -> list[AskedRecord]:
        """Take the inputs that no line answers, up to line `before`, each once, in order.

        None: those that have left the window.
        """
        first = self._unanswered.first_number if before is None else before
        if first is None:
            return []
        taken = []
        while self._skipped and next(iter(self._skipped)) < first:
            taken.append(self._skipped.popitem(last=False)[1])
        if taken:
            self._settled = max(self._settled, taken[-1].number)
        return taken

    def _settle(self, asked: AskedRecord, findings: list[Finding]) -> Answered:
        is_next = asked.number > self._settled
        self._settled = max(self._settled, asked.number)
        return Answered(asked, findings, is_next)

    def _answer_later(
        self, asked: AskedRecord, later: AskedRecord, given: dict[str, Any]
    ) -> Answered:
        """Answer an input behind the next one. Those before it have no output line here."""
        last = asked
        self.skip(asked)
        while (passed := self._ahead.pop_first()) is not None and passed is not later:
            last = passed
            self.skip(passed)
        self._last = later.number
        is_one = last is asked
        self._passed_over = None if is_one else asked.number
        lines = f"line {asked.number:,}" + ("" if is_one else f" to line {last.number:,}")
        reason = f"{lines} of the input {'has' if is_one else 'have'} no output line here"
        return self._settle(later, [_misplaced(asked, given, reason)])

    def _answer_earlier(self, found: AskedRecord, is_next: bool) -> Answered:
        """Answer an input that was passed over.

        It is in its place if only lines of unknown records, or one line from far behind
        (`is_next`), stood before it: then the inputs behind it are next again.
        """
        self._unanswered.remove(found)
        self._skipped.pop(found.number, None)
        if found.number < self._last and not is_next:
            return self._settle(found, [_moved(found)])
        for behind in reversed(self._unanswered.list_behind(found.number)):
            self._unanswered.remove(behind)
            self._skipped.pop(behind.number, None)
            self._ahead.put_first(behind)
        self._last = found.number
        return self._settle(found, [])

    def _read_ahead(self) -> None:
        for each in islice(self._inputs, max(0, _WINDOW - len(self._ahead))):
            self._ahead.put_last(each)


class _Window:
    """Some inputs in order, with an index of their names."""

    def __init__(self) -> None:
        self._records: OrderedDict[int, AskedRecord] = OrderedDict()
        self._numbers: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._records)

    @property
    def first_number(self) -> int | None:
        """The line of the first input; None without inputs."""
        return next(iter(self._records), None)

    def put_last(self, each: AskedRecord) -> None:
        self._records[each.number] = each
        self._numbers.setdefault(each.name, []).append(each.number)

    def put_first(self, each: AskedRecord) -> None:
        self.put_last(each)
        self._records.move_to_end(each.number, last=False)

    def remove(self, each: AskedRecord) -> None:
        del self._records[each.number]
        numbers = self._numbers[each.name]
        numbers.remove(each.number)
        if not numbers:
            del self._numbers[each.name]

    def pop_first(self) -> AskedRecord | None:
        """Take the first input; None without inputs."""
        if not self._records:
            return None
        each = next(iter(self._records.values()))
        self.remove(each)
        return each

    def find(self, given: dict[str, Any], from_end: bool = False) -> AskedRecord | None:
        """Return the input that an output line names, the nearest one of several."""
        name = given.get("fail_id")
        numbers = self._numbers.get(name, ()) if isinstance(name, str) else ()
        if numbers:
            return self._records[max(numbers) if from_end else min(numbers)]
        if not has_masks(given):
            return None
        records = reversed(self._records.values()) if from_end else iter(self._records.values())
        near = islice(records, _MASKED_WINDOW)
        return next((each for each in near if has_fail_id(given, each.name)), None)

    def list_behind(self, number: int) -> list[AskedRecord]:
        """List the inputs behind line `number`."""
        return [each for each in self._records.values() if each.number > number]


def _number(inputs: Iterable[InputLine]) -> Iterator[AskedRecord]:
    for number, line in enumerate(inputs, start=1):
        record = decode_input(line)
        yield AskedRecord(number, line, record, fail_id_of(record))


def _misplaced(asked: AskedRecord | None, given: dict[str, Any], reason: str) -> Finding:
    name = show_value(given.get("fail_id"))
    wanted = None if asked is None else asked.name
    place = "" if asked is None else f", not {asked.name}"
    return Finding(
        rule="check.order",
        path="" if asked is None else "/fail_id",
        expected=wanted,
        actual=name,
        message=f"the line answers {name}{place}; {reason}",
    )


def _moved(found: AskedRecord) -> Finding:
    what = f"line {found.number:,} of the input, behind the answers to later lines"
    return Finding(
        rule="check.order",
        path="/fail_id",
        expected="in the order of the input",
        actual=found.name,
        message=f"the line answers {found.name}, {what}",
    )
