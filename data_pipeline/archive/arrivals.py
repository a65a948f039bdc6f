"""Which files of a Dataset are new to an archive, and their points."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from data_pipeline.archive.records import FileEntry, State
from data_pipeline.errors import SchemaError
from data_pipeline.layout.checks import COMPANIONS, channel_names


@dataclass(frozen=True)
class Arrival:
    """A new file: its entry in the log but for points and days, and that of the file it replaces."""

    entry: FileEntry
    earlier: FileEntry | None


def arrivals(ds: xr.Dataset, state: State) -> list[Arrival]:
    """The files of `ds` whose content is new, each with its sources numbered as the archive numbers them."""
    new, digests, numbers = [], set(state.digests), dict(state.sources)
    owned = {source: entry.file for entry in state.files.values() for source in entry.sources}
    for file, sources in _sources_by_file(ds):
        if file["sha256"] in digests:
            continue
        digests.add(file["sha256"])
        for source in sources:
            if owned.setdefault(source, file["file"]) != file["file"]:
                raise SchemaError(
                    f"{file['file']!r} and {owned[source]!r} both hold source {source!r}; rename one file"
                )
            numbers.setdefault(source, len(numbers))
        details = {name: value for name, value in file.items() if name not in ("file", "sha256", "bytes")}
        numbered = {source: numbers[source] for source in sources}
        entry = FileEntry(
            file=file["file"], sha256=file["sha256"], bytes=file["bytes"], details=details, sources=numbered
        )
        new.append(Arrival(entry, state.files.get(entry.file)))
    return new


def _sources_by_file(ds: xr.Dataset) -> list[tuple[dict[str, Any], list[str]]]:
    """Every file in attribute `sources` with the names of its sources: its stem, alone or with words after it."""
    try:
        files = json.loads(ds.attrs["sources"])
        files = [{**file, "sha256": str(file["sha256"]), "bytes": int(file["bytes"])} for file in files]
        stems: dict[str, list[str]] = {Path(file["file"]).stem: [] for file in files}
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(
            "attribute sources lacks file, sha256 or bytes of a source; append what `ingest` made"
        ) from error
    if len(stems) < len(files):
        (twice, _), *_ = Counter(Path(file["file"]).stem for file in files).most_common(1)
        raise SchemaError(f"two files are called {twice!r}; append the older one first, then the one that replaces it")
    for name in ds["source_name"].values:
        words = str(name).split(" ")
        owners = [" ".join(words[:count]) for count in range(len(words), 0, -1) if " ".join(words[:count]) in stems]
        if not owners:
            raise SchemaError(
                f"source {name!r} is of none of the files in attribute sources; append what `ingest` made"
            )
        stems[owners[0]].append(str(name))
    return list(zip(files, stems.values(), strict=True))


def new_rows(ds: xr.Dataset, new: Sequence[Arrival]) -> pd.DataFrame:
    """The points of the new files, `source` as the archive numbers them."""
    channels = channel_names(ds)
    columns = [*channels, *(f"{name}{end}" for name in channels for end in COMPANIONS if f"{name}{end}" in ds)]
    numbers = {source: number for file in new for source, number in file.entry.sources.items()}
    places = np.array([numbers.get(str(name), -1) for name in ds["source_name"].values], np.int32)
    rows = pd.DataFrame({name: ds[name].values for name in ("time", "longitude", "latitude", *columns)})
    rows.insert(3, "source", places[ds["source"].values])
    return rows.iloc[np.flatnonzero(rows["source"].to_numpy() >= 0)]
