"""Many oceans: even draws, stores that are kept and finished, smoothing against its closed form."""

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from data_pipeline.commands.simulate import simulate
from data_pipeline.errors import ConfigError, StoreError
from data_pipeline.simulators import oceans as module
from data_pipeline.simulators.oceans import FULL_WIDTH, OceansConfig, draw_oceans, ocean_parts, simulate_oceans
from data_pipeline.simulators.smoothing import low_pass
from data_pipeline.stores.parts import gather
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store
from data_pipeline.system.settings import validated

TINY = OceansConfig(oceans=3, trajectories=2, days=4, spin_up_days=1, grid=16, seed=4)

app = typer.Typer()
app.command()(simulate)


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_part_of_every_range_is_drawn_once():
    config = OceansConfig(oceans=20, seed=1)
    drawn = draw_oceans(config)
    assert drawn == draw_oceans(config)
    assert drawn != draw_oceans(config.model_copy(update={"seed": 2}))
    latitude = np.abs([ocean.reference_latitude for ocean in drawn])
    strata = np.floor((latitude - 15) / (50 - 15) * 20).astype(int)
    assert sorted(strata) == list(range(20))
    for values, (low, high) in (
        ([o.deformation_radius_km for o in drawn], config.deformation_radius_km),
        ([o.drag_days for o in drawn], config.drag_days),
    ):
        strata = np.floor(np.log(np.array(values) / low) / np.log(high / low) * 20).astype(int)
        assert sorted(strata) == list(range(20))
    assert {np.sign(ocean.reference_latitude) for ocean in drawn} == {-1, 1}
    assert len({ocean.seed for ocean in drawn}) == 20


def test_every_ocean_is_unstable_without_drag():
    """The lower layer's gradient of potential vorticity, beta - F2 U, turns over."""
    for ocean in draw_oceans(OceansConfig(oceans=8)):
        ratio = ocean.layer_depth_ratio
        lower = ratio / (1 + ratio) / ocean.deformation_radius_km**2
        assert 1.1 < lower * ocean.shear_m_s * 86.4 / ocean.beta < 1.7


def test_a_folder_is_the_same_whenever_it_is_made_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    paths = simulate_oceans(TINY, whole)
    assert [path.name for path in paths] == ["ocean-000.zarr", "ocean-001.zarr", "ocean-002.zarr"]
    assert all(validate_store(path) == [] for path in paths)
    calls = []

    def stop(done, total):
        calls.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_oceans(TINY, stopped, progress=stop)
    made = (stopped / "ocean-000.zarr" / "zarr.json").stat().st_mtime_ns
    grown, grow = [], module.grow_store
    monkeypatch.setattr(module, "grow_store", lambda parts, path, **rest: grown.append(path.name) or grow(parts, path))
    simulate_oceans(TINY, stopped)
    assert grown == ["ocean-002.zarr"]
    assert (stopped / "ocean-000.zarr" / "zarr.json").stat().st_mtime_ns == made
    one, other = bytes_of(whole), bytes_of(stopped)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name] and name.name != "zarr.json"] == []
    for path in paths:
        np.testing.assert_array_equal(open_store(path).ssh, open_store(stopped / path.name).ssh)


def test_attributes_tell_the_parameters(tmp_path):
    path = simulate_oceans(TINY.model_copy(update={"mapped": True}), tmp_path)[1]
    ocean, attributes = draw_oceans(TINY)[1], open_store(path).attrs
    for name in ("reference_latitude", "deformation_radius_km", "shear_m_s", "drag_days"):
        assert attributes[f"ocean_{name}"] == pytest.approx(getattr(ocean, name))
    assert (attributes["mapped_km"], attributes["mapped_days"]) == (60, 12)


def test_oceans_of_other_settings_are_neither_kept_nor_replaced(tmp_path):
    simulate_oceans(TINY, tmp_path)
    for change in ({"seed": 5}, {"mapped": True}, {"spin_up_days": 2}):
        with pytest.raises(StoreError, match="other settings"):
            simulate_oceans(TINY.model_copy(update=change), tmp_path)
    other = TINY.model_copy(update={"seed": 5})
    path = simulate_oceans(other, tmp_path, overwrite=True)[0]
    assert open_store(path).attrs["ocean_drag_days"] == pytest.approx(draw_oceans(other)[0].drag_days)


def test_mapped_oceans_are_smoothed_ones():
    config = TINY.model_copy(update={"mapped": True, "mapped_km": 300.0, "mapped_days": 2.0})
    ocean = draw_oceans(config)[0]
    made = gather(ocean_parts(config, ocean)).ssh.values
    raw = gather(ocean_parts(config.model_copy(update={"mapped": False}), ocean)).ssh.values
    margin = config.margin
    assert margin == 3  # three standard deviations of 0.85 days
    assert raw.shape[1] == made.shape[1] + 2 * margin
    smooth = low_pass(raw, 2.0 / FULL_WIDTH, 300.0 / FULL_WIDTH / (config.length_km / config.grid))
    np.testing.assert_allclose(made, smooth[:, margin:-margin], rtol=1e-5, atol=1e-7)
    assert made.std() < raw.std()


def test_a_wave_is_damped_as_its_gaussian_says():
    """exp(-(k s)^2 / 2) in space, the same with frequency in time away from the ends."""
    space, time, cells, days = 2.0, 3.0, 32, 60
    x, y, t = np.arange(cells), np.arange(cells)[:, None], np.arange(days)[:, None, None]
    k, l, w = 2 * np.pi * 3 / cells, 2 * np.pi * 2 / cells, 0.2  # noqa: E741
    wave = np.cos(k * x + l * y - w * t)[None].astype(np.float32)
    damping = np.exp(-0.5 * ((k * space) ** 2 + (l * space) ** 2 + (w * time) ** 2))
    made = low_pass(wave, time, space)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[:, 12:-12], damping * wave[:, 12:-12], atol=3e-3 * damping)


def test_the_command_and_its_refusals(tmp_path):
    settings = ["--set", "grid=16", "--set", "trajectories=1", "--set", "days=3", "--set", "spin_up_days=1"]
    ask = ["quasi-geostrophic", "--oceans", "2", "--seed", "3", "--out", str(tmp_path / "oceans"), *settings]
    result = CliRunner().invoke(app, [*ask, "--mapped"])
    assert result.exit_code == 0, result.output
    assert "2 oceans" in result.output
    attributes = open_store(tmp_path / "oceans" / "ocean-001.zarr").attrs
    assert attributes["mapped_days"] == 12
    for wrong, why in (
        (["wave", "--oceans", "2"], "are of quasi-geostrophic"),
        (["quasi-geostrophic", "--oceans", "2", "--preset", "quick"], "without presets"),
        (["quasi-geostrophic", "--mapped"], "say how many"),
    ):
        result = CliRunner().invoke(app, [*wrong, "--out", str(tmp_path / "no")])
        assert isinstance(result.exception, ConfigError)
        assert why in str(result.exception)
    with pytest.raises(ConfigError, match="range of positive numbers"):
        validated(OceansConfig, {"drag_days": [5, 2]})
    with pytest.raises(ConfigError, match=r"5\.\.70"):
        validated(OceansConfig, {"latitude": [2, 20]})
