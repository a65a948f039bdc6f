"""Rows of a table of text, each as long as the first: a surplus or a missing field would shift values silently."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_pipeline.errors import EmptyDataError, UnknownProductError, reason

BLANKS = r"\s+"
_SEPARATORS = (",", ";", "\t")
# As pandas has it, but in a column of words, where NA may be a name.
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)


def bare(line: str) -> str:
    """A line without its comment: # begins one at the start of a line or behind a blank, not within a name (A#1)."""
    for found in re.finditer(r"(?:^|(?<=\s))#", line):
        if line.count('"', 0, found.start()) % 2 == 0:
            return line[: found.start()]
    return line


def first_fields(path: Path) -> tuple[list[str], str]:
    """(fields of the first line that is no comment, separator as a regular expression); EmptyDataError without one."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = (bare(line).strip() for line in file)
        first = next((line for line in lines if line), "")
    if not first:
        raise EmptyDataError(f"{path.name!r} holds no line that is not a comment; fetch it again")
    separator = next((mark for mark in _SEPARATORS if mark in first), BLANKS)
    return [field.strip() for field in re.split(separator, first)], separator


def comments_above(path: Path) -> list[str]:
    """The lines behind # above the first row, the nearest first, without their marks."""
    found: list[str] = []
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            if bare(line).strip():
                break
            found.append(line.strip().lstrip("#").strip())
    return [line for line in reversed(found) if line]


def fields_of_comment(line: str, separator: str) -> list[list[str]]:
    """The ways in which a comment may list names: by the separator of the rows, by another one, or by blanks.

    Blanks within the brackets of units do not part names: `time[hours since 2005-01-01]` is one.
    """
    marks = dict.fromkeys((separator, *(mark for mark in _SEPARATORS if mark in line)))
    ways = [[field.strip() for field in line.split(mark)] for mark in marks if mark != BLANKS]
    return [*ways, re.findall(r"[^\s,;\[(]+(?:\s*[\[(][^\])]*[\])])?", line)]


def read_rows(path: Path, separator: str, header: bool, words: Sequence[int] = ()) -> pd.DataFrame:
    """The table of a text file, in columns numbered from zero, without its header; lines after # are comments.

    words: columns that are text whatever they look like, so that a platform 007 is none called 7. Raises
    UnknownProductError, which names the line, where a row is longer or shorter than the first one.
    """
    width = len(first_fields(path)[0])
    try:
        table = pd.read_csv(
            _without_comments(path),
            sep=separator,
            header=None,
            converters=dict.fromkeys(words, str.strip),
            keep_default_na=False,
            na_values={column: list(MISSING) for column in range(width) if column not in words},
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
    last = table.iloc[:, -1]
    if len(table.columns) != width or (last.isna() | (last == "")).any():  # pandas fills short rows up
        _require_width(path, separator, width)
    return table


def _without_comments(path: Path) -> Path | io.StringIO:
    """What pandas may read: it takes every # for a comment, also within a name. Lines keep their numbers."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        if not any("#" in line for line in file):
            return path
    with path.open(encoding="utf-8-sig", newline="") as file:
        return io.StringIO("".join(bare(line).rstrip("\r\n") + "\n" for line in file))


def _require_width(path: Path, separator: str, width: int) -> None:
    """Count the fields of every line; UnknownProductError for the first one of another length."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = (bare(line).strip(" \r\n") for line in file)
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
        return next(number for number, line in enumerate(file, start=1) if bare(line).strip())
