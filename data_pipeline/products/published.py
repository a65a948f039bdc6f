"""Published data of many physics as a dataset of trajectories.

Two layouts are read, from numpy's .npy and .npz and from HDF5: `trajectories` (trajectory, time, channel, [y, x]) with
`env_id` (trajectory,), and nested arrays (environment, trajectory, step, state) as neural context flows have them.
Files of pickles and of torch are refused, as they may run what they hold: save them as .npz first.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.errors import MissingFileError, SchemaError, UnknownProductError, reason
from data_pipeline.layout.trajectories import trajectories_dataset
from data_pipeline.system.provenance import provenance

VALUES = ("trajectories", "data", "u", "X", "state", "states")
ENVIRONMENTS = ("env_id", "environment", "env", "env_ids")
TIMES = ("t", "time", "times", "t_eval")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def import_published(path: str | os.PathLike[str], *, nested: bool | None = None, **settings: Any) -> xr.Dataset:
    """The dataset of one file.

    nested: whether values are (environment, trajectory, step, state); by default they are where there is no `env_id`
    and they are called X. settings: those of `from_trajectories`, which win over what the file says. Raises
    MissingFileError, UnknownProductError for a file that is no such one, and SchemaError for shapes that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"there is no file {str(path)!r}; check the path")
    arrays = _arrays(path)
    name = next((name for name in VALUES if name in arrays), None)
    if name is None:
        numeric = [key for key, values in arrays.items() if values.ndim >= 3]
        if len(numeric) != 1:
            raise UnknownProductError(
                f"{path.name} has {', '.join(arrays) or 'no array'} where one of {', '.join(VALUES)} is wanted"
            )
        name = numeric[0]
    numbers = next((arrays[key] for key in ENVIRONMENTS if key in arrays), None)
    times = next((arrays[key] for key in TIMES if key in arrays and arrays[key].ndim == 1), None)
    found = {"times": times, "attrs": {"sources": [provenance(path)], "product": f"published data of {path.name}"}}
    given = {**found, **{key: value for key, value in settings.items() if value is not None}}
    if nested or (nested is None and numbers is None and name == "X"):
        return from_nested(arrays[name], **given)
    return from_trajectories(arrays[name], **{"environment": numbers, **given})


def from_trajectories(
    values: Any,
    *,
    times: Any = None,
    lengths: Sequence[float] | None = None,
    channels: Sequence[str] | None = None,
    environment: Any = None,
    periodic: Sequence[bool] | bool = True,
    parameters: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """The dataset of values (trajectory, time, channel, [y, x]).

    times: (time,), by default 0, 1, ...; lengths: of x, then y, by default as many as points; environment:
    (trajectory,); channels: their names, by default u0, u1, ...; parameters: name -> (trajectory,).
    Raises SchemaError where shapes do not fit.
    """
    array = np.asarray(values)
    if not 3 <= array.ndim <= 5 or array.dtype.kind not in "fiu":
        raise SchemaError(
            f"values have shape {array.shape} and type {array.dtype} where numbers (trajectory, time, channel, [y, x]) "
            "are wanted; reorder their axes"
        )
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    space = array.shape[3:]
    names = list(channels or (f"u{number}" for number in range(array.shape[2])))
    if len(names) != array.shape[2]:
        raise SchemaError(f"{len(names)} channels are named and values have {array.shape[2]}; name each")
    moments = np.arange(array.shape[1], dtype=np.float64) if times is None else np.asarray(times, np.float64)
    if moments.shape != array.shape[1:2]:
        raise SchemaError(f"times have shape {moments.shape} and values {array.shape[1]} frames; give a time for each")
    sides = [float(size) for size in reversed(space)] if lengths is None else [float(length) for length in lengths]
    if len(sides) != len(space):
        raise SchemaError(f"{len(sides)} lengths are given for {len(space)} axes of space; give one for each, x first")
    whole = dict(attrs or {})
    if not isinstance(whole.get("sources", ""), str):
        whole["sources"] = json.dumps(whole["sources"])
    fields = {name: array[:, :, number] for number, name in enumerate(names)}
    numbers = None if environment is None else _numbered(environment, len(array))
    return trajectories_dataset(
        fields, moments, lengths=sides, periodic=periodic, environment=numbers, parameters=parameters, attrs=whole
    )


def from_nested(values: Any, **settings: Any) -> xr.Dataset:
    """The dataset of an array (environment, trajectory, step, state), or of a mapping from an environment to its
    (trajectory, step, state); settings: those of `from_trajectories`.
    """
    lists = list(values.values()) if isinstance(values, Mapping) else list(np.asarray(values))
    parts = [np.asarray(part) for part in lists]
    if not parts or any(part.ndim != 3 or part.shape[1:] != parts[0].shape[1:] for part in parts):
        shapes = sorted({part.shape for part in parts})
        raise SchemaError(f"environments have shapes {shapes} where (trajectory, step, state) is wanted for each")
    numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return from_trajectories(np.concatenate(parts), **{**settings, "environment": numbers})


def _numbered(environment: Any, count: int) -> np.ndarray:
    """Environments as numbers from 0, in order of what they are called."""
    named = np.asarray(environment).reshape(-1)
    if len(named) != count:
        raise SchemaError(f"there are {len(named)} environments for {count} trajectories; give one for each")
    return np.asarray(named if named.dtype.kind in "iu" else np.unique(named, return_inverse=True)[1])


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file by name."""
    with path.open("rb") as file:
        hdf5 = file.read(8) == _HDF5
    try:
        if hdf5:
            import netCDF4  # here, as others need not wait for it

            with netCDF4.Dataset(path) as group:
                group.set_auto_maskandscale(False)
                return {name: np.asarray(variable[...]) for name, variable in group.variables.items()}
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {VALUES[0]: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise UnknownProductError(
            f"{path.name} is no .npy, .npz or HDF5 file of numbers ({reason(error)}); save its arrays as .npz"
        ) from error
