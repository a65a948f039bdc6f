"""What scripts of benchmarks need from other tests: toy oceans, runs, and a stand-in for the authors' code."""

from tests.dino.conftest import (
    box_config,
    box_run,
    box_store,
    scattered,
    sea_config,
    sea_dataset,
    sea_run,
    sea_store,
)
from tests.dino.transfer.conftest import box_observations, task
from tests.peers.conftest import checkout, coordinates

__all__ = [
    "box_config",
    "box_observations",
    "box_run",
    "box_store",
    "checkout",
    "coordinates",
    "scattered",
    "sea_config",
    "sea_dataset",
    "sea_run",
    "sea_store",
    "task",
]
