"""Exponential steps: functions of matrices against their identities, exact decay, order four."""

import math

import pytest
import torch

from dino.dynamics.exponential import LARGEST_GROWTH, Exponential, bounded, phi_functions
from dino.dynamics.primitives import Primitives
from dino.space.harmonics import Harmonics, NoSpace

START = torch.zeros(1, dtype=torch.float64)


def test_functions_of_numbers_fulfil_their_recursion():
    sizes = 10.0 ** torch.linspace(-9, 2, 45, dtype=torch.float64)
    z = torch.cat([-sizes, sizes[:30], 1j * sizes, -sizes + 3j * sizes]).to(torch.complex128)[:, None, None]
    phi = phi_functions(z)
    for order in range(1, 4):
        wanted, scale = phi[order - 1], phi[order - 1].abs() + 1
        assert float(((phi[order] * z + 1 / math.factorial(order - 1) - wanted).abs() / scale).max()) < 1e-14
        near = z.abs() < 1e-8
        torch.testing.assert_close(phi[order][near].real, torch.full_like(z[near].real, 1 / math.factorial(order)))


def test_functions_of_matrices_fulfil_their_recursion_and_agree_with_numbers():
    chance = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(5, 3, 3, dtype=torch.complex128, generator=chance)
    phi, identity = phi_functions(z), torch.eye(3, dtype=torch.complex128)
    torch.testing.assert_close(phi[0], torch.linalg.matrix_exp(z))
    for order in range(1, 4):
        torch.testing.assert_close(phi[order] @ z + identity / math.factorial(order - 1), phi[order - 1])
    numbers = torch.tensor([-3.0, -0.2, 0.9 + 2j], dtype=torch.complex128)
    alone = phi_functions(numbers[:, None, None])
    for made, each in zip(phi_functions(torch.diag(numbers)), alone, strict=True):
        torch.testing.assert_close(made.diagonal(), each.flatten())


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", ["decay", "turn", "real"])
def test_functions_of_stiff_matrices_are_blocks_of_one_exponential(size, kind):
    """Al-Mohy & Higham 2011; fast and slow waves in one call, and one of no number."""
    chance = torch.Generator().manual_seed(1)
    mixed = torch.randn(40, size, size, dtype=torch.complex128, generator=chance)
    stiff = (
        10.0 ** torch.linspace(-3, 5, 40, dtype=torch.float64)[:, None] * torch.rand(size, generator=chance).double()
    )
    z = {"decay": mixed - torch.diag_embed(stiff), "turn": mixed + 1j * torch.diag_embed(1e-2 * stiff)}.get(
        kind, (mixed.real - torch.diag_embed(stiff)).to(mixed.dtype)
    )
    whole = torch.zeros(40, 4 * size, 4 * size, dtype=z.dtype)
    whole[:, :size, :size] = z
    for block in range(3):
        whole[:, block * size : (block + 1) * size, (block + 1) * size : (block + 2) * size] = torch.eye(size)
    wanted = torch.linalg.matrix_exp(whole)[:, :size]
    for order, made in enumerate(phi_functions(torch.cat([z, torch.full_like(z[:1], math.nan)]))):
        assert bool(made[-1].isnan().all())
        torch.testing.assert_close(made[:-1], wanted[..., order * size : (order + 1) * size], rtol=0, atol=1e-11)


def test_linear_terms_are_exact_however_long_the_step():
    length, nu, speed = 3.0, 0.3, 2.0
    modes = Harmonics(("u",), (length,), (16,))
    x = torch.arange(16).double() * length / 16

    def field(time):
        return sum(
            math.exp(-nu * (2 * math.pi * k / length) ** 2 * time)
            * torch.cos(2 * math.pi * k / length * (x - speed * time) + k)
            for k in (0, 1, 3)
        )

    theta = torch.tensor([[nu, -speed]], dtype=torch.float64)
    step = Exponential(Primitives(modes, ["u: dxx(u)", "u: dx(u)"]), theta, 1.7)
    made = modes.decode(step(modes.encode(field(0.0)[None, None, None]), START))
    torch.testing.assert_close(made[0, 0, 0], field(1.7))


def test_coupled_linear_channels_turn_as_they_should():
    modes, theta = Harmonics(("a", "b"), (1.0,), (4,)), torch.tensor([[1.3, -1.3]], dtype=torch.float64)
    step = Exponential(Primitives(modes, ["a: b", "b: a"]), theta, 2.0)
    states = torch.zeros(1, 1, modes.blocks, 2, dtype=torch.complex128)
    states[..., 0] = 1
    made = step(states, START)[0, 0, -1].real
    torch.testing.assert_close(made, torch.tensor([math.cos(2.6), -math.sin(2.6)], dtype=torch.float64))


@pytest.mark.parametrize("stiff", [0.0, -40.0])
def test_errors_fall_with_the_fourth_power_of_the_step(stiff):
    """Logistic growth in closed form, beside a channel that is fast and driven by the time."""
    modes = NoSpace(("u", "v"))
    primitives = Primitives(modes, ["u: u", "u: u**2", "v: v", "v: t**3"])
    theta = torch.tensor([[1.0, -1.0, stiff, 1.0]], dtype=torch.float64)
    state = torch.tensor([[[[0.1, 0.2]]]], dtype=torch.float64)
    truth = 0.1 * math.exp(2.0) / (1 + 0.1 * (math.exp(2.0) - 1))
    errors = []
    for count in (8, 16, 32):
        made = Exponential(primitives, theta, 2.0 / count).advance(state, START, count)
        errors.append(abs(float(made[0, 0, 0, 0]) - truth))
    assert 13 < errors[0] / errors[1] < 19
    assert 13 < errors[1] / errors[2] < 19


def test_a_forcing_in_the_time_is_integrated_from_the_moment_of_the_state():
    modes = NoSpace(("u",))
    step = Exponential(Primitives(modes, ["u: t**3"]), torch.ones(1, 1, dtype=torch.float64), 0.5)
    state = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    made = step.advance(state, torch.tensor([0.0, 7.0], dtype=torch.float64), 2).flatten()
    torch.testing.assert_close(made, torch.tensor([0.25, (8.0**4 - 7.0**4) / 4], dtype=torch.float64))


def test_a_path_has_the_states_of_its_frames():
    modes = NoSpace(("u",))
    step = Exponential(Primitives(modes, ["u: u"]), -torch.ones(1, 1, dtype=torch.float64), 0.1)
    path = list(step.path(torch.ones(1, 1, 1, 1, dtype=torch.float64), START, 3, 5))
    torch.testing.assert_close(
        torch.stack(path).flatten(), torch.exp(-0.5 * torch.arange(1, 4).double()), atol=1e-5, rtol=0
    )


def test_growth_of_a_step_is_bounded_and_decay_is_not():
    matrices = torch.diag_embed(torch.tensor([[9.0, -50.0], [1.0, -50.0]], dtype=torch.float64))
    made = bounded(matrices)
    assert float(torch.linalg.eigvalsh(made[0]).max()) == pytest.approx(LARGEST_GROWTH)
    assert torch.equal(made[1], matrices[1])
    alone = bounded(torch.tensor([9.0 + 4j, -1e9 + 2j], dtype=torch.complex128)[:, None, None]).flatten()
    assert alone.tolist() == [LARGEST_GROWTH + 4j, -1e9 + 2j]


def test_damping_is_added_to_what_the_terms_do():
    modes = Harmonics(("u",), (1.0,), (8,))
    damping = torch.arange(modes.blocks).double()
    step = Exponential(Primitives(modes, ["u: u"]), torch.tensor([[0.5]], dtype=torch.float64), 0.2, damping)
    states = torch.ones(1, 1, modes.blocks, 1, dtype=torch.complex128)
    torch.testing.assert_close(step(states, START).flatten().real, torch.exp(0.2 * (0.5 - damping)))
