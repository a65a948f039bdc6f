"""How honest error bars are: spread over error and CRPS against lead time, histogram of ranks, reliability."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data_pipeline.errors import EmptyDataError
from data_pipeline.figures.style import LABEL_SIZE, PALETTE, TICK_SIZE, TITLE_SIZE, dress_curves, save
from dino.evaluation.report import DISTRIBUTION_LABELS, display_units, method_label

from .curves import draw_method

AIM = (0.9, 1.1)
SHADE = "#009E73"


def plot_spread(
    rows: Sequence[Mapping[str, Any]],
    distributions: Mapping[str, Mapping[str, Sequence]],
    channel: str,
    path: str | Path,
    *,
    title: str | None = None,
) -> Path:
    """Four panels for one channel; a method is drawn where it gives a distribution.

    rows: score rows with crps and spread_skill_ratio; distributions: method -> histogram (lead, bin) and the curves
    forecast, observed and share (lead, class) of a report. Raises EmptyDataError without such rows.
    """
    chosen = [row for row in rows if row["channel"] == channel and row.get("crps") is not None]
    if not chosen:
        raise EmptyDataError(f"there are no scores of the spread of {channel} to plot; evaluate with its spread")
    methods = list(dict.fromkeys(row["method"] for row in chosen))
    figure = Figure(figsize=(9.6, 6.9), layout="constrained")
    (ratio, crps), (ranks, curve) = figure.subplots(2, 2)
    factor, label = display_units(chosen[0]["units"])
    for number, method in enumerate(methods):
        mine = sorted((row for row in chosen if row["method"] == method), key=lambda row: row["lead_days"])
        draw_method(ratio, method, number, _points(mine, "spread_skill_ratio", 1.0))
        draw_method(crps, method, number, _points(mine, "crps", factor))
    ratio.axhspan(*AIM, color=SHADE, alpha=0.1, linewidth=0, zorder=0)
    ratio.axhline(1.0, color="0.4", linewidth=0.8, zorder=1)
    dress_curves(ratio, "lead time [days]", "spread / error")
    dress_curves(crps, "lead time [days]", f"CRPS of {channel} [{label}]")
    crps.set_ylim(bottom=0.0)
    leads = list(dict.fromkeys(row["lead_days"] for row in rows if row["channel"] == channel))
    _draw_ranks(ranks, _array(distributions["dino"]["histogram"]), leads)
    for number, method in enumerate(methods):
        points = _pooled(*(_array(distributions[method][part]) for part in ("forecast", "observed", "share")))
        draw_method(curve, method, number, points)
    curve.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, zorder=1)
    dress_curves(curve, "forecast probability of an anomaly beyond one std", "observed frequency")
    handles, labels = ratio.get_legend_handles_labels()
    named = {method_label(method): text for method, text in DISTRIBUTION_LABELS.items()}
    labels = [named.get(str(text), str(text)) for text in labels]
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=LABEL_SIZE, frameon=False)
    if title:
        figure.suptitle(title, fontsize=TITLE_SIZE)
    return save(figure, path)


def _points(rows: Sequence[Mapping[str, Any]], name: str, factor: float) -> list[tuple[float, float]]:
    return [(row["lead_days"], factor * row[name]) for row in rows if row[name] is not None]


def _draw_ranks(axis: Axes, histogram: NDArray[np.float64], leads: Sequence[float]) -> None:
    """Histograms of DINo's probability integral transform at the shortest, a middle and the longest lead."""
    edges = np.linspace(0.0, 1.0, histogram.shape[1] + 1)
    for number, lead in enumerate(sorted({0, len(leads) // 2, len(leads) - 1})):
        colour = PALETTE[number]
        axis.stairs(histogram[lead], edges, color=colour, linewidth=1.6, label=f"{leads[lead]:g} d")
    axis.axhline(1.0, color="0.4", linewidth=0.8, zorder=1)
    axis.set_ylim(0.0, max(2.0, 1.1 * float(np.nanmax(histogram, initial=1.0))))
    dress_curves(axis, "probability that DINo's forecast gave to less than the truth", "relative frequency")
    axis.legend(fontsize=TICK_SIZE, frameon=False, ncols=3)


def _pooled(
    forecast: NDArray[np.float64], observed: NDArray[np.float64], share: NDArray[np.float64]
) -> list[tuple[float, float]]:
    """A reliability curve over all leads, classes with a thousandth of the area at least."""
    weight = np.nan_to_num(share)
    total = weight.sum(axis=0)
    filled = total > 1e-3 * total.sum()
    x, y = ((weight * np.nan_to_num(part)).sum(axis=0)[filled] / total[filled] for part in (forecast, observed))
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _array(values: Sequence) -> NDArray[np.float64]:
    """Nested numbers with None where there is none."""
    return np.array(values, dtype=np.float64)
