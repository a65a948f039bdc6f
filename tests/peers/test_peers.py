"""Every peer learns travelling sines within seconds; what it cannot do it refuses."""

import time

import pytest
import torch

from benchmarks.peers import (
    DinoRecipe,
    FourierNeuralOperator,
    Persistence,
    PodDmd,
    PodOde,
    Task,
    UnsuitableTaskError,
    one_cycle,
)
from benchmarks.peers.dino_recipe import annealed, forcing
from benchmarks.peers.fno import to_grid
from benchmarks.peers.interpolation import Interpolation


def small_recipe():
    return DinoRecipe(code=8, hidden=16, layers=2, dynamics_hidden=32, batch=8, adaptation_steps=200)


def error(peer, task, truth):
    """In-t mean squared error on the whole grid after fitting."""
    peer.fit(task)
    made = peer.forecast(truth[:, 0, task.kept], truth.shape[1])
    assert made.shape == truth.shape
    return float((made - truth)[:, :10].square().mean())


@pytest.mark.usefixtures("steady_clock")
@pytest.mark.parametrize("keep", [1.0, 0.5])
@pytest.mark.parametrize(
    ("make_peer", "seconds", "better_by"),
    [
        (PodDmd, 1.0, 100.0),
        (lambda: PodOde(rank=8, hidden=32, depth=2, learning_rate=1e-2, frames_per_step=64), 1.5, 1.5),
        (small_recipe, 2.0, 1.2),
    ],
    ids=["pod_dmd", "pod_ode", "dino_recipe"],
)
def test_beats_persistence(make_task, truth, make_peer, seconds, better_by, keep):
    task = make_task(seconds, keep)
    still = error(Persistence(), task, truth)
    assert error(make_peer(), task, truth) < still / better_by


@pytest.mark.usefixtures("steady_clock")
def test_fourier_neural_operator_beats_persistence(make_task, truth):
    pytest.importorskip("neuralop")
    task = make_task(3.0)
    peer = FourierNeuralOperator(modes=4, width=8, layers=2, learning_rate=1e-2, batch=8)
    assert error(peer, task, truth) < error(Persistence(), task, truth) / 2


def test_fourier_neural_operator_on_a_sphere_with_a_channel_that_stands_still(make_task):
    pytest.importorskip("neuralop")
    box = make_task()
    training = torch.cat([box.training, torch.ones_like(box.training)], -1)
    sphere = Task(torch.rand(256, 3), box.shape, box.kept, box.interval, training, 0, 0.2)
    peer = FourierNeuralOperator(modes=4, width=8, layers=2, batch=4)
    peer.fit(sphere)
    made = peer.forecast(training[:, 0], 3)
    assert made.shape == (24, 3, 256, 2)
    assert torch.isfinite(made).all()


def test_fourier_neural_operator_wants_the_whole_grid(make_task):
    with pytest.raises(UnsuitableTaskError, match="every point of the grid"):
        FourierNeuralOperator().fit(make_task(0.1, 0.5))


def test_fourier_neural_operator_without_its_package(make_task, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "neuralop.models", None)
    with pytest.raises(UnsuitableTaskError, match=r"\[benchmarks\]"):
        FourierNeuralOperator().fit(make_task(0.1))


def test_grid_layout_is_undone():
    values = torch.arange(2 * 3 * 6 * 2.0).view(2, 3, 6, 2)
    grid = to_grid(values, (2, 3))
    assert grid.shape == (2, 3, 2, 2, 3)
    assert torch.equal(grid.flatten(3).movedim(2, 3), values)


def test_fit_keeps_to_the_budget(make_task):
    for peer in (PodOde(rank=8, hidden=64), small_recipe()):
        start = time.perf_counter()
        peer.fit(make_task(0.5))
        assert time.perf_counter() - start < 2.0


def test_unseen_points_are_not_looked_at(make_task, truth):
    task = make_task(1.0, 0.5)
    training = task.training.clone()
    training[:, :, ~task.kept] = torch.nan
    blind = Task(task.coordinates, task.shape, task.kept, task.interval, training, 0, 0.2)
    for peer in (Persistence(), PodDmd(), PodOde(rank=8, hidden=32), small_recipe()):
        peer.fit(blind)
        assert torch.isfinite(peer.forecast(truth[:, 0, task.kept], 3)).all()


def test_dmd_is_exact_on_a_linear_system(make_task, truth):
    task = make_task()
    peer = PodDmd()
    peer.fit(task)
    made = peer.forecast(truth[:, 0], 20)
    assert (made - truth).abs().max() < 2e-3


def test_persistence_is_the_first_frame(make_task, truth):
    peer = Persistence()
    peer.fit(make_task())
    assert torch.equal(peer.forecast(truth[:, 0], 3)[:, 2], truth[:, 0])


def test_interpolation_keeps_what_is_known_and_meets_no_seam(make_task, truth):
    task = make_task(1.0, 0.5)
    made = Interpolation(task.coordinates, task.kept)(truth[:, 0, task.kept])
    assert (made - truth[:, 0])[:, task.kept].abs().max() < 1e-4
    assert (made - truth[:, 0]).square().mean() < 1e-2 * truth.var()


def test_schedules():
    assert one_cycle(0.0) == pytest.approx(0.04, abs=1e-4)
    assert one_cycle(0.3) == pytest.approx(1.0, abs=1e-4)
    assert one_cycle(1.0) < 1e-4
    assert annealed(0.5) == 1.0
    assert annealed(1.0) < 1e-4
    assert forcing(0.0) == 0.99
    assert forcing(0.25) == pytest.approx((0.99 * 1e-3) ** 0.5)
    assert forcing(0.5) == 0.0


def test_task_refuses_what_does_not_fit(coordinates):
    training = torch.zeros(1, 2, 256, 1)
    with pytest.raises(ValueError, match="256 points"):
        Task(coordinates[:-1], (16, 16), torch.ones(256, dtype=torch.bool), 1.0, training, 0, 1.0)
    with pytest.raises(ValueError, match="keeps no point"):
        Task(coordinates, (16, 16), torch.zeros(256, dtype=torch.bool), 1.0, training, 0, 1.0)
