"""What scripts of benchmarks need from other tests: toy oceans, runs, and a stand-in for the authors' code."""

from tests.dino.conftest import box_config, box_run, box_store, scattered
from tests.dino.transfer.conftest import box_observations, task
from tests.peers.conftest import checkout, coordinates

__all__ = ["box_config", "box_observations", "box_run", "box_store", "checkout", "coordinates", "scattered", "task"]
