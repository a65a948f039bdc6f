"""Longitude, latitude and time of a product, wherever and however it keeps them."""

import re
from pathlib import Path

import cf_xarray  # noqa: F401  (registers the .cf accessor)
import numpy as np
import xarray as xr

from data_pipeline.errors import SchemaError, UnitsError, UnknownProductError
from data_pipeline.layout.channels import match_channel

_NAMES = {
    "longitude": ("longitude", "lon", "nav_lon", "lon_rho", "longitudes"),
    "latitude": ("latitude", "lat", "nav_lat", "lat_rho", "latitudes"),
    "time": ("time", "time_counter", "time_centered", "ocean_time", "t"),
}
_SWATH_DIMS = {"num_lines", "num_pixels", "scan", "scanline", "pixel", "rows", "columns"}
_DATE_PATTERNS = (
    r"y(\d{4})m(\d{2})d(\d{2})",
    r"(?<!\d)((?:19|20)\d{2})-(\d{2})-(\d{2})(?!\d)",
    r"(?<!\d)((?:19|20)\d{2})(\d{2})(\d{2})(?!\d)",
)
_TIME_ATTRS = ("time_coverage_start", "time_coverage_center", "start_date", "date")


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
    pairs = [pair for pair in pairs if all(position.dtype.kind in "fiu" for position in pair)]
    if not pairs:
        names = ", ".join(map(str, list(ds.variables)[:12])) or "no variable"
        raise UnknownProductError(
            f"{where!r} has no longitude and latitude among {names}; name a file of a gridded, along-track or swath "
            "product"
        )
    return min(pairs, key=lambda pair: (-_channels_at(ds, *pair), pair[0].ndim, pair[0].size, pair[1].size))


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
    """The time coordinate along some of `dims`, or a single time that stands for the file; decoded ones first."""
    candidates = [
        time
        for time in _candidates(ds, "time")
        if time.size == 1 or (time.ndim and set(map(str, time.dims)) <= set(dims))
    ]
    return min(candidates, key=lambda time: (not _is_decoded(time), not time.ndim, time.name != "time"), default=None)


def decode_time(time: xr.DataArray, time_units: str | None, where: str) -> np.ndarray:
    """Times as datetime64[ns]; UnitsError for numbers without units, SchemaError for dates outside the real
    calendar.
    """
    values = time.values.reshape(-1)
    if values.dtype.kind == "M":
        return values.astype("datetime64[ns]")
    if values.dtype.kind == "O":  # cftime: another calendar, of which the dates are kept as written
        try:
            return np.array([np.datetime64(value.isoformat()) for value in values], dtype="datetime64[ns]")
        except (AttributeError, ValueError) as error:
            raise SchemaError(
                f"{where!r} has dates of another calendar that do not exist ({error}); convert its calendar"
            ) from error
    return decode_numbers(values, time_units or str(time.attrs.get("units", "")), where)


def decode_numbers(values: np.ndarray, time_units: str, where: str) -> np.ndarray:
    """Numbers with CF units ("days since 1950-01-01") as datetime64[ns]; NaN becomes NaT."""
    if not time_units:
        raise UnitsError(
            f"the time of {where!r} is a number without units; say so, e.g. --time-units 'days since 1950-01-01'"
        )
    encoded = xr.Dataset({"time": ("time", np.asarray(values, dtype=np.float64), {"units": time_units})})
    try:
        return xr.decode_cf(encoded)["time"].values.astype("datetime64[ns]")
    except (ValueError, OverflowError) as error:
        raise UnitsError(
            f"times of {where!r} cannot be read as {time_units!r}; give --time-units 'days since 1950-01-01'"
        ) from error


def single_time(ds: xr.Dataset, path: Path, option: str | None) -> tuple[np.datetime64, str]:
    """(time, note) of a file without a time dimension: the option, an attribute or a date in the file name.

    Raises SchemaError when none of them gives one date.
    """
    if option is not None:
        return parse_time(option), f"time {option} as told by --time"
    for name in _TIME_ATTRS:
        text = str(ds.attrs.get(name, ""))
        if re.match(r"\d{4}-?\d{2}-?\d{2}", text):
            return parse_time(text), f"time {text} from attribute {name}"
    dates = {"-".join(match) for pattern in _DATE_PATTERNS for match in re.findall(pattern, path.name)}
    if len(dates) == 1:
        (text,) = dates
        return parse_time(text), f"time {text} from the file name"
    found = f"{len(dates)} dates in its name" if dates else "no date in its name"
    raise SchemaError(f"{path.name!r} has no time coordinate and {found}; say when it is, e.g. --time 2009-08-15")


def parse_time(text: str) -> np.datetime64:
    """A moment from ISO text, as UTC; SchemaError when it is none."""
    plain = re.sub(r"^(\d{4})(\d{2})(\d{2})", r"\1-\2-\3", text.strip().removesuffix("Z").removesuffix("+00:00"))
    try:
        return np.datetime64(plain).astype("datetime64[ns]")
    except ValueError as error:
        raise SchemaError(f"{text!r} is no time; give one like 2009-08-15 or 2009-08-15T12:00") from error


def _candidates(ds: xr.Dataset, role: str) -> list[xr.DataArray]:
    """Variables that are the coordinate `role`, by CF attributes first and by name second."""
    promoted = ds.set_coords([name for name, variable in ds.data_vars.items() if _claims(str(name), variable, role)])
    found = list(promoted.cf.coordinates.get(role, []))
    found += [name for name in map(str, promoted.coords) if name.lower() in _NAMES[role] and name not in found]
    if role == "time":
        found += [name for name in promoted.cf.axes.get("T", []) if name not in found]
    return [promoted[name] for name in found]


def _claims(name: str, variable: xr.DataArray, role: str) -> bool:
    return variable.attrs.get("standard_name") == role or name.lower() in _NAMES[role]


def _is_decoded(time: xr.DataArray) -> bool:
    return time.dtype.kind in "MO"
