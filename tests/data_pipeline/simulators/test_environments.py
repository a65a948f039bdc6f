from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from data_pipeline.errors import ConfigError, SimulationError
from data_pipeline.layout.trajectories import check_trajectories
from data_pipeline.simulators.environments import EnvironmentsConfig, Range, simulate


class Decay(EnvironmentsConfig):
    """du/dt = -rate u of two points, with a phase of the environment."""

    NAME = "decay"
    CHANNELS = ("u",)
    DEFAULTS = MappingProxyType({"rate": 1.0, "other": 0.0})
    BATCH = 3

    @property
    def lengths(self):
        return (2.0,)

    @property
    def shape(self):
        return (2,)

    def of_environment(self, random):
        return {"phase": random.uniform()}

    def initial(self, random):
        return random.uniform(size=(1, 2))

    def solve(self, states, parameters, times):
        return states[:, None] * np.exp(-parameters["rate"][:, None] * times)[:, :, None, None]


def decays(**settings):
    return simulate(
        Decay.model_validate({"environments": {"rate": (1, 2)}, "trajectories": 2, "frames": 3, **settings})
    )


def test_families_are_products_of_their_numbers_and_draws_of_their_ranges():
    families = [{"rate": (1, 2), "other": (3, 4)}, {"rate": Range(low=1, high=9, log=True)}]
    table = Decay(environments=families, draws=3).table()
    assert table["rate"][:12:3].tolist() == [1, 1, 2, 2]  # a phase is drawn, so each point stands three times
    assert table["other"][:12:3].tolist() == [3, 4, 3, 4]
    drawn = table["rate"][12:]
    assert len(drawn) == 3
    assert len(set(drawn)) == 3
    assert ((drawn > 1) & (drawn < 9)).all()
    logs = [Range(low=1e-3, high=1e3, log=True).draw(np.random.default_rng(number)) for number in range(300)]
    assert 0.4 < np.mean(np.array(logs) < 1) < 0.6


def test_trajectories_of_an_environment_share_its_parameters_and_obey_them():
    ds = decays()
    check_trajectories(ds)
    assert ds["environment"].values.tolist() == [0, 0, 1, 1]
    assert ds["parameter_rate"].values.tolist() == [1, 1, 2, 2]
    assert ds["u"].dtype == np.float64
    assert ds["u"].dims == ("trajectory", "time", "x")
    np.testing.assert_allclose(ds["u"][3, 2], ds["u"][3, 0] * np.exp(-4))


def test_numbers_depend_on_the_seed_and_not_on_company():
    whole = decays()
    assert decays().identical(whole)
    np.testing.assert_array_equal(decays(trajectories=1)["u"], whole["u"][::2])
    assert (decays(seed=1)["u"].values != whole["u"].values).all()


def test_parts_share_no_sample():
    parts = ("train", "test", "adaptation", "adaptation-test")
    first = {part: decays(part=part) for part in parts}
    starts = np.concatenate([first[part]["u"][:, 0].values for part in parts])
    assert len(np.unique(starts)) == starts.size
    phases = [first[part]["parameter_phase"].values for part in parts]
    assert set(phases[0]).isdisjoint(phases[1])
    np.testing.assert_array_equal(phases[2], phases[3])


def test_initial_states_can_be_the_same_in_each_environment():
    start = decays(shared_initial=True)["u"][:, 0].values
    np.testing.assert_array_equal(start[:2], start[2:])
    assert (start[0] != start[1]).all()
    legacy = decays(shared_initial=True, seeding="index")["u"][:, 0].values
    np.testing.assert_array_equal(legacy[1], np.random.RandomState(1).random_sample(2))
    unseen = decays(shared_initial=True, seeding="index", part="test")["u"][:, 0].values
    np.testing.assert_array_equal(unseen[1], np.random.RandomState(2**31 - 2).random_sample(2))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="decay has rate"):
        Decay(environments={"speed": 1})
    with pytest.raises(ValidationError, match="smaller first"):
        Range(low=2, high=1)
    with pytest.raises(ValidationError, match="set shared_initial"):
        Decay(seeding="index")
    with pytest.raises(ConfigError, match="no preset paper train"):
        Decay.preset("paper")
    with pytest.raises(SimulationError, match="trajectory 0 blew up before time 1"):
        decays(environments={"rate": -1e4})
