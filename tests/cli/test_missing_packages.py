"""An installation without extras: each command that needs one says how to install it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.program import EXAMPLES, ROOT

BLOCK = """
import sys
class Absent:
    names = {"numpy", "torch", "transformers", "trl", "peft", "datasets", "accelerate",
             "bitsandbytes", "matplotlib", "unsloth", "llama_cpp", "llguidance", "pyarrow",
             "presidio_analyzer", "sklearn", "openpyxl", "networkx", "ortools", "psycopg",
             "ray"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition(".")[0] in Absent.names else found(name, package))
sys.meta_path.insert(0, Absent())
sys.argv = ["finops", *sys.argv[1:]]
from finops_cli.cli import main
main()
"""
"""Runs finops as if only the packages that it always needs were installed."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        ("quantize --stage triage --base {tmp} --no-check --type f16 -o {tmp}", "numpy"),
        ("quantize --stage triage --base {tmp} --no-check -o {tmp}", "numpy"),
        ("quantize --stage triage --gguf {gguf} --eval {tmp}/e.jsonl -o {tmp}", "numpy"),
        ("generate -n 10 --parquet -o {tmp}/d", "pyarrow"),
        ("run {fails} --backend llama-cpp --triage-gguf {gguf} --resolver-gguf {gguf}", "llama"),
        ("evaluate --stage sentiment -o {tmp}/e", "scikit-learn"),
        ("train --stage triage -o {tmp}/t", "torch"),
        ("list examples/monday.expected.jsonl -o {tmp}/list.xlsx", "openpyxl"),
        ("run {book} --accept", "openpyxl"),
        ("run {fails} -o {tmp}/out.parquet", "pyarrow"),
        ("run {fails} -o {tmp}/out.jsonl.zst", "pyarrow"),
        ("check examples/monday.expected.jsonl -o {tmp}/out.parquet", "pyarrow"),
        ("run {parquet}", "pyarrow"),
        ("list {parquet}", "pyarrow"),
        ("book {fails} -o {tmp}/plans.jsonl", "networkx"),
        ("serve --data {tmp}/d --guard off --store postgresql://h/d", "--store needs psycopg"),
        ("run {fails} --executor ray -o {tmp}/out.jsonl", "ray[data]>=2.60"),
        ("evaluate --stage triage --executor ray -n 4 -o {tmp}/e", "ray[data]>=2.60"),
    ],
)
def test_command_without_its_package_names_the_package(
    arguments: str, package: str, tmp_path: Path
) -> None:
    """Rule: exit status 3, a message that names the package and a cure that installs it."""
    book = tmp_path / "fails.xlsx"
    with zipfile.ZipFile(book, "w") as archive:
        for part in ("[Content_Types].xml", "xl/workbook.xml"):
            archive.writestr(part, "")
    parquet = tmp_path / "fails.parquet"
    parquet.write_bytes(b"PAR1")
    given = arguments.format(
        parquet=parquet,
        tmp=tmp_path,
        book=book,
        fails=EXAMPLES / "monday.jsonl",
        gguf=ROOT / "bundled_models" / "tiny-triage.gguf",
    )
    done = subprocess.run(
        [sys.executable, "-c", BLOCK, *given.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert package in done.stderr
    assert "-m pip install" in done.stderr.partition("fix: ")[2]
