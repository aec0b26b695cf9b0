"""Measure `finops sentiment` with the baseline: classification alone, and the whole command.

    python -m benchmarks.sentiment [TEXTS] [ROUNDS]

Classification is CPU of this process, for texts of about 60 characters that hold nothing to mask.
The commands are CPU (user + system) of a process of their own, start-up included, for TEXTS lines;
`reading the file` decodes each line as JSON. The least of the rounds counts.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path
from time import process_time

from benchmarks.pipeline import cpu_and_peak
from finops_cli.datasets.sentiment.examples import sentence
from finops_cli.datasets.sentiment.grammar import load_grammar
from finops_cli.domain import exact_json
from finops_cli.models.sentiment.baseline import BaselineClassifier

_SHORTEST, _LONGEST = 55, 65
_READ = """
import sys
from finops_cli.domain.exact_json import decode
with open(sys.argv[1], "rb") as file:
    for line in file:
        decode(line)
"""


def short_texts() -> list[str]:
    """Return generated texts of about 60 characters."""
    grammar = load_grammar()
    made = (sentence(number, 7, "test", grammar).text for number in range(10_000))
    return [text for text in made if _SHORTEST <= len(text) <= _LONGEST]


def texts_per_second(texts: list[str]) -> float:
    """Return the texts that one core labels in a second."""
    classifier = BaselineClassifier()
    started = process_time()
    for text in texts:
        classifier.classify(text)
    return len(texts) / (process_time() - started)


def main(count: int, rounds: int) -> None:
    short = short_texts()
    texts = list(islice(cycle(short), count))
    fastest = max(texts_per_second(texts) for _ in range(rounds))
    mean = sum(map(len, short)) / len(short)
    print(f"classification alone, {mean:.0f} characters: {fastest:,.0f} texts a second")
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "texts.jsonl"
        given.write_bytes(b"".join(exact_json.encode({"text": text}) + b"\n" for text in texts))
        command = [sys.executable, "-m", "finops_cli", "sentiment", str(given), "--quiet"]
        command += ["--backend", "baseline", "--overwrite", "-o", str(Path(folder) / "out.jsonl")]
        commands = {
            "reading the file": [sys.executable, "-c", _READ, str(given)],
            "sentiment --guard off": [*command, "--guard", "off"],
            "sentiment --guard require": command,
        }
        found = {
            name: min(cpu_and_peak(each) for _ in range(rounds)) for name, each in commands.items()
        }
    base = found["reading the file"][0]
    for name, (cpu, peak) in found.items():
        print(
            f"  {name:<28}{cpu:6.1f} s CPU  {1e6 * cpu / count:6.0f} us a text  {cpu / base:5.1f}"
            f" times  {peak:4.0f} MiB"
        )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 20_000,
        int(sys.argv[2]) if len(sys.argv) > 2 else 2,
    )
