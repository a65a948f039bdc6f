"""Flags as files store them: characters and bytes without a sign become the numbers that their meanings speak of."""

import re
from typing import Any

import numpy as np
import xarray as xr

_TOLD = ("flag_values", "flag_masks", "flag_meanings")
_NAMES = re.compile(r"(?:^|_)(?:qc|qf|flag|flags|quality|qual|status)(?:_|$)", re.IGNORECASE)


def with_numeric_flags(raw: xr.Dataset, lengths: Any) -> xr.Dataset:
    """A dataset before its decoding, which would join characters along their last dimension to one text.

    lengths: of the blocks in which a variable of some sizes is read.
    """
    along = {dim for held in raw.variables.values() if held.dtype.kind in "fiu" for dim in held.dims}
    changed = {}
    for name, held in raw.variables.items():
        if str(held.attrs.get("_Unsigned", "")).lower() == "true" and held.dtype.kind == "i":
            _drop_signs(held)
        is_flag = any(key in held.attrs for key in _TOLD) or _NAMES.search(str(name))
        if held.dtype == np.dtype("S1") and held.ndim and held.size and held.dims[-1] in along and is_flag:
            stored: Any = held.chunk(lengths(held.sizes)).data
            data = stored.map_blocks(_digits, dtype=np.float32)
            attrs = {key: value for key, value in held.attrs.items() if key not in ("_FillValue", "missing_value")}
            changed[name] = xr.Variable(held.dims, data, attrs)
    return raw.assign(changed) if changed else raw


def _drop_signs(held: xr.Variable) -> None:
    """The attributes of a flag as its values will be: a mask of -128 is 128."""
    size = 256**held.dtype.itemsize
    for key in _TOLD[:2]:
        stated = np.asarray(held.attrs.get(key, ""))
        if stated.dtype.kind == "i":
            held.attrs[key] = stated.astype(np.int64) % size


def _digits(block: np.ndarray) -> np.ndarray:
    """Characters 0 to 9 as numbers, others as missing ones."""
    codes = np.ascontiguousarray(block).view(np.uint8).reshape(block.shape).astype(np.float32) - ord("0")
    return np.where((codes >= 0) & (codes <= 9), codes, np.float32(np.nan))
