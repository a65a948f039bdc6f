"""SWOT over eleven moorings off California: the file as a record, screened, and with what all sites share removed.

Heights are in cm, arrays (pass, site), NaN where a site was not seen. Of KaRIn and of steric height alike, a site's
mean of the training part is taken off, which removes its offset; then the mean over the sites present in a pass, which
is what they share. Of a question about a hidden site it is the mean of the others, in inputs and in truth.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dino.data.observations import days_since_epoch

FILE = "points/swot_karin_moorings_gliders_california_2023.csv"
EPOCH = np.datetime64("2023-01-01", "ns")
PASS_DAYS = 0.99349  # from a pass to the same one of the next day
LEADS = (1, 2, 3, 4, 5)  # such days
SPIKE, AROUND = 5.0, 6  # robust deviations; passes before and after whose median a value is compared with
FAR_MINUTES = 360.0  # between the profiles before and after a pass: beyond, its steric height is a guess
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moorings:
    """days : (pass,) since 1950; the others (pass, site); spikes : how many values of steric height were screened."""

    names: tuple[str, ...]
    days: Array
    longitude: Array
    latitude: Array
    karin: Array
    steric: Array
    spikes: dict[str, int]

    def before(self, day: float) -> NDArray[np.bool_]:
        """(pass,) the training part."""
        return self.days < day

    def later(self, start: int, lead: int) -> int | None:
        """The pass `lead` days of the orbit after another, if there is one."""
        found = int(np.argmin(np.abs(self.days - self.days[start] - lead * PASS_DAYS)))
        return found if abs(self.days[found] - self.days[start] - lead * PASS_DAYS) < 0.05 else None


@dataclass(frozen=True)
class Question:
    """What is known and asked, anomalies (pass, site) about the training part with the common signal removed.

    seen : KaRIn heights that a forecast may take, those of a hidden site absent; karin : all of them; truth : steric
    heights; asked : the sites whose forecasts are scored; until : the end of the training part
    """

    moorings: Moorings
    hidden: int | None
    seen: Array
    karin: Array
    truth: Array
    asked: list[int]
    until: float

    @property
    def training(self) -> NDArray[np.bool_]:
        """(pass,) the training part."""
        return self.moorings.before(self.until)


def read(path: Path, until: float) -> Moorings:
    """The moorings of the file, gliders apart; spikes are told by the training part's deviations, up to `until`."""
    table = pd.read_csv(path)
    table = table[~table["mooring_id"].str.startswith("ru")]
    moments = EPOCH + (np.asarray(table["time_karin"]) * 1e9).astype("timedelta64[ns]")
    table = table.assign(day=days_since_epoch(moments))
    # A mooring that the training part does not know has no offset.
    known = sorted(set(np.asarray(table["mooring_id"])[np.asarray(table["day"]) < until]))
    table = table[table["mooring_id"].isin(known)]
    held = {
        name: table.pivot(index="day", columns="mooring_id", values=name)
        for name in ("lon", "lat", "ssha_karin", "steric", "time_delta_left", "time_delta_right")
    }
    columns = {name: part.to_numpy(np.float64) for name, part in held.items()}
    days, names = held["steric"].index.to_numpy(np.float64), tuple(map(str, held["steric"].columns))
    far = columns["time_delta_right"] - columns["time_delta_left"] > FAR_MINUTES
    steric = np.where(far, np.nan, columns["steric"])
    spiky = _spikes(steric, days < until)
    told = {"far_from_a_profile": int(far.sum()), "spikes": int(spiky.sum()), "values": int(np.isfinite(steric).sum())}
    steric[spiky] = np.nan
    return Moorings(names, days, columns["lon"], columns["lat"], columns["ssha_karin"], steric, told)


def question(moorings: Moorings, until: float, hidden: int | None = None) -> Question:
    """Forecasts of all sites, or of one from the others alone."""
    karin, truth = (_without_common(height, moorings, until, hidden) for height in (moorings.karin, moorings.steric))
    seen = karin.copy()
    if hidden is not None:
        seen[:, hidden] = np.nan
    asked = list(range(len(moorings.names))) if hidden is None else [hidden]
    return Question(moorings, hidden, seen, karin, truth, asked, until)


def _without_common(height: Array, moorings: Moorings, until: float, hidden: int | None) -> Array:
    """Heights (pass, site) less their sites' means and less what the sites, but for a hidden one, share in a pass."""
    train, latitude = moorings.before(until), np.nanmean(moorings.latitude, axis=0)
    anomaly = height - _site_means(height[train], latitude)
    others = np.arange(height.shape[1]) != hidden
    return anomaly - np.nanmean(anomaly[:, others], axis=1, keepdims=True)


def _site_means(height: Array, latitude: Array) -> Array:
    """(site,) means of heights (pass, site) over all passes, those that a site missed made good by its neighbours.

    Of a site that was there for less than half of the passes it is the mean of what it differs by from the anomalies of
    the others, taken linearly between them along the line.
    """
    long = np.flatnonzero(np.isfinite(height).sum(0) >= 0.5 * len(height))
    long = long[np.argsort(latitude[long])]
    means, common = np.zeros(height.shape[1]), np.zeros((len(height), 1))
    for _ in range(200):
        means[long] = np.nanmean((height - common)[:, long], axis=0)
        means[long] -= means[long].mean()
        common = np.nanmean((height - means)[:, long], axis=1, keepdims=True)
    rest = height - means - common
    for site in np.setdiff1d(np.arange(len(means)), long):
        known = np.flatnonzero(np.isfinite(rest[:, site]) & np.isfinite(rest[:, long]).all(1))
        between = [np.interp(latitude[site], latitude[long], rest[row, long]) for row in known]
        means[site] = np.mean(rest[known, site] - between)
    return means


def _spikes(steric: Array, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(pass, site) values far from the median of their neighbours in time, beyond what all sites have in common."""
    departure = np.full(steric.shape, np.nan)
    for row in range(len(steric)):
        near = steric[max(0, row - AROUND) : row + AROUND + 1]
        known = np.isfinite(near).any(axis=0)
        departure[row, known] = steric[row, known] - np.nanmedian(near[:, known], axis=0)
    departure -= np.nanmedian(departure, axis=1, keepdims=True)
    scale = 1.4826 * np.nanmedian(np.abs(departure[train]))
    return np.abs(departure) > SPIKE * scale
