"""Arrays of one's own as a dataset of trajectories."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from data_pipeline.layout.trajectories import AXES, trajectories_dataset

from ..errors import SchemaError

TAKEN = {"time", "trajectory", "environment"}


def from_array(
    values: np.ndarray,
    times: Sequence[float] | np.ndarray,
    lengths: Sequence[float] = (),
    *,
    channels: Sequence[str] | None = None,
    environments: Sequence[int] | np.ndarray | None = None,
    parameters: dict[str, np.ndarray] | None = None,
    periodic: bool = True,
) -> xr.Dataset:
    """A dataset of trajectories from an array of your own.

    values : (trajectory, time, channel, [y,] [x]); times : (time,) in your unit; lengths : of the box along x, then y,
    none for ordinary differential equations; channels : names, u, v, w or c0, c1, ... when absent;
    environments : (trajectory,) numbers, equal where the equations are the same; parameters : name -> (trajectory,),
    for comparison only
    Raises SchemaError where shapes do not go together.
    """
    values = np.asarray(values, np.float64)
    if np.asarray(times).dtype.kind not in "iuf":
        raise SchemaError(f"times came as {np.asarray(times).dtype}; give numbers in the unit of your system")
    if len(lengths) > 2 or not all(np.isfinite(length) and length > 0 for length in lengths):
        raise SchemaError(f"lengths {tuple(lengths)} came; give none, or one or two that are finite and above 0")
    if values.ndim != 3 + len(lengths):
        raise SchemaError(
            f"values have {values.ndim} dimensions where (trajectory, time, channel) and {len(lengths)} of space were "
            "wanted; give one length for each dimension of space"
        )
    count = values.shape[2]
    names = list(channels or ("uvw"[:count] if count <= 3 else [f"c{number}" for number in range(count)]))
    if len(names) != count or len(set(names)) != count or TAKEN.union(AXES[len(lengths)]) & set(names):
        raise SchemaError(
            f"names {names} came for {count} channels; give each a name of its own, none of time, trajectory, "
            "environment, x and y"
        )
    for name, came, wanted in (("times", times, values.shape[1]), ("environments", environments, values.shape[0])):
        if came is not None and np.shape(came) != (wanted,):
            raise SchemaError(f"{name} of shape {np.shape(came)} came for values of {values.shape}; give {wanted}")
    if environments is not None:
        whole = np.asarray(environments)
        if whole.dtype.kind not in "iu" or (whole != whole.astype(np.int32)).any():
            raise SchemaError(f"environments {whole[:3]} ... came; give whole numbers of at most 32 bits")
    split = {name: values[:, :, number] for number, name in enumerate(names)}
    given = {"environment": environments, "parameters": parameters, "periodic": periodic}
    return trajectories_dataset(split, np.asarray(times, np.float64), lengths=lengths, **given)
