"""Runs laid over another sea."""

import numpy as np
import pytest
import torch

from data_pipeline.stores.writing import write_store
from dino.commands.app import main
from dino.config import StoreConfig
from dino.data.observations import day_of
from dino.errors import ConfigError
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config
from dino.transfer.relocate import relocated


def moved(run, dataset, until=None, channels=None):
    config = load_run_config(run)
    return relocated(load_model(run), dataset, StoreConfig(path=run, channels=channels), config.domain, until)


def maps_until(sea_config, dataset):
    """The day of the last map that the run was trained on."""
    return day_of(dataset.time.values[-1]) - sea_config.data.validation_days


def forecast(model, dataset, channel="adt"):
    times = dataset.time.values[-1] + np.array([1, 3]).astype("timedelta64[D]")
    return Forecaster(model).forecast(dataset, times, dataset[["longitude", "latitude"]])[channel].values


def test_on_its_own_sea_a_run_stays_what_it_was(sea_run, sea_config, sea_dataset):
    sea, original = sea_dataset(), load_model(sea_run)
    model = moved(sea_run, sea, maps_until(sea_config, sea))
    assert model.cover.charts == original.cover.charts
    np.testing.assert_allclose(model.cover.amplitude, original.cover.amplitude, rtol=1e-12)
    np.testing.assert_allclose(forecast(model, sea), forecast(original, sea), rtol=1e-6)


def test_a_sea_moved_east_is_forecast_alike(sea_run, sea_config, sea_dataset):
    """Same latitudes and values at other longitudes, across 180 degrees."""
    here, there = sea_dataset(), sea_dataset(west=178.0)
    until = maps_until(sea_config, here)
    made = [forecast(moved(sea_run, sea, until), sea) for sea in (here, there)]
    from_west = np.argsort((there.longitude.values - 178.0) % 360)  # stores are ordered by the wrapped longitude
    np.testing.assert_allclose(made[1][..., from_west], made[0], rtol=1e-4, atol=1e-5)


def test_maps_after_the_last_known_one_are_not_looked_at(sea_run, sea_config, sea_dataset):
    sea = sea_dataset()
    until = maps_until(sea_config, sea)
    known = sea.time.values <= np.datetime64("2005-04-24")
    other = sea.assign(adt=sea.adt.where(known[:, None, None], 3.0 * sea.adt))
    one, two = moved(sea_run, sea, until), moved(sea_run, other, until)
    np.testing.assert_array_equal(one.cover.amplitude, two.cover.amplitude)
    np.testing.assert_array_equal(one.background.values, two.background.values)
    assert not np.array_equal(moved(sea_run, other).cover.amplitude, one.cover.amplitude)


def test_amplitudes_follow_the_new_sea(sea_run, sea_dataset):
    sea = sea_dataset()
    mean = float(sea.adt.mean())
    strong = sea.assign(adt=mean + 2 * (sea.adt - mean))
    one, two = moved(sea_run, sea), moved(sea_run, strong)
    np.testing.assert_allclose(two.cover.amplitude, 2 * one.cover.amplitude, rtol=1e-6)
    assert torch.equal(one.decoder.shift, two.decoder.shift)


def test_the_command_writes_a_run_that_forecasts(sea_run, sea_dataset, tmp_path):
    sea = sea_dataset(west=-20.0).rename(adt="sla")
    store, out = write_store(sea, tmp_path / "there.zarr"), tmp_path / "run"
    arguments = ["relocate", sea_run, store, "--out", out, "--until", "2005-04-24", "--channels", "sla"]
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert not stop.value.code
    config = load_run_config(out)
    assert config.data.stores[0].path == store
    assert config.data.channels == ["sla"]
    # With its period: what it was not trained on must not be taken for what taught it.
    assert config.data.simulated == load_run_config(sea_run).data
    assert np.isfinite(forecast(load_model(out), sea, "sla")).any()


def test_tiles_may_have_another_size(sea_run, sea_dataset, tmp_path, capsys):
    store = write_store(sea_dataset(), tmp_path / "there.zarr")
    counts = []
    for size in ("4", "2.5"):
        out = tmp_path / f"run{size}"
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in ("relocate", sea_run, store, "--out", out, "--tile-degrees", size)])
        assert not stop.value.code
        counts.append(len(load_model(out).cover.charts))
    assert counts[0] < counts[1]
    with pytest.raises(SystemExit):
        main([str(a) for a in ("relocate", sea_run, store, "--out", tmp_path / "no", "--tile-degrees", "0")])
    assert "--tile-degrees 0 is no size" in capsys.readouterr().err


def test_refusals(box_run, sea_run, sea_dataset, box_dataset):
    with pytest.raises(ConfigError, match=r"domain\.kind=tiles"):
        moved(box_run, box_dataset())
    with pytest.raises(ConfigError, match="name as many channels"):
        moved(sea_run, sea_dataset(), channels=["adt", "sst"])
