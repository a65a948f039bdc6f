"""Images of terms on states, against values at points; what transport conserves; candidates that are multiples."""

import pytest
import torch

from dino.dynamics.pointwise import cubic_spline
from dino.dynamics.primitives import Primitives, apply, proportional
from dino.errors import ConfigError
from dino.space.harmonics import Harmonics, NoSpace

TIME = torch.tensor([0.5, 2.0], dtype=torch.float64)
BOX = Harmonics(("u", "v"), (3.0, 5.0), (9, 12), 3)


def random_states(modes, environments: int = 2, samples: int = 2, seed: int = 0) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    return modes.encode(
        torch.randn(environments, samples, len(modes.channels), *modes.sizes, dtype=torch.float64, generator=chance)
    )


TEXTS = [
    "u: dx(v)",
    "v: 2*lap(u) - v",
    "u: u*v**2",
    "v: dy(u*v) - px(u)*u",
    "u: cos(2, -1)*t**3",
    "v: t*u",
    "u: 1",
    "v: v*spline(u, 2, 6, -1, 1)",
]


def test_images_are_what_the_text_says():
    primitives, states = Primitives(BOX, TEXTS), random_states(BOX)

    def at(channel, operator="id"):
        return BOX.at_points(states[..., BOX.channels.index(channel)] * BOX.symbol(operator))

    time = TIME.view(1, -1, 1, 1)
    one, u, v = torch.ones(2, 2, *BOX.points, dtype=torch.float64), at("u"), at("v")
    truth = [
        (0, at("v", "dx")),
        (1, 2 * at("u", "lap") - v),
        (0, u * v**2),
        (1, BOX.at_points(BOX.from_points(u * v) * BOX.symbol("dy")) - at("u", "px") * u),
        (0, BOX.wave("cos", (2, -1)) * time**3 * one),
        (1, time * u),
        (0, one),
        (1, v * cubic_spline(u, 2, 6, -1, 1)),
    ]
    made = primitives.features(states, TIME)
    for number, (channel, values) in enumerate(truth):
        torch.testing.assert_close(made[number, ..., channel], BOX.from_points(values))
        assert not made[number, ..., 1 - channel].any()


@pytest.mark.parametrize("modes", [BOX, NoSpace(("u", "v"))])
def test_linear_and_other_terms_add_to_the_sum_of_all(modes):
    texts = TEXTS if modes.dimensions else ["u: v", "v: u*v", "v: t*u", "u: 1", "v: -v + 2*u"]
    primitives, states = Primitives(modes, texts), random_states(modes)
    theta = torch.randn(2, len(texts), dtype=torch.float64)
    whole = torch.einsum("ep,pesbc->esbc", theta.to(states.dtype), primitives.features(states, TIME))
    linear = apply(primitives.linear(theta).unsqueeze(1), states)
    torch.testing.assert_close(linear + primitives.nonlinear(theta, states, TIME), whole)


def test_transport_by_the_stream_function_conserves_energy_and_enstrophy():
    modes = Harmonics(("w",), (3.0, 5.0), (12, 16))
    states = random_states(modes)
    states[..., 0, :] = 0
    made = Primitives(modes, ["w: dx(py(w)*w) - dy(px(w)*w)"]).features(states, TIME)[0]

    def mean_product(one, other):
        return (modes.weights[:, None] * (one.conj() * other).real).sum((-1, -2))

    size = mean_product(made, made).sqrt()
    assert float(size.min()) > 0.1
    assert float(mean_product(states, made).abs().max()) < 1e-13 * float(size.max())
    assert float(mean_product(states * modes.symbol("p")[:, None], made).abs().max()) < 1e-13 * float(size.max())


def test_splines_add_to_one_and_have_two_derivatives():
    x = torch.linspace(-1, 2, 301, dtype=torch.float64)
    whole = sum(cubic_spline(x, number, 7, -1.0, 2.0) for number in range(7))
    torch.testing.assert_close(whole, torch.ones_like(x))
    one = cubic_spline(x, 3, 7, -1.0, 2.0)
    bends = torch.diff(one, n=3) / 0.01**3
    assert float(torch.diff(one, n=2).abs().max()) / 0.01**2 < 4 / 0.75**2  # no kink of the slope
    assert float(bends.abs().max()) < 8 / 0.75**3  # no jump of the second derivative
    beyond = torch.tensor([-9.0, 9.0], dtype=torch.float64)
    torch.testing.assert_close(
        cubic_spline(beyond, 0, 7, -1.0, 2.0), cubic_spline(beyond.clamp(-1, 2), 0, 7, -1.0, 2.0)
    )


@pytest.mark.parametrize(
    ("texts", "pairs"),
    [
        (["u: dx(u**2)", "u: u*dx(u)"], 1),
        (["u: u*v", "u: -3*v*u"], 1),
        (["u: u", "u: u"], 1),
        (["u: u", "v: u", "u: u*u", "u: t*u", "u: 1", "u: cos(1,0)", "u: sin(1,0)"], 0),
        (["u: dxx(u)", "u: dyy(u)", "u: lap(u)"], 0),
    ],
)
def test_candidates_that_no_data_can_tell_apart_are_found(texts, pairs):
    found = proportional(Primitives(BOX, texts))
    assert len(found) == pairs
    assert all(set(pair) <= set(texts) for pair in found)


def test_derivatives_want_a_box():
    with pytest.raises(ConfigError, match="wants a box"):
        Primitives(NoSpace(("u",)), ["u: dx(u)"]).features(torch.ones(1, 1, 1, 1, dtype=torch.float64), TIME[:1])
