"""Several systems in one model: which one a prompt is of, with which coefficients, and one that nobody has seen."""

import numpy as np
import pytest
import xarray as xr

import dino
from data_pipeline.simulators.torus import DriftConfig, seen, simulate
from dino.errors import CheckpointError, ConfigError, MissingFileError, ObservationError, SchemaError
from dino.many_physics import ManyPhysics, restricted

TERMS = ["u: 1", "u: u", "u: dx(u)", "u: dy(u)", "u: lap(u)", "u: u*u", "u: cos(0, 1)", "u: v", "v: lap(u)", "v: v"]
CONFIG = dino.PhysicsConfig(candidates=TERMS, waves=5, rounds=3, neglect=1e-4)
SMALL = {"trajectories": 1, "frames": 8, "smoothness": 2.5}


def data(name, part="train", draws=4, size=16, **more):
    return simulate(seen(name, draws=draws, size=size, part=part, **SMALL, **more))


def noisy(ds: xr.Dataset, error: float) -> xr.Dataset:
    chance = np.random.default_rng(1)
    return ds.assign({name: v + error * chance.standard_normal(v.shape) for name, v in ds.data_vars.items()})


@pytest.fixture(scope="module")
def many() -> ManyPhysics:
    made = dino.fit({name: data(name) for name in ("drift", "growth", "waves")}, CONFIG)
    assert isinstance(made, ManyPhysics)
    return made


def test_a_system_of_one_channel_knows_nothing_of_the_other(many):
    assert many.terms(["u"]) == TERMS[:7]
    assert many.terms(["v", "u"]) == TERMS


@pytest.mark.parametrize("name", ["drift", "growth", "waves"])
def test_a_prompt_with_errors_on_another_grid_is_recognised_and_forecast(many, name):
    truth = data(name, "test", draws=2, size=32)
    adapted = many.adapt(noisy(truth, 0.01))
    told = adapted.systems()
    assert told["system"].values.tolist() == [name, name]
    np.testing.assert_allclose(told["probability"].sum("component"), 1)
    assert adapted.known.all()
    made = adapted.forecast(truth.isel(time=[0]), truth["time"].values[1:], members=2)
    assert made["u"].shape == (2, 7, 32, 32)
    assert np.isfinite(made["u_std"]).all()
    for channel in truth.data_vars:
        wanted = truth[channel].values[:, 1:]
        assert np.linalg.norm(made[channel] - wanted) < 0.03 * np.linalg.norm(wanted)


def test_terms_of_two_systems_are_put_together_for_one_that_nobody_has_seen(many):
    times = 0.2 * np.arange(10)
    y = 2 * np.pi * np.arange(16) / 16
    base = simulate(DriftConfig(environments=[{"speed_x": 0.5, "speed_y": 0.0, "diffusion": 0.05}], frames=10, size=16))
    grown = base["u"].values * np.exp(-0.4 * times)[:, None, None]  # a drift with a loss, and a steady push along y
    pushed = 2.0 / 0.45 * (1 - np.exp(-0.45 * times))[:, None, None]
    values = grown + pushed * np.cos(y)[:, None]
    ds = noisy(dino.from_array(values[:, :, None], times, [2 * np.pi] * 2), 1e-3)
    adapted = many.adapt(ds)
    assert adapted.systems()["system"].values.tolist() == ["composition"]
    found = adapted.coefficients()
    wanted = {"u: u": -0.4, "u: dx(u)": -0.5, "u: lap(u)": 0.05, "u: cos(0, 1)": 2.0, "u: u*u": 0.0, "u: 1": 0.0}
    for term, value in wanted.items():
        assert float(found["mean"].sel(term=term)[0]) == pytest.approx(value, abs=0.02)
    assert adapted.known.all()


def scattered(truth: xr.Dataset, error: float) -> xr.Dataset:
    chance, rows = np.random.default_rng(2), []
    for number in range(truth.sizes["trajectory"]):
        for time in range(truth.sizes["time"]):
            cells = chance.choice(32 * 32, 100, replace=False)
            field = truth["u"].values[number, time].ravel()[cells]
            rows.append((truth["time"].values[time], number, cells, field + error * chance.standard_normal(100)))
    columns = {
        "time": np.concatenate([np.full(100, row[0]) for row in rows]),
        "trajectory": np.concatenate([np.full(100, row[1]) for row in rows]),
        "x": np.concatenate([truth["x"].values[row[2] % 32] for row in rows]),
        "y": np.concatenate([truth["y"].values[row[2] // 32] for row in rows]),
        "u": np.concatenate([row[3] for row in rows]),
    }
    columns["environment"] = truth["environment"].values[columns["trajectory"]]
    return xr.Dataset({name: ("obs", values) for name, values in columns.items()})


@pytest.mark.parametrize("name", ["drift", "growth"])
def test_a_tenth_of_the_cells_tells_the_system_and_the_first_field(many, name):
    truth = data(name, "test", draws=1, size=32)
    adapted = many.adapt_points(scattered(truth, 0.01), error=0.01)
    assert adapted.systems()["system"].values.tolist() == [name]
    made = adapted.forecast(adapted.initial[0], truth["time"].values[1:])["u"].values
    wanted = many.members[name].reconstructed(truth)["u"].values[:, 1:]
    spectra = np.fft.rfft2(wanted)[..., [0, 1, 2], :3] / 32**2
    found = np.fft.rfft2(made)[..., [0, 1, 2], :3] / made.shape[-1] ** 2
    assert np.linalg.norm(found - spectra) < 0.05 * np.linalg.norm(spectra)


def test_points_without_a_channel_are_refused(many):
    with pytest.raises(ObservationError, match="none of the channels"):
        many.adapt_points(xr.Dataset({"time": ("obs", [0.0])}))


def test_saving_and_loading_keeps_what_was_learned(many, tmp_path):
    many.save(tmp_path)
    prompt = data("drift", "test", draws=1)
    one, other = (each.adapt(prompt).coefficients() for each in (many, dino.load_many_physics(tmp_path)))
    xr.testing.assert_equal(one, other)
    (tmp_path / "many.json").write_text("{}")
    with pytest.raises(CheckpointError, match="damaged"):
        dino.load_many_physics(tmp_path)
    with pytest.raises(MissingFileError, match=r"many\.json"):
        dino.load_many_physics(tmp_path / "elsewhere")


def test_what_cannot_be_is_refused(many):
    prompt = data("drift", "test", draws=1)
    with pytest.raises(SchemaError, match="rename"):
        many.adapt(prompt.rename(u="temperature"))
    with pytest.raises(ConfigError, match="one or more"):
        dino.fit({}, CONFIG)
    with pytest.raises(ConfigError, match="not understood"):
        dino.fit([prompt], dino.PhysicsConfig(candidates=["u: curl(u)"]))
    with pytest.raises(SchemaError, match="adapted"):
        many.adapt(prompt).forecast(prompt.assign_coords(environment=("trajectory", [7])), [3.0])


def test_terms_of_absent_channels_are_left_out():
    assert restricted(["u: u", "u: v", "v: u"], ("u",)) == ["u: u"]
