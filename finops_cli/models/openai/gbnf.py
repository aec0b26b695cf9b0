"""A JSON schema as a grammar of llama.cpp (GBNF), for servers that take nothing else.

It knows what `models.tasks.answer_schema` keeps of a schema. The fields keep their order.
Source: grammars/README.md of llama.cpp.
"""

from __future__ import annotations

import json
from typing import Any

_PRIMITIVES = {
    "string": r'"\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" hex hex hex hex))* "\""',
    "integer": '"-"? ("0" | [1-9] [0-9]*)',
    "number": '"-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)?',
    "boolean": '"true" | "false"',
    "null": '"null"',
}
_COMMON = {"hex": "[0-9a-fA-F]", "ws": '" "?'}


class UnsupportedSchema(ValueError):
    """The schema has a part that the grammar cannot express."""


def grammar_of(schema: dict[str, Any]) -> str:
    """Return the grammar of `schema`, whose first rule is `root`.

    Raises UnsupportedSchema.
    """
    rules: dict[str, str] = {}
    rules["root"] = _expression(schema, "root", rules)
    return "".join(f"{name} ::= {rule}\n" for name, rule in {**rules, **_COMMON}.items())


def _expression(schema: dict[str, Any], name: str, rules: dict[str, str]) -> str:
    """Return the right side for `schema`; rules of its parts begin with `name`."""
    if "anyOf" in schema:
        parts = [
            _rule(part, f"{name}-{number}", rules) for number, part in enumerate(schema["anyOf"])
        ]
        return " | ".join(parts)
    if "const" in schema or "enum" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        return " | ".join(_literal(value) for value in values)
    kind = schema.get("type")
    if isinstance(kind, list):
        parts = [
            _rule({**schema, "type": each}, f"{name}-{number}", rules)
            for number, each in enumerate(kind)
        ]
        return " | ".join(parts)
    if kind == "object" and "properties" in schema:
        return _object(schema["properties"], name, rules)
    if kind == "array" and "items" in schema:
        item = _rule(schema["items"], f"{name}-item", rules)
        return f'"[" ws ({item} (ws "," ws {item})*)? ws "]"'
    if kind in _PRIMITIVES:
        rules[f"type-{kind}"] = _PRIMITIVES[kind]
        return f"type-{kind}"
    raise UnsupportedSchema(f"no grammar for {sorted(schema)}")


def _rule(schema: dict[str, Any], name: str, rules: dict[str, str]) -> str:
    """Add a rule for `schema`, and return its name."""
    rules[name] = _expression(schema, name, rules)
    return name


def _object(properties: dict[str, Any], name: str, rules: dict[str, str]) -> str:
    fields = []
    for number, (field, inner) in enumerate(properties.items()):
        value = _rule(inner, f"{name}-{number}", rules)
        fields.append(f'{_literal(field)} ws ":" ws {value}')
    return '"{" ws ' + ' ws "," ws '.join(fields) + ' ws "}"'


def _literal(value: object) -> str:
    """Return the JSON text of `value` as a literal of the grammar."""
    text = json.dumps(value, ensure_ascii=False).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
