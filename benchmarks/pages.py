"""Tables of Markdown, and pages whose tables are made anew below the lines that announce them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LEADS = ("1", "3", "5", "7", "10")  # days, as most results have them
RESULTS = ROOT / "benchmarks" / "results"
Table = list[str]
Read = Callable[[str], Mapping[str, Any]]


def reader(folder: Path = RESULTS) -> Read:
    """What the benchmarks of a folder found, by the name of the file without its ending; each is read once."""
    return cache(lambda name: json.loads((folder / f"{name}.json").read_text())["results"])


def line(cells: Iterable[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Lines of a table."""
    return [line(header), "|" + "---|" * len(header), *map(line, rows)]


def renewed(page: list[str], marker: str, made: list[Table]) -> list[str]:
    """The page with the tables below the line that begins with `marker` replaced, one after the other.

    Raises ValueError where no line begins so, or several do, or too few tables follow before the next heading.
    """
    places = [number for number, text in enumerate(page) if text.startswith(marker)]
    if len(places) != 1:
        raise ValueError(f"{len(places)} lines of the page begin with {marker!r}; one is wanted, above its table")
    place = places[0]
    for new in made:
        below = range(place + 1, len(page))
        ends = next((number for number in below if page[number].startswith("#")), len(page))
        first = next((number for number in below if page[number].startswith("|")), ends)
        if first >= ends:
            raise ValueError(f"below {marker!r} stand fewer than {len(made)} tables; write a line that begins with |")
        last = next((number for number in range(first, len(page)) if not page[number].startswith("|")), len(page))
        page, place = [*page[:first], *new, *page[last:]], first + len(new) - 1
    return page


def number(value: float) -> str:
    """Two digits, without a power of ten near one."""
    return f"{value:.1f}" if value == 0 or 1 <= value < 10 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")


def percent(share: float) -> str:
    """As a whole number."""
    return f"{100 * share:.0f} %"


def fixed(value: float) -> str:
    """An error in centimetres, or a ratio: two decimals below ten, one above."""
    return f"{value:.2f}" if round(value, 2) < 10 else f"{value:.1f}"


def best_in_bold(rows: Sequence[Sequence[float | None]], shown: Callable[[float], str] = fixed) -> list[list[str]]:
    """Cells of rows of errors, the smallest of each column in bold; None is an empty cell."""

    def seen(value: float) -> float:  # what a reader compares
        return float(shown(value))

    least = [min(seen(cell) for cell in column if cell is not None) for column in zip(*rows, strict=True)]
    return [
        ["" if cell is None else bold(shown(cell), seen(cell) == low) for cell, low in zip(row, least, strict=True)]
        for row in rows
    ]


def bold(text: str, wanted: bool = True) -> str:
    """In bold where it is wanted."""
    return f"**{text}**" if wanted else text
