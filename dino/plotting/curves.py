"""Curves: skill against lead time, losses against training step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_pipeline.errors import EmptyDataError
from data_pipeline.figures.style import LABEL_SIZE, PALETTE, TICK_SIZE, TITLE_SIZE, dress_curves, save
from dino.evaluation.report import display_units, method_label

# A method keeps its colour and marker in every figure, whichever others it is shown with.
METHOD_STYLES = {
    "dino": ("#D55E00", "o"),
    "persistence": ("#000000", "s"),
    "half_trend": ("#0072B2", "^"),
    "mean": ("#999999", "D"),
    "lim": ("#009E73", "v"),
    "optimal_interpolation": ("#CC79A7", "P"),
    "optimal_interpolation_persistence": ("#E69F00", "X"),
    "customary_interpolation": ("#56B4E9", "p"),
}

TRAIN_COLOUR, VALIDATION_COLOUR = "#56B4E9", "#D55E00"


def plot_skill(rows: Sequence[Mapping[str, Any]], path: str | Path, *, reference: str = "persistence") -> Path:
    """RMSE against lead time and its ratio to a reference method; one row of panels per channel.

    rows: score rows as in a report, with channel, method, lead_days, rmse and units.
    Raises EmptyDataError without rows.
    """
    channels = list(dict.fromkeys(row["channel"] for row in rows))
    if not channels:
        raise EmptyDataError("there are no scores to plot; evaluate at least one method at one lead time")
    figure = Figure(figsize=(9.6, 3.5 * len(channels) + 0.3), layout="constrained")
    axes = figure.subplots(len(channels), 2, squeeze=False)
    for (left, right), channel in zip(axes, channels, strict=True):
        chosen = [row for row in rows if row["channel"] == channel and row["rmse"] is not None]
        methods = list(dict.fromkeys(row["method"] for row in chosen))
        factor, label = display_units(chosen[0]["units"]) if chosen else (1.0, "")
        base = {row["lead_days"]: row["rmse"] for row in chosen if row["method"] == reference}
        shown: list[float] = []
        for number, method in enumerate(methods):
            points = sorted((row["lead_days"], row["rmse"]) for row in chosen if row["method"] == method)
            ratios = [(lead, rmse / base[lead]) for lead, rmse in points if base.get(lead)]
            draw_method(left, method, number, [(lead, factor * rmse) for lead, rmse in points])
            draw_method(right, method, number, ratios)
            shown += [ratio for _, ratio in ratios]
        dress_curves(left, "lead time [days]", f"RMSE of {channel} [{label}]")
        dress_curves(right, "lead time [days]", f"RMSE / RMSE of {method_label(reference)}")
        left.set_ylim(bottom=0.0)
        _dress_ratio(right, shown, method_label(reference))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=LABEL_SIZE, frameon=False)
    return save(figure, path)


def draw_method(axis: Axes, method: str, number: int, points: Sequence[tuple[float, float]]) -> None:
    """A curve of points (x, y) in the method's colour and marker, the model's own in front."""
    colour, marker = METHOD_STYLES.get(method, (PALETTE[number % len(PALETTE)], "h"))
    ours = method == "dino"
    axis.plot(
        *(zip(*points, strict=True) if points else ([], [])),
        color=colour,
        marker=marker,
        markersize=6 if ours else 4.5,
        linewidth=2.4 if ours else 1.4,
        zorder=3 if ours else 2,
        label=method_label(method),
    )


def _dress_ratio(axis: Axes, ratios: Sequence[float], reference: str) -> None:
    """Shade skill; methods far above the reference (the mean at short leads) are cut off to keep the rest legible."""
    axis.axhspan(0.0, 1.0, color="#009E73", alpha=0.07, linewidth=0, zorder=0)
    note = f"better than {reference}"
    axis.text(0.985, 0.03, note, transform=axis.transAxes, ha="right", fontsize=TICK_SIZE, color="#006B4F")
    low, high = min(ratios, default=1.0) - 0.1, max(ratios, default=1.0) + 0.05
    axis.set_ylim(max(0.0, min(low, 0.7)), min(max(high, 1.15), 1.6))


def plot_training(records: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Training and validation loss against step, one panel per stage in the order the stages ran.

    records: lines of metrics.jsonl with stage, step, train and validation, either of which may be missing or None. The
    smallest validation loss is marked. Records without a step or without any loss are passed over.
    Raises EmptyDataError when nothing is left.
    """
    curves = [r for r in records if r.get("stage") and r.get("step") is not None and _losses(r)]
    stages = list(dict.fromkeys(record["stage"] for record in curves))
    if not stages:
        raise EmptyDataError("there are no training records to plot; train for at least one step")
    figure = Figure(figsize=(4.8 * len(stages) + 0.2, 3.5), layout="constrained")
    for axis, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
        chosen = [record for record in curves if record["stage"] == stage]
        seen = [(r["step"], r["train"]) for r in chosen if r.get("train") is not None]
        if seen:
            steps, losses = zip(*seen, strict=True)
            axis.plot(steps, losses, color=TRAIN_COLOUR, linewidth=1.2, label="training")
        checked = [(r["step"], r["validation"]) for r in chosen if r.get("validation") is not None]
        if checked:
            steps, losses = zip(*checked, strict=True)
            axis.plot(steps, losses, color=VALIDATION_COLOUR, marker="o", markersize=3.5, label="validation")
            step, best = min(checked, key=lambda pair: pair[1])
            label = f"best {best:.3g} at step {step:,}"
            axis.plot(step, best, marker="*", markersize=13, color="black", linestyle="", label=label)
        if all(loss > 0 for record in chosen for loss in _losses(record)):
            axis.set_yscale("log")
        dress_curves(axis, "step", "loss")
        axis.set_title(f"{stage.replace('_', ' ')} stage", fontsize=TITLE_SIZE)
        axis.legend(fontsize=TICK_SIZE, frameon=False)
    return save(figure, path)


def _losses(record: Mapping[str, Any]) -> list[float]:
    """The losses that a record holds."""
    return [record[name] for name in ("train", "validation") if record.get(name) is not None]


def plot_sequences(scores: Mapping[str, Any], channels: Sequence[str], path: str | Path) -> Path:
    """Mean squared error against lead time on a logarithmic axis, a panel per channel, a curve per test.

    scores: name -> `SequenceScores`. The end of what training saw is marked. Raises EmptyDataError without scores.
    """
    if not scores:
        raise EmptyDataError("there are no scores to plot; score at least one test")
    figure = Figure(figsize=(5.4 * len(channels) + 0.2, 3.7), layout="constrained")
    for index, (axis, channel) in enumerate(
        zip(figure.subplots(1, len(channels), squeeze=False)[0], channels, strict=True)
    ):
        for number, (name, result) in enumerate(scores.items()):
            colour = PALETTE[number % len(PALETTE)]
            axis.plot(
                result.leads, result.by_frame[:, index], color=colour, linewidth=1.4, label=name.replace("_", " ")
            )
        first = next(iter(scores.values()))
        axis.axvline(first.trained_days, color="black", linewidth=0.8, linestyle=":")
        axis.set_yscale("log")
        dress_curves(axis, "lead time [days]", f"mean squared error of {channel}")
        axis.set_title(f"variance {first.variance[index]:.3g}; dotted: end of training frames", fontsize=TITLE_SIZE)
        axis.legend(fontsize=TICK_SIZE, frameon=False)
    return save(figure, path)
