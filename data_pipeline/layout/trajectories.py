"""Trajectories of systems without a globe: fields on a box of no, one or two dimensions, several environments.

A dataset has dims (trajectory, time) for a system of ordinary differential equations, then `x`, or `y, x`, for fields
on a box. Channels are its data variables. Its coordinates are `time`, in the system's unit from the start; `x`, `y`,
cell positions from 0; `environment` (trajectory,), equal for trajectories of the same equations; and
`parameter_<name>` (trajectory,), what a simulation knows of its equations. The attributes `lengths` (of x, then y) and
`periodic` (0 or 1 for each) close the box.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from data_pipeline.errors import SchemaError
from data_pipeline.layout.checks import CONVENTIONS, SCHEMA_VERSION
from data_pipeline.layout.trajectory_checks import AXES, PARAMETER


def trajectories_dataset(
    channels: Mapping[str, object],
    times: object,
    *,
    lengths: Sequence[float] = (),
    periodic: Sequence[bool] | bool = True,
    environment: object | None = None,
    parameters: Mapping[str, object] | None = None,
    attrs: Mapping[str, object] | None = None,
) -> xr.Dataset:
    """The dataset of channels (trajectory, time[, y][, x]), arrays of numpy or dask.

    times : (time,) in the system's unit; lengths : of x, then y, of the box, none for a system of no dimension;
    environment : (trajectory,) integers, all zero when absent; parameters : name -> (trajectory,) numbers
    Raises SchemaError where shapes do not go together.
    """
    moments = np.asarray(times, np.float64)
    dims = ("trajectory", "time", *AXES[len(lengths)])
    made = {name: xr.Variable(dims, values) for name, values in channels.items()}
    shapes = {variable.shape for variable in made.values()}
    if len(shapes) != 1:
        raise SchemaError(f"channels have shapes {sorted(shapes)}; give each the same (trajectory, time, ...) shape")
    shape = shapes.pop()
    closed = [bool(periodic)] * len(lengths) if isinstance(periodic, bool) else [bool(each) for each in periodic]
    numbers = np.zeros(shape[0], np.int32) if environment is None else np.asarray(environment, np.int32)
    coordinates: dict[str, object] = {"time": moments, "environment": ("trajectory", numbers)}
    for axis, length, wraps in zip(AXES[len(lengths)][::-1], lengths, closed, strict=True):
        size = shape[dims.index(axis)]
        coordinates[axis] = length * np.arange(size) / (size if wraps else max(size - 1, 1))
    for name, values in (parameters or {}).items():
        coordinates[PARAMETER + name] = ("trajectory", np.asarray(values, np.float64))
    about = {"product": "trajectories", "sources": "[]", "history": "", **(attrs or {})}
    about |= {"dino_store": "trajectories", "dino_schema": SCHEMA_VERSION, "Conventions": CONVENTIONS}
    about |= {"lengths": [float(length) for length in lengths], "periodic": [int(each) for each in closed]}
    about["channels"] = [str(name) for name in made]  # in their order, which a folder does not keep
    ds = xr.Dataset(made, coordinates, about)
    check_trajectories(ds)
    return ds


def check_trajectories(ds: xr.Dataset) -> None:
    """Raise SchemaError that says what is wrong with a dataset of trajectories."""
    if "lengths" not in ds.attrs or "environment" not in ds.coords:
        raise SchemaError("this is no dataset of trajectories on a box: it lacks `lengths` or `environment`")
    dims = ("trajectory", "time", *AXES[len(np.atleast_1d(ds.attrs["lengths"]))])
    for name, variable in ds.data_vars.items():
        if variable.dims != dims:
            raise SchemaError(f"channel {name} has dims {variable.dims} where {dims} were wanted")
    moments = ds["time"].values
    if moments.dtype != np.float64 or not np.isfinite(moments).all() or (np.diff(moments) <= 0).any():
        raise SchemaError("times must be finite float64 that ascend, in the unit of the system")
    environments = ds["environment"].values
    for name in parameter_names(ds):
        values = ds[PARAMETER + name].values
        for number in np.unique(environments):
            if np.ptp(values[environments == number]) > 0:
                raise SchemaError(
                    f"environment {number} has several values of parameter {name}; give each its own number"
                )


def is_trajectories(ds: xr.Dataset) -> bool:
    """Whether a dataset has this layout."""
    return ds.attrs.get("dino_store") == "trajectories"


def parameter_names(ds: xr.Dataset) -> list[str]:
    """Names of the parameters that a simulation has left beside its trajectories."""
    return [str(name).removeprefix(PARAMETER) for name in ds.coords if str(name).startswith(PARAMETER)]
