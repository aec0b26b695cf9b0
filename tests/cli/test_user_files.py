"""Files that users write: every error is reported at once, in plain words and with its path."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from finops_cli.errors import UsageError
from finops_cli.files.user_files import (
    Fault,
    Faults,
    UserFileModel,
    json_schema,
    read_yaml,
    validate,
)


class Point(UserFileModel):
    at: Annotated[float, Field(ge=0, le=1)]
    weight: float


class Toy(UserFileModel):
    """A file with one key of each kind."""

    name: Annotated[str, Field(min_length=1)] = "toy"
    epochs: Annotated[int, Field(gt=0)] = 1
    tied: bool = False
    kind: Literal["lora", "full"] = "lora"
    rate: float | Literal["auto"] = "auto"
    mix: list[Point] = Field(default=[])
    plan: Point | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name == "bad":
            raise ValueError("another name")
        return name

    @model_validator(mode="after")
    def _check_mix(self) -> Toy:
        if self.tied and not self.mix:
            raise Faults([Fault(("mix",), "is missing", "points, where tied is true")])
        return self


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epochs": 0}, "epochs is 0. Expected a number above 0."),
        ({"epochs": "x"}, "epochs is 'x'. Expected a whole number."),
        ({"epochs": 1.5}, "epochs is 1.5. Expected a whole number."),
        ({"name": 5}, "name is 5. Expected text."),
        ({"name": ""}, "name is ''. Expected text of at least 1 characters."),
        ({"name": "bad"}, "name is 'bad'. Expected another name."),
        ({"tied": "perhaps"}, "tied is 'perhaps'. Expected true or false."),
        ({"kind": "qlora"}, "kind is 'qlora'. Expected one of: lora, full."),
        ({"rate": "fast"}, "rate is 'fast'. Expected a number or one of: auto."),
        ({"rate": None}, "rate is empty. Expected a number or one of: auto."),
        ({"mix": {}}, "mix is an empty object. Expected a list."),
        (
            {"mix": [{"at": 2, "weight": 1}]},
            "mix[0].at is 2. Expected a number up to 1.0.",
        ),
        ({"mix": [{"at": 0}]}, "mix[0].weight is missing. Expected a value."),
        ({"plan": [1]}, "plan is a list with 1 entry. Expected keys with values."),
        (
            {"plan": {"at": 0, "att": 1, "weight": 1}},
            "plan.att is not a known key (did you mean at?). Expected one of: at, weight.",
        ),
        ({"tied": True}, "mix is missing. Expected points, where tied is true."),
        ([1], "the file is a list with 1 entry. Expected keys with values."),
        (None, "the file is empty. Expected keys with values."),
    ],
)
def test_user_file_error_names_path_value_and_expectation(content: Any, message: str) -> None:
    """One error is one plain sentence with the path, the value and what is expected, without
    pydantic's phrases.
    """
    with pytest.raises(UsageError) as caught:
        validate(Toy, content, "toy.yaml")
    assert str(caught.value) == f"toy.yaml: {message}"


def test_user_file_with_three_errors_lists_all_of_them() -> None:
    """Several errors are listed one a line, in the order of the model."""
    with pytest.raises(UsageError) as caught:
        validate(Toy, {"epochs": -1, "kind": "x", "kindd": 1}, "toy.yaml")
    first, *faults = str(caught.value).splitlines()
    assert first == "toy.yaml has 3 faults:"
    assert [line.split()[0] for line in faults] == ["epochs", "kind", "kindd"]


def test_valid_user_file_becomes_its_model() -> None:
    """A valid file becomes an object of its model, and the model has a JSON Schema."""
    toy = validate(Toy, {"mix": [{"at": 0.5, "weight": 2}]}, "toy.yaml")
    assert toy == Toy(mix=[Point(at=0.5, weight=2)])
    assert json_schema(Toy)["$schema"].endswith("2020-12/schema")


def test_yaml_file_is_read_as_values_or_as_text(tmp_path: Path) -> None:
    """YAML is read as typed values, or with `all_text` as written. A repeated key and a missing
    file are refused.
    """
    path = tmp_path / "toy.yaml"
    path.write_text("a: 012\nb: Yes\n")
    assert read_yaml(path) == {"a": 10, "b": True}
    assert read_yaml(path, all_text=True) == {"a": "012", "b": "Yes"}
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(UsageError, match="a is given twice; keep one"):
        read_yaml(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")


def test_file_that_never_ends_is_refused() -> None:
    """A device has more bytes than any settings; the reading stops at the limit."""
    with pytest.raises(UsageError, match="has more than 1,048,576 bytes"):
        read_yaml(Path("/dev/zero"))
