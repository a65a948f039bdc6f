"""Longitude, latitude and time of a product, wherever and however it keeps them."""

from collections.abc import Mapping

import cf_xarray  # noqa: F401  (registers the .cf accessor)
import numpy as np
import xarray as xr

from data_pipeline.errors import SchemaError, UnitsError, UnknownProductError
from data_pipeline.layout.calendars import decode_numbers  # noqa: F401  (for tables of text)
from data_pipeline.layout.channels import match_channel
from data_pipeline.layout.degrees import CANONICAL, Role, degrees
from data_pipeline.products.times import is_readable

_NAMES = {
    "longitude": ("longitude", "lon", "nav_lon", "lon_rho", "longitudes"),
    "latitude": ("latitude", "lat", "nav_lat", "lat_rho", "latitudes"),
    "time": ("time", "time_counter", "time_centered", "ocean_time", "t"),
}
# Standard names along the axes of a rotated or projected grid: no places on the globe, whatever the variable is called.
_OF_A_GRID = ("grid_l", "projection_")
_REFERENCE = "forecast_reference_time"
_SWATH_DIMS = {"num_lines", "num_pixels", "scan", "scanline", "pixel", "rows", "columns"}


def has_positions(ds: xr.Dataset) -> bool:
    """Whether there is anything called, or described as, longitude and latitude."""
    return bool(_candidates(ds, "longitude") and _candidates(ds, "latitude"))


def find_positions(ds: xr.Dataset, where: str) -> tuple[xr.DataArray, xr.DataArray]:
    """(longitude, latitude) of equal standing: two 1-D axes, two columns of one dimension or two 2-D arrays.

    Of several pairs (1 Hz and 20 Hz, swath and nadir, cells and faces) the one that positions most channels. Raises
    UnknownProductError when there is no such pair.
    """
    pairs = [
        (longitude, latitude)
        for longitude in _candidates(ds, "longitude")
        for latitude in _candidates(ds, "latitude")
        if (longitude.ndim == latitude.ndim == 1) or (longitude.ndim == 2 and longitude.dims == latitude.dims)
    ]
    pairs = [(longitude, latitude) for longitude, latitude in pairs if longitude.name != latitude.name]
    pairs = [pair for pair in pairs if all(position.dtype.kind in "fiu" for position in pair)]
    if not pairs:
        names = ", ".join(map(str, list(ds.variables)[:12])) or "no variable"
        raise UnknownProductError(
            f"{where!r} has no longitude and latitude among {names}; name a file of a gridded, along-track or swath "
            "product"
        )
    return min(pairs, key=lambda pair: (-_channels_at(ds, *pair), pair[0].ndim, pair[0].size, pair[1].size))


_ROLES: tuple[Role, Role] = ("longitude", "latitude")


def in_degrees(ds: xr.Dataset, told: Mapping[str, str], where: str, notes: list[str]) -> xr.Dataset:
    """The dataset with its longitudes and latitudes in degrees east and north; notes tell what was converted.

    told: units of "longitude" and "latitude" that overrule the file's. What is in no angle stays as it is, for
    `require_degrees` to refuse when it is the position of something.
    """
    for role in _ROLES:
        for position in _candidates(ds, role):
            name, units = position.name, told.get(role, position.attrs.get("units", ""))
            if position.dtype.kind not in "fiu":
                continue
            try:
                values, note = degrees(position.variable.data, units, role, where)
            except UnitsError:
                if role in told:
                    raise
                continue
            if note or role in told:
                changed = (position.dims, values, {**position.attrs, "units": CANONICAL[role]})
                ds = ds.assign_coords({name: changed}) if name in ds.coords else ds.assign({name: changed})
                notes += [note] if note else []
    return ds


def require_degrees(longitude: xr.DataArray, latitude: xr.DataArray, where: str) -> None:
    """UnitsError when the positions that `in_degrees` left are in no angle."""
    for role, position in zip(_ROLES, (longitude, latitude), strict=True):
        degrees(position.variable[(0,) * position.ndim].data, position.attrs.get("units", ""), role, where)


def _channels_at(ds: xr.Dataset, longitude: xr.DataArray, latitude: xr.DataArray) -> int:
    """How many variables that look like channels lie at these positions."""
    dims = {*longitude.dims, *latitude.dims}
    count = 0
    for name, variable in ds.data_vars.items():
        if match_channel(str(name), str(variable.attrs.get("standard_name", ""))) is None:
            continue
        rest = [dim for dim in variable.dims if dim not in dims and variable.sizes[dim] > 1]
        count += dims <= set(variable.dims) and not (len(dims) == 1 and rest)
    return count


def is_points(ds: xr.Dataset, longitude: xr.DataArray, latitude: xr.DataArray) -> bool:
    """Whether positions are those of points: columns of a table, or pixels of a swath, each with a time of its own.

    Two-dimensional positions are a swath when their dimensions, a time along one of them or the file's attributes say
    so; pixels on two axes are points when the file has the time of each.
    """
    dims = [str(dim) for dim in dict.fromkeys((*longitude.dims, *latitude.dims))]
    if len(dims) == 1:
        return True
    own_times = [ds[name] for name in ("sst_dtime",) if name in ds.variables]
    if any(set(dims) <= set(map(str, time.dims)) for time in own_times):
        return True
    if longitude.ndim == 1:
        return False
    told = [str(ds.attrs.get(name, "")).lower() for name in ("cdm_data_type", "processing_level")]
    by_line = any(set(map(str, time.dims)) & set(dims) for time in _candidates(ds, "time"))
    return bool(_SWATH_DIMS & set(map(str.lower, dims))) or told[0] == "swath" or told[1].startswith("l2") or by_line


def find_time(ds: xr.Dataset, dims: tuple[str, ...]) -> xr.DataArray | None:
    """The time coordinate along some of `dims`, or a single time that stands for the file; readable ones first."""
    candidates = [
        time
        for time in _candidates(ds, "time")
        if time.size == 1 or (time.ndim and set(map(str, time.dims)) <= set(dims))
    ]
    found = min(
        candidates,
        key=lambda time: (_is_reference(time), not is_readable(time), not time.ndim, time.name != "time"),
        default=None,
    )
    if found is not None and _is_reference(found):
        _require_no_period(ds, str(found.name))
    return found


def _is_reference(time: xr.DataArray) -> bool:
    return time.attrs.get("standard_name") == _REFERENCE


def _require_no_period(ds: xr.Dataset, name: str) -> None:
    """SchemaError where the only time is when a forecast began, and a period says that it holds later."""
    for other, period in ds.variables.items():
        if period.attrs.get("standard_name") == "forecast_period" and (np.nan_to_num(period.values) != 0).any():
            raise SchemaError(
                f"its time {name!r} is when a forecast began, which holds {other!r} later; add a time that is their "
                "sum, with standard_name time"
            )


def _candidates(ds: xr.Dataset, role: str) -> list[xr.DataArray]:
    """Variables that are the coordinate `role`, by CF attributes first and by name second."""
    promoted = ds.set_coords([name for name, variable in ds.data_vars.items() if _claims(str(name), variable, role)])
    found = list(promoted.cf.coordinates.get(role, []))
    named = [name for name in map(str, promoted.coords) if _claims(name, promoted[name], role)]
    found += [name for name in named if name not in found]
    if role == "time":
        found += [name for name in promoted.cf.axes.get("T", []) if name not in found]
    # What is called another coordinate is not this one for its units alone.
    found = [name for name in found if not str(promoted[name].attrs.get("standard_name")).startswith(_OF_A_GRID)]
    called = {name: [known for known in _NAMES if _claims(name, promoted[name], known)] for name in found}
    return [promoted[name] for name in found if role in called[name] or not called[name]]


def _claims(name: str, variable: xr.DataArray, role: str) -> bool:
    """Whether a variable is called a coordinate, by its standard name or else by its name."""
    standard_name = variable.attrs.get("standard_name")
    return standard_name == role or (standard_name not in _NAMES and name.lower() in _NAMES[role])
