"""Which variable of a file is which channel, in which units, and what the file says of its valid values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.errors import UnitsError, UnknownProductError
from data_pipeline.layout.channels import CHANNELS, Channel, match_channel, unit_conversion
from data_pipeline.products.files import Options
from data_pipeline.products.registry import Product


@dataclass(frozen=True)
class Reading:
    """How one variable becomes a channel: canonical value = stored value * scale + offset; notes go to the history.

    extremes: stored values where an undeclared fill value hides. valid_range: of stored values, as the file states.
    """

    channel: Channel
    variable: str
    scale: float
    offset: float
    notes: tuple[str, ...] = ()
    extremes: tuple[float, ...] = ()
    valid_range: tuple[float, float] = (-np.inf, np.inf)


def choose_readings(ds: xr.Dataset, product: Product, options: Options, where: str) -> list[Reading]:
    """The readings of the variables of `ds` (already reduced to those with usable dimensions).

    Of several variables for one channel the one whose name comes first in the registry is taken, and the history
    says so. Raises UnknownProductError when a channel that was asked for, or any at all, is missing, and
    UnitsError.
    """
    found: dict[str, list[str]] = {}
    for name, variable in ds.data_vars.items():
        channel = channel_of(str(name), variable, product)
        if channel is not None:
            found.setdefault(channel.name, []).append(str(name))
    for channel_name, name in options.variables.items():
        if channel_name not in CHANNELS or name not in ds.data_vars or ds[name].dtype.kind not in "fiu":
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


def channel_of(name: str, variable: xr.DataArray, product: Product) -> Channel | None:
    """The channel that a variable of a product holds: the product knows better than its standard names do."""
    if variable.dtype.kind not in "fiu":
        return None
    if name.lower() in product.channels:
        return CHANNELS.get(product.channels[name.lower()])
    return match_channel(name, str(variable.attrs.get("standard_name", "")))


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
    extremes, valid_range = packed_extremes(ds[name].encoding), stated_range(ds[name].attrs, ds[name].encoding)
    return Reading(channel, name, scale, offset, tuple(notes), tuple(extremes), valid_range)


def packed_extremes(encoding: Mapping[str, Any]) -> list[float]:
    """Decoded values of the extremes of a packed integer that declares no missing value; fill values hide there."""
    dtype = encoding.get("dtype")
    declared = "_FillValue" in encoding or "missing_value" in encoding
    if dtype is None or np.dtype(dtype).kind not in "iu" or np.dtype(dtype).itemsize < 2 or declared:
        return []
    limits = np.iinfo(dtype)
    integers = [limits.max] if np.dtype(dtype).kind == "u" else [limits.min, limits.min + 1, limits.max]
    return [_decoded(value, encoding) for value in integers]


def stated_range(attrs: Mapping[str, Any], encoding: Mapping[str, Any]) -> tuple[float, float]:
    """(least, greatest) valid decoded value by CF attributes; a range that is none (0 to 0) bounds nothing.

    Integer bounds of a packed variable are packed too. Half a step of the packing lies within, which float32 needs.
    """
    try:
        stated = attrs.get("valid_range", (attrs.get("valid_min", -np.inf), attrs.get("valid_max", np.inf)))
        if isinstance(stated, str):
            stated = re.split(r"[\s,;]+", stated.strip(" []()"))
        low, high = (_bound(bound) if isinstance(bound, str) else bound for bound in stated)
        bounds = [
            _decoded(float(bound), encoding) if np.asarray(bound).dtype.kind in "iu" else float(bound)
            for bound in (low, high)
        ]
    except (TypeError, ValueError):  # text, or not two of them
        return -np.inf, np.inf
    step = 0.5 * abs(float(encoding.get("scale_factor", 0.0)))
    return (min(bounds) - step, max(bounds) + step) if bounds[0] != bounds[1] else (-np.inf, np.inf)


def _bound(text: str) -> float:
    """A bound that is written as text: an integer, which is packed as the values are, or a number."""
    return int(text) if re.fullmatch(r"[+-]?\d+", text.strip()) else float(text)


def _decoded(value: float, encoding: Mapping[str, Any]) -> float:
    return value * float(encoding.get("scale_factor", 1.0)) + float(encoding.get("add_offset", 0.0))


def _listed(names: Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
