"""Rows of a table of text, each as long as the first: a surplus or a missing field would shift values silently."""

import csv
import re
from pathlib import Path

import pandas as pd

from data_pipeline.errors import EmptyDataError, UnknownProductError, reason

BLANKS = r"\s+"


def first_fields(path: Path) -> tuple[list[str], str]:
    """(fields of the first line that is no comment, separator as a regular expression); EmptyDataError without one."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = (line.split("#")[0].strip() for line in file)
        first = next((line for line in lines if line), "")
    if not first:
        raise EmptyDataError(f"{path.name!r} holds no line that is not a comment; fetch it again")
    separator = next((mark for mark in (",", ";", "\t") if mark in first), BLANKS)
    return [field.strip() for field in re.split(separator, first)], separator


def read_rows(path: Path, separator: str, header: bool) -> pd.DataFrame:
    """The table of a text file, in columns numbered from zero, without its header; lines after # are comments.

    Raises UnknownProductError, which names the line, where a row is longer or shorter than the first one.
    """
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            comment="#",
            header=None,
            skiprows=_lines_of_header(path) if header else 0,
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (ValueError, UnicodeDecodeError) as error:
        raise UnknownProductError(
            f"{path.name!r} is no table of columns ({reason(error)}); give every row as many fields as the first, or "
            "fetch it again"
        ) from error
    width = len(first_fields(path)[0])
    if len(table.columns) != width or table.iloc[:, -1].isna().any():  # pandas fills short rows up
        _require_width(path, separator, width)
    return table


def _require_width(path: Path, separator: str, width: int) -> None:
    """Count the fields of every line; UnknownProductError for the first one of another length."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = (line.split("#")[0].strip(" \r\n") for line in file)
        if separator == BLANKS:
            fields = (line.split() for line in lines)
        else:
            fields = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        for number, row in enumerate(fields, start=1):
            if row and len(row) != width:
                raise UnknownProductError(
                    f"line {number} of {path.name!r} has {len(row)} fields and the first one {width}; give every row "
                    "as many fields, and write a missing one as nan"
                )


def _lines_of_header(path: Path) -> int:
    """How many lines end with the header, comments and blank lines before it among them."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return next(number for number, line in enumerate(file, start=1) if line.split("#")[0].strip())
