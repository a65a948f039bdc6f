"""Tables of text: columns with or without a header, separated by commas, semicolons, tabulators or blanks."""

import re
from pathlib import Path

import pandas as pd

from data_pipeline.errors import EmptyDataError, UnknownProductError
from data_pipeline.products.long_table import is_long
from data_pipeline.products.registry import PRODUCTS, Product
from data_pipeline.products.rows import comments_above, fields_of_comment, first_fields, read_rows

TEXT_COLUMNS = ("longitude", "latitude", "time", "adt")
EXAMPLE = f"e.g. --columns {','.join(TEXT_COLUMNS)}"
_ALIASES = {
    "lon": "longitude",
    "lat": "latitude",
    "date": "time",
    "datetime": "time",
    "timestamp": "time",
}
_POSITIONS = ("longitude", "latitude", "time")
# Columns that are words whatever they look like.
_WORDS = ("platform_id", "platform_type", "variable", "institution")


def text_product(path: Path) -> Product:
    """The product of a text file: along-track text when it has no header, a long or general table when it has one."""
    names = header_of(path)
    if not names:
        return PRODUCTS["alongtrack-text"]
    return PRODUCTS["long-table" if is_long([named(name)[0] for name in names]) else "text"]


def read_table(path: Path, columns: tuple[str, ...]) -> tuple[pd.DataFrame, dict[str, str]]:
    """(table, units by name) of a text file; lines after # are comments, a header may give units as `adt [m]`.

    columns: names in order, which overrule a header; without either the four columns of along-track text are meant.
    Raises UnknownProductError when the table does not fit its names, gives one twice, or lacks longitude, latitude or
    time, and EmptyDataError when it has no row.
    """
    header = header_of(path)
    names = [named(name) for name in columns or header or TEXT_COLUMNS]
    words = [place for place, (name, _) in enumerate(names) if name in _WORDS]
    table = read_rows(path, first_fields(path)[1], begins_with_names(path), words)
    listed = ", ".join(name for name, _ in names)
    if len(table) and len(table.columns) != len(names):
        raise UnknownProductError(
            f"{path.name!r} has {len(table.columns)} columns and {len(names)} names ({listed}); name each, {EXAMPLE}"
        )
    twice = {name for name, _ in names if [other for other, _ in names].count(name) > 1}
    if "time" in twice:
        raise UnknownProductError(
            f"{path.name!r} has several columns time among {listed}: a date and a clock are one time; write them in "
            "one column, e.g. 2014-05-15T04:12:07"
        )
    if twice:
        raise UnknownProductError(
            f"{path.name!r} has several columns {', '.join(sorted(twice))} among {listed}; name each once, {EXAMPLE}"
        )
    missing = [name for name in _POSITIONS if name not in dict(names)]
    if missing:
        raise UnknownProductError(
            f"{path.name!r} has columns {listed} without {', '.join(missing)}; name them in order, {EXAMPLE}"
        )
    if not len(table):
        raise EmptyDataError(f"{path.name!r} holds no observation, only a header; leave it out")
    table.columns = [name for name, _ in names]
    return table, {name: unit for name, unit in names if unit}


def header_of(path: Path) -> list[str]:
    """Names of the header, which may stand behind # above the first row; none where there are none.

    Raises UnknownProductError for a comment that names longitude and latitude, but not every column.
    """
    fields, separator = first_fields(path)
    if begins_with_names(path):
        return fields
    unfit = ""
    for line in comments_above(path):
        for way in fields_of_comment(line, separator):
            names = [named(field)[0] for field in way]
            if "longitude" in names and "latitude" in names:
                if len(names) == len(fields):
                    return way
                unfit = unfit or line
    if unfit:
        raise UnknownProductError(
            f"{path.name!r} has {len(fields)} columns, and the comment '# {unfit[:80]}' above them names others; name "
            f"each, {EXAMPLE}"
        )
    return []


def begins_with_names(path: Path) -> bool:
    """Whether the first line that is no comment is a header: it holds no number."""
    return not any(_is_number(field) for field in first_fields(path)[0])


def named(column: str) -> tuple[str, str]:
    """(canonical name, units) of a column like `Lon` or `adt [m]`."""
    match = re.fullmatch(r"\s*\"?(.*?)\s*(?:[\[(](.*)[\])])?\"?\s*", column)
    name, unit = match.groups() if match else (column, None)
    return _ALIASES.get(name.lower(), name.lower()), unit or ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "-inf")
