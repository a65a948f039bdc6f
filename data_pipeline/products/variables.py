"""Which variable of a file is which channel, in which units, and which of its values are no measurements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.channels import CHANNELS, Channel, match_channel, unit_conversion
from data_pipeline.errors import UnitsError, UnknownProductError
from data_pipeline.products.files import Options
from data_pipeline.products.registry import Product


@dataclass(frozen=True)
class Reading:
    """How one variable becomes a channel: canonical value = stored value * scale + offset; notes go to the history."""

    channel: Channel
    variable: str
    scale: float
    offset: float
    notes: tuple[str, ...] = ()


def choose_readings(ds: xr.Dataset, product: Product, options: Options, where: str) -> list[Reading]:
    """The readings of the variables of `ds` (already reduced to those with usable dimensions).

    Of several variables for one channel the one whose name comes first in the registry is taken, and the history
    says so. Raises UnknownProductError when a channel that was asked for, or any at all, is missing, and
    UnitsError.
    """
    found: dict[str, list[str]] = {}
    for name, variable in ds.data_vars.items():
        channel = match_channel(str(name), variable.attrs.get("standard_name"))
        if channel is not None and variable.dtype.kind in "fiu":
            found.setdefault(channel.name, []).append(str(name))
    for channel_name, name in options.variables.items():
        if channel_name not in CHANNELS or name not in ds.data_vars:
            raise UnknownProductError(
                f"--variable {channel_name}={name} does not fit {where!r}: channels are {', '.join(CHANNELS)} and the "
                f"variables {_listed(ds.data_vars)}"
            )
        found[channel_name] = [name]
    wanted = options.channels or tuple(found)
    missing = [name for name in wanted if name not in found]
    if missing or not wanted:
        raise UnknownProductError(
            f"{where!r} holds {_listed(found) or 'no channel'} where {_listed(missing) or 'at least one'} is wanted; "
            f"name one of its variables ({_listed(ds.data_vars)}) with --variable CHANNEL=NAME"
        )
    return [_reading(ds, CHANNELS[name], found[name], product, options, where) for name in wanted]


def _reading(
    ds: xr.Dataset, channel: Channel, names: list[str], product: Product, options: Options, where: str
) -> Reading:
    preference = {name: rank for rank, name in enumerate(channel.names)}
    names = sorted(names, key=lambda name: preference.get(name.lower(), len(preference)))
    name, others = names[0], names[1:]
    notes = [f"{channel.name} is {name}, not {', '.join(others)}"] if others else []
    units = str(ds[name].attrs.get("units") or "").strip()
    if channel.name in options.units:
        units = options.units[channel.name]
        notes.append(f"{channel.name}: units {units!r} as told by --units")
    elif not units and name.lower() in product.units:
        units = product.units[name.lower()]
        notes.append(f"{channel.name}: no units in the file, {units!r} taken from product {product.name}")
    elif not units:
        raise UnitsError(
            f"variable {name!r} of {where!r} has no units; say what it holds, e.g. "
            f"--units {channel.name}={channel.units!r}, or name the --product it belongs to"
        )
    scale, offset = unit_conversion(channel, units, name)
    if (scale, offset) != (1.0, 0.0):
        notes.append(f"{channel.name}: {units} converted to {channel.units}")
    return Reading(channel, name, scale, offset, tuple(notes))


def packed_extremes(encoding: Mapping[str, Any]) -> list[float]:
    """Decoded values of the extremes of a packed integer that declares no missing value; fill values hide there."""
    dtype = encoding.get("dtype")
    declared = "_FillValue" in encoding or "missing_value" in encoding
    if dtype is None or np.dtype(dtype).kind not in "iu" or np.dtype(dtype).itemsize < 2 or declared:
        return []
    limits = np.iinfo(dtype)
    integers = [limits.max] if np.dtype(dtype).kind == "u" else [limits.min, limits.min + 1, limits.max]
    return [
        value * float(encoding.get("scale_factor", 1.0)) + float(encoding.get("add_offset", 0.0)) for value in integers
    ]


def screen(values: Any, reading: Reading, extremes: list[float]) -> tuple[Any, Any, Any]:
    """(canonical float32 values with NaN, packed extremes, values beyond the physical range), numpy or dask.

    The two masks are exclusive, so their counts can be reported apart.
    """
    extreme = np.zeros_like(values, dtype=bool)
    for sentinel in extremes:
        # float32 cannot tell the sentinel from its neighbours, all of which are far outside any measurement.
        extreme = extreme | (abs(values - sentinel) <= 1e-6 * abs(sentinel))
    canonical = (values * reading.scale + reading.offset).astype(np.float32)
    low, high = reading.channel.valid_range
    beyond = ((canonical < low) | (canonical > high)) & ~extreme
    return np.where(extreme | beyond, np.float32(np.nan), canonical), extreme, beyond


def screening_note(reading: Reading, extreme: int, beyond: int) -> str | None:
    """What screening took out of a channel, for the history."""
    low, high = reading.channel.valid_range
    parts = (
        [f"{extreme} values at the packed integer's extreme, where the file declares no missing value"]
        if extreme
        else []
    )
    parts += [f"{beyond} values outside [{low:g}, {high:g}] {reading.channel.units}"] if beyond else []
    return f"{reading.channel.name}: set to missing: {' and '.join(parts)}" if parts else None


def _listed(names: Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
