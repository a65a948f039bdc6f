"""Fields with levels: the one level that a store takes."""

import numpy as np
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError

_NAMES = ("depth", "deptht", "depthu", "depthv", "lev", "level", "s_rho", "z", "zlev", "z_t", "depth_below_sea")
_METRES = ("", "m", "meter", "meters", "metre", "metres")


def at_depth(ds: xr.Dataset, depth: float | None, where: str, notes: list[str]) -> xr.Dataset:
    """The dataset at the level nearest to `depth` [m], to the surface when None, for every vertical dimension.

    Raises SchemaError when a depth is asked for and no dimension tells depths in metres.
    """
    dims = [str(dim) for dim in ds.sizes if _is_vertical(ds, str(dim))]
    if depth is not None and not dims:
        raise SchemaError(f"{where!r} has no levels, so that --depth {depth:g} cannot be taken; leave it out")
    for dim in dims:
        if not ds.sizes[dim]:
            raise EmptyDataError(f"{where!r} has no level along {dim!r}; leave it out")
        levels = _levels(ds, dim)
        if depth is not None and (dim not in ds.variables or dim == "s_rho" or not _in_metres(ds[dim])):
            raise SchemaError(f"levels {dim!r} of {where!r} are no depths in metres; leave out --depth for the surface")
        distance = abs(levels if depth is None else levels - depth)
        level = int(np.nanargmin(distance)) if np.isfinite(distance).any() else 0
        ds = ds.isel({dim: level}).drop_vars(dim, errors="ignore")
        if levels.size > 1:
            notes.append(f"{dim} {levels[level]:g} taken of {levels.size} levels")
    return ds


def _levels(ds: xr.Dataset, dim: str) -> np.ndarray:
    """Depth of each level, downwards positive; their numbers where the file gives none."""
    if dim in ds.variables and ds[dim].dtype.kind in "fiu":
        return abs(ds[dim].values.astype(np.float64))
    return np.arange(ds.sizes[dim], dtype=np.float64)


def _is_vertical(ds: xr.Dataset, dim: str) -> bool:
    attrs = ds[dim].attrs if dim in ds.variables else {}
    return dim.lower() in _NAMES or "positive" in attrs or str(attrs.get("axis", "")).upper() == "Z"


def _in_metres(levels: xr.DataArray) -> bool:
    return str(levels.attrs.get("units", "")).lower() in _METRES
