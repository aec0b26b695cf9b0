"""The picture of the architecture: the layers of import-linter's contract, and a record's way."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PURPOSES = {
    "cli": "defines the program",
    "commands": "one verb a file",
    "service": "HTTP API",
    "cluster": "several machines",
    "devtools": "a fake Ollama server",
    "letters": "letters as files",
    "views": "show dates to people",
    "audit": "verify the evidence of a run",
    "evaluation": "measure, compare, drift",
    "quantization": "merge, convert, quantize",
    "training": "train from a recipe",
    "datasets": "verified training data",
    "api": "the Python library",
    "checking": "check output files",
    "importers": "other formats to records",
    "doctor": "check the installation",
    "book": "plan the whole book at once",
    "net": "settle at the same time",
    "pipeline": "parse, answer, write, resume",
    "weights": "read and write weights",
    "monitoring": "speed, errors, health",
    "models": "engine, Ollama, llama.cpp",
    "verify": "compare answers with rules",
    "rules": "score, category, plan",
    "solvers": "networkx, CP-SAT",
    "guard": "mask personal data",
    "clock": "dates of the law",
    "extras": "optional packages",
    "kb": "rules as data",
    "files": "safe files, JSON Lines",
    "parallel": "processes and threads",
    "domain": "records and answers",
    "errors": "one tree of errors",
    "version": "one number",
}
"""A few words for each part of the package."""

_RECORD_PATH = {"commands", "pipeline", "guard", "models", "verify", "rules", "kb"}
_WIDTH, _ROW, _GAP, _LEFT = 960, 46, 8, 20


def render_picture() -> str:
    """Render `docs/images/layers.svg`: one row of boxes for each layer, the top layer first."""
    rows = _read_layers()
    rooms = {room for row in rows for room in row}
    if rooms != set(PURPOSES):
        raise SystemExit(f"layers.py: PURPOSES must have exactly {', '.join(sorted(rooms))}")
    height = 84 + len(rows) * (_ROW + _GAP)
    parts = [_HEAD.format(width=_WIDTH, height=height)]
    for number, row in enumerate(rows):
        parts += _render_row(row, 64 + number * (_ROW + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _read_layers() -> list[list[str]]:
    """Read the layers that exist; parts in brackets are still to come."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = [
        [room for room in layer.replace(" ", "").split("|") if not room.startswith("(")]
        for layer in layers
    ]
    return [row for row in rows if row]


def _render_row(row: list[str], top: int) -> list[str]:
    width = (_WIDTH - 2 * _LEFT - _GAP * (len(row) - 1)) / len(row)
    parts = []
    for place, room in enumerate(row):
        left = _LEFT + place * (width + _GAP)
        kind = "path" if room in _RECORD_PATH else "room"
        middle = left + width / 2
        parts += [
            _BOX.format(kind=kind, left=left, top=top, width=width, height=_ROW),
            f'<text class="name" x="{middle:.0f}" y="{top + 19}">{room}</text>',
            f'<text class="note" x="{middle:.0f}" y="{top + 36}">{PURPOSES[room]}</text>',
        ]
    return parts


_BOX = (
    '<rect class="{kind}" x="{left:.0f}" y="{top}" width="{width:.0f}" height="{height}" rx="6"/>'
)
_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
     aria-labelledby="title">
<title id="title">The layers of finops: each box imports boxes of lower rows only</title>
<style>
text {{ font-family: system-ui, sans-serif; text-anchor: middle; fill: #1f2933 }}
.name {{ font-size: 15px; font-weight: 600 }}
.note {{ font-size: 12px; fill: #3e4c59 }}
.head {{ font-size: 14px; text-anchor: start }}
.package {{ fill: #ffffff; stroke: #9aa5b1 }}
.path {{ fill: #cfe8fc; stroke: #2680c2 }}
</style>
<rect x="0.5" y="0.5" width="959" height="99.9%" rx="10" fill="#f5f7fa" stroke="#cbd2d9"/>
<text class="head" x="20" y="26">Each box imports boxes of lower rows only.</text>
<rect class="path" x="20" y="38" width="16" height="14" rx="3"/>
<text class="head" x="44" y="50">A record goes through these boxes.</text>"""
