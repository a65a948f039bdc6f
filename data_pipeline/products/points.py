"""Points of any layout, in NetCDF or text, into an observation Dataset: tracks, swaths, pixels of maps, tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from data_pipeline.errors import SchemaError
from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.layout.globe import wrap_longitude
from data_pipeline.products.files import TEXT, Options, content_of
from data_pipeline.products.neighbours import without_outliers
from data_pipeline.products.observed import Points
from data_pipeline.products.pixels import read_pixels
from data_pipeline.products.registry import Product
from data_pipeline.products.screening import REPEATED, Counts
from data_pipeline.products.text_points import read_text

MOST_SOURCES = np.iinfo(np.int16).max


def read_points(path: Path, product: Product, options: Options) -> Points:
    """The points of one file that have a position, a time and a value; there may be none."""
    points = (read_text if content_of(path) == TEXT else read_pixels)(path, product, options)
    return points if options.keep_flagged else without_outliers(points)


def join_points(parts: Sequence[Points], keep_repeats: bool = False) -> tuple[xr.Dataset, list[Counts]]:
    """(observation Dataset, counts of each file) of the points of files.

    A point that comes twice with the same time, position and values (files that overlap) is kept once, from the first,
    unless all are wanted. A channel without any value is left out; its counts stay.
    """
    valued = (name for part in parts for name, values in part.channels.items() if np.isfinite(values).any())
    names = list(dict.fromkeys(valued))
    with_error = [name for name in names if any(name in part.errors for part in parts)]
    source_names = list(dict.fromkeys(name for part in parts for name in part.source_name))
    if len(source_names) > MOST_SOURCES:
        raise SchemaError(
            f"{len(source_names)} files are more sources than {MOST_SOURCES}; ingest them in several stores"
        )
    table = pd.DataFrame(
        {
            "time": np.concatenate([part.time for part in parts]),
            "longitude": wrap_longitude(np.concatenate([part.longitude for part in parts])),
            "latitude": np.concatenate([part.latitude for part in parts]),
            **{name: _column([part.channels.get(name) for part in parts], parts) for name in names},
        }
    )
    repeated = table.duplicated().to_numpy() & (not keep_repeats)
    kept = ~repeated
    counts = _without_repeated(parts, repeated)
    places = {name: place for place, name in enumerate(source_names)}
    source = np.concatenate(
        [np.array([places[name] for name in part.source_name], np.int16)[part.source] for part in parts]
    )
    errors = {name: _column([part.errors.get(name) for part in parts], parts)[kept] for name in with_error}
    ds = observations_dataset(
        table["time"].to_numpy()[kept],
        table["longitude"].to_numpy()[kept],
        table["latitude"].to_numpy()[kept],
        {name: table[name].to_numpy()[kept] for name in names},
        errors,
        source=source[kept],
        source_name=source_names,
    )
    return ds, counts


def _column(values: Sequence[np.ndarray | None], parts: Sequence[Points]) -> np.ndarray:
    """One column of all files, missing where a file lacks it."""
    return np.concatenate(
        [
            np.full(part.time.size, np.nan, np.float32) if column is None else column
            for column, part in zip(values, parts, strict=True)
        ]
    )


def _without_repeated(parts: Sequence[Points], repeated: np.ndarray) -> list[Counts]:
    start = 0
    for part in parts:
        of_part = repeated[start : start + part.time.size]
        start += part.time.size
        for name, values in part.channels.items():
            part.counts[name].add(0, {REPEATED: int(np.count_nonzero(of_part & np.isfinite(values)))})
    return [part.counts for part in parts]
