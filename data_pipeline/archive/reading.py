"""A state of an archive as a lazy observation Dataset, and rows of it in memory."""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from data_pipeline.archive.commits import archive_state
from data_pipeline.archive.records import Piece, State
from data_pipeline.errors import EmptyDataError, StoreError, reason
from data_pipeline.layout.channels import in_registry_order
from data_pipeline.layout.checks import ONE_DAY
from data_pipeline.layout.datasets import described_observations
from data_pipeline.layout.moments import nanoseconds
from data_pipeline.system.capacity import check_zarr, read_json
from data_pipeline.system.inside import inside

if TYPE_CHECKING:
    import dask.array

CHUNK = 2**18
MANY_ROWS = 2**24
DTYPES = {"time": "datetime64[ns]", "longitude": "float64", "latitude": "float64", "source": "int32"}


def open_archive(path: Path, as_of: object = None) -> xr.Dataset:
    """The archive now or as of a commit (number) or time (UTC): an observation Dataset, one dask block per zarr chunk.

    Nothing but the log is read, and nothing that is appended later is seen. Raises StoreError when there was no such
    state.
    """
    path = path.absolute()  # workers of a cluster have working directories of their own
    state = archive_state(path, as_of)
    if not state.points:
        raise EmptyDataError(f"{str(path)!r} holds no observation; append a file that does")
    _refuse_parts_elsewhere(path, state)
    pieces = list(_chunked(state.points[day] for day in sorted(state.points)))
    names = ["time", "longitude", "latitude", "source", *_columns(state)]
    variables = {name: _lazy(path, state, pieces, name) for name in names}
    days = np.array(sorted(state.points), "datetime64[D]")
    counts = np.array([stop - start for _, start, stop in (state.points[str(day)] for day in days)])
    every = np.arange(days[0], days[-1] + ONE_DAY, ONE_DAY)
    offset = np.zeros(every.size + 1, np.int64)
    offset[1 + (days - days[0]).astype(int)] = counts
    files = [
        {"file": file.file, "sha256": file.sha256, "bytes": file.bytes, **file.details} for file in state.files.values()
    ]
    attrs = {
        "product": ", ".join(state.products),
        "sources": json.dumps(files),
        "history": "\n".join(state.history),
        "dino_complete": True,
        "dino_commit": state.number,
    }
    return described_observations(
        variables,
        day=nanoseconds(every),
        day_offset=np.cumsum(offset),
        source_name=list(state.sources),
        attrs=attrs,
        units=state.units,
    )


def _refuse_parts_elsewhere(path: Path, state: State) -> None:
    """StoreError for a part that lies elsewhere, or that is said to hold more rows than its files can."""
    ends: dict[str, int] = {}
    for part, _, stop in state.points.values():
        ends[part] = max(stop, ends.get(part, 0))
    for part, stop in ends.items():
        folder = inside(path, f"commits/{part}")
        if stop > MANY_ROWS:  # such a column has so many blocks that it is looked at before they are counted
            check_zarr(folder)
            length = int(np.prod(read_json(folder / "time" / "zarr.json")["shape"]))
            if stop > length:
                raise StoreError(
                    f"{str(folder)!r} ends at row {length}, before {stop}; restore the archive from a copy"
                )


def read_rows(path: Path, state: State, pieces: Iterable[Piece]) -> pd.DataFrame:
    """The rows of some pieces in memory, with every column of the archive."""
    pieces = list(pieces)
    names = [*DTYPES, *_columns(state)]
    parts = {name: [_values(path, state, piece, name) for piece in pieces] for name in names}
    empty = {name: np.empty(0, DTYPES.get(name, "float32")) for name in names}
    return pd.DataFrame({name: np.concatenate([empty[name], *parts[name]]) for name in names})


def _columns(state: State) -> list[str]:
    """Channels and their errors in the order of the registry."""
    return in_registry_order(set(state.units) - set(DTYPES))


def _chunked(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Neighbouring rows of a part joined, then cut where the part's chunks are."""
    joined: list[Piece] = []
    for part, start, stop in pieces:
        if joined and joined[-1][0] == part and joined[-1][2] == start:
            joined[-1] = (part, joined[-1][1], stop)
        else:
            joined.append((part, start, stop))
    for part, start, stop in joined:
        edges = [start, *range(CHUNK * (start // CHUNK + 1), stop, CHUNK), stop]
        yield from ((part, low, high) for low, high in pairwise(edges))


def _lazy(path: Path, state: State, pieces: list[Piece], name: str) -> "dask.array.Array":
    import dask.array  # here, as whoever opens a store in one piece would wait for it
    import dask.base

    token = f"archive-{name}-{dask.base.tokenize(str(path.resolve()), state.number, state.time)}"
    dtype = np.dtype(DTYPES.get(name, "float32"))
    graph: dict[Any, Any] = {}
    for index, (part, start, stop) in enumerate(pieces):
        folder = str(path / "commits" / part) if _holds(state, part, name) else None
        graph[(token, index)] = (_read, folder, name, start, stop)
    sizes = tuple(stop - start for _, start, stop in pieces)
    return dask.array.Array(graph, token, (sizes,), dtype=dtype)  # pyright: ignore[reportCallIssue]


def _values(path: Path, state: State, piece: Piece, name: str) -> np.ndarray:
    part, start, stop = piece
    return _read(str(inside(path, f"commits/{part}")) if _holds(state, part, name) else None, name, start, stop)


def _holds(state: State, part: str, name: str) -> bool:
    return int(part.partition("/")[0]) >= state.since.get(name, 0)


def _read(folder: str | None, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of one column; missing values where the part is older than the column. A lost chunk is an error, no fill."""
    if folder is None:
        return np.full(stop - start, np.nan, np.float32)
    try:
        column = inside(Path(folder), name)
        if column.is_dir():
            check_zarr(column)
        array = zarr.open_array(f"{folder}/{name}", mode="r")
        if not start < stop <= array.shape[0]:
            raise ValueError(f"{name} ends at {array.shape[0]}, before row {stop}")
        length = array.chunks[0]
        for index in range(start // length, -(-stop // length)):
            if not Path(folder, name, "c", str(index)).exists():
                raise FileNotFoundError(f"chunk {index} of {name} is gone")
        values = np.asarray(array[start:stop])
        if values.shape != (stop - start,) or values.dtype.kind not in "iuf":
            raise ValueError(f"{name} is no column of numbers")
        return nanoseconds(values.astype("datetime64[us]"), f"a time in {folder!r}") if name == "time" else values
    except StoreError:
        raise
    except Exception as error:  # a damaged chunk raises whatever its codec raises
        raise StoreError(f"{folder!r} cannot be read ({reason(error)}); restore the archive from a copy") from error
