"""Is a store sound, and if not, what is wrong where: every rule of the layout and every value, block by block.

Of observations one block of all columns is in memory at a time, of fields one chunk of one channel.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from dask.array.core import slices_from_chunks

from data_pipeline.archive.checking import archive_problems, lost_chunks
from data_pipeline.archive.commits import is_archive
from data_pipeline.errors import StoreError, reason
from data_pipeline.layout.channels import CHANNELS
from data_pipeline.layout.checks import beside, blocks, channel_names, layout_problems
from data_pipeline.layout.problems import Findings, Problem
from data_pipeline.stores.copied_maps import Digests, MapDigests, digests_of
from data_pipeline.stores.writing import open_store
from data_pipeline.system.scheduler import in_order


def validate_store(path: str | os.PathLike[str]) -> list[Problem]:
    """Every problem of a store, reading all its values block by block; empty when it is sound.

    Raises MissingFileError when there is nothing at `path`; whatever else is wrong is listed.
    """
    try:
        ds = open_store(path)
    except StoreError as error:
        return [Problem("", str(error))]
    try:
        problems = layout_problems(ds)
    except Exception as error:  # a damaged chunk of a coordinate raises whatever its codec raises
        problems = [Problem("a coordinate", f"cannot be read ({reason(error)})")]
    return problems + value_problems(ds) + _missing(Path(path))


def _missing(path: Path) -> list[Problem]:
    """What is gone from the disk; nothing can be said of a store that is no folder."""
    if is_archive(path):
        return archive_problems(path)
    return lost_chunks(path) if (path / "zarr.json").is_file() else []


def value_problems(ds: xr.Dataset) -> list[Problem]:
    """What is wrong with the values of channels and of what stands beside them, where their dimensions are right."""
    found = Findings()
    counts, maps = dict.fromkeys(_valued(ds), 0), MapDigests()
    blocks_of = _observation_blocks if ds.attrs["dino_store"] == "observations" else _field_blocks
    for of_block, numbers, digests in in_order(_checked, blocks_of(ds), ds):
        found.join(of_block)
        maps.add(digests)
        for name, number in numbers.items():
            counts[name] += number
    for name, count in counts.items():
        if not count:
            found.add(f"channel {name}", "holds no value")
    if ds.attrs["dino_store"] == "fields":
        maps.find_copies(ds, found)
    return list(found)


Columns = dict[str, np.ndarray]
Block = tuple[list[str], tuple[slice, ...]]


def _checked(ds: xr.Dataset, block: Block) -> tuple[Findings, dict[str, int], Digests]:
    """What is wrong with a block of some variables, how many values each channel has in it, and digests of maps."""
    names, region = block
    start = tuple(part.start for part in region)
    found = Findings()
    read = {name: _read(ds[name], region, found) for name in names}
    columns = {name: values for name, values in read.items() if values is not None}
    for name, values in columns.items():
        known = ds.attrs["dino_store"] != "trajectories"  # whose channels have names of their own
        _check_values(name, values, _dims(ds[name]), start, found, known)
    if ds.attrs["dino_store"] == "observations":
        _check_beside(columns, start, found)
        channels = _valued(ds)
        if channels and set(channels) <= set(columns):
            nothing = np.all([np.isnan(columns[name]) for name in channels], axis=0)
            values = np.full(nothing.shape, np.nan)
            found.mark("observation", "has no value of any channel", nothing, values, ("obs",), start)
    else:
        _check_placed(ds, columns, start, found)
    numbers = {name: int(np.isfinite(columns[name]).sum()) for name in _valued(ds) if name in columns}
    return found, numbers, digests_of(ds, columns, start) if ds.attrs["dino_store"] == "fields" else {}


def _valued(ds: xr.Dataset) -> list[str]:
    """The channels that have numbers."""
    return [name for name in channel_names(ds) if ds[name].size and ds[name].dtype.kind == "f"]


def _observation_blocks(ds: xr.Dataset) -> Iterator[Block]:
    """All floating columns (obs,), block by block."""
    names = [str(name) for name, v in ds.data_vars.items() if v.dtype.kind == "f" and v.dims == ("obs",)]
    for start, stop in blocks(ds.sizes.get("obs", 0)):
        yield names, (slice(start, stop),)


def _field_blocks(ds: xr.Dataset) -> Iterator[Block]:
    """One chunk of one channel at a time."""
    for name in _valued(ds):
        variable = ds[name]
        for region in slices_from_chunks(variable.chunks or tuple((size,) for size in variable.shape)):
            yield [name], region


def _read(variable: xr.DataArray, region: tuple[slice, ...], found: Findings) -> np.ndarray | None:
    try:
        return variable.variable[region].to_numpy()
    except Exception as error:  # a damaged chunk raises whatever its codec raises
        one = np.ones((1,) * variable.ndim, bool)
        what, start = f"cannot be read ({reason(error)})", tuple(part.start for part in region)
        found.mark(f"channel {variable.name}", what, one, np.full(one.shape, np.nan), _dims(variable), start)
        return None


def _check_values(
    name: str, values: np.ndarray, dims: list[str], start: tuple[int, ...], found: Findings, known: bool
) -> None:
    channel, ending = beside(name) or (name, "")
    found.mark(f"channel {name}", "is infinite", np.isinf(values), values, dims, start)
    if not known:
        return
    if ending.endswith("_error"):
        found.mark(f"channel {name}", "is a negative standard deviation", values < 0, values, dims, start)
    elif channel in CHANNELS:
        low, high = CHANNELS[channel].valid_range
        beyond = np.isfinite(values) & ((values < low) | (values > high))
        found.mark(f"channel {name}", f"lies outside [{low:g}, {high:g}]", beyond, values, dims, start)


def _check_beside(columns: Columns, start: tuple[int, ...], found: Findings) -> None:
    """A part of an error is no larger than the whole."""
    for name, values in columns.items():
        channel, ending = beside(name) or (name, "")
        whole = columns.get(f"{channel}_error")
        if ending == "_correlated_error" and whole is not None:
            what = f"is larger than {channel}_error"
            found.mark(f"channel {name}", what, values > whole * (1 + 1e-5), values, ("obs",), start)


def _check_placed(ds: xr.Dataset, columns: Columns, start: tuple[int, ...], found: Findings) -> None:
    """Cells of a curvilinear grid that have a value have a position."""
    for name, values in columns.items():
        dims = _dims(ds[name])
        if dims[-2:] != ["y", "x"] or not {"longitude", "latitude"} <= set(ds.coords):
            continue
        y, x = (slice(o, o + size) for o, size in zip(start[-2:], values.shape[-2:], strict=True))
        nowhere = (ds["longitude"] + ds["latitude"]).isel(y=y, x=x).isnull().values
        what = "has values without a position"
        found.mark(f"channel {name}", what, np.isfinite(values) & nowhere, values, dims, start)


def _dims(variable: xr.DataArray) -> list[str]:
    return [str(dim) for dim in variable.dims]
