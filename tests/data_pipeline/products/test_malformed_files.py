"""Malformed files: a sound store or one typed error, and nothing written with the error."""

import re

import pytest
from malformed import write

from data_pipeline.errors import DinoError
from data_pipeline.products import ingest
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import write_store

QUICK = 60
# HDF5 crashed on the text times of a group when the file had been opened twice before.
ONCE_CRASHED = 531
ALL = 1000
# Content that can be read is told what is wrong with it, not that it was damaged.
UNTOLD = re.compile(r"cannot be read as NetCDF \((?!OSError|RuntimeError)\w+:")


def outcome(seed, folder):
    """ "stored", or the message of a typed error; AssertionError for anything that must not be."""
    folder.mkdir()
    path = folder / "case_20000101.nc"
    damaged = write(path, seed)
    try:
        write_store(ingest(path), folder / "case.zarr")
    except DinoError as error:
        message = str(error)
    else:
        # Damage may make one map of another: that is said of a sound store.
        problems = [found for found in validate_store(folder / "case.zarr") if "is a copy" not in found.what]
        assert problems == [], f"seed {seed}"
        return "stored"
    assert [held.name for held in folder.iterdir()] == [path.name], f"seed {seed}: something was written"
    assert "\n" not in message, f"seed {seed}: {message}"
    assert damaged or not UNTOLD.search(message), f"seed {seed}: {message}"
    return message


@pytest.mark.parametrize("seed", [*range(QUICK), ONCE_CRASHED])
def test_a_malformed_file_is_read_or_refused(seed, tmp_path):
    outcome(seed, tmp_path / "case")


@pytest.mark.slow
def test_a_thousand_malformed_files(tmp_path):
    outcomes = [outcome(seed, tmp_path / str(seed)) for seed in range(QUICK, QUICK + ALL)]
    assert ALL / 5 < outcomes.count("stored") < ALL * 4 / 5  # the cases are neither harmless nor hopeless
    assert len({outcome.split("case_")[0] for outcome in outcomes}) > 10
