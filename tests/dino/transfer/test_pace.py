"""The pace of a model: exact in closed form, and found from the observations of an ocean that has another."""

from functools import partial

import pytest
import torch

from dino.config import TransferConfig
from dino.dynamics import LatentODE, QuadraticODE, integrate
from dino.errors import NonFiniteError
from dino.transfer import Task
from dino.transfer.pace import MOVES, change_pace, fit_pace, search
from dino.transfer.statistics import fit_pace_and_energy


def vector_field(name):
    torch.manual_seed(3)
    if name == "quadratic":
        made = QuadraticODE(4, 6)
        torch.nn.init.normal_(made.coefficients, std=0.1)
        return made.double()
    made = LatentODE(4, int(name[-1]), hidden=8, depth=2, rates=[0.4, 0.3, 0.5][: int(name[-1])])
    torch.nn.init.normal_(made.linear, std=0.3)
    return made.double()


@pytest.mark.parametrize("name", ["order 1", "order 2", "order 3", "quadratic"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_trajectories_are_the_same_at_other_times(name, factor):
    made = vector_field(name)
    start, days = 0.1 * torch.randn(3, made.state_size).double(), torch.tensor([0.0, 0.7, 2.0]).double()
    with torch.no_grad():
        expected = integrate(made.bind(), start, factor * days, "rk4", 0.01)
        made.change_pace(factor)
        found = integrate(made.bind(), start, days, "rk4", 0.01)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["order 1", "order 2", "order 3", "quadratic"])
def test_damping_is_a_decay_of_the_highest_derivative(name):
    made = vector_field(name)
    state = torch.randn(3, made.state_size).double()
    with torch.no_grad():
        before = made.bind()(torch.tensor(0.0), 0.1 * state)
        made.damp(0.3)
        change = made.bind()(torch.tensor(0.0), 0.1 * state) - before
    expected = torch.zeros_like(state)
    expected[:, -made.code_size :] = -0.03 * state[:, -made.code_size :]
    torch.testing.assert_close(change, expected, rtol=1e-5, atol=1e-7)


def test_errors_and_first_derivatives_follow(make_twin):
    twin = make_twin()
    model = twin.latent
    model.lead_error.copy_(torch.arange(len(model.lead_error))[:, None] ** 2.0)
    model.process_noise.copy_(torch.eye(len(model.process_noise)))
    history = torch.randn(2, model.lags + 1, model.dynamics.code_size).double()
    before = model.initialiser(history)
    change_pace(model, 0.5)
    torch.testing.assert_close(model.lead_error[4], torch.full_like(model.lead_error[4], 4.0))
    torch.testing.assert_close(model.process_noise, 0.5 * torch.eye(len(model.process_noise)).double())
    # The same change of code a day is twice as much in units of derivatives that are half as large.
    after = model.initialiser(history)
    torch.testing.assert_close(after[:, : model.dynamics.code_size], before[:, : model.dynamics.code_size])
    torch.testing.assert_close(after[:, model.dynamics.code_size :], 2 * before[:, model.dynamics.code_size :])


def test_there_and_back_is_nothing(make_twin):
    model = make_twin().latent
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    change_pace(model, 2.0)
    change_pace(model, 0.5)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], msg=name)


@pytest.mark.parametrize(("rate", "true"), [(1.0, 0.5), (0.7, 1.0), (0.5, 2.0)])
def test_the_pace_of_an_ocean_is_found(make_twin, rate, true):
    twin = make_twin()
    twin.latent.dynamics.rates.copy_(torch.tensor([rate, 0.5]))
    told = float(twin.latent.dynamics.rates[0])
    twin.latent.dynamics.change_pace(true)
    observations = twin.observed(3000, 24.0, error=0.005)
    twin.latent.dynamics.change_pace(1 / true)
    settings = TransferConfig(rounds=1, window_days=6, horizon_days=4, stride_days=2)
    forecaster = twin.forecaster(method="filter", window_days=6, node_days=0.5)
    result = fit_pace_and_energy(Task(forecaster, observations, settings), lambda *told: None)
    if true != 1.0:
        assert result.kept
        assert result.after < 0.7 * result.before
    assert float(twin.latent.dynamics.rates[0]) / told == pytest.approx(true, rel=0.01)


class Place(torch.nn.Module):
    """Two numbers that can be multiplied and moved."""

    def __init__(self, *values):
        super().__init__()
        self.register_buffer("at", torch.tensor(values, dtype=torch.float64))

    def scale(self, factor):
        self.at[0] *= factor

    def move(self, step):
        self.at[1] += step


def test_the_search_takes_the_best_change_and_stops():
    place, asked = Place(1.0, 5.0), []
    change = place.scale, place.move

    def misfit():
        asked.append(tuple(place.at.tolist()))
        if place.at[0] > 8:
            raise NonFiniteError("too far")
        return float(-place.at[0] + (place.at[1] - 3).abs())

    double, halve, down, up = (partial(change[i], by) for i, by in ((0, 2.0), (0, 0.5), (1, -1.0), (1, 1.0)))
    moves = [(double, halve), (halve, double), (down, up), (up, down)]
    assert search(place, moves, misfit) == -8.0
    assert place.at.tolist() == [8.0, 3.0]
    assert asked[:5] == [(1.0, 5.0), (2.0, 5.0), (0.5, 5.0), (1.0, 4.0), (1.0, 6.0)]
    before = len(asked)
    assert search(place, moves, misfit) == -8.0
    assert len(asked) == before + 5


def test_a_search_ends():
    place = Place(1.0, 0.0)
    halve = (partial(place.scale, 0.5), partial(place.scale, 2.0))
    search(place, [halve], lambda: float(place.at[0]))
    assert float(place.at[0]) == 0.5**MOVES
    search(place, [halve], lambda: float(place.at[0]), most=2)
    assert float(place.at[0]) == 0.5 ** (MOVES + 2)
    search(place, [halve], lambda: 1.0 + float(place.at[0]), worth=0.1)
    assert float(place.at[0]) == 0.5 ** (MOVES + 2)


def test_what_was_tried_leaves_nothing(make_twin):
    model = make_twin().latent
    model.lead_error.copy_(torch.rand(model.lead_error.shape))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit_pace(model, lambda: 1.0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
