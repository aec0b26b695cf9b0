"""Read a file of fails line by line, and write the CRITICAL fails as CSV.

python write_critical_fails.py FAILS.jsonl > critical.csv
"""

import csv
import sys
from pathlib import Path

import finops_cli as finops


def report(number: int, error: finops.InvalidRecord) -> None:
    print(f"line {number}: {error}", file=sys.stderr)


if len(sys.argv) != 2:
    sys.exit("usage: python write_critical_fails.py FAILS.jsonl > critical.csv")
output = csv.writer(sys.stdout, lineterminator="\n")
output.writerow(["fail_id", "cusip", "score", "action", "deadline"])
with Path(sys.argv[1]).open("rb") as lines:
    for result in finops.run_records(lines, on_invalid=report):
        answer = result.triage
        if answer.priority_tier == "CRITICAL":
            fail = result.record
            output.writerow(
                [fail.fail_id, fail.cusip, answer.priority_score, answer.action, answer.deadline]
            )
