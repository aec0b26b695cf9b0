"""Draw the curves of a training run: the loss above, the answers below."""

from __future__ import annotations

from pathlib import Path

from finops_cli.domain.stage_names import StageName
from finops_cli.training.run_record import TrainingResult

_SIZE, _DPI = (9, 6), 110


def draw_curves(result: TrainingResult, stage: StageName, decided: str, path: Path) -> None:
    """Write a PNG with the loss (logarithmic) and the proportions of good answers, by step.

    Equal results give equal bytes with the same matplotlib, because the file has no date and no
    version.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    above.plot(
        [each.step for each in result.losses],
        [each.loss for each in result.losses],
        color="tab:gray",
        label="training rows",
    )
    steps = [each.step for each in result.evaluations]
    above.plot(
        steps,
        [each.loss for each in result.evaluations],
        color="tab:blue",
        marker="o",
        label="eval rows",
    )
    above.set_yscale("log")
    above.set_ylabel("loss (nats per token)")
    for name, label, style in (
        ("valid", "valid", "s-"),
        ("decided", f"same {decided}", "^-"),
        ("exact", "exact", "o--"),
    ):
        proportions = [100 * getattr(each, name) / each.asked for each in result.evaluations]
        below.plot(steps, proportions, style, label=label)
    asked = result.evaluations[-1].asked if result.evaluations else 0
    below.set_ylim(-3, 103)
    below.set_ylabel(f"% of {asked} answers")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.axvline(
            result.best_step,
            color="tab:green",
            linestyle=":",
            label=f"kept: step {result.best_step:,}",
        )
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(f"finops train: {stage}")
    figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})
