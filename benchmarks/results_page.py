"""Writes the tables of docs/results.md, and that of README.md, from the JSON files in benchmarks/results.

A table stands below the line that begins with its marker; the text around it is the page's own. With --check nothing is
written, and pages whose tables are not those of the JSON are told.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import results_experiments as experiments
import results_real as real
import results_simulated as simulated
import results_speed as speed
from pages import RESULTS, ROOT, Read, Table, reader, renewed
from results_summary import summary

Tables = Mapping[str, Callable[[Read], list[Table]]]
RESULTS_PAGE: Tables = {
    "Withheld mission:": real.tracks,
    "Two days ahead:": real.currents,
    "Between passes:": real.across,
    "Basin mean kept:": partial(real.maps, kept="mean_kept"),
    "Basin mean removed:": partial(real.maps, kept="mean_removed"),
    "With hindcasts:": real.maps_with_hindcasts,
    "Three seas:": real.seas,
    "Eight seas:": real.basins,
    "Error by lead:": simulated.demo,
    "From fifteen complete maps,": simulated.demo_maps,
    "Error bars:": simulated.demo_spread,
    "Under clouds:": simulated.clouds,
    "Beside altimeters:": simulated.two_instruments,
    "Navier-Stokes:": experiments.navier_stokes,
    "Peers:": experiments.navier_stokes_peers,
    "Equal time:": experiments.budget,
    "Wave:": experiments.wave,
    "Shallow water:": experiments.shallow_water,
    "Twenty seeds:": experiments.robustness,
    "Many physics:": experiments.many_physics,
    "Encoding:": speed.encoding,
    "A training step:": speed.training_step,
    "From the shell:": speed.command,
    "Many points:": speed.points,
    "An archive:": speed.archive,
    "Stores larger than memory:": speed.streaming,
}
PAGES: Mapping[str, Tables] = {"docs/results.md": RESULTS_PAGE, "README.md": {"Root mean square errors": summary}}


def written(name: str, text: str, read: Read) -> str:
    """The text of a page with its tables made anew; ValueError where a table has no place in it."""
    page = text.splitlines()
    for marker, tables in PAGES[name].items():
        page = renewed(page, marker, tables(read))
    return "\n".join(page) + "\n"


def main() -> None:
    """Write the pages anew, or compare them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a table is another")
    options.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    arguments = options.parse_args()
    read, stale = reader(arguments.results), []
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        made = written(name, text, read)
        if made != text:
            stale.append(name)
        if made != text and not arguments.check:
            path.write_text(made, encoding="utf-8")
    if arguments.check and stale:
        sys.exit(f"{' and '.join(stale)}: tables are not those of the results; run benchmarks/results_page.py")


if __name__ == "__main__":
    main()
