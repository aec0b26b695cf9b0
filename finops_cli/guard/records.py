"""Records without personal data: every text in them that a person may have written is masked.

`fail_id` is a reference, the name by which a line is found again, and no prompt holds it; but it is
printed and logged. So only what its own form proves is masked in it (`guard.thresholds`): an e-mail
address, a grouped SSN, a card number. Two records may then bear one name: whether names repeat is
asked of the records as given, and the number of a line finds it still.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, get_args

import msgspec

from finops_cli.domain import limits
from finops_cli.domain.clock import Clock
from finops_cli.domain.clock_facts import ClockFacts
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import plain
from finops_cli.domain.resolution import ResolverInput
from finops_cli.guard.placeholders import PLACEHOLDER, WITHHELD, Masked, Reader
from finops_cli.kb.chapters.guard import Kind

Guarded = tuple[FailRecord, tuple[str, ...]]
GuardedCase = tuple[ResolverInput, tuple[str, ...]]


TEXT_FIELDS = ("notes", "dk_reason", "symbol", "counterparty_name")
"""The fields of a fail record that are text. No prompt holds the last two."""


def has_free_text(record: FailRecord | ResolverInput) -> bool:
    """Return true if the prompt of `record` would hold text that a person may have written.

    `origin` does not count: no prompt holds it, and importers write it into every record. The
    reason of a resolver input counts, whoever wrote it.
    """
    if isinstance(record, FailRecord):
        return bool(record.notes or record.dk_reason)
    return bool(record.triage.reason)


def guarded_fail(reader: Reader, fail: FailRecord) -> Guarded:
    """Mask the texts of `fail`; return it and the kinds of data found.

    A fail without free text is returned unchanged.
    """
    masking = Mask(reader)
    changed = {
        "fail_id": masking.reference(fail.fail_id),
        **{name: masking.text(getattr(fail, name)) for name in TEXT_FIELDS},
        "origin": masking.anything(fail.origin),
        "clock_facts": _mask_facts(masking, fail.clock_facts),
    }
    return (
        (msgspec.structs.replace(fail, **changed), masking.kinds) if masking.found else (fail, ())
    )


def _mask_facts(masking: Mask, facts: ClockFacts | None) -> ClockFacts | None:
    """Mask the texts of `clock_facts`, which the clock repeats."""
    if facts is None:
        return None
    events = tuple(
        msgspec.structs.replace(
            event, id=masking.reference(event.id), to=masking.reference(event.to)
        )
        for event in facts.events
    )
    evidence = masking.text(facts.sale_type_evidence)
    return msgspec.structs.replace(facts, sale_type_evidence=evidence, events=events)


def keep_events(masked: FailRecord, given: FailRecord) -> FailRecord:
    """Return the masked record with the events as given: two names that mask to one stay two."""
    if masked.clock_facts is None or given.clock_facts is None or masked is given:
        return masked
    facts = msgspec.structs.replace(masked.clock_facts, events=given.clock_facts.events)
    return msgspec.structs.replace(masked, clock_facts=facts)


def mask_clock(clock: Clock, given: FailRecord, masked: FailRecord) -> Clock:
    """Put the masked names of events and holders into a clock of `keep_events`."""
    if masked.clock_facts is None or given.clock_facts is None or masked is given:
        return clock
    pairs: list[tuple[str | None, str | None]] = []
    for event, shown in zip(given.clock_facts.events, masked.clock_facts.events, strict=True):
        pairs += [(event.id, shown.id), (event.to, shown.to)]
    changed = {text: shown for text, shown in pairs if text and shown and text != shown}
    if not changed:
        return clock
    longest_first = sorted(changed, key=lambda text: (-len(text), text))
    words = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    return msgspec.convert(_put_names(msgspec.to_builtins(clock), "", words, changed), Clock)


_WITH_NAMES = ("evidence", "warnings")
"""The texts of a clock in which names of events and broker-dealers stand."""


def _put_names(value: Any, field: str, words: re.Pattern[str], shown: dict[str, str]) -> Any:
    """Replace names where they can stand, so that a short one such as `1` changes no date."""
    if isinstance(value, dict):
        return {key: _put_names(each, key, words, shown) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_put_names(each, field, words, shown) for each in value]
    if field == "holder":
        return shown.get(value, value)
    if field in _WITH_NAMES and isinstance(value, str):
        return words.sub(lambda found: shown[found[0]], value)
    return value


def withhold_facts(facts: ClockFacts) -> ClockFacts:
    """Replace the texts of `clock_facts` by a placeholder; facts without one stay the same."""
    changed: dict[str, Any] = {}
    if facts.sale_type_evidence:
        changed["sale_type_evidence"] = PLACEHOLDER
    if any(event.id or event.to for event in facts.events):
        changed["events"] = tuple(
            msgspec.structs.replace(event, id=event.id and PLACEHOLDER, to=event.to and PLACEHOLDER)
            for event in facts.events
        )
    return msgspec.structs.replace(facts, **changed) if changed else facts


def guarded_case(reader: Reader, case: ResolverInput) -> GuardedCase:
    """Mask the texts of `case`; return it and the kinds of data found."""
    masking = Mask(reader)
    reason = masking.text(case.triage.reason)
    fail_id = masking.reference(case.fail_id)
    if not masking.found:
        return case, ()
    triage = msgspec.structs.replace(case.triage, reason=reason)
    return msgspec.structs.replace(case, triage=triage, fail_id=fail_id), masking.kinds


def could_be_masked(text: str, masked: str, kinds: Sequence[str]) -> bool:
    """Return true if `masked` can result from masking pieces of `kinds` in `text`.

    The letters are compared; the guard is not asked.
    """
    placeholders = "|".join(re.escape(f"[{kind}]") for kind in kinds)
    first, *rest = re.split(placeholders, masked) if placeholders else [masked]
    if not rest or not text.startswith(first):
        return False
    place = len(first)
    *middle, last = rest
    for kept in middle:
        place = text.find(kept, place + 1)  # each placeholder replaced at least one character
        if place < 0:
            return False
        place += len(kept)
    return text.endswith(last) and len(text) - len(last) > place


MASKED_KINDS: tuple[str, ...] = (*get_args(Kind), WITHHELD)
"""The names of what the guard masks in a record, in this order."""
_SAYS_NOTHING = "value"
"""A key that leaves the naming to the one around it; in a text it is the desk's, of money."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _split_key(key: str) -> str:
    """Split a key into words: dateOfBirth, drivers_license."""
    return _HUMP.sub(" ", key).replace("_", " ").strip()


class Mask:
    """Masks the parts of one record and collects the kinds of data found.

    Typed parts, such as `corporate_action`, hold no free text.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.reads = reader.reads
        self.found: set[str] = set()
        self._chars_left = limits.GUARDED_CHARS

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in MASKED_KINDS if kind in self.found)

    def text(self, text: str | None) -> str | None:
        return self._record(self._reader.mask(text)) if text else text

    def some(self, text: str) -> str:
        return self._record(self._reader.mask(text))

    def reference(self, text: str | None) -> str | None:
        return self._record(self._reader.mask_reference(text)) if text else text

    def anything(self, value: Any, *names: str, depth: int = 0) -> Any:
        """Mask every text in `value`, keys included.

        A key names its value, and a number is read as text: `{"ssn": 123456789}`. A value nested
        deeper than the limit is withheld, and so are the texts behind `limits.GUARDED_CHARS`.
        """
        if isinstance(value, dict | list) and depth == limits.NESTED:
            return self._withhold()
        if isinstance(value, dict):
            return {
                self._key(key): self.anything(inner, *names[-1:], key, depth=depth + 1)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [self.anything(inner, *names, depth=depth + 1) for inner in value]
        if not isinstance(value, str | int | Decimal) or isinstance(value, bool):
            return value
        text = plain(value).partition(".")[0] if isinstance(value, Decimal) else str(value)
        if self.reads and not isinstance(value, str) and len(text) > limits.SHOWN_CHARS:
            return self._withhold()  # no amount, and no number of a person
        masked = self._named(names, text)
        return value if masked == text else masked

    def _named(self, names: Sequence[str], text: str) -> str:
        """Mask `text` as if `names` preceded it; use the last name alone if another one is masked
        itself. Of a name only the end is read, because no word reaches further (`guard.reach`).
        """
        if not self.reads:
            return self.some(text)
        words = [_split_key(name[-limits.ID_CHARS :]) for name in names]
        if not self._affords(len(text) + sum(map(len, words))):
            return self._withhold()
        telling = [name for name in words if name.lower() != _SAYS_NOTHING] or words
        for before in (f"{' '.join(telling)}: ", f"{' '.join(telling[-1:])}: "):
            masked = self._reader.mask(before + text)
            if masked.text.startswith(before):
                return self._record(masked).removeprefix(before)
        return self.some(text)

    def _key(self, key: str) -> str:
        return self.some(key) if not self.reads or self._affords(len(key)) else self._withhold()

    def _affords(self, chars: int) -> bool:
        """Count a text of `chars` characters; return false where the guard reads no further."""
        self._chars_left -= max(limits.GUARDED_TEXT, chars)
        return self._chars_left >= 0

    def _withhold(self) -> str:
        self.found.add(WITHHELD)
        return PLACEHOLDER

    def _record(self, masked: Masked) -> str:
        self.found.update(masked.kinds)
        return masked.text
