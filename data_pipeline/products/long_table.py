"""Long tables, one value a row, as the Copernicus Marine toolbox writes points: `variable, ..., value, value_qc`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data_pipeline.errors import EmptyDataError, UnitsError

VARIABLE, VALUE, QUALITY = "variable", "value", "value_qc"
# Of OceanSITES and the Copernicus Marine Service: 1 good, 2 probably good, 0 not controlled, from 3 on not to be used.
GOOD_QUALITY = (1.0, 2.0)
CONDEMNED = "with a value_qc that is neither 1 (good) nor 2 (probably good)"
OTHER_LEVEL = "at another depth than the one taken"
SURFACE_METRES = 10.0
_PLACE = ("platform_id", "platform_type", "time", "longitude", "latitude")
_UNITS = ("unit", "units")

# What the in-situ part of the service calls the channels.
CHANNELS = {"temp": "temperature", "psal": "salinity", "ewct": "u", "nsct": "v"}
UNITS = {"temp": "degC", "psal": "1e-3", "ewct": "m s-1", "nsct": "m s-1"}


@dataclass
class Pivoted:
    """One row for each platform, time and place, one column for each variable.

    By variable: flagged, where its quality condemns; other_level, how many values at other depths were left out;
    absent, how many rows the table has no entry for; units, where the table tells. platform: of each row, or None.
    """

    table: pd.DataFrame
    flagged: dict[str, np.ndarray]
    other_level: dict[str, int]
    absent: dict[str, int]
    platform: np.ndarray | None
    units: dict[str, str]


def is_long(names: Sequence[str]) -> bool:
    """Whether columns are those of a long table."""
    return VARIABLE in names and VALUE in names


def pivoted(table: Any, depth: float | None, where: str) -> Pivoted:
    """A long table (DataFrame) with a column for each variable; two values of one variable at one place stay two.

    depth [m]: the level nearest to it is taken of each profile, without one the level nearest to the surface, down to
    SURFACE_METRES. Raises UnitsError when a variable has several units, EmptyDataError when no row is of the level.
    """
    variable = table[VARIABLE].astype(str).str.strip().str.lower()
    keys = [name for name in _PLACE if name in table.columns]
    level = _at_level(table, keys, variable, depth)
    if not level.any():
        raise EmptyDataError(f"no value of {where!r} lies within {SURFACE_METRES:g} m of the surface; give --depth")
    every, other = list(dict.fromkeys(variable)), variable[~level].value_counts().to_dict()
    table, variable = table[level].reset_index(drop=True), variable[level].reset_index(drop=True)
    again = table.groupby([*(table[name] for name in keys), variable], dropna=False, sort=False).cumcount()
    row = table.groupby([*(table[name] for name in keys), again], dropna=False, sort=False).ngroup().to_numpy()
    first = np.unique(row, return_index=True)[1]
    wide = table.loc[first, keys].reset_index(drop=True)
    value = _number(table[VALUE])
    quality = _number(table[QUALITY]) if QUALITY in table.columns else None
    flagged, absent = {}, {}
    for name in every:
        here = (variable == name).to_numpy()
        column, bad = np.full(len(first), np.nan), np.zeros(len(first), dtype=bool)
        column[row[here]] = value[here]
        if quality is not None:
            bad[row[here]] = np.isfinite(quality[here]) & ~np.isin(quality[here], GOOD_QUALITY)
        wide[name], flagged[name], absent[name] = column, bad, len(first) - int(here.sum())
    platform = wide["platform_id"].astype(str).to_numpy() if "platform_id" in wide else None
    units = _units(table, variable, where)
    names = ["longitude", "latitude", "time", *flagged]
    return Pivoted(wide[names], flagged, other, absent, platform, units)


def _at_level(table: Any, keys: list[str], variable: Any, depth: float | None) -> np.ndarray:
    """(row,) whether a row is of the level that is taken of its profile; rows without a depth are at the surface."""
    if "depth" in table.columns:
        down = abs(_number(table["depth"]))
    elif "elevation" in table.columns:
        down = -_number(table["elevation"])
    else:
        return np.ones(len(table), dtype=bool)
    away: Any = pd.Series(abs(np.nan_to_num(down) - (depth or 0.0)), index=table.index)
    nearest = away.groupby([*(table[name] for name in keys), variable], dropna=False).transform("min")
    return ((away == nearest) & ((away <= SURFACE_METRES) | (depth is not None))).to_numpy()


def _number(column: Any) -> np.ndarray:
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def _units(table: Any, variable: Any, where: str) -> dict[str, str]:
    column = next((name for name in _UNITS if name in table.columns), None)
    if column is None:
        return {}
    told = {}
    for name, units in table[column].dropna().astype(str).groupby(variable):
        if units.nunique() > 1:
            raise UnitsError(
                f"variable {name!r} of {where!r} has several units ({', '.join(units.unique())}); part them"
            )
        told[str(name)] = units.iloc[0]
    return told
