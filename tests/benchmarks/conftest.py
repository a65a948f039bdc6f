"""Toy oceans and runs of the tests of `dino`, for scripts that need one."""

from tests.dino.conftest import box_config, box_run, box_store, scattered
from tests.dino.transfer.conftest import box_observations, task

__all__ = ["box_config", "box_observations", "box_run", "box_store", "scattered", "task"]
