"""From frame to frame: sensitivities against differences of another size, integrals of the weak form, steps."""

import math

import pytest
import torch

from dino.dynamics.primitives import Primitives
from dino.inference.transitions import Frames, enough_steps, flow, linearised, weak_form
from dino.space.harmonics import Harmonics, NoSpace

BOX = Harmonics(("u",), (5.0,), (12,))
IN_SPACE = Primitives(BOX, ["u: dx(u**2)", "u: dxx(u)", "u: cos(1)*t"])
PREY = Primitives(NoSpace(("u", "v")), ["u: u", "u: u*v", "v: v", "v: u*v", "u: t"])


def example(primitives, environments: int = 2, trajectories: int = 2, frames: int = 4) -> Frames:
    """Frames that have nothing to do with the equations: sensitivities do not mind."""
    modes, chance = primitives.modes, torch.Generator().manual_seed(3)
    shape = (environments, trajectories, frames, len(modes.channels), *modes.sizes)
    values = 1 + 0.3 * torch.randn(shape, dtype=torch.float64, generator=chance)
    return Frames(modes.encode(values), 0.5 + 0.2 * torch.arange(frames).double())


@pytest.mark.parametrize("primitives", [IN_SPACE, PREY])
def test_sensitivities_are_central_differences(primitives):
    frames, count = example(primitives), len(primitives.terms)
    theta = 0.3 * torch.randn(2, count, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    directions = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    residual, made = linearised(primitives, theta, directions.expand(2, -1, -1), frames, 8)
    given = frames.before, frames.moments, frames.interval, 8, None
    torch.testing.assert_close(residual, frames.after - flow(primitives, theta, *given), atol=1e-6, rtol=0)
    for number in range(3):
        step = 1e-3 * directions[:, number]
        ahead, behind = (flow(primitives, theta + sign * step, *given) for sign in (1, -1))
        torch.testing.assert_close(made[:, number], (ahead - behind) / 2e-3, atol=2e-5, rtol=1e-4)


def test_the_weak_form_integrates_terms_over_every_interval():
    """u = sin(t) cos(kx): integrals of u, dxx(u) and u**2 in closed form."""
    k = 2 * math.pi / 5.0
    x, times = torch.arange(12).double() * 5.0 / 12, 0.3 + 0.1 * torch.arange(12).double()
    fields = torch.sin(times)[:, None] * torch.cos(k * x)
    primitives = Primitives(BOX, ["u: u", "u: dxx(u)", "u: u**2", "u: 1", "u: t**2"])
    increments, integrals = weak_form(primitives, Frames(BOX.encode(fields[None, None, :, None]), times))
    first, last = times[:-1], times[1:]
    once = torch.cos(first) - torch.cos(last)
    square = (last - first) / 2 - (torch.sin(2 * last) - torch.sin(2 * first)) / 4
    torch.testing.assert_close(increments[0, :, 1, 0].real, (torch.sin(last) - torch.sin(first)) / 2)
    wanted = [(0, 1, once / 2), (1, 1, -k * k * once / 2), (2, 0, square / 2), (2, 2, square / 4)]
    wanted += [(3, 0, last - first), (4, 0, (last**3 - first**3) / 3)]
    for term, block, values in wanted:
        torch.testing.assert_close(integrals[term, 0, :, block, 0].real, values, atol=2e-7, rtol=0)


def test_large_fields_calibrate_by_fewer_trajectories_of_more_environments():
    small = Frames(torch.zeros(6, 8, 20, 10, 1), torch.arange(20).double())
    assert small.prompts(32)[0].tolist() == [0, 2, 3, 5]
    assert small.prompts(32)[1] == 8
    large = Frames(torch.zeros(1, 1, 1, 1, 1).expand(6, 8, 20, 8000, 1), torch.arange(20).double())
    assert large.prompts(32)[0].tolist() == [0, 2, 3, 5]
    assert large.prompts(32)[1] == 2
    assert Frames(large.states[:, :1], large.times).prompts(32)[0].tolist() == list(range(6))


def test_more_steps_are_taken_where_they_are_needed():
    frames = example(PREY)
    slow = torch.tensor([[0.1, -0.1, -0.1, 0.1, 0.0]] * 2, dtype=torch.float64)
    assert enough_steps(PREY, slow, frames) < enough_steps(PREY, 30 * slow, frames)
    linear = Primitives(BOX, ["u: dxx(u)", "u: dx(u)"])
    assert enough_steps(linear, torch.tensor([[9.0, 50.0]] * 2, dtype=torch.float64), example(linear)) == 1


def test_transitions_keep_their_order_and_times():
    frames = example(PREY, environments=2, trajectories=3, frames=4)
    assert frames.interval == pytest.approx(0.2)
    assert frames.before.shape == frames.after.shape == (2, 9, 1, 2)
    assert torch.equal(frames.before[1, 4], frames.states[1, 1, 1])
    assert torch.equal(frames.after[1, 4], frames.states[1, 1, 2])
    assert frames.moments.tolist() == 3 * frames.times[:-1].tolist()
    thin = frames.thinned(4)
    assert torch.equal(thin.before, frames.before[:, thin.chosen])
    assert torch.equal(thin.moments, frames.moments[thin.chosen])
    assert frames.thinned(9) is frames


def test_rough_sensitivities_leave_the_prediction_exact():
    frames = example(IN_SPACE)
    theta = torch.tensor([[0.1, 0.05, 0.2]] * 2, dtype=torch.float64)
    directions = torch.eye(3, dtype=torch.float64).expand(2, -1, -1)
    exact, made = linearised(IN_SPACE, theta, directions, frames, 16)
    residual, rough = linearised(IN_SPACE, theta, directions, frames, 16, None, 2)
    torch.testing.assert_close(residual, exact)
    assert 0 < float((rough - made).norm()) < 1e-2 * float(made.norm())


def test_what_is_stepped_in_parts_is_the_same(monkeypatch):
    frames, theta = example(IN_SPACE, environments=5), torch.full((5, 3), 0.1, dtype=torch.float64)
    given = IN_SPACE, theta, frames.before, frames.moments, frames.interval, 4, None
    whole = flow(*given)
    monkeypatch.setattr("dino.inference.transitions.AT_ONCE", 1)
    torch.testing.assert_close(flow(*given), whole)
