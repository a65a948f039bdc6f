"""Maps of a field between two times, interpolated at points, read in blocks of bounded size."""

import numpy as np
import xarray as xr

FRAMES_BYTES = 64 * 2**20
MICROSECOND = np.timedelta64(1, "us")


class Frames:
    """Maps of the channels between two times, read in blocks of bounded size."""

    def __init__(self, fields: xr.Dataset):
        self.fields = fields
        self.channels = [str(name) for name in fields.data_vars]
        self.time = fields["time"].values.astype("datetime64[us]")
        size = sum(fields[name].isel(time=0).size * 4 for name in self.channels)
        self.block = max(2, FRAMES_BYTES // size)
        # First map and values (channel, map, cell) of a block: one thing, which threads replace whole.
        self.held = 0, np.empty((0, 0, 0), np.float32)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "held": (0, np.empty((0, 0, 0), np.float32))}

    def at(self, time: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Values (channel, point) at times (point,), of flat nodes and weights (point, k); NaN beside missing ones."""
        last = max(len(self.time) - 2, 0)
        lower = np.clip(np.searchsorted(self.time, time, side="right") - 1, 0, last)
        upper = np.minimum(lower + 1, len(self.time) - 1)
        span = np.maximum((self.time[upper] - self.time[lower]) / MICROSECOND, 1)
        later = np.clip((time - self.time[lower]) / MICROSECOND / span, 0, 1)[:, None]
        out = np.empty((len(self.channels), len(time)), np.float32)
        # The times of a day may span many maps: take them in runs that a block holds.
        for start in range(int(lower.min()), int(lower.max()) + 1, self.block - 1):
            rows = np.flatnonzero((lower >= start) & (lower < start + self.block - 1))
            if len(rows):
                first, values = self._maps(int(lower[rows].min()), int(upper[rows].max()))
                before = values[:, (lower[rows] - first)[:, None], nodes[rows]]
                after = values[:, (upper[rows] - first)[:, None], nodes[rows]]
                both = before + (after - before) * later[rows]
                out[:, rows] = (both * weights[rows]).sum(-1)
        return out

    def _maps(self, lowest: int, highest: int) -> tuple[int, np.ndarray]:
        """A block that holds maps lowest to highest: its first map, and values (channel, map, cell)."""
        first, values = self.held
        if not (first <= lowest and highest < first + values.shape[1]):
            block = self.fields.isel(time=slice(lowest, lowest + self.block))
            values = np.stack([block[n].values.reshape(block.sizes["time"], -1) for n in self.channels])
            first, self.held = lowest, (lowest, values)
        return first, values
