"""The numbers of a store: statistics and histograms of each channel, lazily and chunk by chunk."""

from typing import Any

import dask.array
import numpy as np
import xarray as xr

from data_pipeline.layout.checks import COMPANIONS, beside, channel_names
from data_pipeline.system.scheduler import computed

BINS = 60
ERROR_BINS = 25  # declared errors take few values, one for each distance from nadir


def statistics(ds: xr.Dataset) -> dict[str, dict[str, float]]:
    """Of each channel and of what stands beside it: coverage (fraction of values that are not missing), min, mean, max
    and std.
    """
    lazy = {}
    for name in described(ds):
        values = ds[name].astype(np.float64)
        lazy[name] = {
            "coverage": values.count() / values.size,
            "min": values.min(),
            "mean": values.mean(),
            "max": values.max(),
            "std": values.std(),
        }
    return {name: {key: float(value) for key, value in numbers.items()} for name, numbers in computed(lazy).items()}


def described(ds: xr.Dataset) -> list[str]:
    """Each channel, followed by what stands beside it."""
    names = channel_names(ds)
    if ds.attrs["dino_store"] != "observations":
        return names
    return [f"{name}{end}" for name in names for end in ("", *COMPANIONS) if f"{name}{end}" in ds]


def histograms(ds: xr.Dataset, numbers: dict[str, dict[str, float]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Counts (bin,) and edges (bin + 1,) of each channel and of its errors, over the range that `statistics` found.

    Where the truth is known, `<channel>_drawn` holds that of the value less the truth in units of the declared error.
    """
    lazy = {}
    for name in described(ds):
        low, high = numbers[name]["min"], numbers[name]["max"]
        if np.isfinite([low, high]).all() and (beside(name) or ("", ""))[1] != "_truth":
            # A single value has no range of its own: it is shown in the middle of a narrow one.
            size = max(abs(low), abs(high)) or 1.0
            margin = 1e-6 * size if high - low > 1e-4 * size else 0.1 * size
            lazy[name] = _histogram(ds[name], low - margin, high + margin, ERROR_BINS if beside(name) else BINS)
    for name in channel_names(ds):
        if f"{name}_truth" in ds and f"{name}_error" in ds:
            lazy[f"{name}_drawn"] = _histogram((ds[name] - ds[f"{name}_truth"]) / ds[f"{name}_error"], -5.0, 5.0, BINS)
    return computed(lazy)


def _histogram(values: xr.DataArray, low: float, high: float, bins: int) -> tuple[object, np.ndarray]:
    data = dask.array.asarray(values.astype(np.float64).data).ravel()
    histogram: Any = dask.array.histogram  # whose type dask leaves open
    counts, edges = histogram(data, bins=bins, range=(low, high))
    return counts, edges
