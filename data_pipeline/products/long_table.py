"""Long tables, one value a row, as the Copernicus Marine toolbox writes points: `variable, ..., value, value_qc`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data_pipeline.errors import EmptyDataError, SchemaError, UnitsError
from data_pipeline.products.meanings import BAD, GOOD, verdict

VARIABLE, VALUE, QUALITY = "variable", "value", "value_qc"
# Of OceanSITES and the Copernicus Marine Service: 1 good, 2 probably good, 0 not controlled, from 3 on not to be used.
GOOD_QUALITY = (1.0, 2.0)
CONDEMNED = "with a value_qc that is neither 1 (good) nor 2 (probably good)"
# 5 to 8 are places that were changed or interpolated; 0 is one that nobody looked at.
_BAD_PLACE = (3.0, 4.0, 9.0)
MISPLACED = "with a time_qc or position_qc that condemns"
_OF_PLACES = ("time_qc", "position_qc", "longitude_qc", "latitude_qc")
OTHER_LEVEL = "at another depth than the one taken"
SURFACE_METRES = 10.0
_PLACE = ("platform_id", "platform_type", "time", "longitude", "latitude")
_UNITS = ("unit", "units")
_METRES = {"": 1.0, **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), 1.0), "km": 1000.0}
_DECIBARS = ("", "dbar", "decibar", "decibars")  # one of sea water is a metre, to a hundredth
_VERTICAL = ("level", "lev", "z", "height", "altitude", "deptht", "sigma")
_BLANK = ("", "nan", "--", "-", "na", "n/a", "none", "null")

# What the in-situ part of the service calls the channels.
CHANNELS = {"temp": "temperature", "psal": "salinity", "ewct": "u", "nsct": "v"}
UNITS = {"temp": "degC", "psal": "1e-3", "ewct": "m s-1", "nsct": "m s-1"}


@dataclass
class Pivoted:
    """One row for each platform, time and place, one column for each variable.

    By variable: flagged, where its quality condemns; misplaced, where that of its place does; other_level, how many
    values at other depths were left out; absent, how many rows the table has no entry for; units, where the table
    tells. platform: of each row, or None.
    """

    table: pd.DataFrame
    flagged: dict[str, np.ndarray]
    misplaced: dict[str, np.ndarray]
    other_level: dict[str, int]
    absent: dict[str, int]
    platform: np.ndarray | None
    units: dict[str, str]


def is_long(names: Sequence[str]) -> bool:
    """Whether columns are those of a long table."""
    return VARIABLE in names and VALUE in names


def pivoted(table: Any, depth: float | None, where: str, told: Mapping[str, str] | None = None) -> Pivoted:
    """A long table (DataFrame) with a column for each variable; two values of one variable at one place stay two.

    depth [m]: the level nearest to it is taken of each profile, without one the level nearest to the surface, down to
    SURFACE_METRES. told: units of columns in the header. Raises UnitsError when a variable has several units or a
    depth is in none, SchemaError for a level that is no depth, EmptyDataError when no row is of the level.
    """
    variable = table[VARIABLE].astype(str).str.strip().str.lower()
    keys = [name for name in _PLACE if name in table.columns]
    level = _at_level(table, keys, variable, depth, _down(table, told or {}, where))
    if not level.any():
        raise EmptyDataError(f"no value of {where!r} lies within {SURFACE_METRES:g} m of the surface; give --depth")
    every, other = list(dict.fromkeys(variable)), variable[~level].value_counts().to_dict()
    table, variable = table[level].reset_index(drop=True), variable[level].reset_index(drop=True)
    again = table.groupby([*(table[name] for name in keys), variable], dropna=False, sort=False).cumcount()
    row = table.groupby([*(table[name] for name in keys), again], dropna=False, sort=False).ngroup().to_numpy()
    first = np.unique(row, return_index=True)[1]
    wide = table.loc[first, keys].reset_index(drop=True)
    value = _number(table[VALUE])
    condemned = _condemned(table[QUALITY]) if QUALITY in table.columns else np.zeros(len(table), dtype=bool)
    lost = np.zeros(len(table), dtype=bool)
    for name in _OF_PLACES:
        if name in table.columns:
            lost |= _bad_place(table[name])
    flagged, misplaced, absent = {}, {}, {}
    for name in every:
        here = (variable == name).to_numpy()
        column = np.full(len(first), np.nan)
        bad, away = np.zeros(len(first), dtype=bool), np.zeros(len(first), dtype=bool)
        column[row[here]] = value[here]
        bad[row[here]], away[row[here]] = condemned[here], lost[here]
        wide[name], flagged[name], misplaced[name] = column, bad, away
        absent[name] = len(first) - int(here.sum())
    platform = wide["platform_id"].astype(str).to_numpy() if "platform_id" in wide else None
    units = _units(table, variable, where)
    names = ["longitude", "latitude", "time", *flagged]
    return Pivoted(wide[names], flagged, misplaced, other, absent, platform, units)


def _condemned(column: Any) -> np.ndarray:
    """Where a quality, in numbers or in words, is there and is not good."""
    words = column.astype("string").str.strip().fillna("")
    said = {word: verdict(word) == GOOD or word.lower() in _BLANK for word in words.unique()}
    number = _number(column)
    good = np.where(np.isfinite(number), np.isin(number, GOOD_QUALITY), words.map(said).to_numpy(bool))
    return ~good


def _bad_place(column: Any) -> np.ndarray:
    """Where the quality of a time or a position, in numbers or in words, says that it is bad."""
    words = column.astype("string").str.strip().fillna("")
    said = {word: verdict(word) == BAD for word in words.unique()}
    return np.isin(_number(column), _BAD_PLACE) | words.map(said).to_numpy(bool)


def _down(table: Any, told: Mapping[str, str], where: str) -> np.ndarray | None:
    """(row,) metres below the surface, NaN where nothing says it; None when there is no column of levels."""
    down = None
    depth = next((name for name in ("depth", "deph") if name in table.columns), None)
    if depth is not None:
        units = told.get(depth, "").strip().lower()
        if units not in _METRES:
            raise UnitsError(f"the {depth} of {where!r} has units {units!r} where metres are wanted; convert it")
        down = abs(_levels(table[depth], depth, where)) * _METRES[units]
    elif "elevation" in table.columns:
        down = -_levels(table["elevation"], "elevation", where)
    for name in ("pressure", "pres"):
        if name in table.columns:
            if told.get(name, "").strip().lower() not in _DECIBARS:
                raise UnitsError(f"the {name} of {where!r} has units {told[name]!r} where dbar are wanted; convert it")
            held = _levels(table[name], name, where)
            down = held if down is None else np.where(np.isfinite(down), down, held)
    other = next((name for name in _VERTICAL if name in table.columns and table[name].notna().any()), None)
    if other is not None and (down is None or not np.isfinite(down).any()):
        raise SchemaError(
            f"{where!r} has levels in its column {other!r}, of which nobody knows the depth; add a column depth [m], "
            "or leave this one out"
        )
    return down


def _levels(column: Any, name: str, where: str) -> np.ndarray:
    """Numbers of a column of levels, the word surface for zero; SchemaError for other words."""
    words = column.astype("string").str.strip().str.lower().fillna("")
    read = np.where(words == "surface", 0.0, _number(column))
    unknown = words[np.isnan(read) & ~words.isin(_BLANK).to_numpy(bool)]
    if len(unknown):
        raise SchemaError(f"the {name} of {where!r} holds {unknown.iloc[0]!r} where metres are wanted; give numbers")
    return read


def _at_level(table: Any, keys: list[str], variable: Any, depth: float | None, down: np.ndarray | None) -> np.ndarray:
    """(row,) whether a row is of the level that is taken of its profile; rows without a level are at the surface."""
    if down is None:
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
