"""A dataset from any hand, arranged as a store has it: names, units, the order of axes, moments.

What enters through Python obeys what ingestion obeys, by the same tables: a variable is found by its name or its
standard name, converted by its units, longitudes and latitudes by theirs; axes may lie in any order and run in any
direction. Nothing is screened and no value is read.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.errors import SchemaError, UnitsError
from data_pipeline.layout.arrangement import POSITIONS, are_places, is_arranged, units_of
from data_pipeline.layout.channels import CHANNELS, match_channel, unit_conversion
from data_pipeline.layout.checks import COMPANIONS
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.layout.day_index import with_own_index
from data_pipeline.layout.degrees import CANONICAL, Role, degrees
from data_pipeline.layout.globe import wrap_longitude
from data_pipeline.layout.moments import moments
from data_pipeline.layout.relations import lacking


def arranged(given: Any, channels: Mapping[str, str | None], where: str = "the dataset") -> xr.Dataset:
    """Maps in field layout, or points in observation layout (dim `obs`), of whatever xarray holds.

    channels : names that are wanted, with their units; None for those that the registry has. What else the dataset
    holds is left out, and a channel that it lacks is missing from the result, if it has another. A dataset that is
    arranged already is returned as it is, but for a day index that is not that of its rows. Raises SchemaError,
    UnknownProductError, UnitsError and TimeError for what cannot be told.
    """
    if isinstance(given, xr.DataArray):
        given = given.to_dataset(name=given.name or next(iter(channels)))
    if not isinstance(given, xr.Dataset):
        raise SchemaError(f"{where} is a {type(given).__name__}; give an xarray Dataset of maps or points")
    if is_arranged(given, channels):
        return with_own_index(given)
    if "trajectory" in given.dims:
        raise SchemaError(f"{where} holds several trajectories; choose one with .isel(trajectory=0)")
    found = {name: variable for name in channels if (variable := _variable(given, name, where)) is not None}
    if not found:
        raise SchemaError(lacking(where, _held(given), channels, channels))
    longitude, latitude = _positions(given, where)
    dims = tuple(dict.fromkeys(map(str, (*latitude.dims, *longitude.dims))))
    if longitude.ndim == 0 or _are_points(given, longitude, latitude):
        return _points(given, found, channels, longitude, latitude, where)
    return _maps(given, found, channels, longitude, latitude, dims, where)


def arranged_places(given: Any, where: str = "the target") -> xr.Dataset:
    """Places to forecast, with `longitude` and `latitude` in degrees east and north, whatever they are called and in.

    Of a DataArray its coordinates count. A dataset without places is returned as it is. Raises as `arranged`.
    """
    if isinstance(given, xr.DataArray):
        given = xr.Dataset(coords=given.coords)
    if not isinstance(given, xr.Dataset):
        raise SchemaError(f"{where} is a {type(given).__name__}; give an xarray Dataset of longitude and latitude")
    if are_places(given) or not _are_placed(given):
        return given
    longitude, latitude = _positions(given, where)
    renamed = {str(v.name): name for name, v in zip(POSITIONS, (longitude, latitude), strict=True)}
    places = given.rename({old: new for old, new in renamed.items() if old != new})
    for name, variable in _roles(longitude, latitude):
        values, _ = degrees(variable.values, str(variable.attrs.get("units", "")), name, where)
        # An axis is its own dimension, which was renamed with it.
        held = places[name].dims
        places = places.assign_coords({name: (held, values, {"units": CANONICAL[name]})})
    return places


def _held(ds: xr.Dataset) -> list[str]:
    """Names of what a dataset holds: those of channels where it holds any."""
    found = {
        str(name): match_channel(str(name), str(variable.attrs.get("standard_name", "")))
        for name, variable in ds.data_vars.items()
    }
    return [channel.name for channel in found.values() if channel] or list(found)


def _variable(ds: xr.Dataset, name: str, where: str) -> xr.DataArray | None:
    """The variable that holds a channel: by its name, else by what ingestion takes for it; None where there is none.

    A variable whose name is that of another channel is not taken for this one by its standard name.
    """
    if name in ds.data_vars:
        standard = str(ds[name].attrs.get("standard_name", ""))
        meant = match_channel(name, standard) if name in CHANNELS and standard else CHANNELS.get(name)
        if name in CHANNELS and meant != CHANNELS[name]:
            other = f"{meant.name!r} ({meant.long_name})" if meant else "another quantity"
            raise UnitsError(
                f"variable {name!r} of {where} has standard name {standard!r}, which is {other} and not {name!r} "
                f"({CHANNELS[name].long_name}); correct the one that is wrong"
            )
        return ds[name]
    if name not in CHANNELS:
        return None
    alike = [
        str(other)
        for other, variable in ds.data_vars.items()
        if (channel := match_channel(str(other), str(variable.attrs.get("standard_name", "")))) is not None
        and channel.name == name
        and match_channel(str(other), None) in (None, channel)
    ]
    rank = {known: place for place, known in enumerate(CHANNELS[name].names)}
    alike.sort(key=lambda other: rank.get(other.lower(), len(rank)))
    if len(alike) > 1:
        warnings.warn(f"{name} of {where} is {alike[0]}, not {', '.join(alike[1:])}", stacklevel=2)
    return ds[alike[0]] if alike else None


def _converted(variable: xr.DataArray, name: str, units: str | None, like: str, where: str) -> Any:
    """Values of a variable in a channel's units; `like` are its units where it states none."""
    stated = str(variable.attrs.get("units", like)).strip()
    if not stated:
        raise UnitsError(
            f"variable {str(variable.name)!r} of {where} has no units; say what it holds, "
            f"e.g. dataset[{str(variable.name)!r}].attrs['units'] = {units or units_of(name) or 'm'!r}"
        )
    if name in CHANNELS:
        scale, offset = unit_conversion(CHANNELS[name], stated, str(variable.name))
    elif units is None or stated == units:
        scale, offset = 1.0, 0.0
    else:
        raise UnitsError(f"variable {name!r} of {where} has units {stated!r} where {units!r} is wanted; convert it")
    offset = 0.0 if variable.name != name and str(variable.name).endswith("_error") else offset
    if variable.dtype.kind not in "fiu":
        raise SchemaError(f"variable {str(variable.name)!r} of {where} has type {variable.dtype}; numbers are wanted")
    data = _decoded(variable, where)
    return data if (scale, offset) == (1.0, 0.0) else data * scale + offset


def _decoded(variable: xr.DataArray, where: str) -> Any:
    """Values with the fill values that attributes name as NaN; SchemaError for values that are still packed."""
    packed = [name for name in ("scale_factor", "add_offset") if name in variable.attrs]
    if packed:
        raise SchemaError(
            f"variable {str(variable.name)!r} of {where} has {' and '.join(packed)} among its attributes: its values "
            "are packed; decode them with xarray.decode_cf(dataset), or delete these attributes where they are decoded"
        )
    data = variable.data.astype(np.float64) if variable.dtype.kind in "iu" else variable.data
    for name in ("_FillValue", "missing_value"):
        if name in variable.attrs:
            fills = np.atleast_1d(np.asarray(variable.attrs[name])).astype(data.dtype)
            data = np.where(np.isin(data, fills), np.nan, data)
    return data


def _positions(ds: xr.Dataset, where: str) -> tuple[xr.DataArray, xr.DataArray]:
    from data_pipeline.products.coordinates import find_positions  # with cf_xarray, which a store need not wait for

    single = [ds[name] for name in POSITIONS if name in ds.variables and not ds[name].ndim]
    if len(single) == 2:
        return single[0], single[1]
    return find_positions(ds, where)


def _roles(longitude: xr.DataArray, latitude: xr.DataArray) -> tuple[tuple[Role, xr.DataArray], ...]:
    return ("longitude", longitude), ("latitude", latitude)


def _are_placed(ds: xr.Dataset) -> bool:
    from data_pipeline.products.coordinates import has_positions

    return has_positions(ds)


def _are_points(ds: xr.Dataset, longitude: xr.DataArray, latitude: xr.DataArray) -> bool:
    from data_pipeline.products.coordinates import is_points

    return is_points(ds, longitude, latitude)


def _times(ds: xr.Dataset, dims: tuple[str, ...], where: str) -> xr.DataArray:
    """The time coordinate along some of `dims`, or a single one, as datetime64[ns]."""
    from data_pipeline.products.coordinates import find_time
    from data_pipeline.products.times import decode_time

    time = find_time(ds, dims)
    if time is None:
        raise SchemaError(f"{where} has no time; give it a coordinate `time`, e.g. .assign_coords(time=...)")
    decoded = moments(time.values) if time.dtype.kind in "MSU" else decode_time(time, None, where).reshape(time.shape)
    return xr.DataArray(decoded, dims=time.dims)


def _points(
    ds: xr.Dataset,
    found: Mapping[str, xr.DataArray],
    channels: Mapping[str, str | None],
    longitude: xr.DataArray,
    latitude: xr.DataArray,
    where: str,
) -> xr.Dataset:
    """Columns (obs,) of points: a table, a track, a mooring, or a swath whose pixels follow one another."""
    values = {name: _single_removed(variable, where) for name, variable in found.items()}
    dims = max((variable.dims for variable in values.values()), key=len)
    if not dims:
        dims, values = ("obs",), {name: variable.expand_dims("obs") for name, variable in values.items()}
    like = next(v for v in values.values() if v.dims == dims)
    time = _times(ds, tuple(map(str, dims)), where)
    sizes = dict(zip(dims, like.shape, strict=True))

    def column(held: Any, own: tuple[Any, ...]) -> Any:
        if not set(own) <= set(dims):
            raise SchemaError(f"columns of {where} lie along {own} and {dims}; give equally long columns")
        # Broadcast and put in the order of the channel's own dimensions, then in one row.
        wide: Any = xr.Variable(own, held).set_dims(sizes).transpose(*dims).data
        return wide.reshape(-1)

    columns: dict[str, Any] = {"time": column(time.data, time.dims)}
    for name, variable in _roles(longitude, latitude):
        placed, _ = degrees(np.asarray(_decoded(variable, where)), str(variable.attrs.get("units", "")), name, where)
        columns[name] = column(wrap_longitude(placed) if name == "longitude" else placed, variable.dims)
    attrs: dict[str, dict[str, str]] = {name: {"units": CANONICAL[name]} for name in POSITIONS}
    for name, variable in values.items():
        units = channels[name] or units_of(name) or str(variable.attrs.get("units", ""))
        attrs[name] = {"units": units}
        columns[name] = column(_converted(variable, name, units, "", where), variable.dims)
        stated = str(variable.attrs.get("units", ""))
        for ending in COMPANIONS:
            beside = f"{name}{ending}"
            stands = next((n for n in (f"{found[name].name}{ending}", beside) if n in ds.data_vars), None)
            if stands is not None:
                error = _single_removed(ds[stands], where)
                columns[beside] = column(_converted(error, name, units, stated, where), error.dims)
                attrs[beside] = {"units": units}
    if "source" in ds.variables and set(ds["source"].dims) <= set(dims):
        columns["source"] = column(ds["source"].data, ds["source"].dims)
    made = xr.Dataset({name: ("obs", held, attrs.get(name, {})) for name, held in columns.items()})
    made = made.set_coords(["time", *POSITIONS])
    if "source_name" in ds.variables and ds["source_name"].ndim == 1:
        made = made.assign_coords(source_name=("source_index", ds["source_name"].values))
    return made.assign_attrs({**ds.attrs, "dino_store": "observations"})


def _maps(
    ds: xr.Dataset,
    found: Mapping[str, xr.DataArray],
    channels: Mapping[str, str | None],
    longitude: xr.DataArray,
    latitude: xr.DataArray,
    dims: tuple[str, ...],
    where: str,
) -> xr.Dataset:
    """Fields (time, latitude, longitude) or (time, y, x), times and axes ascending, each once."""
    if len(dims) != 2:
        raise SchemaError(f"{where} holds {', '.join(map(str, ds.data_vars)) or 'nothing'} along {dims}; give a grid")
    places = [
        degrees(np.asarray(_decoded(variable, where)), str(variable.attrs.get("units", "")), name, where)[0]
        for name, variable in _roles(longitude, latitude)
    ]
    time = _times(ds, tuple(map(str, ds.dims)), where)
    along = [str(dim) for dim in time.dims]
    if len(along) > 1 or set(along) & set(dims):
        raise SchemaError(f"the times of {where} lie along {tuple(along)}; maps have one time each")
    moment, first = np.unique(time.values.reshape(-1), return_index=True)
    if np.isnat(moment).any():
        raise SchemaError(f"{np.isnat(time.values).sum()} maps of {where} have no time; leave them out")
    fields, units = {}, {}
    rectilinear = zip(dims[::-1], places, strict=True) if longitude.ndim == 1 else ()
    once = {dim: which for dim, values in rectilinear if (which := _each_once(values)) is not None}
    for name, variable in found.items():
        held = _single_removed(variable, where, {*dims, *along})
        extra = [dim for dim in held.dims if dim not in (*dims, *along)]
        if extra or not set(dims) <= set(held.dims):
            raise SchemaError(
                f"variable {str(variable.name)!r} of {where} lies along {tuple(held.dims)} where {(*along, *dims)} is "
                "wanted; choose one level or member, e.g. .isel(depth=0)"
            )
        units[name] = channels[name] or units_of(name) or str(variable.attrs.get("units", ""))
        lead = [dim for dim in along if dim in held.dims] or ["time"]
        held = (held if lead[0] in held.dims else held.expand_dims("time")).transpose(*lead, *dims)
        if held.sizes[lead[0]] != time.size:
            raise SchemaError(
                f"{where} has {held.sizes[lead[0]]} maps of {name!r} and {time.size} times; give one each"
            )
        held = held.isel({lead[0]: first, **once})
        fields[name] = _converted(held, name, units[name], "", where)
    x, y = (values[once[dim]] if dim in once else values for dim, values in zip(dims[::-1], places, strict=True))
    made = fields_dataset(moment, x, y, fields, units=units)
    return made.assign_attrs({**ds.attrs, **made.attrs})


def _each_once(axis: np.ndarray) -> np.ndarray | None:
    """Places of an axis that come once (a globe that ends where it began), None where all do."""
    wrapped = wrap_longitude(axis) if np.ptp(axis) > 180.0 else axis
    kept = np.sort(np.unique(wrapped, return_index=True)[1])
    return None if len(kept) == len(axis) else kept


def _single_removed(variable: xr.DataArray, where: str, kept: set[str] | None = None) -> xr.DataArray:
    """Without coordinates, and without dimensions of length one that are no place and no time."""
    single = [dim for dim in variable.dims if variable.sizes[dim] == 1 and kept is not None and dim not in kept]
    return variable.reset_coords(drop=True).squeeze(single, drop=True)
