"""Writes the bundled rules as JSON, which is read in a twentieth of the time of TOML."""

from __future__ import annotations

import hashlib

from finops_cli.domain import exact_json
from finops_cli.kb.load import bundled_kb_dir, parse_rules


def render() -> str:
    """Return one line for each file: the digest of its text, and what the text holds."""
    texts = [file.read_bytes() for file in sorted(bundled_kb_dir().glob("*.toml"))]
    lines = [
        f'"{hashlib.sha256(text).hexdigest()}":{exact_json.encode(parse_rules(text)).decode()}'
        for text in texts
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"
