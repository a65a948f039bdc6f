"""Points of several files put together: one order, whatever the order of arrival, and each point once."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_pipeline.layout.checks import beside

POSITION = ("time", "longitude", "latitude")


def merge(rows: pd.DataFrame, names: Sequence[str], columns: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(points, repeats): the rows in order, those that repeat another one apart.

    rows: time, longitude, latitude, source and `columns` (channels and their errors). names: of each source. The order
    is that of time, then of the source's name, then of position and values, so that it depends on the files alone. A
    row repeats an earlier one with the same time, position and channels: the first source by name keeps it.
    """
    rank = np.argsort(np.argsort(np.asarray(names, dtype=str)))[rows["source"].to_numpy()]
    keys = [rows[name].to_numpy() for name in reversed([*columns, "longitude", "latitude"])]
    rows = rows.iloc[np.lexsort([*keys, rank, rows["time"].to_numpy()])]
    channels = [name for name in columns if beside(name) is None]
    repeated = rows.duplicated([*POSITION, *channels]).to_numpy()
    return rows.iloc[~repeated], rows.iloc[repeated]


def days_of(time: np.ndarray) -> np.ndarray:
    """The day of each time, datetime64[D]."""
    return np.asarray(time).astype("datetime64[D]")


def day_edges(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(days, edges) of ascending times: rows edges[i] to edges[i + 1] are of days[i]."""
    days, first = np.unique(days_of(time), return_index=True)
    return days, np.append(first, len(time))
