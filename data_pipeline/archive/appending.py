"""Files added to an archive: the days they touch are written anew, and one commit makes all of it visible."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from data_pipeline.archive.arrivals import Arrival, arrivals, new_rows
from data_pipeline.archive.commits import Draft, archive_state, drafting, is_archive, refuse_foreign
from data_pipeline.archive.merging import day_edges, days_of, merge
from data_pipeline.archive.reading import CHUNK, read_rows
from data_pipeline.archive.records import Commit, FileEntry, Piece, State
from data_pipeline.errors import SchemaError
from data_pipeline.layout.checks import check_observations
from data_pipeline.system.folders import writing
from data_pipeline.system.provenance import provenance
from data_pipeline.system.scheduler import in_order

# A part is what an append holds in memory besides the new points; a single day may be larger.
ROWS_PER_PART = 4 * CHUNK
_TIME_UNITS = {"units": "microseconds since 1970-01-01", "calendar": "proleptic_gregorian"}


def append(ds: xr.Dataset, path: str | os.PathLike[str]) -> Commit | None:
    """Add observations to the archive at `path`, a new one if need be, as one commit; None when all is there already.

    ds: an observation Dataset as `ingest` gives it: attribute `sources` names files with their sha256, and each source
    is called as the stem of its file, alone or with words after it. A file whose content was ever taken changes
    nothing. A file with the name of an earlier one replaces its points. Readers see all of it or nothing. Raises
    SchemaError when `ds` is not of that kind, StoreError when `path` is taken by something else or cannot be written,
    and BusyError when another process is appending to it.
    """
    path = Path(path)
    check_observations(ds)
    with writing(path), drafting(path) as draft:
        new = arrivals(ds, draft.state)
        if not new:
            return None
        commit = _written(draft, new, new_rows(ds, new), ds)
        draft.publish(commit)
        return commit


def unseen(files: Sequence[Path], path: Path) -> dict[Path, dict[str, Any] | None]:
    """Those of some files whose content the archive at `path` never took, with their provenance.

    Raises StoreError when something else is at `path`. A file that cannot be read has None: the reader will refuse it.
    """
    refuse_foreign(path)
    digests = archive_state(path).digests if is_archive(path) else {}
    pairs = zip(files, in_order(_provenance, [file.absolute() for file in files], None), strict=True)
    return {file: known for file, known in pairs if not known or known["sha256"] not in digests}


def _provenance(_: None, file: Path) -> dict[str, Any] | None:
    try:
        return provenance(file)
    except OSError:
        return None


def _written(draft: Draft, new: list[Arrival], rows: pd.DataFrame, ds: xr.Dataset) -> Commit:
    """Write the parts of a commit and describe it."""
    state = draft.state
    units = _units(ds, rows, state)
    since = {**dict.fromkeys(units, draft.number), **state.since}
    after = state.model_copy(update={"units": {**state.units, **units}, "since": since})
    replaced = [number for file in new if file.earlier for number in file.earlier.sources.values()]
    names = list({**state.sources, **{name: 0 for file in new for name in file.entry.sources}})
    points: dict[str, Piece | None] = {}
    repeats: dict[str, Piece | None] = {}
    for index, (days, arrived) in enumerate(_batches(state, new, rows)):
        held = [table[day] for table in (state.points, state.repeats) for day in days if day in table]
        old = read_rows(draft.archive, after, held)
        old = old.iloc[~np.isin(old["source"].to_numpy(), replaced)]
        # Columns that only one of the two has are missing values in the other.
        whole = pd.concat([old, arrived.reindex(columns=old.columns)], ignore_index=True).astype(old.dtypes)
        merged = merge(whole, names, list(after.units))
        for kind, table, where in zip(("points", "repeats"), merged, (points, repeats), strict=True):
            where.update({day: None for day in days if kind == "points" or day in state.repeats})
            where |= _save(draft, f"{kind}-{index:04d}", table, after.units)
    return Commit(
        number=draft.number,
        time=draft.time(),
        product=str(ds.attrs["product"]),
        files=[_entry(file, rows) for file in new],
        replaced=[file.entry.file for file in new if file.earlier],
        points=points,
        repeats=repeats,
        units=after.units,
        notes=ingestion_notes(ds),
    )


def _units(ds: xr.Dataset, rows: pd.DataFrame, state: State) -> dict[str, str]:
    units = {name: str(ds[name].attrs["units"]) for name in rows.columns[4:]}
    for name, unit in units.items():
        if state.units.get(name, unit) != unit:
            raise SchemaError(
                f"{name} is in {unit!r} where the archive has {state.units[name]!r}; convert it or start anew"
            )
    return units


def _batches(state: State, new: list[Arrival], rows: pd.DataFrame) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """(days, their new rows) in time order, so many days at a time that they make about a part with what is there."""
    days, edges = day_edges(rows["time"].to_numpy())
    arriving = {str(day): (low, high) for day, low, high in zip(days, edges, edges[1:], strict=False)}
    spans = [(file.earlier.first_day, file.earlier.last_day) for file in new if file.earlier and file.earlier.first_day]
    left = {day for first, last in spans for day in (*state.points, *state.repeats) if first <= day <= str(last)}
    batch: list[str] = []
    held = 0
    for day in sorted({*arriving, *left}, key=np.datetime64):
        pieces = [table[day] for table in (state.points, state.repeats) if day in table] + [
            ("", *arriving.get(day, (0, 0)))
        ]
        size = sum(stop - start for _, start, stop in pieces)
        if batch and held + size > ROWS_PER_PART:
            yield batch, _between(rows, arriving, batch)
            batch, held = [], 0
        batch.append(day)
        held += size
    yield batch, _between(rows, arriving, batch)


def _between(rows: pd.DataFrame, arriving: dict[str, tuple[int, int]], days: list[str]) -> pd.DataFrame:
    spans = [arriving[day] for day in days if day in arriving]
    return rows.iloc[spans[0][0] : spans[-1][1]] if spans else rows.iloc[:0]


def _save(draft: Draft, part: str, table: pd.DataFrame, units: dict[str, str]) -> dict[str, Piece | None]:
    """Write a part, when there is anything in it, and tell where in it each day is."""
    if table.empty:
        return {}
    group = zarr.create_group(draft.folder / part, zarr_format=3)
    for name in table.columns:
        values = table[name].to_numpy()
        kept = values.astype("datetime64[us]").astype(np.int64) if name == "time" else values
        attributes: dict[str, Any] = _TIME_UNITS if name == "time" else {"units": units[name]} if name in units else {}
        array = group.create_array(
            name,
            shape=kept.shape,
            dtype=kept.dtype,
            chunks=(min(CHUNK, kept.size),),
            fill_value=np.nan if kept.dtype.kind == "f" else 0,
            dimension_names=("obs",),
            attributes=attributes,
            config={"write_empty_chunks": True},
        )
        array[:] = kept
    where = f"{draft.number:08d}/{part}"
    days, edges = day_edges(table["time"].to_numpy())
    return {str(day): (where, int(low), int(high)) for day, low, high in zip(days, edges, edges[1:], strict=False)}


def _entry(file: Arrival, rows: pd.DataFrame) -> FileEntry:
    time = rows["time"].to_numpy()[np.isin(rows["source"].to_numpy(), list(file.entry.sources.values()))]
    days = [str(day) for day in days_of(time[[0, -1]])] if time.size else [None, None]
    return file.entry.model_copy(update={"points": time.size, "first_day": days[0], "last_day": days[1]})


def ingestion_notes(ds: xr.Dataset) -> list[str]:
    """What the ingestion assumed, converted or screened: the lines of the history after its own."""
    lines = str(ds.attrs["history"]).splitlines()
    own = [index for index, line in enumerate(lines) if "ingested as" in line]
    return lines[own[-1] + 1 :] if own else []
