"""Laying two layers over a decoder, and their numbers from a simulation that has others than the search begins with."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from data_pipeline.simulators.layer_model import QuasiGeostrophicModel
from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig
from data_pipeline.simulators.quasi_geostrophic import simulate
from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries
from dino.dynamics import LayeredODE, integrate
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.model.hidden import without_hidden
from dino.space.cover import Cover
from dino.space.decoders import decode
from dino.space.domain import PeriodicBox
from dino.space.gridmap import GridMap
from dino.training.layers_fit import add_error_of_numbers, first_numbers, fit_layers, lay_layers

POINTS, LENGTH_KM, LATITUDE = 16, 640.0, 38.0


@pytest.fixture
def laid():
    """An untrained model of two channels over a box, with a mean map that is not flat."""
    spec = LatentSpec(
        decoder=DecoderConfig(code_size=6, hidden=8, layers=1),
        dynamics=DynamicsConfig(form="layers", order=1, points=POINTS),
        input_size=4, channels=2, interval_days=1.0, noise_variance=0.01, data_digest="",
    )  # fmt: skip
    box = PeriodicBox(longitude=-60.0, latitude=LATITUDE, length_km=(LENGTH_KM, LENGTH_KM))
    channels = tuple(ChannelSpec(name=name, units="m", spread=spread) for name, spread in (("a", 0.2), ("b", 0.03)))
    width, height = box.period_degrees
    axes = box.longitude + width * np.linspace(-0.5, 1.5, 33), box.latitude + height * np.linspace(-0.5, 1.5, 33)
    mean = np.stack([np.add.outer(0.1 * (axes[1] - LATITUDE), np.zeros(33)), np.zeros((33, 33))])
    ocean = Ocean(channels, Cover((box,), np.ones(1), False), GridMap(*axes, mean))
    torch.manual_seed(0)
    model = LatentModel(spec)
    lay_layers(model, ocean)
    return model, ocean


def test_the_grid_holds_what_the_decoder_says_in_units_of_streamfunctions(laid, randomly):
    model, ocean = laid
    box, dynamics = ocean.cover.charts[0], model.dynamics
    width, height = box.period_degrees
    row, column, code = 5, 9, randomly(6).float()
    place = np.array([box.longitude + width * column / POINTS]), np.array([box.latitude + height * row / POINTS])
    with torch.no_grad():
        values = decode(model.decoder, torch.as_tensor(box.coordinates(*place)).float(), code)[0]
    level = values.numpy() * ocean.scale[0] + ocean.background.at(*place)[0]  # metres
    metres = QuasiGeostrophicModel(QuasiGeostrophicConfig(reference_latitude=LATITUDE)).metres
    whole = torch.cat([code, torch.ones(1)])
    found = torch.einsum("k,kl->l", whole, dynamics.fields[..., row, column]).double() * dynamics.units
    np.testing.assert_allclose(found.numpy(), level / metres, rtol=1e-4)
    assert dynamics.numbers.tolist() == pytest.approx(first_numbers(LATITUDE))


def test_without_its_hidden_channel_a_model_says_the_same_of_the_others(laid, randomly):
    model, ocean = laid
    model.unresolved_variance.copy_(torch.tensor([0.1, 0.2]))
    shown, sea = without_hidden(model, ocean, 1)
    assert sea.names == ("a",)
    assert sea.background.values.shape == (1, 33, 33)
    assert shown.unresolved_variance.tolist() == pytest.approx([0.1])
    codes, places = randomly(3, 6).float(), randomly(7, 4).float()
    with torch.no_grad():
        whole, left = (decode(one.decoder, places, codes) for one in (model, shown))
    torch.testing.assert_close(left, whole[..., :1])
    torch.testing.assert_close(shown.dynamics.derivative(codes), model.dynamics.derivative(codes))
    assert without_hidden(shown, sea, 1) == (shown, sea)


def test_the_numbers_of_a_simulation_are_found():
    """Codes are the amplitudes of all waves that the grid keeps: what the numbers explain is then nearly all."""
    config = QuasiGeostrophicConfig(
        trajectories=4, days=20, output_interval_days=0.5, spin_up_days=80, grid=POINTS, length_km=LENGTH_KM,
        shear_m_s=0.16, deformation_radius_km=42.0, lower_layer=True, seed=2,
    )  # fmt: skip
    ocean, model = simulate(config).load(), QuasiGeostrophicModel(config)
    levels = np.stack([ocean["ssh"].values, ocean["lower_layer"].values], 2).astype(np.float64)
    spread = levels.std(axis=(0, 1, 3, 4))
    flat = (levels / spread[:, None, None]).reshape(-1, 2 * POINTS**2)
    _, size, axes = np.linalg.svd(flat, full_matrices=False)
    axes = axes[size > 1e-5 * size[0]] * math.sqrt(POINTS**2)
    codes = torch.as_tensor(flat @ axes.T / POINTS**2).view(4, -1, len(axes))
    dynamics = LayeredODE(len(axes), POINTS).double()
    fields = torch.as_tensor(np.vstack([axes, np.zeros(2 * POINTS**2)])).view(-1, 2, POINTS, POINTS)
    dynamics.lay(fields, torch.as_tensor(spread / model.metres), LENGTH_KM, first_numbers(config.reference_latitude))
    stub: Any = SimpleNamespace(
        dynamics=dynamics, spec=SimpleNamespace(interval_days=0.5),
        integrate=lambda states, days: integrate(dynamics.bind(), states, days, "rk4", 0.125),
    )  # fmt: skip
    none = codes.new_zeros(1)
    series = CodeSeries(codes, none, none, none, none, 1.0)
    fit = fit_layers(stub, [series], torch.Generator().manual_seed(0))
    assert fit.errors[-1] < 1e-3
    stub.process_noise = torch.zeros(len(axes), len(axes)).double()
    before = dynamics.numbers.clone()
    add_error_of_numbers(stub, [series], torch.Generator().manual_seed(1))
    assert torch.equal(dynamics.numbers, before)
    assert (torch.linalg.eigvalsh(stub.process_noise) > -1e-9 * stub.process_noise.trace()).all()
    change = (codes[:, 1:] - codes[:, :-1]).square().sum(-1).mean() / 0.5
    assert 1e-4 * change < stub.process_noise.trace() < 0.1 * change
    assert config.drag_days is not None
    truth = (*model.stretching, model.flow[0], config.beta, 1 / config.drag_days)
    assert fit.numbers[:5] == pytest.approx(truth, rel=0.1)
