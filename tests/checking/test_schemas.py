"""JSON Schemas: the exported schemas and the Python types accept the same objects."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from finops_cli.files.user_files import json_schema, read_yaml
from finops_cli.importers.mapped_rows.mapping import Mapping
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.verify.codecs import CODECS as FIXED_CODECS
from finops_cli.verify.codecs import triage_codec
from finops_cli.verify.schemas import accepted_by, make_validator
from tests.support.program import ROOT
from tests.support.records import a_fail
from tests.support.soak import scaled

CODECS = FIXED_CODECS | {"triage": triage_codec(load_kb(bundled_kb_dir()).scoring.components)}
"""The codecs by the bundled rules, which decide the factors that a triage shows."""
EXPORTED = {
    name: json.loads((ROOT / f"kb/schemas/{name}.schema.json").read_text()) for name in CODECS
}
FTR: dict[str, Any] = {
    "dtc": "DTC-0161",
    "qty": 12000,
    "age_days": 3,
    "settlement_type": "RVP",
    "settlement_date": "T+1",
    "cp_fail_rate_pct": 2.1,
    "partial_delivery_history": True,
    "chase_attempts": 1,
}
INVENTORY: dict[str, Any] = {
    "box_qty": 8000,
    "stock_loan_available": 3000,
    "recall_outstanding": 5000,
    "pending_receives": 2000,
    "depot_qty": 10,
    "depot_transit_days": 2,
}
RELATED: dict[str, Any] = {
    "category": "DVP_FAIL",
    "dtc": "DTC-0352",
    "qty": 5000,
    "side": "Sell",
    "age_days": 2,
}


def read_published_answers() -> dict[str, Any]:
    lines = [
        json.loads(line)
        for line in (ROOT / "examples/cards/published.jsonl").read_text().splitlines()
    ]
    return {
        "triage": lines[0],
        "resolver-input": lines[3]["input"],
        "resolution": lines[3]["resolution"],
    }


GOOD: dict[str, Any] = {
    "fail": a_fail(
        reg_sho_status="NONE",
        security_fail_rate_pct_adv=1.5,
        cns_eligible=False,
        dk_reason="x",
        corporate_action={
            "type": "merger",
            "new_cusip": "037833100",
            "pre_event_deliverable": False,
        },
        awaiting_street_receipt=True,
        notes="n",
        inventory=INVENTORY,
        ftrs=[FTR],
        related_fails=[RELATED],
        origin={"source": "test"},
    ),
    **read_published_answers(),
}
GOOD["resolver-input"] |= {
    "inventory": INVENTORY,
    "ftrs": [FTR],
    "age_days": 4,
    "corporate_action": None,
    "fail_id": "x",
}


@pytest.mark.parametrize("name", CODECS)
def test_exported_schema_equals_the_type_and_accepts_an_answer(name: str) -> None:
    """Each file `kb/schemas/NAME.schema.json` equals the schema of its type, is a valid schema and
    accepts a complete object.
    """
    assert json.loads(json.dumps(CODECS[name].json_schema)) == EXPORTED[name]
    jsonschema.Draft202012Validator.check_schema(EXPORTED[name])
    jsonschema.Draft202012Validator(EXPORTED[name]).validate(GOOD[name])


def test_exported_run_schema_accepts_the_lines_of_the_examples() -> None:
    """Each line that the examples expect of `finops run` is valid by the schema of its format."""
    schema = json.loads((ROOT / "kb/schemas/run.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    provenance = {
        "backend": "engine",
        "models": {"triage": None, "resolver": None},
        "kb": "1",
        "prompt_sha256": None,
        "attempts": 1,
        "latency_ms": None,
    }
    files = sorted(ROOT.glob("examples/**/*.expected.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    lines = [{**row, "provenance": provenance} for row in rows if "verification" in row]
    assert len(lines) > len(files) > 5
    for line in lines:
        validator.validate(line)
        assert not validator.is_valid({**line, "status": "fine"})


def test_exported_mapping_schema_equals_the_type() -> None:
    """The file `kb/schemas/mapping.schema.json` equals the schema of the type. It accepts the
    example and rejects an unknown column.
    """
    exported = json.loads((ROOT / "kb/schemas/mapping.schema.json").read_text())
    assert json_schema(Mapping) == exported
    jsonschema.Draft202012Validator.check_schema(exported)
    example = read_yaml(ROOT / "examples/csv/mapping.yaml", all_text=True)
    validator = jsonschema.Draft202012Validator(exported)
    validator.validate(example)
    assert not validator.is_valid({**dict(example), "columns": {"quantity": "Shares"}})  # type: ignore[call-overload]


def list_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where an object can be changed: each of its fields and list items, at any depth."""
    if isinstance(value, dict):
        return [
            path,
            *(inner for key, item in value.items() for inner in list_paths(item, (*path, key))),
        ]
    if isinstance(value, list):
        return [
            path,
            *(
                inner
                for index, item in enumerate(value)
                for inner in list_paths(item, (*path, index))
            ),
        ]
    return [path]


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 7.0, 0.5, -0.5, 100, 100.5, 10**12, 10**12 + 1, 10**15, 10**16,
    10**30, 1e300, "", "x", "7",
    "T+1", "T+1234", "T+", "DTC-0001", "DTC-001", "DTC-00011", "594918104", "Sell", "$2.1M",
    "$2,1M", " $450K ", "$", "1e5",
    "NaN", "NONE", "ESCALATE", [], [1], {}, {"x": 1}, "n" * 129, "é" * 64,
]  # fmt: skip


def mutate(good: Any, path: tuple[Any, ...], value: Any, how: str) -> Any:
    changed = json.loads(json.dumps(good))
    if not path:
        return value if how != "add" else {**changed, "stray": value}
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if how == "set":
        holder[path[-1]] = value
    elif how == "drop":
        del holder[path[-1]]
    elif isinstance(holder, dict):
        holder["stray"] = value
    return changed


STRUCTS = {(): "FailRecord", ("inventory",): "Inventory", ("ftrs", 0): "Ftr"}
"""The path of each object in the complete fail whose fields finops can fill in."""
FILLED_IN = [
    (*path, field) for path, struct in STRUCTS.items() for field in CODECS["fail"].may_lack[struct]
]


@pytest.mark.parametrize("path", FILLED_IN, ids=lambda path: ".".join(map(str, path)))
def test_fail_without_a_field_that_is_filled_in_is_valid(path: tuple[Any, ...]) -> None:
    """The schema of a fail accepts a record without a field that finops fills in afterwards. The
    type needs the field.
    """
    changed = mutate(GOOD["fail"], path, None, "drop")
    assert jsonschema.Draft202012Validator(EXPORTED["fail"]).is_valid(changed)
    assert CODECS["fail"].read(changed) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=scaled(400, 1_500), deadline=None)
@given(data=st.data())
def test_changed_object_is_accepted_by_type_and_schema_alike(
    name: str, data: st.DataObject
) -> None:
    """With any field set, dropped or added, the type accepts the object exactly when the schema
    does. Otherwise a problem is named. Fields that finops fills in are not dropped here.
    """
    path = data.draw(st.sampled_from(list_paths(GOOD[name])))
    how = data.draw(st.sampled_from(["set", "set", "drop", "add"]))
    assume(not (name == "fail" and how == "drop" and path in FILLED_IN))
    changed = mutate(GOOD[name], path, data.draw(st.sampled_from(VALUES)), how)
    line = json.dumps(changed).encode()
    accepted = jsonschema.Draft202012Validator(EXPORTED[name]).is_valid(changed)
    shape = CODECS[name]
    exact = msgspec.json.Decoder(float_hook=Decimal).decode(line)
    problems = [] if shape.read(exact) is not None else shape.explain(exact)
    assert (
        shape.read(msgspec.json.Decoder(float_hook=Decimal).decode(line)) is not None
    ) == accepted
    assert bool(problems) != accepted


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_faults_are_those_that_jsonschema_finds(data: st.DataObject) -> None:
    """The shortcut for fields that surely fit leaves out no fault of a changed object, and finds
    none in one that jsonschema accepts.
    """
    name = data.draw(st.sampled_from(list(CODECS)))
    path = data.draw(st.sampled_from(list_paths(GOOD[name])))
    how = data.draw(st.sampled_from(["set", "set", "drop", "add"]))
    changed = mutate(GOOD[name], path, data.draw(st.sampled_from(VALUES)), how)
    given = msgspec.json.Decoder(float_hook=Decimal).decode(json.dumps(changed))
    shortened = make_validator(CODECS[name].json_schema)
    properties = jsonschema.Draft202012Validator.VALIDATORS["properties"]
    whole = jsonschema.validators.extend(type(shortened), {"properties": properties})
    expected = [tuple(error.absolute_path) for error in whole(shortened.schema).iter_errors(given)]
    assert [tuple(error.absolute_path) for error in shortened.iter_errors(given)] == expected


def test_record_decoded_directly_equals_converted_record() -> None:
    """A line that is decoded straight into the type equals the line that is decoded first and
    converted then.
    """
    line = json.dumps(GOOD["fail"]).encode()
    fast = CODECS["fail"].read_line(line)
    assert fast is not None
    assert fast == CODECS["fail"].read(msgspec.json.Decoder(float_hook=Decimal).decode(line))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 1000}, "a whole number from 1 to"),
        ({"type": ["number", "null"], "minimum": 0, "maximum": 100}, "a number from 0 to 100 or n"),
        ({"type": "string", "minLength": 1, "maxLength": 128}, "text of 1 to 128 characters"),
        ({"type": "string", "maxLength": 65536}, "text of up to 65,536 characters"),
        ({"type": "array", "maxItems": 10}, "a list of up to 10 items"),
        ({"type": "object", "description": "where it came from"}, "an object: where it came"),
        ({"type": "string", "pattern": "^DTC-[0-9]{4}$", "description": "x"}, "DTC- and four dig"),
    ],
)
def test_accepted_values_are_described_as_a_range(schema: dict[str, Any], words: str) -> None:
    """A description names the kind of value, both ends of its range, and null where allowed."""
    assert accepted_by(schema).startswith(words)


@pytest.mark.parametrize(
    ("name", "field"),
    [("quantity", "qty"), ("QTY", "qty"), ("aged_days", "age_days"), ("Side", "side")],
)
def test_unknown_field_is_told_the_nearest_one(name: str, field: str) -> None:
    """A misspelt, abbreviated or capital name of a field gets the name of the field."""
    problems = CODECS["fail"].explain({name: 1})
    [unknown] = [problem for problem in problems if problem.rule == "schema.unknown"]
    assert unknown.accepted == f"did you mean {field}?"
