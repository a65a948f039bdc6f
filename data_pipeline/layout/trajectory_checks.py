"""Every way in which a dataset breaks the layout of trajectories; values of channels are not read."""

import numpy as np
import xarray as xr

from data_pipeline.layout.problems import Findings

AXES = ((), ("x",), ("y", "x"))  # names of the axes of a box, rows first, by its dimensions
PARAMETER = "parameter_"


def check_layout(ds: xr.Dataset, found: Findings) -> None:
    """Add what is wrong with dims, coordinates, types and the attributes of the box."""
    lengths, periodic = (np.atleast_1d(ds.attrs.get(name, np.nan)) for name in ("lengths", "periodic"))
    if lengths.size > 2 or lengths.shape != periodic.shape or not (np.asarray(lengths, float) > 0).all():
        found.add("attribute lengths", "is no list of up to two positive lengths beside as many of `periodic`")
        return
    axes = AXES[lengths.size]
    for name, dim in (("time", "time"), ("environment", "trajectory"), *((axis, axis) for axis in axes)):
        if name not in ds.coords or ds[name].dims != (dim,):
            found.add(f"coordinate {name}", f"is missing or has other dimensions than ({dim!r},)")
            return
    times = ds["time"].values
    if times.dtype != np.float64:
        found.add("time", f"has type {times.dtype} where float64 is wanted, in the unit of the system")
    else:
        found.mark("time", "is not finite", ~np.isfinite(times), times, ("time",))
        found.mark("time", "does not increase", np.append(False, np.diff(times) <= 0), times, ("time",))
    _check_parameters(ds, found)
    if not ds.data_vars:
        found.add("", "there is no channel")
    dims = ("trajectory", "time", *axes)
    for name, variable in ds.data_vars.items():
        if variable.dims != dims:
            found.add(f"channel {name}", f"has dimensions {variable.dims} where {dims} is wanted")
        if variable.dtype not in (np.float32, np.float64):
            found.add(f"channel {name}", f"has type {variable.dtype} where float32 or float64 is wanted")
    for dim, size in ds.sizes.items():
        if size == 0:
            found.add(f"dimension {dim}", "is empty")


def _check_parameters(ds: xr.Dataset, found: Findings) -> None:
    environments = ds["environment"].values
    if environments.dtype.kind not in "iu":
        found.add("environment", f"has type {environments.dtype} where integers are wanted")
        return
    _, first, place = np.unique(environments, return_index=True, return_inverse=True)
    for name in (str(name) for name in ds.coords if str(name).startswith(PARAMETER)):
        if ds[name].dims != ("trajectory",):
            found.add(name, f"has dimensions {ds[name].dims} where ('trajectory',) is wanted")
            continue
        values = ds[name].values
        other = (values != values[first][place]) & ~(np.isnan(values) & np.isnan(values[first][place]))
        found.mark(name, "differs within an environment", other, values, ("trajectory",))
