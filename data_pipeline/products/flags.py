"""Flags: variables of a product that tell its good values from the bad ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Flag:
    """One variable that judges others.

    A value is dropped for `reason` where the flag is none of `good`, under `at_least` or over `at_most`; a missing
    flag judges nothing. of: the lower-case name of the variable that it judges, or "" for all of them.
    """

    variable: str
    reason: str
    good: tuple[float, ...] = ()
    at_least: float = -np.inf
    at_most: float = np.inf
    of: str = ""

    def bad(self, values: Any) -> Any:
        """Where `values` of the flag (numpy or dask) condemn."""
        bad = (values < self.at_least) | (values > self.at_most)
        if self.good:
            unknown = ~np.isfinite(values)
            for value in self.good:
                unknown = unknown | (values == value)
            bad = bad | ~unknown
        return bad


def judge(ds: xr.Dataset, flags: tuple[Flag, ...], variable: str, dims: tuple[str, ...]) -> list[tuple[str, Any]]:
    """(reason, mask that broadcasts against `dims`) for each flag in `ds` that judges `variable`, lazy as `ds` is."""
    by_name = {str(name).lower(): held for name, held in ds.variables.items()}
    checks = []
    for flag in flags:
        held = by_name.get(flag.variable)
        if held is None or flag.of not in ("", variable.lower()) or held.dtype.kind not in "fiu":
            continue
        held = held.squeeze([dim for dim in held.dims if dim not in dims and held.sizes[dim] == 1])
        if set(held.dims) <= set(dims):
            absent = [dim for dim in dims if dim not in held.dims]
            checks.append((flag.reason, flag.bad(held.set_dims([*absent, *held.dims]).transpose(*dims).data)))
    return checks
