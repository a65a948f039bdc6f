"""Maps of a field store that are copies of the map before them, found from digests of the parts of each map."""

import hashlib
from collections.abc import Mapping

import numpy as np
import xarray as xr

from data_pipeline.layout.problems import Findings

Digests = dict[tuple[str, int, int, tuple[int, ...]], bytes]
"""Of a part of a map: (channel, trajectory, time, first row and column)."""


def digests_of(ds: xr.Dataset, columns: Mapping[str, np.ndarray], start: tuple[int, ...]) -> Digests:
    """Digests of the parts of maps that a block of channels holds; a part without a value has none."""
    found: Digests = {}
    for name, values in columns.items():
        if "time" not in ds[name].dims:
            continue
        whole = values if "trajectory" in ds[name].dims else values[None]
        first = start if "trajectory" in ds[name].dims else (0, *start)
        for trajectory, time in np.ndindex(whole.shape[:2]):
            part = np.ascontiguousarray(whole[trajectory, time])
            if np.isfinite(part).any():
                key = (name, first[0] + trajectory, first[1] + time, tuple(first[2:]))
                found[key] = hashlib.blake2b(part.tobytes(), digest_size=16).digest()
    return found


class MapDigests:
    """Digests of all parts of all maps of a store: some 100 bytes each."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, int, int], dict[tuple[int, ...], bytes]] = {}

    def add(self, digests: Digests) -> None:
        """Those of a block."""
        for (name, trajectory, time, corner), digest in digests.items():
            self._of.setdefault((name, trajectory, time), {})[corner] = digest

    def find_copies(self, ds: xr.Dataset, found: Findings) -> None:
        """Mark the maps whose every part is that of the map before, channel by channel.

        A channel that never changes has no copies: it is a field without time, which training refuses.
        """
        for name in dict.fromkeys(name for name, _, _ in self._of):
            rows = ds.sizes.get("trajectory", 1)
            same = np.zeros((rows, ds.sizes["time"]), bool)
            for trajectory, time in np.ndindex(same.shape):
                mine = self._of.get((name, trajectory, time))
                same[trajectory, time] = (
                    time > 0 and mine is not None and mine == self._of.get((name, trajectory, time - 1))
                )
            if same.shape[1] > 1 and same[:, 1:].all():
                continue
            times = np.broadcast_to(ds["time"].values, same.shape)
            what = "is a copy of the map before it"
            if "trajectory" in ds[name].dims:
                found.mark(f"channel {name}", what, same, times, ("trajectory", "time"))
            else:
                found.mark(f"channel {name}", what, same[0], times[0], ("time",))
