"""Two layers of flow on codes: the simulator's equations where the modes are all waves, derivatives, restoring."""

import numpy as np
import pytest
import torch

from data_pipeline.simulators.layer_model import QuasiGeostrophicModel
from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig, TracerConfig
from data_pipeline.simulators.tracer import KM2_PER_DAY, TracerModel
from dino.dynamics import LayeredODE, LayerNumbers, TracerNumbers, integrate
from dino.dynamics.layers import REACH

POINTS, LENGTH_KM, UNITS = 12, 600.0, (3000.0, 500.0)
CONFIG = QuasiGeostrophicConfig(grid=POINTS, length_km=LENGTH_KM, deformation_radius_km=45.0, layer_depth_ratio=0.3)


def numbers_of(config):
    model = QuasiGeostrophicModel(config, np.float64)
    # The simulator names the damping of its largest wave, a third of the points; here it is that of the grid's.
    kept, largest = (POINTS - 1) // 3, (POINTS - 1) // 2
    rates = 1 / config.drag_days, 24 / config.hyperviscosity_hours * (largest / kept) ** 8
    return LayerNumbers(*map(float, (*model.stretching, model.flow[0], config.beta, *rates)))


def all_waves(channels=2):
    """(code + 1, channel, row, column) cosines and sines of all waves that the grid keeps, in each channel; no mean."""
    cutoff = (POINTS - 1) // 3
    angle = 2 * np.pi * np.arange(POINTS) / POINTS
    y, x = np.meshgrid(angle, angle, indexing="ij")
    waves = [
        function(k * x + m * y)
        for k in range(cutoff + 1)
        for m in range(-cutoff, cutoff + 1)
        if k > 0 or m > 0
        for function in (np.cos, np.sin)
    ]
    fields = np.zeros((channels * len(waves) + 1, channels, POINTS, POINTS))
    for channel in range(channels):
        fields[channel : channels * len(waves) : channels, channel] = waves
    return torch.as_tensor(fields)


@pytest.fixture
def ode():
    fields = all_waves()
    made = LayeredODE(len(fields) - 1, POINTS).double()
    made.lay(fields, torch.tensor(UNITS), LENGTH_KM, numbers_of(CONFIG))
    return made


def test_with_all_waves_codes_move_as_the_simulator_says(ode, randomly):
    code = randomly(ode.code_size)
    model = QuasiGeostrophicModel(CONFIG, np.float64)
    scale = np.array(UNITS)[:, None, None]
    psi = model.grid.forward(np.einsum("k,klyx->lyx", code.numpy(), all_waves()[:-1].numpy()) * scale)[None]
    state = model.potential_vorticity(psi)
    change = model.streamfunction(model.tendency(state) - model.damping * state)
    expected = model.grid.inverse(change)[0] / scale
    found = np.einsum("k,klyx->lyx", ode.derivative(code).numpy(), all_waves()[:-1].numpy())
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_a_tracer_is_carried_as_the_simulator_carries_it(randomly):
    tracer = TracerConfig(gradient_k_per_km=-0.02, relaxation_days=9.0, mixing_m2_s=400.0)
    model = TracerModel(QuasiGeostrophicModel(CONFIG, np.float64), tracer)
    waves, units = all_waves(3), (UNITS[0], 0.7, UNITS[1])
    carried = LayeredODE(len(waves) - 1, POINTS, 1).double()
    own = TracerNumbers(-0.02, 1 / 9.0, 400.0 * KM2_PER_DAY)
    carried.lay(waves, torch.tensor(units), LENGTH_KM, (*numbers_of(CONFIG), *own))
    code, scale = randomly(carried.code_size), np.array(units)[:, None, None]
    fields = model.grid.forward(np.einsum("k,klyx->lyx", code.numpy(), waves[:-1].numpy()) * scale)[None]
    state = np.concatenate([model.ocean.potential_vorticity(fields[:, [0, 2]]), fields[:, 1:2]], 1)
    change = model.tendency(state) - model.damping * state
    upper, lower = model.ocean.streamfunction(change[:, :2])[0]
    expected = model.grid.inverse(np.stack([upper, change[0, 2], lower])) / scale
    found = np.einsum("k,klyx->lyx", carried.derivative(code).numpy(), waves[:-1].numpy())
    for channel in range(3):
        np.testing.assert_allclose(found[channel], expected[channel], atol=1e-9 * np.abs(expected[channel]).max())
    points, tangents = randomly(2, carried.code_size), randomly(2, carried.code_size, 2)
    pushed = carried.push(torch.cat([points[..., None], tangents], -1))
    jacobian = torch.func.vmap(torch.func.jacrev(carried.derivative))(points)
    torch.testing.assert_close(pushed[..., 1:], jacobian @ tangents)


def test_a_mean_and_fewer_modes_move_as_the_projection_of_all(ode, randomly):
    """Modes that are sums of waves, about a mean: the derivative is the least-squares share of that of all waves."""
    turn, mean = randomly(ode.code_size, 20), randomly(ode.code_size)
    waves = all_waves()[:-1]
    fields = torch.einsum("kn,klyx->nlyx", torch.cat([turn, mean[:, None]], 1), waves)
    few = LayeredODE(20, POINTS).double()
    few.lay(fields, torch.tensor(UNITS), LENGTH_KM, numbers_of(CONFIG))
    code = randomly(20)
    whole = torch.einsum("k,klyx->lyx", ode.derivative(turn @ code + mean), waves).flatten()
    modes = fields[:-1].flatten(1)
    expected = torch.linalg.lstsq(modes.T, whole[:, None]).solution[:, 0]
    torch.testing.assert_close(few.derivative(code), expected)


@pytest.mark.parametrize("trusted", [None, 0.1, 10.0])
def test_push_is_the_derivative_and_its_jacobian(ode, randomly, trusted):
    """Where the equations hold everywhere, outside of what is trusted, and inside."""
    points, tangents = 0.3 * randomly(3, ode.code_size), randomly(3, ode.code_size, 2)
    if trusted is not None:
        ode.trust(trusted * points[:1], 0.5)
    ode.damp(0.2)
    ode.change_pace(1.7)
    moved = ode.push(torch.cat([points.unsqueeze(-1), tangents], dim=-1))
    torch.testing.assert_close(moved[..., 0], ode.derivative(points))
    exact = torch.func.vmap(torch.func.jacrev(ode.derivative))(points)
    torch.testing.assert_close(moved[..., 1:], exact @ tangents)


def test_pace_and_decay_change_the_derivative_as_they_say(ode, randomly):
    code = randomly(ode.code_size)
    before = ode.derivative(code)
    ode.damp(0.1)
    torch.testing.assert_close(ode.derivative(code), before - 0.1 * code)
    ode.change_pace(2.0)
    torch.testing.assert_close(ode.derivative(code), 2 * (before - 0.1 * code))


def test_within_what_is_trusted_nothing_changes_and_beyond_codes_come_back(ode, randomly):
    code = randomly(ode.code_size)
    before = ode.derivative(code)
    ode.trust(code, 0.5)
    torch.testing.assert_close(ode.derivative(code), before)
    farther = 100.0 * code
    at_edge = REACH * code
    torch.testing.assert_close(ode.derivative(farther), ode.derivative(at_edge) + (at_edge - farther) / 0.5)
    end = integrate(ode.bind(), farther[None], torch.tensor([20.0]), "rk4", 0.05)[0]
    assert float(end.norm()) < 3 * float(code.norm())


def test_a_restored_field_needs_no_laying(ode, randomly):
    code = randomly(ode.code_size)
    other = LayeredODE(ode.code_size, POINTS).double()
    assert not other.derivative(code).any()
    other.load_state_dict(ode.state_dict())
    torch.testing.assert_close(other.derivative(code), ode.derivative(code))
