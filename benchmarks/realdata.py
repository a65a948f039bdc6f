"""Real data of the benchmarks: where they lie, their stores in the work folder, and runs trained on them."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.products import ingest
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.progress import reported
from dino.config import Config, load_config
from dino.errors import MissingFileError
from dino.experiments.train import train

ROOT = Path(__file__).resolve().parents[1]
MAPS = {
    "mediterranean.zarr": ["grids/duacs_l4_med_adt_2005-04-01_2005-06-09.nc"],
    "global.zarr": ["grids/duacs_l4_global_sla_2014-01.nc"],
}
TRACKS = {
    "tracks.zarr": [f"alongtrack/med_adt_2014-05-15_2014-06-03_mission{mission}.dat" for mission in (1, 2, 3)],
}

JASON = {"jason.zarr": [f"alongtrack/GSFC-alt_ssh202201{day:02d}.nc" for day in range(1, 8)]}
BLACK_SEA = {
    "black_sea.zarr": [
        f"alongtrack/nrt_blacksea_al_phy_vfec_l3_{days}.nc"
        for days in ("20170422_20170513", "20190101_20190122", "20190102_20190123")
    ],
}


def add_options(options: argparse.ArgumentParser) -> None:
    """Options of a benchmark on real data."""
    options.add_argument(
        "--data", type=Path, default=os.environ.get("DINO_DATA", ROOT.parent / "shared" / "data"), help="data folder"
    )
    options.add_argument("--config", type=Path, default=ROOT / "configs" / "mediterranean.yaml", help="experiment file")
    options.add_argument("--set", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE", help="settings")
    options.add_argument("--work", type=Path, help="folder for stores, runs and figures; a temporary one when absent")


def skip_without(data: Path, stores: dict[str, list[str]]) -> None:
    """Leave with a reason and without an error where the data are not at hand."""
    absent = [name for names in stores.values() for name in names if not (data / name).is_file()]
    if absent:
        print(f"skipped: {absent[0]} is not in the data folder; name the folder with --data or DINO_DATA")
        sys.exit(0)


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The folder given, made when absent and kept, or a temporary one."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def make_stores(work: Path, data: Path, stores: dict[str, list[str]]) -> None:
    """Ingest what the work folder does not hold yet."""
    for name, files in stores.items():
        path = work / "stores" / name
        try:
            open_store(path)
        except MissingFileError:
            write_store(ingest([data / file for file in files]), path)


def configuration(path: Path, overrides: Sequence[str], work: Path, seed: int) -> Config:
    """An experiment with its stores taken from the work folder."""
    config = load_config(path, [*overrides, f"seed={seed}"])
    moved = [store.model_copy(update={"path": work / "stores" / store.path.name}) for store in config.data.stores]
    return config.model_copy(update={"data": config.data.model_copy(update={"stores": moved})})


def train_run(config: Config, folder: Path) -> float:
    """Train a run into an empty folder; seconds taken."""
    started = time.perf_counter()
    with reported(f"training {folder.name}") as report:
        train(config, folder, report)
    return time.perf_counter() - started
