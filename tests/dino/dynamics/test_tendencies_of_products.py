"""Tendencies in one transform each way and products at once are the sums of terms that they stand for."""

import pytest
import torch

from dino.dynamics.primitives import Primitives
from dino.space.harmonics import Harmonics, NoSpace

ONE = ["u: u*v", "v: u*v", "u: cos(2)*t", "v: sin(1)*u*u*t", "v: 1"]  # fewer products than places they go to
MANY = ["u: u*u", "u: u*v", "u: v*v", "v: u*spline(v, 1, 5, 0.2, 1.5)", "v: lap(u)"]  # more
WHOLE = ["u: u*dx(v) + dy(u*v)", "v: u*v*v", "v: lap9(v)"]  # on the points of a difference scheme
BOXES = [
    (Harmonics(("u", "v"), (5.0,), (12,), 3), ONE),
    (Harmonics(("u", "v"), (5.0, 4.0), (10, 9), 3), MANY),
    (Harmonics(("u", "v"), (4.0, 4.0), (8, 8), 1), WHOLE),
    (
        NoSpace(("u", "v")),
        ["u: 1", "u: u*v", "v: u**2*v*t", "v: u*spline(v, 1, 5, 0.2, 1.5)", "u: spline(u, 0, 4, 0, 2)"],
    ),
]


@pytest.mark.parametrize(("modes", "terms"), BOXES)
def test_a_tendency_is_the_sum_of_its_terms(modes, terms):
    primitives, chance = Primitives(modes, terms), torch.Generator().manual_seed(2)
    theta = torch.randn(3, len(terms), dtype=torch.float64, generator=chance)
    states = modes.encode(1 + torch.randn(3, 2, 2, *modes.sizes, dtype=torch.float64, generator=chance))
    time = torch.tensor([0.3, 1.7], dtype=torch.float64)
    alone = [Primitives(modes, [text]).features(states, time)[0] for text in terms]
    torch.testing.assert_close(primitives.features(states, time), torch.stack(alone))
    wanted = sum(theta[:, n].view(-1, 1, 1, 1) * alone[n] for n in primitives.other_terms)
    torch.testing.assert_close(primitives.nonlinear(theta, states, time), wanted)


def test_uncoupled_channels_step_as_coupled_ones_with_a_term_of_no_size():
    from dino.dynamics.exponential import Exponential

    modes, chance = BOXES[2][0], torch.Generator().manual_seed(3)
    free, tied = (Primitives(modes, [*WHOLE, *more]) for more in ([], ["u: v"]))
    assert free.uncoupled
    assert not tied.uncoupled
    states = modes.encode(torch.randn(1, 2, 2, *modes.sizes, dtype=torch.float64, generator=chance))
    theta, time = torch.tensor([[0.1, -0.2, 0.3, 0.0]], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    one, other = Exponential(free, theta[:, :3], 0.05), Exponential(tied, theta, 0.05)
    torch.testing.assert_close(one.advance(states, time, 3), other.advance(states, time, 3))
