"""Tables of text: columns with or without a header, separated by commas, semicolons or blanks."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from data_pipeline.errors import EmptyDataError, UnknownProductError
from data_pipeline.products.registry import PRODUCTS, Product

TEXT_COLUMNS = ("longitude", "latitude", "time", "adt")
_ALIASES = {
    "lon": "longitude",
    "lat": "latitude",
    "date": "time",
    "datetime": "time",
    "timestamp": "time",
}
_POSITIONS = ("longitude", "latitude", "time")


def text_product(path: Path) -> Product:
    """The product of a text file: along-track text when it has no header, a general table when it has one."""
    return PRODUCTS["text" if _header(path)[0] else "alongtrack-text"]


def read_table(path: Path, columns: tuple[str, ...]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(columns by name, units by name) of a text file; lines after # are comments, a header may give units as `adt
    [m]`.

    columns: names in order, which overrule a header; without either the four columns of along-track text are meant.
    Raises UnknownProductError when the table does not fit its names or lacks longitude, latitude or time.
    """
    header, separator = _header(path)
    names = [_named(name) for name in columns or header or TEXT_COLUMNS]
    try:
        table = pd.read_csv(
            path, sep=separator, comment="#", header=0 if header else None, skipinitialspace=True, encoding="utf-8-sig"
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise UnknownProductError(
            f"{path.name!r} is no table of columns ({error}); fetch or convert it again"
        ) from error
    example = f"e.g. --columns {','.join(TEXT_COLUMNS)}"
    listed = ", ".join(name for name, _ in names)
    if len(table.columns) != len(names):
        raise UnknownProductError(
            f"{path.name!r} has {len(table.columns)} columns and {len(names)} names ({listed}); name each, {example}"
        )
    missing = [name for name in _POSITIONS if name not in dict(names)]
    if missing:
        raise UnknownProductError(
            f"{path.name!r} has columns {listed} without {', '.join(missing)}; name them in order, {example}"
        )
    if not len(table):
        raise EmptyDataError(f"{path.name!r} holds no observation, only a header; leave it out")
    values = {name: np.asarray(table.iloc[:, position]) for position, (name, _) in enumerate(names)}
    return values, {name: unit for name, unit in names if unit}


def _header(path: Path) -> tuple[list[str], str]:
    """(names of the header, or none; separator as a regular expression) from the first line that is no comment."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = (line.split("#")[0].strip() for line in file)
        first = next((line for line in lines if line), "")
    if not first:
        raise EmptyDataError(f"{path.name!r} holds no line that is not a comment; fetch it again")
    separator = next((mark for mark in (",", ";") if mark in first), r"\s+")
    fields = re.split(separator, first)
    return ([] if any(_is_number(field) for field in fields) else fields), separator


def _named(column: str) -> tuple[str, str]:
    """(canonical name, units) of a column like `Lon` or `adt [m]`."""
    match = re.fullmatch(r"\s*(.*?)\s*(?:[\[(](.*)[\])])?\s*", column)
    name, unit = match.groups() if match else (column, None)
    return _ALIASES.get(name.lower(), name.lower()), unit or ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "-inf")
