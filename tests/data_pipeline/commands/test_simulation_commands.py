from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
import yaml
from pydantic import BaseModel, ConfigDict
from typer.testing import CliRunner

from data_pipeline.commands.sample import sample
from data_pipeline.commands.simulate import simulate
from data_pipeline.errors import ConfigError, MissingFileError, StoreError
from data_pipeline.observing.swaths import SampleConfig
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store
from data_pipeline.system.settings import load_settings

TINY = ["--set", "grid=16", "--set", "trajectories=2", "--set", "days=3", "--set", "spin_up_days=1"]

app = typer.Typer()
app.command("simulate")(simulate)
app.command("sample")(sample)


def run(*arguments, error=None):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if error is None:
        assert result.exit_code == 0, result.output
    else:
        assert isinstance(result.exception, error), result.output
    return str(result.exception) if error else result.output


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner = Inner()
    items: list[Inner] = []
    name: str = "a"


def test_an_ocean_is_simulated_and_observed(tmp_path):
    field, swath, points = (tmp_path / f"{name}.zarr" for name in ("field", "swath", "points"))
    assert "2 trajectory" in run("simulate", "quasi-geostrophic", "--out", field, "--seed", 5, *TINY)
    assert validate_store(field) == []
    assert open_store(field).ssh.shape == (2, 3, 16, 16)
    run("sample", field, "--out", points, "--orbit", "random", "--trajectory", 1)
    assert validate_store(points) == []
    settings = tmp_path / "sample.yaml"
    settings.write_text("instruments:\n- {name: altimeter, kind: nadir, orbit: jason}\n- {name: buoys, kind: random}\n")
    override = ["--set", "instruments.1.points_per_day=50", "--set", "trajectory=0"]
    output = run("sample", field, "--out", swath, "--config", settings, *override)
    ds = open_store(swath)
    assert f"{ds.sizes['obs']} observations" in output
    assert ds.source_name.values.tolist() == ["altimeter", "buoys"]
    assert 50 < np.count_nonzero(ds.source == 1) <= 101
    assert str(tmp_path) not in str(ds.attrs)


def test_a_constellation_is_named_on_the_command_line(tmp_path):
    field, out = tmp_path / "field.zarr", tmp_path / "out.zarr"
    run("simulate", "quasi-geostrophic", "--out", field, *TINY)
    noise, spectrum = tmp_path / "noise.nc", tmp_path / "spectrum.nc"
    table = {"SWH": ("z", [0.0, 8]), "cross_track": ("x", [5.0, 65]), "height_sdt": (("z", "x"), np.full((2, 2), 0.02))}
    xr.Dataset(table).to_netcdf(noise)
    names = ("rollPSD", "gyroPSD", "phasePSD", "dilationPSD", "timingPSD")
    rows = {name: ("nfreq", [1.0, 1e-4]) for name in names} | {"spatial_frequency": ("nfreq", [1e-6, 1.0])}
    xr.Dataset(rows).to_netcdf(spectrum)
    clouds = tmp_path / "clouds.nc"
    sst = np.where(np.arange(40)[:, None] < 20, 290.0, np.nan) * np.ones((1, 40, 40))
    axes = {"lat": 0.1 * np.arange(40), "lon": 0.1 * np.arange(40)}
    xr.Dataset({"sst": (("time", "lat", "lon"), sst, {"units": "K"})}, axes).to_netcdf(clouds)
    errors = ["--karin-noise", noise, "--error-spectrum", spectrum, "--wave-height", 3]
    command = ["sample", field, "--out", out, "--trajectory", 0, "--mission", "swot", "--mission", "sentinel-6"]
    command += ["--set", "instruments.0.epoch=1999-12-05", "--set", "instruments.1.epoch=1999-12-04"]
    run(*command, *errors, "--clouds", clouds)
    ds = open_store(out)
    assert validate_store(out) == []
    assert ds.source_name.values.tolist() == ["swot", "sentinel-6"]
    assert '"kind": "nadir"' in ds.attrs["history"]
    assert '"wave_height_m": 3.0' in ds.attrs["history"]
    assert ds.ssh_correlated_error.values[ds.source.values == 0].min() > 0
    assert not ds.ssh_correlated_error.values[ds.source.values == 1].any()
    assert all(name in ds.attrs["sources"] for name in ("noise.nc", "spectrum.nc", "clouds.nc"))
    assert str(tmp_path) not in str(ds.attrs)
    run(*command, "--overwrite")
    assert not open_store(out).ssh_correlated_error.any()
    again = [*command, "--overwrite"]
    assert "choose from swot" in run(*again, "--mission", "topex", error=ConfigError)
    assert "without a swath" in run(*again, "--view", "nadir", *errors, error=ConfigError)
    bare = ["sample", field, "--out", out, "--overwrite", "--clouds", clouds]
    assert "--clouds came without" in run(*bare, error=ConfigError)


@pytest.mark.parametrize(
    ("system", "sizes", "channels", "shape"),
    [
        ("navier-stokes", ["grid=16", "spin_up=1"], ["vorticity"], (16, 16)),
        ("wave", ["grid=16"], ["displacement", "displacement_rate"], (16, 16)),
        ("shallow-water", ["latitudes=16", "output_latitudes=8"], ["height", "vorticity"], (8, 16)),
    ],
)
def test_the_systems_of_experiments_come_in_two_parts(tmp_path, system, sizes, channels, shape):
    sizes += ["spin_up_hours=2"] if system == "shallow-water" else []
    settings = [part for size in [*sizes, "frames=4", "sequence_frames=2"] for part in ("--set", size)]
    fields = []
    for part in ("train", "test"):
        out = tmp_path / f"{part}.zarr"
        run("simulate", system, "--out", out, "--preset", "quick", "--part", part, "--seed", 3, *settings)
        assert validate_store(out) == []
        fields.append(open_store(out))
        assert list(fields[-1].data_vars) == channels
        assert fields[-1][channels[0]].shape[1:] == (2, *shape)
        assert '"seed":3' in fields[-1].attrs["history"]
    assert fields[0].sizes["trajectory"] > fields[1].sizes["trajectory"]
    assert not np.isclose(fields[0][channels[0]][0], fields[1][channels[0]][0]).all()


def test_settings_win_over_presets(tmp_path):
    settings, out = tmp_path / "wave.yaml", tmp_path / "wave.zarr"
    settings.write_text("trajectories: 3\ngrid: 16\n")
    changes = ["--set", "grid=24", "--set", "frames=20"]
    run("simulate", "wave", "--out", out, "--preset", "quick", "--config", settings, *changes)
    assert open_store(out).displacement.shape == (3, 20, 24, 24)


def test_the_ocean_has_no_presets(tmp_path):
    for option in (["--preset", "quick"], ["--part", "test"]):
        message = run("simulate", "quasi-geostrophic", "--out", tmp_path / "a.zarr", *option, error=ConfigError)
        assert "navier-stokes, wave, shallow-water" in message


def test_the_user_is_told_what_is_wrong(tmp_path):
    field, out = tmp_path / "field.zarr", tmp_path / "out.zarr"
    run("simulate", "quasi-geostrophic", "--out", field, *TINY)
    assert "--overwrite" in run("simulate", "quasi-geostrophic", "--out", field, *TINY, error=StoreError)
    assert "known keys: trajectories" in run(
        "simulate", "quasi-geostrophic", "--out", out, "--set", "girth=3", error=ConfigError
    )
    assert "there is no instrument" in run("sample", field, "--out", out, error=ConfigError)
    assert "--ephemeris" in run("sample", field, "--out", out, "--orbit", "ephemeris", error=ConfigError)
    assert "choose one" in run("sample", field, "--out", out, "--orbit", "random", error=ConfigError)
    assert not out.exists()


def test_settings_come_from_file_options_and_overrides_in_this_order(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("inner: {size: 3}\nname: file\nitems: [{size: 1}, {size: 2}]\n")
    settings = load_settings(Settings, path, ["items.1.size=7", "inner.size=4"], {"name": "option"})
    assert (settings.name, settings.inner.size, [item.size for item in settings.items]) == ("option", 4, [1, 7])
    assert load_settings(Settings, path, given={"name": None}).name == "file"
    assert load_settings(Settings).inner.size == 1


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("size", "key=value"),
        ("inner.length=3", r"inner\.length: .*extra"),
        ("inner.size=long", r"inner\.size: .*integer.*'long'"),
        ("items.2.size=1", "none of the 0 places"),
        ("name.first=3", "single value"),
        ("name=[", "no YAML"),
    ],
)
def test_overrides_that_do_not_fit_are_named(tmp_path, override, why):
    path = tmp_path / "settings.yaml"
    path.write_text("items: []\nname: a\n")
    with pytest.raises(ConfigError, match=why):
        load_settings(Settings, path, [override])


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [\n"])
def test_a_file_without_settings_is_refused(tmp_path, text):
    path = tmp_path / "settings.yaml"
    with pytest.raises(MissingFileError):
        load_settings(Settings, path)
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_settings(Settings, path)


def test_the_documented_settings_are_settings():
    text = (Path(__file__).parents[3] / "docs" / "observing.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    config = SampleConfig.model_validate(settings)
    assert [instrument.kind for instrument in config.instruments] == ["nadir", "swath"]
    assert config.instruments[1].clouds.window == (3.5, 37.5, 6.3, 42.5)
