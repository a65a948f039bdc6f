"""Own arrays as trajectories, and trajectories as states; every refusal says what came and what to do."""

import numpy as np
import pytest
import torch

import dino
from dino.data.trajectories import alike, candidates_of, frames_of, modes_of, values_of
from dino.errors import ConfigError, EmptyDataError, SchemaError

TIMES = 0.1 * np.arange(4)
CONFIG = dino.PhysicsConfig(candidates=["u: u"])


def values(trajectories: int = 5, channels: int = 1, *space: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(trajectories, 4, channels, *space))


def test_an_array_keeps_its_order_and_numbers():
    given = values(3, 2, 6, 8)
    ds = dino.from_array(given.astype(np.float32), TIMES, [5.0, 3.0], environments=[7, 3, 7], channels=("b", "a"))
    assert list(ds.data_vars) == ["b", "a"]
    assert ds["a"].dims == ("trajectory", "time", "y", "x")
    np.testing.assert_array_equal(ds["a"], given.astype(np.float32)[:, :, 1])
    assert ds["environment"].values.tolist() == [7, 3, 7]
    assert float(ds["x"][1]) == pytest.approx(5.0 / 8)
    assert float(ds["y"][1]) == pytest.approx(3.0 / 6)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"values": values(5, 1)}, "give one length for each dimension"),
        ({"lengths": [0.0]}, "finite and above 0"),
        ({"lengths": [-5.0]}, "finite and above 0"),
        ({"times": TIMES[::-1]}, "ascend"),
        ({"times": TIMES[:3]}, r"times of shape \(3,\)"),
        ({"times": np.datetime64("2020-01-01") + np.arange(4)}, "numbers in the unit"),
        ({"environments": [0, 1]}, "environments of shape"),
        ({"environments": [0.1, 0.2, 0.3, 0.4, 0.5]}, "whole numbers"),
        ({"environments": [2**40] * 5}, "at most 32 bits"),
        ({"environments": list("abcde")}, "whole numbers"),
        ({"channels": ["u", "v"]}, "for 1 channels"),
        ({"channels": ["x"]}, "a name of its own"),
        ({"values": values(5, 2, 8), "channels": ["u", "u"]}, "a name of its own"),
    ],
)
def test_arrays_that_would_be_misread_are_refused(changes, why):
    given = {"values": values(5, 1, 8), "times": TIMES, "lengths": [2.0], **changes}
    with pytest.raises(SchemaError, match=why):
        dino.from_array(given.pop("values"), given.pop("times"), given.pop("lengths"), **given)


def test_frames_are_ordered_by_environment_whatever_their_numbers():
    given = values(6, 1, 8)
    ds = dino.from_array(given, TIMES, [2.0], environments=[7, 3, 3, 7, 3, 7])
    modes = modes_of(ds, CONFIG)
    numbers, states, times = frames_of(ds, modes, 2, 3)
    assert numbers.tolist() == [3, 7]
    assert states.shape == (2, 2, 3, modes.blocks, 1)
    assert times.tolist() == TIMES[:3].tolist()
    torch.testing.assert_close(states[0, 1], modes.encode(torch.tensor(given[2, :3])))
    torch.testing.assert_close(states[1, 1], modes.encode(torch.tensor(given[3, :3])))


def test_channels_have_the_order_that_was_learned():
    ds = dino.from_array(values(2, 2, 8), TIMES, [2.0])
    modes = modes_of(ds, CONFIG)
    torch.testing.assert_close(values_of(ds[["v", "u"]], modes), values_of(ds, modes))


def test_unequal_counts_fall_into_parts_that_lose_nothing():
    ds = dino.from_array(values(6), TIMES, environments=[5, 1, 5, 2, 5, 1])
    parts = alike(ds)
    assert [part["environment"].values.tolist() for part in parts] == [[2], [1, 1], [5, 5, 5]]


def test_products_are_as_fine_as_the_candidates_want():
    """A cubic term needs more points than the squares that the library has."""
    ds = dino.from_array(values(2, 1, 33), TIMES, [2.0])
    for expression, factors in (("u: u**2", 2), ("u: u**3", 3), ("u: u*u*dx(u)*cos(1)", 4)):
        modes = modes_of(ds, dino.PhysicsConfig(candidates=[expression]))
        assert modes.points[0] >= (factors + 1) * 16 + 1
    assert modes_of(ds, dino.PhysicsConfig(candidates=["u: u**3"], products="grid")).points == (33,)


def test_candidates_are_those_given_and_the_forcing():
    config = dino.PhysicsConfig(candidates=["u: u"], forcing={"channels": ["u"], "waves": 1})
    assert candidates_of(("u",), 1, config) == ["u: u", "u: cos(1)", "u: sin(1)"]
    with pytest.raises(ConfigError, match="give at least one"):
        candidates_of(("u",), 1, dino.PhysicsConfig(candidates=[]))


def test_frames_that_cannot_be_used_are_refused():
    ds = dino.from_array(values(4, 1, 8), TIMES, [2.0], environments=[3, 3, 8, 8])
    modes = modes_of(ds, CONFIG)
    with pytest.raises(EmptyDataError, match=r"2 frames .* at least 3"):
        frames_of(ds.isel(time=[0, 1]), modes)
    with pytest.raises(SchemaError, match=r"0\.1 to 0\.2 apart; equal intervals"):
        frames_of(ds.isel(time=[0, 1, 3]), modes)
    holed = ds.copy(deep=True)
    holed["u"][2, 1, 5] = np.nan
    with pytest.raises(EmptyDataError, match=r"environment 8 has a missing value at time 0\.1; .*fill it"):
        frames_of(holed, modes)
    with pytest.raises(ConfigError, match="periodic box"):
        modes_of(dino.from_array(values(4, 1, 8), TIMES, [2.0], periodic=False), CONFIG)


def test_rounding_of_large_times_is_no_unequal_interval():
    ds = dino.from_array(values(2, 1, 8), 1e9 + 0.05 * np.arange(4), [2.0])
    assert frames_of(ds, modes_of(ds, CONFIG))[2].shape == (4,)
