"""Lines of a broken feed, a foreign program or an attacker: seeded changes of good lines.

`MUTATIONS` names each way. A mutated line may hold a newline; its file then has one line more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

Mutate = Callable[[bytes, Random], bytes]
Change = Callable[[Any, Random], Any]

NUMBERS = (
    "1e999999999", "-1e999999999", "1e-999999999", "1E+400", "0e99999999999", "1e308", "-0", "-0.0",
    "0.1e1", "9" * 400, "9" * 5_000, "-" + "9" * 400, "0." + "1" * 300, "5000.0", "5e3", "1e400",
    "NaN", "-Infinity", "007", "+5", ".5", "5.", "0x10", "1_000", "1e", "--1", "10000000000000000",
    "999999999999.999999", "2.5", "1e12", "3e-3", "4.00",
)  # fmt: skip
"""Numbers as they are written; some are not JSON."""
TEXTS = (
    "", " ", "\t", "N/A", "null", "0", "-1", "true", "9" * 30, "5,000", "$2.1M", "1,0,0", "1'000",
    "&#1;", "&#xFFFF;", "&#x110000;", "&amp;#65;", "&lt;b&gt;", "&nosuch;", "&#99999999999999999;",
    "&" * 200, "<script>alert(1)</script>", "=HYPERLINK(\"x\")", "{{7*7}}", "%s%s%n", "../../etc",
    "\u0000", "\u0001\u0002\u001f", "\u007f\u0085", "\u2028\u2029", "\ufeff", "\ufffe\uffff",
    "\u202eabc", "\u200b\u200d", "e\u0301" * 40, "e" + "\u0301" * 400, "\U0001f4a5" * 50,
    "\U000e0041" * 20, "\ud800", "\udfff\ud800", "\uff11\uff12\uff13-\uff14\uff15-\uff16\uff17",
    "\u0661\u0662\u0663", "\u00bd", "\u2460", "\u4e00\u767e", "SSN 123-45-6789",
    "ssn:123456789, mail a@b.co", "4111 1111 1111 1111", "DE89370400440532013000", "1e5",
    "2026-02-30", "9999-12-31T23:59:60Z", "0000-00-00", "T+", "T+999999999999", "x" * 10_000,
    "1," * 5_000, "(" * 3_000, "1 " * 3_000, "a@" * 2_000, "-" * 3_000,
    "score is 83.2, base 66.5 of 9,000 shares", "1" * 5_000 + " shares",
)  # fmt: skip
"""Texts that readers of text have stumbled over."""
_RAW = "\x00raw:"
_ID = re.compile(rb'("(?:fail_id|id)": ?")[^"]*(")')
"""The name of a record, which no two lines may share."""


def _walk(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _walk(inner, (*path, at))


def _dump(value: Any) -> bytes:
    """Write JSON in which a text behind the mark stands without its quotes."""
    text = json.dumps(value, ensure_ascii=False)
    pieces = text.split(json.dumps(_RAW)[:-1])
    out = [pieces[0]]
    for piece in pieces[1:]:
        raw, _, rest = piece.partition('"')
        out.append(raw + rest)
    return "".join(out).encode("utf-8", "surrogatepass")


def _replace_inside(value: Any, path: Sequence[Any], change: Callable[[Any, Any], None]) -> None:
    for step in path[:-1]:
        value = value[step]
    change(value, path[-1])


def in_a_value(change: Change) -> Mutate:
    """Change one value of the record: drawn from all depths, leaves and branches."""

    def mutate(line: bytes, rng: Random) -> bytes:
        record = json.loads(line)
        places = [(path, value) for path, value in _walk(record) if path]
        path, old = rng.choice(places)
        _replace_inside(record, path, lambda at, key: at.__setitem__(key, change(old, rng)))
        return _dump(record)

    return mutate


def in_the_record(change: Callable[[dict[str, Any], Random], None]) -> Mutate:
    """Change one object of the record, the outer one or one inside it."""

    def mutate(line: bytes, rng: Random) -> bytes:
        record = json.loads(line)
        change(rng.choice([value for _, value in _walk(record) if isinstance(value, dict)]), rng)
        return _dump(record)

    return mutate


def _other_type(old: Any, rng: Random) -> Any:
    return rng.choice(
        [
            None,
            True,
            False,
            0,
            -1,
            1,
            0.5,
            "",
            str(old)[:200],
            [old],
            {"a": old},
            [],
            {},
            [[]],
            [None],
        ]
    )


def _nest(old: Any, rng: Random) -> Any:
    depth = rng.choice([2, 20, 31, 32, 33, 64, 100, 500])
    for _ in range(depth):
        old = [old] if rng.random() < 0.5 else {"a": old}
    return old


def _grow(old: Any, rng: Random) -> Any:
    """Repeat what is there."""
    times = rng.choice([2, 3, 28, 29, 64, 300])
    if isinstance(old, list):
        return old * times
    if isinstance(old, dict):
        return {**old, **{f"{key}{n}": item for n in range(times) for key, item in old.items()}}
    return str(old) * times


def _comma_groups(_: Any, rng: Random) -> str:
    groups = rng.choice([1, 2, 3, 100, 5_000])
    mark = rng.choice([",", ".", "'", " ", "\u00a0", "_"])
    return (
        rng.choice(["", "$", "-", "USD ", "\u20ac"])
        + mark.join(["1", *["000"] * groups])
        + rng.choice(["", ".00", ",00", "M", "K", "%", "e5"])
    )


def _drop(record: dict[str, Any], rng: Random) -> None:
    for key in rng.sample(sorted(record), min(len(record), rng.choice([1, 1, 2, 5]))):
        del record[key]


def _unknown_key(record: dict[str, Any], rng: Random) -> None:
    name = rng.choice([*TEXTS[:60], "k" * 5_000, "qty ", "QTY", "__class__", "a.b/c~d"])
    record[name] = rng.choice(TEXTS)


def _rename(record: dict[str, Any], rng: Random) -> None:
    if record:
        key = rng.choice(sorted(record))
        record[key.upper() if rng.random() < 0.3 else key[:-1] or "x"] = record.pop(key)


def _swap(record: dict[str, Any], rng: Random) -> None:
    """Exchange the values of two fields."""
    if len(record) > 1:
        one, other = rng.sample(sorted(record), 2)
        record[one], record[other] = record[other], record[one]


def _double_key(line: bytes, rng: Random) -> bytes:
    """Write a field twice, with another value."""
    record = json.loads(line)
    key = rng.choice(sorted(record))
    value = _dump(rng.choice([record[key], None, rng.choice(TEXTS), 7]))
    doubled = _dump(key) + b": " + value
    return (
        line[:-1] + b", " + doubled + b"}"
        if rng.random() < 0.5
        else b"{" + doubled + b", " + line[1:]
    )


def _free_field(line: bytes, rng: Random) -> bytes:
    """Put odd things where anything may stand."""
    record = json.loads(line)
    odd: Any = rng.choice([*TEXTS, *(_RAW + number for number in NUMBERS)])
    if rng.random() < 0.3:
        odd = _nest(odd, rng)
    if rng.random() < 0.2:
        odd = {rng.choice(TEXTS): odd, "k" * rng.choice([1, 300, 9_000]): 1}
    field = rng.choice(["origin", "notes", "dk_reason", "text", "clock_facts", "as_of", "id"])
    record[field] = odd
    return _dump(record)


def _flip(line: bytes, rng: Random) -> bytes:
    changed = bytearray(line)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _replace_bytes(line: bytes, rng: Random) -> bytes:
    at, length = rng.randrange(len(line)), rng.choice([0, 1, 3, 30])
    return line[:at] + rng.randbytes(rng.choice([1, 2, 8])) + line[at + length :]


def _half(line: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(line))
    return rng.choice([line[:at], line[at:]])


def _insert(line: bytes, rng: Random) -> bytes:
    at = rng.choice([0, len(line), rng.randrange(len(line))])
    odd = [
        b"\x00",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x1e",
        b"\x1a",
        b"\r",
        b"\x0b",
        b"\x0c",
        b"\xc2\x85",
    ]
    odd += [
        b"\xe2\x80\xa8",
        b"//x",
        b"/**/",
        b"#",
        b",",
        b"}",
        b"]",
        b"{",
        b"\\",
        b'"',
        b"\xed\xa0\x80",
    ]
    return line[:at] + rng.choice(odd) * rng.choice([1, 1, 2, 50]) + line[at:]


def _other_encoding(line: bytes, rng: Random) -> bytes:
    text = line.decode().replace("DTC", "D\u00dcC")
    return text.encode(
        rng.choice(["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7"]), "replace"
    )


def _other_frame(line: bytes, rng: Random) -> bytes:
    """Write the record in another frame: as a list, a text, twice, with other line ends."""
    frames = [
        b"[%s]",
        b"%s,",
        b"%s;%s",
        b"%s%s",
        b"%s\r",
        b"%s\r\r",
        b"\t%s\t",
        b"data: %s",
        b"'%s'",
        b"```%s```",
    ]
    frame = rng.choice([*frames, b"%s\n%s", b"%s\n\n", b"\r\n%s"])
    if rng.random() < 0.1:
        return json.dumps(line.decode()).encode()
    return frame.replace(b"%s", line)


_NO_RECORDS = (
    b"", b" ", b"\t\r", b"{}", b"[]", b"null", b"0", b'""', b"[" * 3_000, b'{"a":' * 3_000,
    b"\x00" * 20, b"fail_id,cusip,side", b" Triage this fail record: CUSIP: 594918104 | Side: Sell",
    b"<fail/>", b"{:20:X", b"-----BEGIN-----", b"{'fail_id': 'F'}", b"}" * 9, b"\x93\x00\xfe{",
)  # fmt: skip


def _splice(line: bytes, rng: Random) -> bytes:
    """Put a piece of the line where another was."""
    one, other = sorted(rng.randrange(len(line)) for _ in range(2))
    at = rng.randrange(len(line))
    return line[:at] + line[one:other] + line[at:]


MUTATIONS: dict[str, Mutate] = {
    "none": lambda line, _: line,
    "bytes flipped": _flip,
    "bytes replaced": _replace_bytes,
    "bytes inserted": _insert,
    "half a line": _half,
    "piece doubled": _splice,
    "other encoding": _other_encoding,
    "other frame": _other_frame,
    "no record": lambda _, rng: rng.choice(_NO_RECORDS),
    "field dropped": in_the_record(_drop),
    "field doubled": _double_key,
    "field renamed": in_the_record(_rename),
    "fields swapped": in_the_record(_swap),
    "field unknown": in_the_record(_unknown_key),
    "free field": _free_field,
    "other type": in_a_value(_other_type),
    "nested": in_a_value(_nest),
    "grown": in_a_value(_grow),
    "odd number": in_a_value(lambda _, rng: _RAW + rng.choice(NUMBERS)),
    "odd text": in_a_value(lambda _, rng: rng.choice(TEXTS)),
    "comma groups": in_a_value(_comma_groups),
}


def mutate_lines(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Draw `count` mutations of lines of `seeds`, one in four mutated twice.

    Each comes with what was done to it.
    """
    rng = Random(seed)
    for at in range(count):
        name, line = "", _ID.sub(rb"\g<1>M-%d\g<2>" % at, rng.choice(seeds), count=1)
        for _ in range(2 if rng.random() < 0.25 else 1):
            way = rng.choice(list(MUTATIONS))
            try:
                line = MUTATIONS[way](line, rng)
            except (ValueError, IndexError, KeyError, AttributeError, TypeError, RecursionError):
                continue  # the first change left no record to change
            name = f"{name}, {way}".lstrip(", ")
        yield name or "none", line


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """Change bytes of a text of any format."""
    return rng.choice([_flip, _replace_bytes, _half, _insert, _splice])(data, rng)
