"""SWOT over eleven moorings off California: the file as a record, screened, and with what all sites share removed.

Heights are in cm, arrays (pass, site), NaN where a site was not seen. The common signal c(t) of a pass is the mean over
the sites present of the value less the site's mean, so that a change of the sites present is no change of it; means of
sites are those of the training part, found together with c by least squares. Of a question about a hidden site, c is
that of the others, and so is the truth's.
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
    """What is known and asked, the common signal removed: seen, karin, truth (pass, site), mean (site,).

    seen : KaRIn heights that a forecast may take, those of a hidden site absent; karin : all of them; truth : steric
    heights; mean : of `karin` in the training part; asked : the sites whose forecasts are scored; until : the end of training
    """

    moorings: Moorings
    hidden: int | None
    seen: Array
    karin: Array
    truth: Array
    mean: Array
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
    moments = EPOCH + (table["time_karin"].to_numpy() * 1e9).astype("timedelta64[ns]")
    table = table.assign(day=days_since_epoch(moments))
    # A mooring that the training part does not know has no offset.
    table = table[table["mooring_id"].isin(table["mooring_id"][table["day"] < until])]
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
    train = moorings.before(until)
    karin = without_common(moorings.karin, site_means(moorings.karin[train]), hidden)
    steric = without_common(moorings.steric, site_means(moorings.steric[train]), hidden)
    # A mooring's own constant between the two, from the training part alone.
    offset = np.nanmean((steric - karin)[train], axis=0)
    seen = karin.copy()
    if hidden is not None:
        seen[:, hidden] = np.nan
    sites = range(len(moorings.names))
    asked = list(sites) if hidden is None else [hidden]
    return Question(moorings, hidden, seen, karin, steric - offset, np.nanmean(karin[train], axis=0), asked, until)


def without_common(values: Array, means: Array, hidden: int | None = None) -> Array:
    """Values (pass, site) less what the sites share in every pass."""
    others = np.ones(len(means), bool)
    if hidden is not None:
        others[hidden] = False
    return values - np.nanmean((values - means)[:, others], axis=1, keepdims=True)


def site_means(values: Array) -> Array:
    """(site,) means, together zero, of values (pass, site) that are a site's mean, a pass's and a rest."""
    means = np.nanmean(values, axis=0)
    for _ in range(200):
        means = np.nanmean(values - np.nanmean(values - means, axis=1, keepdims=True), axis=0)
        means -= means.mean()
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
