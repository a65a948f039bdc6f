"""The door of many physics: from arrays to coefficients and forecasts, and all that it refuses."""

import json

import numpy as np
import pytest
import torch

import dino
from dino.errors import CheckpointError, ConfigError, EmptyDataError, MissingFileError, SchemaError

LENGTH = 6.0
CONFIG = dino.PhysicsConfig(candidates=["u: dx(u)", "u: dxx(u)", "u: dx(u**2)"])


def drifting(nu, speed, *, trajectories=4, frames=8, interval=0.05, size=32, scale=1.0, seed=0, first=0.0):
    """Waves that drift and decay, in closed form: values (trajectory, time, 1, x), times, environments."""
    chance = np.random.default_rng(seed)
    x, times = np.arange(size) * LENGTH / size, interval * np.arange(frames)
    made = []
    for number in np.repeat(np.arange(len(nu)), trajectories):
        field = np.zeros((frames, size))
        for k in range(1, 6):
            q, shift = 2 * np.pi * k / LENGTH, chance.uniform(0, 7)
            decay = np.exp(-nu[number] * q * q * times)[:, None]
            field += chance.normal() / k * decay * np.cos(q * (x - speed[number] * times[:, None]) + shift)
        made.append(scale * field)
    return np.array(made)[:, :, None], first + times, np.repeat(np.arange(len(nu)), trajectories)


def dataset(*given, numbers=None, **settings):
    values, times, environments = drifting(*given, **settings)
    return dino.from_array(values, times, [LENGTH], environments=environments if numbers is None else numbers)


TRAIN = dataset([0.1, 0.2, 0.3], [0.5, 1.0, -0.5])
NEW = dataset([0.15, 0.25], [0.8, -0.2], trajectories=1, seed=5)
TRUTH = [[-0.8, 0.15, 0.0], [0.2, 0.25, 0.0]]


@pytest.fixture(scope="module")
def physics():
    return dino.fit(TRAIN, CONFIG)


@pytest.fixture(scope="module")
def adapted(physics):
    return physics.adapt(NEW)


def test_coefficients_of_new_environments_are_the_truth(adapted):
    made = adapted.coefficients()
    np.testing.assert_allclose(made["mean"], TRUTH, atol=1e-6)
    assert made["term"].values.tolist() == CONFIG.candidates
    assert made["known"].all()


def test_forecasts_are_the_truth_at_any_time(adapted):
    longer, times, _ = drifting([0.15, 0.25], [0.8, -0.2], trajectories=1, seed=5, frames=30)
    made = adapted.forecast(NEW, times[[7, 8, 15, 29]])
    np.testing.assert_allclose(made["u"], longer[:, [7, 8, 15, 29], 0], atol=1e-6)
    assert made["trusted"].all()
    one = adapted.forecast(NEW, times[15])
    np.testing.assert_allclose(one["u"][:, 0], made["u"][:, 2], atol=1e-9)


def test_an_ensemble_has_a_spread_and_keeps_the_mean(adapted):
    made = adapted.forecast(NEW, [0.5, 0.9], members=5)
    assert set(made.data_vars) == {"u", "u_std"}
    assert float(made["u_std"].min()) >= 0
    np.testing.assert_array_equal(made["u"], adapted.forecast(NEW, [0.5, 0.9])["u"])


def test_more_noise_more_spread():
    """Noise in the prompts widens posteriors; about the size of the errors that it makes."""
    chance, clean = np.random.default_rng(0), drifting([0.1, 0.2, 0.3], [0.5, 1.0, -0.5])
    widths = []
    for noise in (1e-4, 1e-2):
        train = dino.from_array(
            clean[0] + noise * chance.normal(size=clean[0].shape), clean[1], [LENGTH], environments=clean[2]
        )
        new = NEW + noise * chance.normal(size=NEW["u"].shape)
        widths.append(dino.fit(train, CONFIG).adapt(new.assign_attrs(NEW.attrs)).coefficients()["std"].values[:, :2])
    assert (widths[1] > 10 * widths[0]).all()


def test_single_precision_scales_and_later_times_change_nothing_else(physics, adapted):
    """A field in other units has the same rates; a quadratic coefficient has the inverse unit."""
    for scale in (1e6, 1e-6):
        made = dino.fit(dataset([0.1, 0.2, 0.3], [0.5, 1.0, -0.5], scale=scale), CONFIG)
        new = dataset([0.15, 0.25], [0.8, -0.2], trajectories=1, seed=5, scale=scale)
        np.testing.assert_allclose(made.adapt(new).coefficients()["mean"][:, :2], np.array(TRUTH)[:, :2], atol=1e-6)
    later = dino.fit(dataset([0.1, 0.2, 0.3], [0.5, 1.0, -0.5], first=1e6), CONFIG)
    np.testing.assert_allclose(later.adapt(NEW).coefficients()["mean"], TRUTH, atol=1e-6)
    single = NEW.astype(np.float32).assign_coords(time=NEW["time"]).assign_attrs(NEW.attrs)
    np.testing.assert_allclose(physics.adapt(single).coefficients()["mean"], TRUTH, atol=1e-5)


def test_numbers_and_counts_of_environments_are_free(physics):
    """Numbers that are no ranks, in any order, and another count of trajectories for each."""
    values, times, _ = drifting([0.15, 0.25], [0.8, -0.2], trajectories=3, seed=5)
    ds = dino.from_array(values[[0, 3, 4, 5, 1]], times, [LENGTH], environments=[7, 3, 3, 3, 7])
    adapted = physics.adapt(ds)
    made = adapted.coefficients()
    assert made["environment"].values.tolist() == [3, 7]
    np.testing.assert_allclose(made["mean"].sel(environment=7), TRUTH[0], atol=1e-6)
    np.testing.assert_allclose(made["mean"].sel(environment=3), TRUTH[1], atol=1e-6)
    longer, times, _ = drifting([0.15, 0.25], [0.8, -0.2], trajectories=3, seed=5, frames=12)
    np.testing.assert_allclose(adapted.forecast(ds, times[9:])["u"], longer[[0, 3, 4, 5, 1], 9:, 0], atol=1e-6)
    alone = physics.adapt(ds.isel(trajectory=[1, 2, 3])).coefficients()["std"].values[0]
    np.testing.assert_allclose(made["std"].sel(environment=3), alone, rtol=1e-2)  # of all its three


@pytest.mark.parametrize("settings", [{"interval": 0.4}, {"interval": 0.01}, {"size": 64}, {"size": 15}, {"frames": 3}])
def test_prompts_may_have_another_interval_grid_or_length(physics, settings):
    new = dataset([0.15, 0.25], [0.8, -0.2], trajectories=1, seed=5, **settings)
    np.testing.assert_allclose(physics.adapt(new).coefficients()["mean"], TRUTH, atol=1e-5)
    np.testing.assert_allclose(physics.adapt(new, iterations=12).coefficients()["mean"], TRUTH, atol=2e-6)


def test_steps_are_as_many_as_a_longer_interval_wants():
    """Logistic growth learned at a short interval, adapted at one twenty times as long."""

    def logistic(rates, interval, start):
        times = interval * np.arange(8)
        grown = np.exp(np.array(rates)[:, None] * times)
        return dino.from_array(
            (start * grown / (1 + start * (grown - 1)))[..., None], times, environments=range(len(rates))
        )

    physics = dino.fit(logistic([0.8, 1.0, 1.3], 0.02, 0.3), dino.PhysicsConfig(candidates=["u: u", "u: u**2"]))
    made = physics.adapt(logistic([1.1], 0.4, 0.1)).coefficients()["mean"].values[0]
    np.testing.assert_allclose(made, [1.1, -1.1], rtol=2e-5)


def test_another_physics_is_told(physics):
    """The prompt of an equation that no candidate has: not known, and not trusted."""
    values, times, _ = drifting([0.1], [0.5], trajectories=1)
    other = dino.from_array(values * (1 + times[:, None, None] ** 2 * 3), times, [LENGTH])
    adapted = physics.adapt(other)
    assert not adapted.known.any()
    assert not adapted.coefficients()["known"].any()
    assert not adapted.forecast(other, [0.5])["trusted"].any()


def test_the_floor_is_what_the_code_cannot_hold(physics):
    assert physics.floor(TRAIN) < 1e-12
    shortest = TRAIN * 0 + np.cos(np.pi * np.arange(32))
    assert physics.floor(shortest.assign_attrs(TRAIN.attrs)) == pytest.approx(1.0)
    assert physics.floor((TRAIN * 0).assign_attrs(TRAIN.attrs)) == 0.0


def test_what_is_saved_is_what_is_loaded(physics, adapted, tmp_path):
    physics.save(tmp_path / "physics")
    again = dino.load_physics(tmp_path / "physics")
    assert (again.config, again.lengths, again.limit, again.terms) == (CONFIG, (LENGTH,), physics.limit, physics.terms)
    made = again.adapt(NEW)
    torch.testing.assert_close(made.posterior.mean, adapted.posterior.mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        made.forecast(NEW, [0.5], members=3)["u_std"], adapted.forecast(NEW, [0.5], members=3)["u_std"], rtol=1e-6
    )
    with pytest.raises(MissingFileError, match=r"physics\.json"):
        dino.load_physics(tmp_path)
    text = (tmp_path / "physics" / "physics.json").read_text()
    (tmp_path / "physics" / "physics.json").write_text(text.replace("dxx", "dx"))
    with pytest.raises(CheckpointError, match="was changed"):
        dino.load_physics(tmp_path / "physics")


def test_a_description_that_does_not_fit_its_tensors_is_refused(physics, tmp_path):
    """Sealed as it should be, and still no family."""
    from dino.inference.stored_family import described, restored

    tensors, content = described(physics.family)
    content = json.loads(json.dumps(content))
    assert restored(tensors, content).steps == physics.family.steps
    for changes in (
        {"sizes": [10**9]},
        {"terms": ["u: u"]},
        {"terms": ["u: q", "u: u", "u: u"]},
        {"numbers": {"odd": 1}},
    ):
        with pytest.raises(CheckpointError, match="save anew"):
            restored(tensors, content | changes)
    with pytest.raises(CheckpointError, match="save anew"):
        restored({**tensors, "noise": tensors["noise"] * np.nan}, content)


def test_systems_without_space_are_saved_too(tmp_path):
    times = 0.1 * np.arange(6)
    values = np.exp(-np.array([0.5, 0.7, 0.9])[:, None] * times)[..., None]
    physics = dino.fit(dino.from_array(values, times, environments=[0, 1, 2]), dino.PhysicsConfig(candidates=["u: u"]))
    physics.save(tmp_path)
    again = dino.load_physics(tmp_path)
    assert torch.equal(again.family.prior.root, physics.family.prior.root)
    assert again.family.damping is None


@pytest.mark.parametrize(
    ("candidates", "why"),
    [
        (["u: dx(q)"], "no channel of u"),
        (["u: dy(u)"], "wants two dimensions"),
        (["u: cos(40)"], "the grid has waves up to"),
        (["u: dx(u**2)", "u: u*dx(u)"], "multiples of each other"),
        ([], "at least one"),
    ],
)
def test_bad_candidates_are_refused(candidates, why):
    with pytest.raises(ConfigError, match=why):
        dino.fit(TRAIN, dino.PhysicsConfig(candidates=candidates))


def test_fields_that_never_change_are_refused():
    with pytest.raises(EmptyDataError, match="give some that do"):
        dino.fit((TRAIN * 0 + 3).assign_attrs(TRAIN.attrs), CONFIG)


def test_other_channels_boxes_and_edges_are_refused(physics):
    values, times, environments = drifting([0.15, 0.25], [0.8, -0.2], trajectories=1)
    with pytest.raises(SchemaError, match=r"channels \['v'\] .* where \['u'\]"):
        physics.adapt(NEW.rename(u="v"))
    with pytest.raises(SchemaError, match=r"box of \(7\.0,\)"):
        physics.adapt(dino.from_array(values, times, [7.0], environments=environments))
    with pytest.raises(SchemaError, match="edges along x came where one with edges along no axis"):
        physics.adapt(dino.from_array(values, times, [LENGTH], environments=environments, periodic=False))
    with pytest.raises(EmptyDataError, match="at least 3"):
        physics.adapt(NEW.isel(time=[0, 1]))
    with pytest.raises(ConfigError, match="0 or more"):
        physics.adapt(NEW, -1)


@pytest.mark.parametrize(
    ("times", "settings", "why"),
    [
        ([0.1], {}, "must ascend from 0.35"),
        ([], {}, "must ascend"),
        ([0.6, 0.5], {}, "must ascend"),
        ([np.nan], {}, "must ascend"),
        ([0.5, np.inf], {}, "must ascend"),
        ([0.5], {"members": 1}, "at least two members"),
        ([0.5], {"members": -2}, "at least two members"),
    ],
)
def test_times_and_members_that_make_no_sense_are_refused(adapted, times, settings, why):
    with pytest.raises(ConfigError, match=why):
        adapted.forecast(NEW, times, **settings)


def test_environments_that_were_not_adapted_to_are_refused(adapted):
    with pytest.raises(SchemaError, match=r"environments \[9\] came where \[0, 1\]"):
        adapted.forecast(NEW.assign_coords(environment=("trajectory", [0, 9])), [0.5])
