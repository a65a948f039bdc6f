"""What becomes of every real file, without options or with those that its refusal names: what is dropped, and why."""

import json
import os
import shlex
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from harness import parser, prepare, report
from pages import renewed

from data_pipeline.errors import DinoError
from data_pipeline.layout.channels import CHANNELS
from data_pipeline.layout.datasets import channel_names
from data_pipeline.products import ingest
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("grids", "alongtrack", "swaths", "points", "traps")
# What files that are refused without options are read with, as their errors say.
OPTIONS: dict[str, dict[str, Any]] = {
    "grids/mdt_gulfstream_quarter_degree.nc": {"variables": {"adt": "mdt"}, "time": "2012-07-01"},
    "points/swot_karin_moorings_gliders_california_2023.csv": {
        "columns": [
            *("time", "longitude", "latitude", "left", "right", "sla", "steric", "linear", "swh", "pass", "mooring")
        ],
        "units": {"sla": "cm"},
        "time_units": "seconds since 2023-01-01",
    },
}
INDEX_DIMS = {"day", "day_edge", "source_index"}
START = "<!-- table of benchmarks/ingest_catalog.py -->"


def measure(path: Path, store: Path, options: dict[str, Any]) -> dict[str, Any]:
    """One file into a store, and what the store says of it."""
    started = time.perf_counter()
    try:
        write_store(ingest(path, **options), store)
    except DinoError as error:
        return {"error": str(error)}
    seconds = time.perf_counter() - started
    ds = open_store(store)
    (source,) = json.loads(ds.attrs["sources"])
    first, last = (str(moment)[:19] for moment in ds["time"].values[[0, -1]])
    return {
        "product": ds.attrs["product"],
        "layout": ds.attrs["dino_store"],
        "sizes": {dim: ds.sizes[dim] for dim in sorted({*map(str, ds.sizes)} - INDEX_DIMS)},
        "from": first,
        "to": last,
        "channels": {name: {"units": CHANNELS[name].units, **source["counts"][name]} for name in channel_names(ds)},
        "problems": validate_store(store),
        "seconds": round(seconds, 2),
    }


def command_line(options: dict[str, Any]) -> str:
    """Options of `ingest` as those of the command `dino-data ingest`."""
    names = {"variables": "variable"}
    parts = []
    for name, value in options.items():
        values = [f"{key}={held}" for key, held in value.items()] if isinstance(value, dict) else [value]
        for held in values:
            text = ",".join(held) if isinstance(held, list) else str(held)
            parts.append(f"--{names.get(name, name).replace('_', '-')} {shlex.quote(text)}")
    return " ".join(parts)


def table(files: dict[str, dict[str, Any]]) -> list[str]:
    """Lines of the figures as a table of Markdown."""
    lines = [
        "| file | product | channel | read | kept | dropped | time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in files.items():
        if "error" in row:
            lines.append(f"| `{name}` | refused: {row['error']} | | | | | |")
            continue
        span = row["from"] if row["from"] == row["to"] else f"{row['from']} to {row['to']}"
        for number, (channel, count) in enumerate(row["channels"].items()):
            reasons = ", ".join(f"{dropped:,} {reason}" for reason, dropped in count["dropped"].items()) or "none"
            head = f"`{name}` | {row['product']}, {row['layout']}" if not number else " | "
            when = span if not number else ""
            numbers = f"{count['read']:,} | {count['kept']:,}"
            lines.append(f"| {head} | {channel} [{count['units']}] | {numbers} | {reasons} | {when} |")
    return lines


def main(arguments: Namespace) -> None:
    """Ingest, report, and renew the table where one is named."""
    prepare(arguments)
    data = Path(arguments.data)
    paths = [path for folder in FOLDERS for path in sorted((data / folder).glob("*"))]
    if not paths:
        print("skipped: there are no real files in the data folder; name the folder with --data or DINO_DATA")
        return
    with tempfile.TemporaryDirectory() as work:
        files = {}
        for number, path in enumerate(paths):
            name = str(path.relative_to(data))
            files[name] = measure(path, Path(work) / f"{number}.zarr", {})
            if "error" in files[name] and name in OPTIONS:
                told = f"{name} {command_line(OPTIONS[name])}"
                files[told] = measure(path, Path(work) / f"{number}-told.zarr", OPTIONS[name])
    refused = [name for name, row in files.items() if "error" in row]
    unsound = [name for name, row in files.items() if row.get("problems")]
    report(arguments, {"files": len(files), "refused": refused, "unsound": unsound, "catalog": files})
    if arguments.table is not None:
        page = renewed(arguments.table.read_text().splitlines(), START, [table(files)])
        arguments.table.write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    options = parser(__doc__ or "")
    options.add_argument(
        "--data", type=Path, default=os.environ.get("DINO_DATA", ROOT.parent / "shared" / "data"), help="data folder"
    )
    options.add_argument("--table", type=Path, help="renew the table in this page, e.g. docs/products.md")
    main(options.parse_args())
