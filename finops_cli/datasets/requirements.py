"""The requirements that a dataset must meet, tested on its counts.

A requirement that needs more rows than the dataset has is not tested.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import product
from typing import get_args

from msgspec import Struct

from finops_cli.datasets.coverage import Counts, all_edges
from finops_cli.datasets.resolver_examples import SCENARIOS
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain.enums import RegShoStatus
from finops_cli.kb.rulebook import KnowledgeBase


class Requirement(Struct, frozen=True):
    """One requirement and its result."""

    name: str
    met: bool | None
    """None: the dataset is too small to test it."""
    detail: str
    """The counts that decided."""


_OFF_CENTRE = Decimal("0.25")
"""Tolerance for the average of the ages, in days."""
_POINT = Decimal(1)
"""Tolerance for a proportion, in percentage points."""
_SMALLEST, _MANY, _ALL_EDGES, _SCENARIOS = 100, 10_000, 5_000, 500
"""Number of rows from which a requirement can be tested."""


def split_requirement(
    counts: Mapping[str, Counter[str]], rows: int, kb: KnowledgeBase
) -> Requirement:
    """Require the same proportions of train and eval rows in every dataset."""
    every = kb.datasets.eval_every
    wanted = {"train": 100 - 100 // every, "eval": 100 // every}
    return _proportions("80/20 split", counts["split"], wanted, rows)


def by_dimension(counts: Counts) -> Mapping[str, Counter[str]]:
    """Group counts by dimension. A dimension that never occurs has no counts."""
    found = defaultdict[str, Counter[str]](Counter)
    for (dimension, value), count in counts.items():
        found[dimension][value] = count
    return found


def triage_requirements(
    counts: Mapping[str, Counter[str]], rows: int, profile: Profile, kb: KnowledgeBase
) -> Iterator[Requirement]:
    """Test the requirements of the triage set, in the order of the card."""
    s = kb.scoring
    yield _proportions("categories", counts["category"], kb.datasets.categories, rows)
    yield _all(
        "inventory modifiers",
        counts["inventory modifier"],
        {str(value) for value in s.inventory_modifier.values},
        rows,
        _SMALLEST,
    )
    yield _all(
        "concentration stacks, including the cap",
        counts["concentration stack"],
        _stacks(kb),
        rows,
        _SMALLEST,
    )
    yield from _participants(counts["counterparty"], rows, kb)
    n_a = {"DVP_FAIL", "B2B_PENDING"}
    yield _all(
        "DVP and B2B fails with direction N_A", counts["N_A direction"], n_a, rows, _SMALLEST
    )
    optional = {
        f"{name} {state}"
        for name in ("cns_position", "security_fail_rate_pct_adv", "notes")
        for state in ("absent", "given")
    }
    yield _all("optional fields given and absent", counts["optional"], optional, rows, _SMALLEST)
    if profile == "coverage":
        yield from _coverage_of_bands(counts, rows, kb)


def _coverage_of_bands(
    counts: Mapping[str, Counter[str]], rows: int, kb: KnowledgeBase
) -> Iterator[Requirement]:
    """Test the requirements that do not apply to the profile `market`."""
    s = kb.scoring
    ages, values = range(len(s.age_factor.values)), range(len(s.value_factor.values))
    combinations = {
        f"{a} {v} {state}" for a, v, state in product(ages, values, get_args(RegShoStatus))
    }
    yield _all(
        "age bands x value tiers x regulatory states",
        counts["age x value x state"],
        combinations,
        rows,
        _SMALLEST,
    )
    directions = {f"{d} {a} {v}" for d, a, v in product(("FTD", "FTR"), ages, values)}
    yield _all(
        "FTD and FTR over age bands x value tiers",
        counts["direction x age x value"],
        directions,
        rows,
        _ALL_EDGES,
    )
    yield _all("both sides of every boundary", counts["edge"], all_edges(kb), rows, _ALL_EDGES)


def _stacks(kb: KnowledgeBase) -> set[str]:
    names = tuple(kb.scoring.concentration)
    chosen = product((False, True), repeat=len(names))
    return {
        "+".join(name for name, on in zip(names, choice, strict=True) if on) or "none"
        for choice in chosen
    }


def _participants(counts: Counter[str], rows: int, kb: KnowledgeBase) -> Iterator[Requirement]:
    rules = kb.datasets.participants
    name = "participants: 15 take most, the others at most 3 uses each per 10,000"
    if rows < rules["per_examples"]:
        yield Requirement(name, None, f"needs {rules['per_examples']:,} rows")
        return
    common = counts.most_common(rules["high_volume"])
    pct = Decimal(100 * sum(count for _, count in common)) / rows
    allowed = rules["uses_each"] * -(-rows // rules["per_examples"])
    others = max((count for dtc, count in counts.items() if dtc not in dict(common)), default=0)
    expected = (
        Decimal(100)
        - Decimal(100 * (rules["highest_number"] - rules["high_volume"]) * rules["uses_each"])
        / rules["per_examples"]
    )
    met = abs(pct - expected) <= _POINT and others <= allowed
    yield Requirement(
        name, met, f"{pct:.2f} % for the {len(common)}, at most {others} uses of another"
    )


def resolver_requirements(
    counts: Mapping[str, Counter[str]], rows: int, profile: Profile, kb: KnowledgeBase
) -> Iterator[Requirement]:
    """Test the requirements of the resolver set, in the order of the card."""
    yield _proportions("complexity tiers", counts["ftr tier"], kb.datasets.ftr_counts, rows)
    few, least = counts["complex brokers"]["too few"], kb.datasets.ftr_tiers["complex_brokers"]
    yield Requirement(
        f"complex cases have {least} brokers or more", few == 0, f"{few:,} have fewer"
    )
    ages, rules = counts["ftr age"], kb.datasets.ftr_ages
    tail = sum(count for age, count in ages.items() if int(age) >= rules["tail_min_days"])
    yield _proportions(
        "FTR ages",
        Counter(tail=tail, normal=ages.total() - tail),
        {"tail": int(rules["tail"])},
        ages.total(),
        rows,
    )
    yield _ages(ages, kb)
    yield _all("all thirteen scenarios", counts["scenario"], set(SCENARIOS), rows, _SCENARIOS)
    longest = max((int(upper) for upper in counts["tokens up to"]), default=0)
    limit = kb.datasets.ftr_tiers["tokens"]
    detail = f"the longest has at most {longest:,} (estimate)"
    yield Requirement(f"prompt and answer fit into {limit:,} tokens", longest <= limit, detail)


def _ages(ages: Counter[str], kb: KnowledgeBase) -> Requirement:
    """Test the range of the ages, and the average of the normal ones."""
    rules = kb.datasets.ftr_ages
    outside = sum(
        count
        for age, count in ages.items()
        if not rules["normal_min_days"] <= int(age) <= rules["tail_max_days"]
    )
    normal = {
        int(age): count for age, count in ages.items() if int(age) <= rules["normal_max_days"]
    }
    centre = Decimal(sum(age * count for age, count in normal.items())) / max(
        1, sum(normal.values())
    )
    met = outside == 0 and abs(centre - rules["centre"]) < _OFF_CENTRE
    first, last = rules["normal_min_days"], rules["tail_max_days"]
    name = f"FTR ages T+{first} to T+{last} about T+{rules['centre']}"
    return Requirement(name, met, f"{outside:,} outside, centre {centre:.2f}")


def _all(name: str, found: Counter[str], wanted: set[str], rows: int, needs: int) -> Requirement:
    missing = sorted(wanted - set(found))
    if not missing:
        return Requirement(name, True, f"{len(wanted)} of {len(wanted)}")
    detail = f"{len(wanted) - len(missing)} of {len(wanted)}; missing {', '.join(missing[:5])}"
    return Requirement(name, False if rows >= needs else None, detail)


def _proportions(
    name: str, found: Counter[str], wanted: Mapping[str, int], total: int, rows: int | None = None
) -> Requirement:
    pcts = {key: Decimal(100 * found[key]) / total if total else Decimal(0) for key in wanted}
    detail = ", ".join(f"{key} {pct:.2f} % of {wanted[key]}" for key, pct in pcts.items())
    met = all(abs(pct - wanted[key]) <= _POINT for key, pct in pcts.items())
    return Requirement(name, met if met or (rows or total) >= _SMALLEST * 10 else None, detail)
