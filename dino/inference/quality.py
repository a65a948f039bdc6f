"""What became of the observations of an analysis: which were dropped, which count less, which sources are biased."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data.observations import Observations

Fingerprints = NDArray[np.uint64]


@dataclass(frozen=True)
class Quality:
    """Numbers of observations, by what became of them.

    used : assimilated; duplicates : dropped, being there twice; missing : without a value, a time or a position
    outside : at other times than those analysed, or in no chart of the model
    known : of an earlier update, left out; late : older than the state that was updated, left out
    down_weighted : of those used, by source, that count less because they lie beyond the bound
    biases : by source and channel, estimated constant offsets [the channel's units]
    """

    used: int = 0
    duplicates: int = 0
    outside: int = 0
    missing: int = 0
    known: int = 0
    late: int = 0
    down_weighted: Mapping[str, int] = field(default_factory=dict)
    biases: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """One line of numbers, and one of biases where there are any."""
        dropped = {
            "duplicate": self.duplicates,
            "outside": self.outside,
            "without value, time or place": self.missing,
            "known already": self.known,
            "late": self.late,
        }
        parts = [f"{self.used} observations used"]
        parts += [f"{number} {what}" for what, number in dropped.items() if number]
        if self.down_weighted:
            whose = ", ".join(f"{source} {number}" for source, number in self.down_weighted.items())
            parts.append(f"{sum(self.down_weighted.values())} down-weighted ({whose})")
        told = [
            f"{source} {channel} {value:+.3g}"
            for source, channels in self.biases.items()
            for channel, value in channels.items()
        ]
        return ["; ".join(parts)] + (["estimated biases: " + ", ".join(told)] if told else [])

    def attributes(self) -> dict[str, int | str]:
        """The same as attributes of a file; what is by source is JSON."""
        numbers = {
            f"observations_{name}": getattr(self, name)
            for name in ("used", "duplicates", "outside", "missing", "known", "late")
        }
        by_source = {
            "observations_down_weighted": json.dumps(dict(self.down_weighted)),
            "observation_biases": json.dumps({name: dict(channels) for name, channels in self.biases.items()}),
        }
        return numbers | by_source


def missing(dataset: xr.Dataset, kept: Observations) -> int:
    """How many points of a table have no value, time or position; cells of maps without a value are land."""
    return dataset.sizes["obs"] - len(kept) if "obs" in dataset.dims else 0


def fingerprints(observations: Observations) -> Fingerprints:
    """(n,) 64-bit digests of time, position and values; those of different observations differ but for chance.

    The source is left out: a pass that is delivered twice may come under two names.
    """
    columns = [observations.time, observations.longitude, observations.latitude, *observations.values.T]
    digest = np.zeros(len(observations), np.uint64)
    for column in columns:
        plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, one zero
        digest = _mixed(digest ^ _mixed(np.ascontiguousarray(plain, np.float64).view(np.uint64)))
    return digest


def _mixed(numbers: Fingerprints) -> Fingerprints:
    """A bijection of 64-bit numbers that spreads every bit over all of them (splitmix64, Steele et al. 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def without_duplicates(observations: Observations) -> tuple[Observations, Fingerprints]:
    """The first of every set of equal observations, in time order, with their fingerprints."""
    digests = fingerprints(observations)
    first = np.sort(np.unique(digests, return_index=True)[1])
    if len(first) == len(observations):
        return observations, digests
    return observations.select(first), digests[first]
