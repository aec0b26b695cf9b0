"""The hostile inputs of `benchmarks.growth`, each in any size, and what reads them."""

from __future__ import annotations

import copy
import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from finops_cli.checking.outputs import check_lines
from finops_cli.domain.enums import GuardMode
from finops_cli.errors import FinopsError
from finops_cli.files.csv_rows import csv_rows
from finops_cli.files.jsonl import lines_of
from finops_cli.files.settings_text import parse_toml
from finops_cli.files.user_files import read_yaml
from finops_cli.importers.mapped_rows.mapping import read_mapping
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.engine import Engine
from finops_cli.models.gguf_file import refuse_unusable_gguf
from finops_cli.models.modelfile import read_modelfile, typed_parameters
from finops_cli.models.response_parser import parse_response
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.sequences import SEQUENCES
from finops_cli.weights.safetensors import read_tensors
from tests.support.records import a_fail

KB = load_kb(bundled_kb_dir())
PUBLISHED = Path(__file__).resolve().parents[1] / "examples/cards/published.jsonl"


class Shape(NamedTuple):
    """A hostile input in any size."""

    name: str
    make: Callable[[int], Any]
    """Makes the input; its argument is 1, 2, 4 or 8 times the smallest size."""
    read: Callable[[Any], object]


def shapes() -> Iterator[Shape]:
    """Yield every shape; those of records once without the guard, and once with it."""
    guards: tuple[GuardMode, ...] = ("off", "on")
    for guard in guards:
        process = make_processor(guard)
        process(json.dumps(a_fail(notes="SSN 123-45-6789")).encode())  # loads what is deferred
        for name, make in {**_RECORDS, **(_GUARDED if guard == "on" else {})}.items():
            yield Shape(f"record, guard {guard}: {name}", make, process)
    for place, base, path in _CHECKED:
        for name, text in _SENTENCES.items():
            yield Shape(f"check: {name} in {place}", _filled(base, path, text), _check)
    for name, make, read in _FILES:
        yield Shape(name, make, read)


def _record(**changed: Any) -> bytes:
    return json.dumps(a_fail(**changed)).encode()


def _with_number(field: str, digits: str) -> bytes:
    """Return a record with a number as it is written, which Python might not print."""
    return _record(**{field: "HERE"}).replace(b'"HERE"', digits.encode())


def make_processor(guard: GuardMode) -> Callable[[bytes], object]:
    redaction = redaction_policy(guard, False, KB)
    pipeline = Pipeline(SEQUENCES["run"], Engine(KB), KB, timed=False, redaction=redaction)

    def process(line: bytes) -> bytes:
        output = pipeline.process(1, line).line
        if output.status == "failed":
            raise SystemExit(f"a fault of finops: {encode(output)[:300]!r}")
        return encode(output)

    return process


_RECORDS: dict[str, Callable[[int], bytes]] = {
    "comma groups in market_value": lambda n: _record(market_value="$1" + ",000" * (125_000 * n)),
    "digits in market_value": lambda n: _with_number("market_value", "7" * (60_000 * n) + ".5"),
    "digits in qty": lambda n: _with_number("qty", "7" * (400_000 * n)),
    "unknown fields": lambda n: _record(**{f"x{number}": 1 for number in range(800 * n)}),
    "long unknown field": lambda n: _record(**{"x7 " * (60_000 * n): 1}),
    "fields of an event": lambda n: _record(
        corporate_action={"type": "SPLIT", **{f"new_cusip{i}": 1 for i in range(500 * n)}}
    ),
    "nested brackets": lambda n: b"[" * (400_000 * n),
    "nested objects": lambda n: b'{"a":' * (60_000 * n),
    "not JSON": lambda n: b"1 2 " * (100_000 * n),
    "text form, unknown labels": lambda n: _text_form("a: b 5 | " * (450 * n)),
    "text form, a label repeated": lambda n: _text_form("CUSIP: 1 | " * (350 * n)),
    "text form, long notes": lambda n: _text_form("Notes: " + "b 1 " * (900 * n)),
    "fails to receive": lambda n: _record(ftrs=[{"dtc": f"DTC-{i:04}"} for i in range(300 * n)]),
    "escapes": lambda n: b'{"notes": "' + b'\\"' * (100_000 * n),
}
_GUARDED: dict[str, Callable[[int], bytes]] = {
    "origin, long keys": lambda n: _record(
        origin={f"key {i} of 12345 {'x' * 200}": i for i in range(12 * n)}
    ),
    "origin, a key of many values": lambda n: _record(
        origin={"key 7 " * (100 * n): [1] * (12 * n)}
    ),
    "origin, numbers": lambda n: _record(origin={"key 7": list(range(100 * n))}),
    "origin, one text": lambda n: _record(origin={"note": "call 5 of 7 " * (200 * n)}),
    "origin, nested": lambda n: _record(origin=json.loads('{"a 1":' * (4 * n) + "1" + "}" * 4 * n)),
    "entities": lambda n: _record(notes="&#49; " * (1_000 * n)),
    "digits in notes": lambda n: _record(notes="1" * (3_000 * n)),
    "numbers in notes": lambda n: _record(notes="acct 12 " * (300 * n)),
    "placeholders in notes": lambda n: _record(notes="[SSN] and " * (500 * n)),
    "notes that are too long": lambda n: _record(notes="1 " * (50_000 * n)),
}


def _text_form(text: str) -> bytes:
    return json.dumps({"fail_id": "F-1", "text": text}).encode()


def _published(wanted: str, beside: str) -> dict[str, Any]:
    lines = (json.loads(line) for line in PUBLISHED.read_text().splitlines())
    return next(line for line in lines if wanted in line and beside in line)


_CHECKED: tuple[tuple[str, dict[str, Any], tuple[str | int, ...]], ...] = (
    ("reason", _published("triage", "fail"), ("triage", "reason")),
    (
        "escalation_reason",
        _published("resolution", "input"),
        ("resolution", "escalation_reason"),
    ),
    (
        "rationale",
        _published("resolution", "input"),
        ("resolution", "resolution_steps", 0, "rationale"),
    ),
)
_SENTENCES: dict[str, Callable[[int], str]] = {
    "a number": lambda n: f"Residual {'4' * (500_000 * n)}",
    "a long number": lambda n: f"Residual {'4' * (8_000 * n)}",
    "numbers": lambda n: "1 of 2 000, $1.5M and 1e99 " * (60 * n),
    "sentences": lambda n: "Deliver 500 shares to DTC-0005, not a quarter. " * (35 * n),
    "lists": lambda n: "(1) (2) " * (400 * n),
    "blanks": lambda n: f"a{' ' * (8_000 * n)}b",
    "digits and commas": lambda n: f"Residual {'1,' * (4_000 * n)}",
    "letters": lambda n: f"Residual {'M' * (8_000 * n)}",
    "signs of other scripts": lambda n: f"Residual {chr(0x660) * (8_000 * n)}",
}


def _filled(
    base: dict[str, Any], path: tuple[str | int, ...], text: Callable[[int], str]
) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        whole = copy.deepcopy(base)
        at: Any = whole
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = text(size)
        return json.dumps(whole).encode()

    return make


def _check(line: bytes) -> object:
    return list(check_lines([line], KB))


def _rows(text: str) -> object:
    return sum(1 for _ in csv_rows(io.StringIO(text, newline=""), None))


def _from_file(read: Callable[[Path], object]) -> Callable[[str | bytes], object]:
    """Make a reader of a content from a reader of a file. A refusal is an answer."""

    def read_content(content: str | bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "hostile"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            with suppress(FinopsError):
                return read(path)

    return read_content


def _toml(text: str) -> object:
    with suppress(ValueError):
        return parse_toml(text)


def _tensors(head: dict[str, Any]) -> bytes:
    written = json.dumps(head).encode()
    return len(written).to_bytes(8, "little") + written


def _tensor(shape: list[int]) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}


_modelfile = _from_file(lambda path: typed_parameters(read_modelfile(path)))
_safetensors = _from_file(read_tensors)
_mapping = _from_file(read_mapping)
_yaml = _from_file(read_yaml)
_gguf = _from_file(refuse_unusable_gguf)


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in lines_of(file))


def _gguf_array(length: int) -> bytes:
    """Return a GGUF file with one pair: an array of `length` small numbers."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
    return head + struct.pack("<Q1sIIQ", 1, b"a", 9, 0, length) + bytes(length)


_jsonl = _from_file(_count_lines)
_FILES: tuple[tuple[str, Callable[[int], Any], Callable[[Any], object]], ...] = (
    ("CSV: quotes that open", lambda n: "a,b\n" + 'x","y\n' * (2_000 * n), _rows),
    ("CSV: cells that open", lambda n: "a,b\n" + '"x\n' * (3_000 * n), _rows),
    ("CSV: pairs of quotes", lambda n: "a,b\n" + '"x\ny"z\n' * (1_500 * n), _rows),
    ("CSV: rows of other widths", lambda n: "a,b\n" + "1,2,3\n" * (4_000 * n), _rows),
    ("CSV: a wide row", lambda n: "a,b\n" + "1," * (200_000 * n), _rows),
    ("Modelfile: a text", lambda n: 'FROM x\nSYSTEM """' + "a\n" * (40_000 * n), _modelfile),
    ("Modelfile: stops", lambda n: "FROM x\n" + "PARAMETER stop a\n" * (2_000 * n), _modelfile),
    (
        "safetensors: a shape",
        lambda n: _tensors({"a": _tensor([2**62] * (30_000 * n))}),
        _safetensors,
    ),
    (
        "safetensors: tensors",
        lambda n: _tensors({f"a{i}": {**_tensor([0]), "dtype": "I8"} for i in range(1_000 * n)}),
        _safetensors,
    ),
    ("mapping: keys", lambda n: "".join(f"k{i}: 1\n" for i in range(500 * n)), _mapping),
    (
        "mapping: columns",
        lambda n: "columns:\n" + "".join(f"  qty{i}: A\n" for i in range(400 * n)),
        _mapping,
    ),
    ("mapping: a value", lambda n: "a: " + "b " * (10_000 * n), _mapping),
    (
        "YAML: aliases",
        lambda n: (
            "a0: &a0 [x,x]\n"
            + "".join(f"a{i + 1}: &a{i + 1} [*a{i},*a{i}]\n" for i in range(60 * n))
        ),
        _yaml,
    ),
    ("YAML: anchors", lambda n: "".join(f"a{i}: &x{i} 1\n" for i in range(500 * n)), _yaml),
    ("YAML: text", lambda n: "a: |\n" + " b\n" * (4_000 * n), _yaml),
    (
        "TOML: a dotted key",
        lambda n: "\n".join(".".join("a" * 400) + f"{i}=1" for i in range(8 * n)),
        _toml,
    ),
    ("TOML: keys", lambda n: "".join(f"a{i}=1\n" for i in range(3_000 * n)), _toml),
    ("TOML: nested", lambda n: "x = " + "[" * (20_000 * n), _toml),
    ("GGUF: an array", lambda n: _gguf_array(10_000 * n), _gguf),
    ("JSON Lines: blank lines", lambda n: b"\n" * (10_000 * n), _jsonl),
    ("JSON Lines: a long line", lambda n: b"x" * (500_000 * n), _jsonl),
    ("reply: braces", lambda n: "{" * (4_000 * n), lambda text: parse_response(text, KB.models)),
    (
        "reply: objects",
        lambda n: '{"a": 1} ' * (1_000 * n),
        lambda text: parse_response(text, KB.models),
    ),
    (
        "reply: braces behind an object",
        lambda n: '{"a": 1}' + "{x}" * (5_000 * n),
        lambda text: parse_response(text, KB.models),
    ),
    (
        "reply: reasoning",
        lambda n: "<think>" * (2_000 * n),
        lambda text: parse_response(text, KB.models),
    ),
)
