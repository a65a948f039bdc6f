"""An analysis of any kind is sent to other processes, kept and copied, and forecasts the same there."""

import copy
import io
import pickle
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from data_pipeline.stores.writing import open_store
from dino.forecaster import Forecaster

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {"window_days": 4.0, "node_days": 1.0}


def saved(analysis):
    file = io.BytesIO()
    torch.save(analysis, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {
    "pickle": lambda analysis: pickle.loads(pickle.dumps(analysis)),
    "oldest pickle": lambda analysis: pickle.loads(pickle.dumps(analysis, protocol=2)),
    "between processes": lambda analysis: pickle.loads(ForkingPickler.dumps(analysis)),
    "copy": copy.deepcopy,
    "torch": saved,
}


def analysed(run, store, scattered, kind, grad=True):
    """(forecaster, analysis, times): of maps, or of points by either method, with a trajectory or offsets."""
    forecaster = Forecaster.load(run)
    changes = {"method": "window"} if kind == "window" else {"bias_error": 0.05} if kind == "offsets" else {}
    forecaster.assimilation = forecaster.assimilation.model_copy(update=SETTINGS | changes)
    lazy = open_store(store)
    seen = lazy if kind == "maps" else scattered(lazy.load(), ["adt"], 300)
    with torch.set_grad_enabled(grad):
        analysis = forecaster.analyse(seen, smooth=kind == "smoothed")
    hours = np.array([-24, 0, 48] if kind == "smoothed" else [0, 48], "timedelta64[h]")
    return forecaster, analysis, lazy["time"].values[-1] + hours


@pytest.fixture(scope="module")
def grid(sea_store):
    ds = open_store(sea_store)
    return xr.Dataset(coords={name: ds[name] for name in ("latitude", "longitude")})


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("kind", ["maps", "points", "window", "smoothed", "offsets"])
def test_an_analysis_that_was_sent_forecasts_the_same(sea_run, sea_store, scattered, grid, kind, grad):
    forecaster, analysis, times = analysed(sea_run, sea_store, scattered, kind, grad)
    whole = forecaster.forecast(analysis, times, grid)
    for way, send in WAYS.items():
        back = send(analysis)
        assert back.quality == analysis.quality, way
        xr.testing.assert_identical(forecaster.forecast(back, times, grid), whole)


def test_a_forecaster_is_sent_with_its_model(sea_run, sea_store, scattered, grid):
    forecaster, analysis, times = analysed(sea_run, sea_store, scattered, "points")
    other = pickle.loads(pickle.dumps(forecaster))
    xr.testing.assert_identical(other.forecast(analysis, times, grid), forecaster.forecast(analysis, times, grid))


def test_another_program_reads_it_first_of_all(sea_run, sea_store, scattered, grid, tmp_path):
    """Nothing of the package is imported there before."""
    forecaster, analysis, times = analysed(sea_run, sea_store, scattered, "smoothed")
    (tmp_path / "analysis.pickle").write_bytes(pickle.dumps(analysis))
    np.save(tmp_path / "times.npy", times)
    grid.to_netcdf(tmp_path / "grid.nc")
    program = (
        "import pickle, sys\nfolder, run = sys.argv[1:]\n"
        "analysis = pickle.load(open(folder + '/analysis.pickle', 'rb'))\n"
        "import dino, numpy, xarray\n"
        "made = dino.load(run).forecast(analysis, numpy.load(folder + '/times.npy'), "
        "xarray.open_dataset(folder + '/grid.nc'))\n"
        "made.to_netcdf(folder + '/made.nc')\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path, sea_run], cwd=ROOT, check=True, timeout=120)
    xr.testing.assert_allclose(
        xr.open_dataset(tmp_path / "made.nc"), forecaster.forecast(analysis, times, grid), rtol=1e-5, atol=1e-6
    )
