"""Coefficients and first states from scattered points: the truth within their bars, or a refusal."""

import numpy as np
import pytest
import torch
import xarray as xr

import dino
from data_pipeline.simulators import advection_diffusion
from dino.errors import ObservationError
from dino.inference.scattered import lagrange

FAMILY = [{"speed": {"low": 0.5, "high": 2.0}, "diffusivity": {"low": 0.05, "high": 0.5}}]


def simulated(part: str, draws: int, trajectories: int) -> xr.Dataset:
    config = advection_diffusion.AdvectionDiffusionConfig(
        environments=FAMILY, draws=draws, trajectories=trajectories, frames=11, interval=0.2, size=32, part=part
    )
    return advection_diffusion.simulate(config)


@pytest.fixture(scope="module")
def physics() -> dino.Physics:
    return dino.fit(simulated("train", 8, 4), dino.PhysicsConfig(candidates=["u: dx(u)", "u: dxx(u)"], rounds=4))


def scattered(fields: xr.Dataset, count: int, error: float, chance: np.random.Generator) -> xr.Dataset:
    """Noisy values at random cells and frames; the second environment is numbered 9."""
    trajectory = chance.integers(0, fields.sizes["trajectory"], count)
    frame, cell = chance.integers(0, 11, count), chance.integers(0, 32, count)
    columns = {
        "trajectory": trajectory,
        "time": fields["time"].values[frame],
        "x": fields["x"].values[cell],
        "environment": np.array([4, 9])[fields["environment"].values[trajectory]],
        "u": fields["u"].values[trajectory, frame, cell] + error * chance.standard_normal(count),
    }
    return xr.Dataset({name: ("obs", values) for name, values in columns.items()})


def test_noisy_points_tell_coefficients_within_their_bars_and_a_forecast(physics):
    truth = simulated("test", 2, 2)
    points = scattered(truth, 240, 0.01, np.random.default_rng(3))
    adapted = physics.adapt_points(points, error=0.01)
    assert adapted.numbers.tolist() == [4, 9]
    assert adapted.known.all()
    found = adapted.coefficients()
    for row, trajectory in enumerate((0, 2)):
        for term, parameter, sign in (("u: dx(u)", "speed", -1), ("u: dxx(u)", "diffusivity", 1)):
            own = found.sel(term=term).isel(environment=row)
            wanted = sign * float(truth[f"parameter_{parameter}"][trajectory])
            assert abs(float(own["mean"]) - wanted) < 4 * float(own["std"])
            assert float(own["std"]) < 0.1 * abs(wanted)
    start = adapted.initial[0]
    made = adapted.forecast(start, truth["time"].values[1:] + 0.0)["u"].values
    wanted = truth["u"].values[:2, 1:]
    assert np.linalg.norm(made - wanted) < 0.1 * np.linalg.norm(wanted)


def test_points_of_another_physics_are_told(physics):
    points = scattered(simulated("test", 2, 2), 240, 0.5, np.random.default_rng(3))
    assert not physics.adapt_points(points, error=0.01).known.any()


def test_the_cubic_between_nodes_is_exact_for_cubics():
    place = torch.tensor([0.3, 1.0, 1.7, 2.9], dtype=torch.float64)
    nodes = torch.arange(4).double()
    torch.testing.assert_close(lagrange(place) @ (nodes**3 - 2 * nodes), place**3 - 2 * place)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda points: points.drop_vars("x"), "lack the column 'x'"),
        (lambda points: points.drop_vars("u"), "none of the channels u"),
        (lambda points: points.assign(time=points["time"] * np.nan), "place or a time that is no number"),
        (lambda points: points.assign(u=points["u"] * np.nan), "finite values"),
    ],
)
def test_columns_that_are_missing_or_no_numbers_are_refused(physics, change, told):
    points = scattered(simulated("test", 2, 2), 20, 0.01, np.random.default_rng(3))
    with pytest.raises(ObservationError, match=told):
        physics.adapt_points(change(points), error=0.01)


def test_errors_are_wanted(physics):
    points = scattered(simulated("test", 2, 2), 20, 0.01, np.random.default_rng(3))
    with pytest.raises(ObservationError, match="no column u_error"):
        physics.adapt_points(points)
