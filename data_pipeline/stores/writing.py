"""Create and open zarr stores; nothing half-written is ever readable as whole.

A writer fills a hidden sibling, which is marked complete as the last act and renamed into place (`system.atomic`). A
store that it replaces steps aside for that; if the writer dies between the two renames, the next reader puts it back.
"""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from data_pipeline.archive.commits import is_archive
from data_pipeline.errors import MissingFileError, StoreError, reason
from data_pipeline.layout.channels import in_registry_order
from data_pipeline.layout.checks import (
    KINDS,
    SCHEMA_VERSION,
    channel_names,
    check_fields,
    check_layout_of_trajectories,
    check_observations,
)
from data_pipeline.layout.day_index import bound
from data_pipeline.system.atomic import recover, writing_folder
from data_pipeline.system.capacity import check_zarr
from data_pipeline.system.folders import writing
from data_pipeline.system.forking import in_every_child, lazy_reading
from data_pipeline.system.progress import Progress
from data_pipeline.system.scheduler import in_order

CHUNK_BYTES = 16 * 2**20
OBSERVATIONS_PER_CHUNK = 2**18
# A region is what a writer holds in memory at a time.
REGION_BYTES = 4 * CHUNK_BYTES
_TIME_ENCODING = {"units": "microseconds since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": "int64"}


def open_store(path: str | os.PathLike[str], *, as_of: Any = None, blocks: bool = True) -> xr.Dataset:
    """A store, or a state of an archive, as a lazy Dataset, one dask block per zarr chunk.

    blocks: without them nothing of dask is imported for a store: a value is read every time that it is asked for.
    as_of: of an archive only, the number of a commit or a time (UTC): what was known then. Raises MissingFileError
    when there is nothing at `path`, StoreError when it is no store of ours, was not finished or has no such state.
    """
    path = Path(path)
    in_every_child(lazy_reading)
    recover(path)
    if is_archive(path):
        from data_pipeline.archive.reading import open_archive  # with dask

        return open_archive(path, as_of)
    if path.exists() and as_of is not None:
        raise StoreError(
            f"{str(path)!r} was made in one piece and has no commits; leave out the one it is wanted as of"
        )
    if not path.exists():
        raise MissingFileError(f"there is no store at {str(path)!r}; check the path or make it with dino-data")
    attrs = _root_attributes(path)
    if attrs.get("dino_store") not in KINDS:
        raise StoreError(f"{str(path)!r} is a zarr store but no store of dino-data; ingest the original files instead")
    if attrs.get("dino_schema") != SCHEMA_VERSION:
        raise StoreError(
            f"{str(path)!r} has layout {attrs.get('dino_schema')!r} where {SCHEMA_VERSION} is wanted; make it anew"
        )
    if attrs.get("dino_complete") is not True:
        raise StoreError(f"{str(path)!r} was never finished (its writer was stopped); delete it and make it anew")
    check_zarr(path)
    try:
        # Workers of a cluster have working directories of their own.
        ds = xr.open_zarr(path.absolute(), consolidated=False, chunks={} if blocks else None)
    except Exception as error:  # zarr and its codecs raise whatever damage makes them raise
        raise StoreError(f"{str(path)!r} is damaged and cannot be opened ({reason(error)}); make it anew") from error
    for name in ("source_name", "day_offset", "latitude", "longitude"):
        if name in ds.variables and "obs" not in ds[name].dims:
            ds[name] = ds[name].astype(object).load() if name == "source_name" else ds[name].load()
    # A folder lists its variables in any order; the registry's is the same everywhere.
    order = in_registry_order(map(str, ds.data_vars))
    if attrs["dino_store"] == "trajectories":
        ds = ds.assign_coords({name: ds[name].load() for name in ds.coords if ds[name].dims == ("trajectory",)})
        written = attrs.get("channels")
        order = written if isinstance(written, list) and set(written) == set(order) else order
    ds = xr.Dataset({name: ds[name] for name in order}, coords=ds.coords, attrs=ds.attrs)
    return bound(ds) if "day_offset" in ds.variables and "time" in ds.variables else ds


def write_store(
    ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False, progress: Progress | None = None
) -> Path:
    """Write a canonical Dataset to `path`, region by region, and return the path.

    Memory is bounded by one region (about 64 MB, or one chunk if that is larger) of lazy data. progress: called with
    (regions done, regions in all). Raises SchemaError when `ds` breaks its layout and StoreError when `path` is
    taken and `overwrite` is false, or cannot be written.
    """
    path = Path(path)
    if ds.attrs.get("dino_store") == "observations":
        check_observations(ds)
    elif ds.attrs.get("dino_store") == "trajectories":
        check_layout_of_trajectories(ds)
    else:
        check_fields(ds)
    with writing(path), writing_folder(path, lambda taken: refuse_taken(taken, overwrite)) as partial:
        _write_regions(ds, partial, progress)
    return path


def store_chunks(ds: xr.Dataset) -> dict[str, int]:
    """Chunk length by dimension: 2^18 observations, or maps of about 16 MB with as many times (then trajectories)
    as fit.
    """
    if ds.attrs.get("dino_store") == "observations":
        return {"obs": max(1, min(ds.sizes["obs"], OBSERVATIONS_PER_CHUNK))}
    if ds.attrs.get("dino_store") == "trajectories":
        return _chunks_of_trajectories(ds)
    rows, columns = ("y", "x") if "y" in ds.sizes else ("latitude", "longitude")
    cells = max(1, CHUNK_BYTES // np.dtype(np.float32).itemsize)
    chunks = {columns: min(ds.sizes[columns], cells)}
    chunks[rows] = min(ds.sizes[rows], max(1, cells // chunks[columns]))
    left = cells // (chunks[rows] * chunks[columns])
    for dim in ("time", "trajectory"):
        if dim in ds.sizes:
            chunks[dim] = min(ds.sizes[dim], max(1, left))
            left //= chunks[dim]
    return chunks


def _chunks_of_trajectories(ds: xr.Dataset) -> dict[str, int]:
    """Whole trajectories as far as they fit."""
    left = max(1, CHUNK_BYTES // max(ds[name].dtype.itemsize for name in channel_names(ds)))
    chunks = {}
    for dim in (dim for dim in ("x", "y", "time", "trajectory") if dim in ds.sizes):
        chunks[dim] = max(1, min(ds.sizes[dim], left))
        left //= chunks[dim]
    return chunks


def _root_attributes(path: Path) -> Mapping[str, Any]:
    try:
        return dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
    except Exception as error:  # a file, an empty folder and damaged metadata each raise something else
        raise StoreError(f"{str(path)!r} is no zarr store; ingest it with dino-data or name another") from error


def _write_regions(ds: xr.Dataset, partial: Path, progress: Progress | None) -> None:
    chunks = store_chunks(ds)
    streamed = [name for name in ds.variables if ds[name].chunks is not None or name in channel_names(ds)]
    encoding: dict[Any, dict[str, Any]] = {
        name: {"chunks": tuple(chunks.get(str(dim), ds.sizes[dim]) for dim in ds[name].dims)}
        for name in ds.variables
        if ds[name].ndim and ds[name].size
    }
    for name in ds.variables:
        if ds[name].dtype.kind == "M":
            encoding[name] = {**encoding.get(name, {}), **_TIME_ENCODING}
        elif ds[name].dtype.kind == "f":
            encoding[name] = {**encoding.get(name, {}), "_FillValue": np.nan, "fill_value": np.nan}
    ds = ds.drop_encoding()
    # Empty stand-ins keep the metadata write from touching a value; everything that is small is written with it.
    template = ds.assign({name: ds[name].copy(data=_placeholder(ds[name], chunks)) for name in streamed})
    template.attrs = {name: value for name, value in ds.attrs.items() if name != "dino_complete"}
    write: dict[str, Any] = {"zarr_format": 3, "consolidated": False, "write_empty_chunks": True}
    template.to_zarr(partial, mode="w", encoding=encoding, compute=False, **write)
    regions = list(_regions(ds, streamed, chunks))
    lazy = {name: ds[name].variable for name in streamed if ds[name].chunks is not None}
    elsewhere = in_order(_values, [place for place in regions if place[0] in lazy], lazy)
    for number, (name, region) in enumerate(regions, start=1):
        block = ds[name].variable.isel(region)
        block = block.copy(data=next(elsewhere)) if name in lazy else block.load()
        xr.Dataset({name: block}).to_zarr(partial, region=region, **write)
        if progress is not None:
            progress(number, len(regions))
    zarr.open_group(partial, mode="r+").attrs["dino_complete"] = True


def _values(variables: Mapping[Any, xr.Variable], place: tuple[Any, dict[str, slice]]) -> np.ndarray:
    name, region = place
    return variables[name].isel(region).to_numpy()


def _placeholder(variable: xr.DataArray, chunks: Mapping[str, int]) -> Any:
    sizes = tuple(chunks.get(str(dim), variable.sizes[dim]) for dim in variable.dims)
    import dask.array  # here, as whoever opens a store would wait for it

    return dask.array.zeros(variable.shape, dtype=variable.dtype, chunks=sizes)


def _regions(ds: xr.Dataset, names: list[Any], chunks: Mapping[str, int]) -> Iterator[tuple[Any, dict[str, slice]]]:
    """Every variable in turn, cut into regions of whole chunks that hold up to REGION_BYTES."""
    for name in names:
        variable = ds[name]
        steps = {str(dim): chunks.get(str(dim), variable.sizes[dim]) for dim in variable.dims}
        held = variable.dtype.itemsize * math.prod(steps.values())
        for dim in reversed(
            variable.dims
        ):  # grow the region over the last dimensions first: they are contiguous in a chunk
            while held * 2 <= REGION_BYTES and steps[str(dim)] < variable.sizes[dim]:
                steps[str(dim)] *= 2
                held *= 2
        starts = [range(0, variable.sizes[dim], steps[str(dim)]) for dim in variable.dims]
        for corner in np.ndindex(*(len(start) for start in starts)):
            yield (
                name,
                {
                    str(dim): slice(start[i], min(start[i] + steps[str(dim)], variable.sizes[dim]))
                    for dim, start, i in zip(variable.dims, starts, corner, strict=True)
                },
            )


def refuse_taken(path: Path, overwrite: bool) -> None:
    """StoreError when what is at `path` may not be replaced: anything without `overwrite`, what is no store with it."""
    if not overwrite:
        raise StoreError(f"{str(path)!r} exists already; pass --overwrite to replace it or choose another --out")
    if not path.is_dir() or (any(path.iterdir()) and not (path / "zarr.json").exists()):
        raise StoreError(f"{str(path)!r} is no zarr store and will not be replaced; choose another --out")
