"""A drift moves a field as a whole, at the velocity it says; a residual stacks on what it is given."""

import math

import torch

from dino.dynamics import AdaptedODE, LatentODE, integrate
from dino.dynamics.adapted import DRIFT_UNIT_KM
from dino.space.cover import CONTEXT


def still(order: int, code_size: int, context_size: int = 0) -> LatentODE:
    """Dynamics of order `order` that do nothing but pass tendencies on."""
    made = LatentODE(code_size, order, context_size, hidden=4, depth=0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
    return made


def drifting(base: LatentODE, wavenumber: float, velocity: float, context: tuple[str, ...] = ()) -> AdaptedODE:
    """Codes are cos and sin of a wave of `wavenumber` [1/km] to the east."""
    made = AdaptedODE(base, 4, True, context)
    with torch.no_grad():
        made.operators[0] = wavenumber * torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
        made.drift[0] = velocity / DRIFT_UNIT_KM
    return made


def test_a_wave_is_carried_at_the_velocity_of_the_drift():
    """With a(t) = (cos, sin) of k x: da/dt = u D a turns the code by k u t."""
    wavenumber, velocity = 2 * math.pi / 300.0, 12.0
    dynamics = drifting(still(1, 2), wavenumber, velocity)
    days = torch.linspace(0, 5, 6, dtype=torch.float64)
    start = torch.tensor([[1.0, 0.0]])
    states = integrate(dynamics.bind(), start, days, "rk4", 0.5)
    angle = wavenumber * velocity * days
    truth = torch.stack([angle.cos(), -angle.sin()], dim=-1)
    assert torch.allclose(states[:, 0].double(), truth, atol=1e-3)


def test_tendencies_drift_with_the_field():
    dynamics = drifting(still(2, 2), 0.02, 10.0)
    state = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    parts = dynamics.derivative(state).unflatten(-1, (2, 2))
    base = dynamics.base.derivative(state).unflatten(-1, (2, 2))
    turned = 10.0 * state.unflatten(-1, (2, 2)) @ dynamics.operators[0].T
    assert torch.allclose(parts - base, turned, atol=1e-6)


def test_a_kilometre_is_longer_on_a_smaller_tile():
    """A tile of half the size at another latitude: the same velocity crosses twice as much of it."""
    base = still(1, 2, context_size=4)
    dynamics = drifting(base, 0.02, 10.0, CONTEXT)
    dynamics.reference.copy_(torch.tensor([0.8, math.log(2.0)]))
    context = torch.tensor([[0.0, 0.8, 0.0, math.log(2.0)], [0.0, 0.4, 0.0, math.log(1.0)]])
    state = torch.ones(2, 2)
    moved = dynamics.derivative(state, context) - base.derivative(state, context)
    assert torch.allclose(moved[0], torch.tensor([0.2, -0.2]))
    assert torch.allclose(moved[1], 4.0 * moved[0], rtol=1e-5)


def test_the_context_is_found_by_name_and_not_by_position():
    """Entries in another order, as a model that was trained with fewer of them has."""
    context = torch.tensor([[0.3, 0.4, -0.2, 0.7]])
    few = ("log_size", "cos_latitude")
    columns = [CONTEXT.index(name) for name in few]
    moved = []
    for names, seen in ((CONTEXT, context), (few, context[:, columns])):
        dynamics = drifting(still(1, 2, len(names)), 0.02, 10.0, names)
        dynamics.reference.copy_(torch.tensor([0.8, math.log(2.0)]))
        moved.append(dynamics.derivative(torch.ones(1, 2), seen))
    assert torch.allclose(*moved)
    assert moved[0].abs().min() > 0.1


def test_the_pace_is_that_of_base_drift_and_residual(randomly):
    dynamics = drifting(LatentODE(2, 1, hidden=4, depth=2), 0.02, 10.0).double()
    state = randomly(3, 2)
    with torch.no_grad():
        for parameter in dynamics.network.parameters():
            parameter.normal_()
        before = dynamics.derivative(state)
        dynamics.change_pace(1.5)
        torch.testing.assert_close(dynamics.derivative(state), 1.5 * before)
        dynamics.damp(0.2)
        torch.testing.assert_close(dynamics.derivative(state), 1.5 * before - 0.2 * state)
