"""Where to forecast, and forecasts as CF datasets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.errors import StoreError
from data_pipeline.system.settings import refuse_existing
from data_pipeline.system.version import version

from ..data.observations import datetime_of
from ..errors import EmptyDataError, ObservationError
from ..model import ChannelSpec, LatentModel

TITLE = "dino forecast"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """Target points in a row, and how to lay results out again: dims with sizes, coordinates by name."""

    longitude: Array
    latitude: Array
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: dict[str, xr.DataArray | xr.Variable]


def target_points(at: xr.Dataset) -> Targets:
    """Points of a dataset: `longitude` and `latitude` sharing their dims, or as two 1-D axes of a grid.

    Raises `ObservationError` when either is absent, `EmptyDataError` when there is no point.
    """
    if "longitude" not in at.variables or "latitude" not in at.variables:
        raise ObservationError(
            f"the target holds {', '.join(map(str, at.variables)) or 'nothing'}; "
            "it needs longitude and latitude in degrees"
        )
    longitude, latitude = at["longitude"], at["latitude"]
    if longitude.dims == latitude.dims and longitude.dims not in ((), ("time",)):
        dims = tuple(map(str, longitude.dims))
        pair = longitude, latitude
    elif longitude.dims == latitude.dims:
        dims = ("point",)
        pair = tuple(xr.DataArray(np.atleast_1d(c.values), dims=dims) for c in (longitude, latitude))
    else:
        latitude, longitude = xr.broadcast(latitude, longitude)
        dims = tuple(map(str, latitude.dims))
        pair = longitude.transpose(*dims), latitude
    values = [np.asarray(c.values, np.float64).ravel() for c in pair]
    if not np.isfinite(values[0] + values[1]).any():
        raise EmptyDataError("the target holds no point with a longitude and a latitude; give at least one")
    if (np.abs(values[1][np.isfinite(values[1])]) > 90).any():
        raise ObservationError("target latitudes exceed 90 degrees; are longitude and latitude swapped?")
    coords: dict[str, xr.DataArray | xr.Variable] = {
        "longitude": at["longitude"] if at["longitude"].dims else pair[0],
        "latitude": at["latitude"] if at["latitude"].dims else pair[1],
    }
    if dims == ("point",):
        coords = dict(zip(("longitude", "latitude"), (p.variable for p in pair), strict=True))
        # What a list says of its places, such as their names.
        coords |= {
            str(name): held.variable
            for name, held in at.coords.items()
            if held.dims == ("point",) and name not in coords
        }
    return Targets(values[0], values[1], dims, tuple(pair[0].shape), coords)


def as_dataset(
    channels: Sequence[ChannelSpec], points: Targets, days: Array, start: float, mean: NDArray, spread: NDArray | None,
    told: Mapping[str, str] | None = None,
) -> xr.Dataset:  # fmt: skip
    """Arrays (time, point, channel) as a CF dataset over (time, *point dims); told : attributes, see `told_of`."""
    dims = ("time", *points.dims)
    shape = (len(days), *points.shape)
    variables = {}
    for index, channel in enumerate(channels):
        attributes = {"units": channel.units, "long_name": channel.long_name or channel.name}
        if channel.standard_name:
            attributes["standard_name"] = channel.standard_name
        variables[channel.name] = (dims, mean[..., index].reshape(shape), attributes)
        if spread is not None:
            error = {"units": channel.units, "long_name": f"standard deviation of the error of {channel.name}"}
            if channel.standard_name:
                error["standard_name"] = f"{channel.standard_name} standard_error"
            variables[f"{channel.name}_std"] = (dims, spread[..., index].reshape(shape), error)
    coords = {
        "time": ("time", datetime_of(days), {"standard_name": "time"}),
        "forecast_reference_time": ((), datetime_of(start), {"standard_name": "forecast_reference_time"}),
    }
    taken = {*variables, *coords, "time"}
    placed = {f"at_{name}" if name in taken else name: held for name, held in points.coords.items()}
    made = xr.Dataset(variables, {**coords, **placed})
    made["longitude"].attrs = {"standard_name": "longitude", "units": "degrees_east"}
    made["latitude"].attrs = {"standard_name": "latitude", "units": "degrees_north"}
    for name in list(made.coords):
        made[name].encoding.clear()
    made.attrs = {
        "Conventions": "CF-1.11",
        "title": TITLE,
        "source": "latent ODE of a neural field",
        **(told or {}),
    }
    return made


def told_of(latent: LatentModel) -> dict[str, str]:
    """Attributes of a forecast that name what it was made with: version, digest of the run's weights, credit."""
    told = {"dino_version": version(), "dino_weights_sha256": latent.origin, "credit": latent.spec.credit}
    return {name: text for name, text in told.items() if text}


def refuse_other(out: Path, overwrite: bool) -> None:
    """StoreError when what is at `out` may not be replaced by a forecast.

    Without `overwrite` that is anything. With it a NetCDF file replaces files alone, and a store nothing but an empty
    folder or a store of forecasts.
    """
    refuse_existing(out, overwrite)
    if not out.exists():
        return
    if not (out.is_file() if out.suffix == ".nc" else _is_forecast(out)):
        raise StoreError(f"{str(out)!r} is no store of forecasts and will not be replaced; choose another --out")


def _is_forecast(path: Path) -> bool:
    if not path.is_dir() or not any(path.iterdir()):
        return path.is_dir()
    try:
        return json.loads((path / "zarr.json").read_text())["attributes"]["title"] == TITLE
    except (OSError, ValueError, KeyError, TypeError):
        return False
