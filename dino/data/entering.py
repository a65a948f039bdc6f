"""What comes in through Python: datasets, places and times of any spelling, arranged as a store has them."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.layout.arrangement import are_places, is_arranged
from data_pipeline.layout.day_index import with_own_index
from data_pipeline.layout.moments import moment, moments

from ..errors import TimeError


def entered(dataset: xr.Dataset, channels: tuple[str, ...], units: tuple[str, ...] | None = None) -> xr.Dataset:
    """A dataset that comes in through Python, arranged as a store has it; see `data_pipeline.products.arranged`.

    Raises what that raises: `SchemaError` when none of the channels is there.
    """
    wanted = dict(zip(channels, units or [None] * len(channels), strict=True))
    if isinstance(dataset, xr.Dataset) and is_arranged(dataset, wanted):
        return with_own_index(dataset)
    from data_pipeline.products.arranged import arranged  # with what reads products, for which a store need not wait

    return arranged(dataset, wanted)


def entered_places(places: xr.Dataset) -> xr.Dataset:
    """Places to forecast with `longitude` and `latitude` in degrees; see `data_pipeline.products.arranged`."""
    if isinstance(places, xr.Dataset) and are_places(places):
        return places
    from data_pipeline.products.arranged import arranged_places

    return arranged_places(places)


def moments_of(times: Any) -> NDArray[np.datetime64]:
    """Moments (time,) of any spelling; `TimeError` where there is none, one is missing or they are no list."""
    if isinstance(times, xr.Dataset):
        raise TimeError("times is a Dataset; give the coordinate of it that is meant, e.g. dataset['time']")
    held = np.asarray(times)
    if held.dtype.kind in "iu":  # whole dates, as a configuration has them
        held = np.array([moment(value, "times") for value in held.reshape(-1)], "datetime64[ns]").reshape(held.shape)
    missing = np.ma.getmaskarray(times) if np.ma.isMaskedArray(times) else np.zeros(held.shape, bool)
    found = np.where(missing, np.datetime64("NaT", "ns"), moments(held, "times"))
    if found.ndim > 1 or not found.size or np.isnat(found).any():
        raise TimeError(
            f"times has shape {found.shape}, {np.count_nonzero(np.isnat(found))} of them missing; give a list of at "
            "least one time, e.g. ['2014-05-20']"
        )
    return np.atleast_1d(found)
