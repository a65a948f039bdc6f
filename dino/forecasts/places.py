"""A list of places to forecast at: read from a table with what it says of each, and those without a value told."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import ConfigError, EmptyDataError, MissingFileError
from ..space.cover import Cover

TABLES = (".csv", ".txt", ".dat", ".tsv")
# Columns whose entries name a place, the first that there is.
_NAMES = ("name", "station", "mooring", "mooring_id", "platform_id", "platform", "id", "site")
_MOST_TOLD = 20
_MISSING = ("", "nan", "NaN")
_NUMBER = r"[+-]?(?:0|[1-9]\d*)?(?:\.\d*)?(?:[eE][+-]?\d+)?"


def read_places(path: Path) -> xr.Dataset:
    """`longitude` and `latitude` [degrees] along dim `point` of a table with a header, other columns as coordinates.

    Raises MissingFileError, and ConfigError or the reader's own errors for rows of another length, for a place that is
    no number, and for a table without these two columns or with one of them twice.
    """
    from data_pipeline.layout.degrees import degrees
    from data_pipeline.products.rows import first_fields, read_rows
    from data_pipeline.products.text import begins_with_names, header_of, named

    if not path.is_file():
        raise MissingFileError(f"there is no file {path}; check --at")
    names = [named(field) for field in header_of(path)]
    fields, separator = first_fields(path)
    table = read_rows(path, separator, begins_with_names(path), words=range(len(fields)))
    listed = ", ".join(name for name, _ in names) or "no header"
    if [name for name, _ in names].count("longitude") != 1 or [name for name, _ in names].count("latitude") != 1:
        raise ConfigError(f"{path} has {listed} where columns longitude,latitude are wanted, each once; name them so")
    if not len(table):
        raise EmptyDataError(
            f"{path} holds no place, only a header; give one place a row, and none that begins with #, which marks a "
            "comment"
        )
    table.columns = [name for name, _ in names]
    roles: tuple[Literal["longitude", "latitude"], ...] = ("longitude", "latitude")
    columns, units = {}, dict(names)
    for role in roles:
        try:
            values = table[role].replace(list(_MISSING), "nan").to_numpy(object).astype(float)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} holds a {role} that is no number ({error}); give degrees") from error
        columns[role] = ("point", degrees(values, units[role], role, path.name)[0])
    others = {}
    for place, (name, _) in enumerate(names):
        label = re.sub(r"[^\w-]+", "_", name).strip("_") or f"column_{place + 1}"
        if name not in roles and label not in others:
            others[label] = ("point", _as_written(table.iloc[:, place], name in _NAMES))
    return xr.Dataset(columns, coords=others)


def _as_written(column: Any, is_name: bool) -> np.ndarray:
    """A column of text as it is, or as numbers where each entry is one: 007 is a name, and so is NA."""
    filled = column[~column.isin(_MISSING)]
    if is_name or not len(filled) or not filled.str.fullmatch(_NUMBER).all():
        return column.to_numpy(object)
    return np.asarray(pd.to_numeric(column, errors="coerce"))


def without_value(made: xr.Dataset, channels: Sequence[str], cover: Cover) -> list[str]:
    """A line for each place of a forecast that has no value at any time: which one, and why; one line for a grid.

    Raises EmptyDataError when no place has a value.
    """
    known = np.any([np.isfinite(made[name].values).any(axis=0) for name in channels], axis=0)
    if known.all():
        return []
    longitude, latitude = (np.asarray(made[name].values, np.float64) for name in ("longitude", "latitude"))
    count, whole = int(np.count_nonzero(~known)), known.size
    if known.ndim != 1:
        if not known.any():
            raise EmptyDataError(
                f"none of the {whole} points of the grid has a value: all are land or outside the model's charts; give "
                "points at sea inside them"
            )
        return [f"{count} of {whole} points of the grid have no value: land, or outside the model's charts"]
    places = np.flatnonzero(~known)[:_MOST_TOLD]
    inside = cover.holds(longitude[places], latitude[places])
    lines = list(_reasons(made, places, inside))
    if not known.any():
        raise EmptyDataError(f"none of the {whole} places has a value: {'; '.join(lines)}; give places at sea")
    return lines + ([f"and {count - len(places)} more places have no value"] if count > len(places) else [])


def _reasons(made: xr.Dataset, places: np.ndarray, inside: np.ndarray) -> Iterator[str]:
    """What is the matter with each of some places, by name where there is one."""
    labels = next((made[name].values for name in _NAMES if name in made.coords), None)
    for place, held in zip(places, inside, strict=True):
        longitude, latitude = (float(made[name].values[place]) for name in ("longitude", "latitude"))
        label = "" if labels is None else f" {str(labels[place])!r}"
        if not np.isfinite(longitude + latitude):
            yield f"place {place + 1}{label} has no value: its longitude or latitude is missing"
            continue
        why = "it is land in the training maps; move it a cell" if held else "it lies outside the model's charts"
        yield f"place {place + 1}{label} ({longitude:.4g} E, {latitude:.4g} N) has no value: {why}"
