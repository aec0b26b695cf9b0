"""Baselines of an evaluation: text classifiers that are trained, timed and compared with the model
on the same records.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest
from msgspec.structs import replace

from finops_cli import extras
from finops_cli.datasets.splits import content_key, first_in_split, split_of
from finops_cli.datasets.triage_examples import fails
from finops_cli.evaluation.aggregate import aggregate
from finops_cli.evaluation.baselines import (
    Baselines,
    baselines,
    eval_examples,
    sentences,
    train_examples,
)
from finops_cli.evaluation.outcomes import read_outcomes
from finops_cli.evaluation.reports.text_report import evaluation_text
from finops_cli.evaluation.verdict import BaselineComparison, compare_with_baselines, verdict
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from tests.support.evaluations import read_lines, run_evaluation
from tests.support.program import ROOT

pytestmark = pytest.mark.slow

TARGETS = {"priority_tier", "category"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, kb: KnowledgeBase) -> tuple[Path, Baselines]:
    """The engine's evaluation with baselines that learned from few rows."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("baselines") / "ev"
    run_evaluation(folder, kb, Engine(kb), rows=60)
    held_out = list(eval_examples(folder / "records.jsonl", read_outcomes(folder), kb))
    return folder, baselines(
        train_examples(7, 400, kb), held_out, folder, kb.evaluation, timed=True
    )


def test_baselines_metrics_agree_with_their_predictions(run: tuple[Path, Baselines]) -> None:
    """Three classifiers are trained for each target. Their metrics agree with the predictions in
    `baselines.jsonl`.
    """
    folder, ran = run
    assert {(each.name, each.target) for each in ran.results} == {
        (name, target)
        for name in ("logistic regression", "random forest", "linear SVC")
        for target in TARGETS
    }
    written = read_lines(folder / "baselines.jsonl")
    for each in ran.results:
        pairs = Counter(
            (line["expected"][each.target], line["said"][each.target][each.name])
            for line in written
        )
        assert each.classified.right.count == sum(n for (e, s), n in pairs.items() if e == s)
        assert {
            (e, s): n for e, row in each.classified.confusion.items() for s, n in row.items()
        } == pairs
        for name, measures in each.classified.classes.items():
            assert measures.recall.of == sum(n for (e, _), n in pairs.items() if e == name)
            assert measures.precision.of == sum(n for (_, s), n in pairs.items() if s == name)
        assert each.p50_ms is not None
        assert each.p50_ms > 0
    assert sum(each.training_cpu_ms or 0 for each in ran.results) < 30_000


def test_report_shows_the_times_of_engine_and_baselines(
    run: tuple[Path, Baselines], tmp_path: Path, kb: KnowledgeBase
) -> None:
    """The text report shows the times of the engine and of each baseline, and omits them where
    nothing was timed.
    """
    evaluation = replace(run_evaluation(tmp_path / "ev", kb, Engine(kb), rows=5), baselines=run[1])
    assert evaluation.engine is not None
    rows = evaluation_text(evaluation, kb.evaluation).splitlines()
    assert (
        f"engine ms          p50 {evaluation.engine.p50_ms}  p95 {evaluation.engine.p95_ms}" in rows
    )
    for each in run[1].results:
        place = next(
            place for place, row in enumerate(rows) if row.endswith(f"{each.target}: {each.name}")
        )
        assert rows[place + 1].endswith(f"); {each.p50_ms} ms")
        assert len(rows[place + 1]) <= 80
    untimed = replace(run[1], results=[replace(each, p50_ms=None) for each in run[1].results])
    assert (
        " ms"
        not in evaluation_text(
            replace(evaluation, baselines=untimed, engine=None), kb.evaluation
        ).partition("baselines")[2]
    )


def test_baselines_learn_category_and_tier(run: tuple[Path, Baselines]) -> None:
    """On held-out records the best baselines are well above chance for the category and for the
    tier.
    """
    best = {
        target: max(each.classified.right.count for each in run[1].results if each.target == target)
        for target in TARGETS
    }
    assert best["category"] > 54
    assert best["priority_tier"] > 20


def test_baselines_train_only_on_the_train_split(kb: KnowledgeBase) -> None:
    """No training example of a baseline has content of the evaluation split."""
    every = kb.datasets.eval_every
    names = {example.name for example in islice(train_examples(7, 50, kb), 50)}
    assert len(names) == 50
    train = [
        first_in_split(fails(i, 7, kb, "coverage"), i, every)
        for i in range(70)
        if i % every != every - 1
    ]
    assert names <= {content_key(fail).hex()[:16] for fail in train}
    assert {split_of(content_key(fail), every) for fail in train} == {"train"}


def comparison_of(
    target: str, model: int, baseline: int, model_only: int, baseline_only: int, p: str
) -> BaselineComparison:
    return BaselineComparison(
        target=target,
        baseline="linear SVC",
        records=100,
        model_right=model,
        baseline_right=baseline,
        model_only=model_only,
        baseline_only=baseline_only,
        p=Decimal(p),
    )


@pytest.mark.parametrize(
    ("tier", "category", "earned", "message"),
    [
        (
            comparison_of("priority_tier", 95, 60, 36, 1, "0.000001"),
            comparison_of("category", 100, 100, 0, 0, "1"),
            True,
            "is worth its cost",
        ),
        (
            comparison_of("priority_tier", 61, 60, 6, 5, "1"),
            comparison_of("category", 100, 100, 0, 0, "1"),
            False,
            "not significantly better",
        ),
        (
            comparison_of("priority_tier", 95, 60, 36, 1, "0.000001"),
            comparison_of("category", 80, 100, 0, 20, "0.000002"),
            False,
            "is significantly better on category",
        ),
    ],
)
def test_verdict_needs_one_better_and_no_worse_target(
    tmp_path: Path,
    tier: BaselineComparison,
    category: BaselineComparison,
    earned: bool,
    message: str,
    kb: KnowledgeBase,
) -> None:
    """A model earns its place if it is significantly better for one target and significantly worse
    for none.
    """
    f = run_evaluation(tmp_path / "ev", kb, Engine(kb), rows=5).metrics
    assert f is not None
    found = verdict("small", f, [tier, category], Baselines(400, []), False, kb.evaluation)
    assert found.earned is earned
    assert message in found.sentence


def test_comparison_uses_the_best_baseline_and_same_records(
    run: tuple[Path, Baselines], kb: KnowledgeBase
) -> None:
    """The engine is compared with the best baseline of each target, on the records in
    `baselines.jsonl`.
    """
    folder, ran = run
    for comparison in compare_with_baselines(read_outcomes(folder), folder):
        best = max(
            each.classified.right.count for each in ran.results if each.target == comparison.target
        )
        assert (
            comparison.records,
            comparison.model_right,
            comparison.baseline_right,
            comparison.model_only,
        ) == (
            60,
            60,
            best,
            60 - best,
        )
    metrics = aggregate(read_outcomes(folder), kb.evaluation)
    assert verdict("engine", metrics, [], ran, True, kb.evaluation).earned is None


def test_baselines_of_sentiment_predict_the_label(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The baselines of the sentiment stage predict the label from the text, and without timing they
    have no times.
    """
    pytest.importorskip("sklearn")
    held_out = list(sentences("eval", 7, 60))
    ran = baselines(sentences("train", 7, 300), held_out, tmp_path, kb.evaluation, timed=False)
    assert {each.target for each in ran.results} == {"label"}
    assert all(each.classified.right.of == 60 for each in ran.results)
    assert all(each.training_cpu_ms is None for each in ran.results)


def test_baseline_settings_in_kb_take_effect(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The iterations, the leaf size and the timed rows of the baselines come from the knowledge
    base.
    """
    exceptions = pytest.importorskip("sklearn.exceptions")
    own = kb.evaluation
    own = replace(
        own,
        baselines={**own.baselines, "iterations": 1, "leaf": 10_000},
        rows={**own.rows, "timed": 1},
    )
    with pytest.warns(exceptions.ConvergenceWarning) as warned:
        ran = baselines(
            sentences("train", 7, 300), list(sentences("eval", 7, 60)), tmp_path, own, timed=True
        )
    assert {str(warning.message).split()[0] for warning in warned} == {"lbfgs", "Liblinear"}
    forest = next(each for each in ran.results if each.name == "random forest")
    assert len({said for row in forest.classified.confusion.values() for said in row}) == 1
    assert all(each.p50_ms == each.p95_ms for each in ran.results)


WITHOUT = "import sys; sys.modules['sklearn'] = None; from finops_cli.cli import main; main()"


def test_evaluate_without_scikit_learn_names_the_fix(tmp_path: Path) -> None:
    """Without scikit-learn an evaluation continues without baselines and names the fix. The
    sentiment stage needs it and exits with 3.
    """
    command = [
        sys.executable,
        "-c",
        WITHOUT,
        "evaluate",
        "-n",
        "3",
        "-o",
        str(tmp_path / "ev"),
        "--json",
        "--stage",
    ]
    done = subprocess.run(
        [*command, "triage", "--backend", "engine"], capture_output=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "scikit-learn is missing" in json.loads(done.stdout)["baselines"]["not_run"]
    assert extras.cure("evaluate") in done.stderr.decode()
    assert "were not run" in (tmp_path / "ev/report.html").read_text()
    done = subprocess.run([*command, "sentiment"], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 3
    assert f"fix: {extras.cure('evaluate')}\n" in done.stderr.decode()
