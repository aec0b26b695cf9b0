"""Measure what `finops net` costs, as a ratio to `finops run` in the same go of this script.

    python -m benchmarks.net [ROUNDS]

All commands run as processes of their own; CPU is user + system, start-up included, and the least
of the rounds counts. The market has 1,000 legs against cash between 5 parties (seed 7). The ring
market has 2,000 legs of random size without any balance, in parts. `run` answers 20,000 fails.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from random import Random

from benchmarks.blotters import write_blotter
from benchmarks.pipeline import cpu_and_peak

SEED = 7
CUSIP = "594918104"
FINOPS = [sys.executable, "-m", "finops_cli"]


def write_market(legs: Path, balances: Path, size: int, parties: int, most: int, cash: int) -> None:
    """Write legs of up to `most` shares, against up to `cash` cents (0: free), and balances."""
    draw = Random(SEED)
    names = [f"DTC-{place:04d}" for place in range(1, parties + 1)]
    with legs.open("w") as file:
        for place in range(1, size + 1):
            giver, taker = draw.sample(names, 2)
            leg = {"id": f"o{place}", "from": giver, "to": taker, "asset": CUSIP}
            leg["qty"] = draw.randint(1, most)
            if cash:
                leg["cash"] = draw.randint(1, cash)
            file.write(json.dumps(leg) + "\n")
    with balances.open("w") as file:
        for party in names:
            for asset in (CUSIP, "CASH") if cash else ():
                held = {"party": party, "asset": asset, "qty": draw.randint(0, 100)}
                file.write(json.dumps(held) + "\n")


def read_answer(path: Path) -> str:
    """Return what settles, and how it is proved."""
    answer = json.loads(path.read_text())
    kind = (answer["proof"] or {"kind": "none"})["kind"]
    ties = ", ties open" if answer.get("ties_open") else ""
    return f"{answer['status']} {answer['count']:,} / {answer['value']:,}, proof {kind}{ties}"


def main(rounds: int) -> None:
    """Run all commands in turns, and print their CPU and ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fails, legs, held, large, none = (
            folder / each for each in ("fails", "legs", "held", "large", "none")
        )
        write_blotter(fails, 20_000, SEED)
        write_market(legs, held, 1_000, 5, 9, 100)
        write_market(large, none, 2_000, 40, 10**6, 0)
        market = [str(legs), "--balances", str(held), "-q", "--overwrite"]
        commands = {
            "run, 20,000 fails": ["run", str(fails), "-q", "--overwrite"],
            "net, 1,000 legs, value": ["net", *market],
            "net, 1,000 legs, count": ["net", *market, "--objective", "count"],
            "net, 2,000 legs in parts": ["net", str(large), "--mode", "partial", "-q"],
        }
        cpu: dict[str, list[float]] = {each: [] for each in commands}
        outputs = {each: folder / f"out-{place}" for place, each in enumerate(commands)}
        for _ in range(rounds):
            for each, command in commands.items():
                more = ["-o", str(outputs[each]), "--overwrite"]
                line = [*FINOPS, *(word for word in command if word != "--overwrite"), *more]
                cpu[each].append(cpu_and_peak(line)[0])
        checks = ["check", str(outputs["net, 1,000 legs, value"]), "--legs", str(legs)]
        checks += ["--balances", str(held), "-q", "-o", str(folder / "verdict"), "--overwrite"]
        cpu["check, 1,000 legs"] = [cpu_and_peak([*FINOPS, *checks])[0] for _ in range(rounds)]
        base = min(cpu["run, 20,000 fails"])
        for each, times in cpu.items():
            said = read_answer(outputs[each]) if each.startswith("net") else ""
            print(f"{each:<26} {min(times):6.2f} s CPU  {min(times) / base:5.2f} x run  {said}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
