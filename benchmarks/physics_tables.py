"""Renews the tables of docs/many-physics.md from `results/physics_*.json`: scores of each protocol, and calibration.

A table stands below the line that begins with the protocol's name and a colon. "Converged" is the most iterations that
a row was made with; rows of an earlier limit of six stay as they are.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pages import RESULTS, ROOT, line, number, percent, reader, renewed

PROTOCOLS = {"coda": "CoDA:", "ttg": "TTG:", "zebra": "Zebra:", "enma": "ENMA:"}
HEADER = ("system", "tested on", "published", "library", "one solve", "converged", "floor", "untrusted")
CALIBRATED = ("tested on", "library", "solves", "RMSCE (ENMA .0868 [P])", "CRPS (1.70e-3 [P])", "in 90 %")
LAST = ("residual alone", "truth left out")  # libraries that are behind all others
COEFFICIENTS = "coefficient_covered_90."
Row = Mapping[str, Any]


def tables(results: Mapping[str, Any]) -> list[list[str]]:
    """Lines of the table of scores and, where there are any, of that of calibration."""
    rows, shown = ordered(results["summary"]), set()
    lines = [line(HEADER), "|" + "---|" * len(HEADER)]
    for group in grouped(rows, ("task", "split", "library")):
        key = f"{group[0]['task']}: {group[0]['split']}"
        published = "" if key in shown else "; ".join(results["published"].get(key, []))
        shown.add(key)
        one, last = (at(group, limit) for limit in (min, max))
        cells = [" / ".join(scored(row) for row in each) for each in (one, last)]
        floors = [number(row["floor"]) for row in last]
        about = (group[0]["task"], group[0]["split"], published, group[0]["library"])
        lines.append(line([*about, *cells, max(floors, key=float), percent(last[-1]["untrusted"])]))
    calibrated = [row for row in rows if row.get("rmsce") is not None]
    return [lines, list(calibration(calibrated))] if calibrated else [lines]


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Rows by task, as they come, and by what a library knows: what lacks something is last."""
    rows = list(rows)
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    names = sorted({row["library"] for row in rows} - set(LAST)) + list(LAST)
    return sorted(rows, key=lambda row: (tasks.index(row["task"]), names.index(row["library"])))


def calibration(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of RMSCE, CRPS, and shares of values and of coefficients inside of 90 % intervals."""
    yield line([*CALIBRATED, "a, b, g in 90 %"])
    yield "|" + "---|" * (len(CALIBRATED) + 1)
    for row in rows:
        inside = [percent(row[name]) for name in sorted(row) if name.startswith(COEFFICIENTS) and row[name] is not None]
        scores = f"{row['rmsce']:.2g}", number(row["crps"]), percent(row["covered_90"]), ", ".join(inside)
        yield line([row["split"], row["library"], str(row["iterations"]), *scores])


def grouped(rows: Iterable[Row], names: tuple[str, ...]) -> Iterator[list[Row]]:
    """Rows that are alike in some columns, in order of appearance."""
    made: dict[tuple, list[Row]] = {}
    for row in rows:
        if row.get("value") is not None:
            made.setdefault(tuple(row.get(name) for name in names), []).append(row)
    yield from made.values()


def at(group: list[Row], limit: Any) -> list[Row]:
    """The rows with the fewest or the most iterations, one for each number of frames."""
    wanted = limit(row["iterations"] for row in group)
    return [row for row in group if row["iterations"] == wanted]


def scored(row: Row) -> str:
    """The score, with its range over seeds."""
    found = row.get("range")
    return number(row["value"]) + (f" ({number(found[0])}-{number(found[1])})" if found else "")


def renewed_page(page: list[str], folder: Path = RESULTS) -> list[str]:
    """The page with the tables of every protocol made anew."""
    results = reader(folder)
    for name, marker in PROTOCOLS.items():
        page = renewed(page, marker, tables(results(f"physics_{name}")))
    return page


def main() -> None:
    """Write the page anew."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--page", type=Path, default=ROOT / "docs" / "many-physics.md")
    options.add_argument("--results", type=Path, default=RESULTS)
    arguments = options.parse_args()
    page = renewed_page(arguments.page.read_text().splitlines(), arguments.results)
    arguments.page.write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
