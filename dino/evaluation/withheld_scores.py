"""Scores of withheld observations as rows: RMSE, mu, sigma, effective resolution and coverage, by lead.

All methods are scored on the same points, those that every one of them predicts. Intervals are of an observed value:
the variance of the field plus that of the value's own error, as each method takes it to be.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text
from scipy.special import ndtri

from .covariance import positions_km
from .field_scores import Resolution, Segments, cut_segments, effective_resolution, mu_sigma
from .report import Row, display_units, method_label
from .withheld import Withheld

Array = NDArray[np.float64]

COVERED = 0.9
LABELS = {"mean": "mean of the assimilated"}
LENGTHS_DAYS = (60.0, 30.0, 20.0, 10.0, 5.0)  # of segments of series, the longest of which there are enough
SAME_PLACE_DEGREES = 1e-3


class Band(NamedTuple):
    """Points that are scored together: those of the window, or of leads from < lead <= until [days]."""

    name: str
    start: float
    until: float
    where: NDArray[np.bool_]


def bands(lead: Array, days_ahead: float) -> list[Band]:
    """The window, every day after it and, where these are several, all of them."""
    made = [Band("analysis", 0.0, 0.0, lead <= 0)]
    edges = np.append(np.arange(0.0, days_ahead - 1e-9), days_ahead)
    for low, high in pairwise(edges):
        made.append(Band("forecast", float(low), float(high), (lead > low) & (lead <= high)))
    if len(made) > 2:
        made.append(Band("all forecasts", 0.0, days_ahead, (lead > 0) & (lead <= days_ahead)))
    return [band for band in made if band.where.any()]


def withheld_rows(table: Withheld, channel: str, units: str, days_ahead: float) -> list[Row]:
    """One row for every band and method.

    rmse, bias, spread_over_error in `units` or none; mu and sigma with their `days`; lambda_x_km with `segments` of
    `segment_km` and what was found (`resolved`); lambda_t_days of withheld series at fixed places, None of tracks;
    coverage_90 : share of values inside their 90 % intervals.
    """
    return [row for band in bands(table.lead, days_ahead) for row in _rows(table, band, channel, units)]


def _rows(table: Withheld, band: Band, channel: str, units: str) -> Iterator[Row]:
    keep = np.flatnonzero(band.where & table.usable)
    truth, time = table.truth[keep], table.time[keep]
    tracks, series = _tracks(table, keep), _series(table, keep)
    for method in table.methods:
        made = table.columns[method][keep]
        row: Row = {
            "channel": channel, "method": method, "part": band.name, "lead_days": band.until, "from_days": band.start,
            "units": units, "points": len(keep),
        }  # fmt: skip
        if len(keep):
            error = made - truth
            score = mu_sigma(time, truth, made)
            row |= {"rmse": float(np.sqrt(np.mean(error**2))), "bias": float(error.mean())}
            row |= {"mu": _number(score.mu), "sigma": _number(score.sigma), "days": score.days}
            row |= _resolved(effective_resolution(tracks, truth, made))
            row |= {"lambda_t_days": _number(effective_resolution(series, truth, made).wavelength)}
            row |= _honesty(table, method, keep, error)
        yield row


def _resolved(found: Resolution) -> Row:
    return {
        "lambda_x_km": _number(found.wavelength),
        "resolved": found.verdict,
        "segments": found.segments,
        "segment_km": _number(found.length),
    }


def _honesty(table: Withheld, method: str, keep: NDArray[np.intp], error: Array) -> Row:
    """Coverage of 90 % intervals, and the spread over the error; None of a method without a spread."""
    if f"{method}_std" not in table.columns:
        return {"coverage_90": None, "spread_over_error": None}
    std = np.hypot(table.columns[f"{method}_std"][keep], table.columns[f"{method}_noise"][keep])
    inside = np.abs(error) <= ndtri(0.5 + COVERED / 2) * std
    power = float(np.mean(error**2))
    over = math.sqrt(float(np.mean(std**2)) / power) if power > 0 else math.nan
    return {"coverage_90": float(inside.mean()), "spread_over_error": _number(over)}


def _tracks(table: Withheld, keep: NDArray[np.intp]) -> Segments | None:
    """Segments of the withheld tracks, by the way along them [km]."""
    order = keep[np.lexsort((table.time[keep], table.line[keep]))]
    place = positions_km(table.longitude[order], table.latitude[order])
    way = np.zeros(len(order))
    way[1:] = np.cumsum(np.linalg.norm(np.diff(place, axis=0), axis=1))
    position = np.empty(len(table.truth))
    position[order] = way
    return cut_segments(table.line[keep], position[keep]) if len(keep) > 1 else None


def _series(table: Withheld, keep: NDArray[np.intp]) -> Segments | None:
    """Segments of withheld series at fixed places, by time [days]: moorings have them, tracks do not."""
    place = np.stack([table.longitude[keep], table.latitude[keep]], axis=1)
    _, number, count = np.unique(np.round(place / SAME_PLACE_DEGREES), axis=0, return_inverse=True, return_counts=True)
    if not (count >= 8).any():
        return None
    return cut_segments(number.ravel(), table.time[keep], LENGTHS_DAYS, fewest=1)


def withheld_tables(rows: list[Row]) -> Iterator[Table]:
    """A table for people: one for each band, methods as rows, the best of a column bold."""
    for part in dict.fromkeys((row["part"], row["from_days"], row["lead_days"]) for row in rows):
        chosen = [r for r in rows if (r["part"], r["from_days"], r["lead_days"]) == part and r["points"]]
        if chosen:
            yield _table(chosen)


def _table(rows: list[Row]) -> Table:
    first = rows[0]
    factor, label = display_units(first["units"])
    what = (
        "analysis"
        if first["part"] == "analysis"
        else f"forecast, {first['from_days']:g} to {first['lead_days']:g} days"
    )
    resolution = f", segments of {first['segment_km']:.0f} km" if first["segment_km"] else ""
    table = Table(title=Text(f"{first['channel']}: {what}, {first['points']} points{resolution}"), title_style="bold")
    table.add_column("method", no_wrap=True)
    columns = {
        f"RMSE [{label}]": ("rmse", factor, "{:.2f}", min), f"bias [{label}]": ("bias", factor, "{:+.2f}", None),
        "mu": ("mu", 1.0, "{:.3f}", max), "sigma": ("sigma", 1.0, "{:.3f}", None),
        "lambda_x [km]": ("lambda_x_km", 1.0, "{:.0f}", min), "in 90 % interval": ("coverage_90", 1.0, "{:.0%}", None),
    }  # fmt: skip
    if any(row["lambda_t_days"] for row in rows):
        columns["lambda_t [d]"] = ("lambda_t_days", 1.0, "{:.1f}", min)
    for title in columns:
        table.add_column(title, justify="right")
    best = {
        key: pick((r[key] for r in rows if r[key] is not None), default=None)
        for key, _, _, pick in columns.values()
        if pick is not None
    }
    for row in rows:
        cells = [Text(LABELS.get(row["method"], method_label(row["method"])))]
        for key, scale, pattern, _ in columns.values():
            cells.append(_cell(row, key, scale, pattern, best.get(key)))
        table.add_row(*cells)
    return table


def _cell(row: dict[str, Any], key: str, scale: float, pattern: str, best: float | None) -> Text:
    value = row[key]
    if value is None:
        # Waves as long as a segment are the longest that it can tell of.
        beyond = key == "lambda_x_km" and row["resolved"] == "nothing resolved"
        return Text(f"> {row['segment_km']:.0f}" if beyond else "-", style="dim")
    return Text(pattern.format(scale * value), style="bold green" if value == best else "")


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
