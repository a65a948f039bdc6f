"""A worker that is forked after its parent has forecast from a lazy store forecasts the same; it used to hang."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
ROOT = Path(__file__).resolve().parents[3]
# In a process of its own: the threads of torch are those of the whole process.
PROGRAM = """
import multiprocessing, sys
import numpy as np, torch, xarray as xr
import dino
from data_pipeline.stores.writing import open_store

run, store, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
torch.randn(1500, 1500).exp().sum()  # the threads are there, and wait
forecaster, maps = dino.load(run), open_store(store)
times = maps["time"].values[-1] + np.array([24, 72], "timedelta64[h]")
grid = xr.Dataset(coords={name: maps[name] for name in ("latitude", "longitude")})

def forecast(analysis):
    torch.randn(1500, 1500).exp().sum()
    start = forecaster.analyse(maps) if analysis is None else analysis
    return forecaster.forecast(start, times, grid), torch.get_num_threads()

mine = forecaster.analyse(maps)
whole = forecaster.forecast(mine, times, grid)
with multiprocessing.get_context("fork").Pool(2) as pool:
    for made, theirs in pool.map_async(forecast, [None, mine]).get(45):
        xr.testing.assert_allclose(made, whole, rtol=1e-4, atol=1e-5)
        assert theirs == 1, theirs
assert torch.get_num_threads() == threads
print("as in the parent")
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_forked_workers_forecast_as_their_parent_did(sea_run, sea_store, threads):
    arguments = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(sea_run), str(sea_store), str(threads)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.stdout.strip() == "as in the parent", done.stderr[-2000:]
