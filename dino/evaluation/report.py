"""Scores as rows for machines (JSON) and as a table for people (rich)."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from data_pipeline.errors import MissingFileError, StoreError
from data_pipeline.system.atomic import writing_file
from dino.evaluation.scores import Scores

Row = dict[str, Any]

METHOD_LABELS = {
    "dino": "DINo",
    "persistence": "persistence",
    "half_trend": "half trend",
    "mean": "training mean",
    "lim": "linear inverse model",
    "optimal_interpolation": "optimal interpolation",
    "optimal_interpolation_persistence": "persisted optimal interpolation",
    "customary_interpolation": "customary interpolation",
    "dino_recentred": "DINo, recentred",
    "mean_field": "mean field of the model",
}

# What a method is called where its distribution is scored.
DISTRIBUTION_LABELS = {"persistence": "persistence ensemble", "mean": "climatological ensemble"}

# What the field is shown in, where it is not what it is stored in: sea level errors are spoken of in centimetres.
DISPLAY_UNITS = {"m": (100.0, "cm"), "degC": (1.0, "°C"), "m s-1": (100.0, "cm/s")}


def display_units(units: str) -> tuple[float, str]:
    """Factor and label that turn stored values into the units people read: metres into centimetres."""
    return DISPLAY_UNITS.get(units, (1.0, units))


def method_label(method: str) -> str:
    """Readable name of a method; unknown methods keep their own with spaces for underscores."""
    return METHOD_LABELS.get(method, method.replace("_", " "))


def score_rows(
    scores: Mapping[str, Scores], channels: Sequence[str], units: Sequence[str], leads: Sequence[float]
) -> list[Row]:
    """One row per method, channel and lead [days], from scores of shape (lead, channel); NaN becomes None."""
    return [
        {
            "channel": channel,
            "method": method,
            "lead_days": float(lead),
            "rmse": _number(score.rmse[i, j]),
            "bias": _number(score.bias[i, j]),
            "anomaly_correlation": _number(score.anomaly_correlation[i, j]),
            "area_mean_bias": _number(score.area_bias[i, j]),
            "area_mean_rmse": _number(score.area_rmse[i, j]),
            "units": units[j],
        }
        for method, score in scores.items()
        for j, channel in enumerate(channels)
        for i, lead in enumerate(leads)
    ]


def write_report(path: str | Path, rows: Sequence[Row], **metadata: Any) -> Path:
    """Write {"scores": rows, **metadata} as JSON; a reader sees the old file or the whole new one, never a part."""
    path = Path(path)
    text = json.dumps({"scores": list(rows), **metadata}, indent=2, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def read_report(path: str | Path) -> dict[str, Any]:
    """The content of a report; MissingFileError when it is absent, StoreError when it holds no scores."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path} is no file; write a report there first with dino evaluate --json")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise StoreError(f"{path} is not JSON ({error}); write it anew with dino evaluate --json") from error
    if not isinstance(report, dict) or not isinstance(report.get("scores"), list):
        raise StoreError(f'{path} holds no list "scores"; give a report written by dino evaluate --json')
    return report


def report_table(rows: Sequence[Row], channel: str, *, reference: str = "persistence") -> Table:
    """RMSE at every lead (rows) of every method (columns), the best bold, with its ratio to the reference method."""
    chosen = [row for row in rows if row["channel"] == channel]
    methods = _distinct(row["method"] for row in chosen)
    rmse = {(row["method"], row["lead_days"]): row["rmse"] for row in chosen}
    factor, label = display_units(chosen[0]["units"]) if chosen else (1.0, "")
    known = [value for value in rmse.values() if value]
    decimals = max(0, 1 - math.floor(math.log10(min(known) * factor))) if known else 2
    table = Table(title=Text(f"RMSE of {channel} [{label}], ratio to {method_label(reference)}"), title_style="bold")
    table.add_column("lead", no_wrap=True, justify="right")
    for method in methods:
        table.add_column(method_label(method), justify="right")
    for lead in _distinct(row["lead_days"] for row in chosen):
        values = [rmse.get((method, lead)) for method in methods]
        best = min((value for value in values if value is not None), default=None)
        cells = [
            _cell(
                None if value is None else f"{value * factor:.{decimals}f}",
                value == best,
                _ratio(value, rmse.get((reference, lead))),
            )
            for value in values
        ]
        table.add_row(f"{lead:g} d", *cells)
    return table


def area_mean_table(rows: Sequence[Row], channel: str) -> Table:
    """Bias of the area mean at every lead (rows) of every method (columns), and dimmed the RMSE of the area mean.

    The mean is kept here also where it is removed before other scores.
    """
    chosen = [row for row in rows if row["channel"] == channel and row.get("area_mean_bias") is not None]
    methods = _distinct(row["method"] for row in chosen)
    found = {(row["method"], row["lead_days"]): row for row in chosen}
    factor, label = display_units(chosen[0]["units"]) if chosen else (1.0, "")
    known = [row["area_mean_rmse"] for row in chosen if row["area_mean_rmse"]]
    decimals = max(0, 1 - math.floor(math.log10(min(known) * factor))) if known else 2
    table = Table(title=Text(f"Area mean of {channel} [{label}]: bias, RMSE"), title_style="bold")
    table.add_column("lead", no_wrap=True, justify="right")
    for method in methods:
        table.add_column(method_label(method), justify="right")
    for lead in _distinct(row["lead_days"] for row in chosen):
        cells = []
        for method in methods:
            row = found.get((method, lead))
            if row is None:
                cells.append(_cell(None, False, None))
                continue
            shown = Text(f"{row['area_mean_bias'] * factor:+.{decimals}f}")
            cells.append(shown.append(f" {row['area_mean_rmse'] * factor:.{decimals}f}", style="dim"))
        table.add_row(f"{lead:g} d", *cells)
    return table


def spread_table(rows: Sequence[Row], channel: str) -> Table:
    """CRPS at every lead of every method that gives a distribution, then how honest the spread of `dino` is."""
    chosen = [row for row in rows if row["channel"] == channel and row.get("crps") is not None]
    methods = _distinct(row["method"] for row in chosen)
    found = {(row["method"], row["lead_days"]): row for row in chosen}
    factor, label = display_units(chosen[0]["units"]) if chosen else (1.0, "")
    smallest = min((abs(row["crps"]) for row in chosen if row["crps"]), default=1.0) * factor
    decimals = max(0, 2 - math.floor(math.log10(smallest)))
    table = Table(title=Text(f"Spread of {channel}: CRPS [{label}], and DINo's error bars"), title_style="bold")
    table.add_column("lead", no_wrap=True, justify="right")
    for method in methods:
        table.add_column(f"CRPS, {DISTRIBUTION_LABELS.get(method, method_label(method))}", justify="right")
    for title in ("spread / error", "in 50 % interval", "in 90 % interval"):
        table.add_column(title, justify="right")
    for lead in _distinct(row["lead_days"] for row in chosen):
        scores = [found.get((method, lead), {}).get("crps") for method in methods]
        best = min((score for score in scores if score is not None), default=None)
        cells = [
            _cell(None if score is None else f"{score * factor:.{decimals}f}", score == best, None) for score in scores
        ]
        ours = found.get(("dino", lead), {})
        shown = [(ours.get("spread_skill_ratio"), "{:.2f}"), (ours.get("coverage_50"), "{:.0%}")]
        shown.append((ours.get("coverage_90"), "{:.0%}"))
        cells += [_cell(None if value is None else pattern.format(value), False, None) for value, pattern in shown]
        table.add_row(f"{lead:g} d", *cells)
    return table


def _cell(shown: str | None, best: bool, ratio: float | None) -> Text:
    if shown is None:
        return Text("-", style="dim")
    text = Text().append(shown, style="bold green" if best else "")
    return text if ratio is None else text.append(f" {ratio:.2f}", style="dim")


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
