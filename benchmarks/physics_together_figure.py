"""The figure of `physics_together`: the curves of a flow that nobody has seen, and how skill grows."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

CURVES = {
    "together": ("six systems known", "tab:blue", "o"),
    "few_terms_from_scratch": ("from scratch, few terms", "tab:green", "^"),
    "from_scratch": ("from scratch", "tab:red", "s"),
}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw what the results hold; means over seeds, with their range."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    _flow(axes[0], results.get("kolmogorov", {}))
    scaling = list(results.get("scaling", {}).values())
    _curve(axes[1], [each["environments"] for each in scaling], "short prompt, 10 % errors", "tab:blue")
    for name, colour in (("drift", "tab:blue"), ("eddies", "tab:orange")):
        _curve(axes[2], [each["trajectories"][name] for each in scaling], name, colour)
    for key, colour in (("error", "tab:blue"), ("floor", "tab:gray")):
        rows = [{n: both[key] for n, both in each["waves"].items()} for each in scaling]
        _curve(axes[3], rows, "forecast" if key == "error" else "waves alone", colour)
    labels = ("trajectories of Kolmogorov's flow", "environments learned from", "trajectories", "numbers of a code")
    for axis, label in zip(axes, labels, strict=True):
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.legend(frameon=False, fontsize=8)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("relative error")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _flow(axis: Axes, seeds: dict[str, Any]) -> None:
    for key, (label, colour, marker) in CURVES.items():
        rows = [
            {k: row[key] for k, row in each.items() if isinstance(row, dict) and key in row} for each in seeds.values()
        ]
        _curve(axis, rows, label, colour, marker)


def _curve(axis: Axes, rows: list[dict[str, float]], label: str, colour: str, marker: str = "o") -> None:
    if not rows:
        return
    numbers = np.array([float(number) for number in rows[0]])
    values = np.array([list(row.values()) for row in rows])
    axis.plot(numbers, values.mean(0), color=colour, marker=marker, markersize=4, label=label)
    if len(values) > 1:
        axis.fill_between(numbers, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
