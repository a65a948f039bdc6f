"""Numbers of two layers from sparse points: those of a toy ocean within their posterior, refusals."""

import copy
from typing import cast

import numpy as np
import pytest
import torch

from dino.config import AssimilationConfig, DecoderConfig, DynamicsConfig, ErrorsConfig, TransferConfig
from dino.data.observations import Observations
from dino.dynamics import LayeredODE
from dino.errors import ConfigError, EmptyDataError
from dino.forecaster import Forecaster
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.model.hidden import without_hidden
from dino.space.cover import Cover
from dino.space.domain import PeriodicBox
from dino.space.gridmap import GridMap
from dino.training.layers_fit import lay_layers
from dino.transfer import Task, filtering, numbers, strategy

CODE, POINTS, LATITUDE, DAYS, NOISE = 12, 12, 38.0, 16, 0.01
SPREADS = (0.15, 0.05)


def silent(*told):
    pass


@pytest.fixture(scope="module")
def forecaster():
    """An untrained model of sea level over a box of two layers, in float64, which shows the upper one alone."""
    spec = LatentSpec(
        decoder=DecoderConfig(code_size=CODE, hidden=16, layers=2, scale=3.0),
        dynamics=DynamicsConfig(form="layers", order=1, points=POINTS, step_days=0.5),
        input_size=4, channels=2, interval_days=1.0, noise_variance=0.01, data_digest="",
    )  # fmt: skip
    box = PeriodicBox(longitude=-60.0, latitude=LATITUDE, length_km=(500.0, 500.0))
    channels = tuple(ChannelSpec(name=n, units="m", spread=s) for n, s in zip(("ssh", "low"), SPREADS, strict=True))
    width, height = box.period_degrees
    axes = box.longitude + width * np.linspace(-0.5, 1.5, 9), box.latitude + height * np.linspace(-0.5, 1.5, 9)
    ocean = Ocean(channels, Cover((box,), np.ones(1), False), GridMap(*axes, np.zeros((2, 9, 9))))
    torch.manual_seed(3)
    model = LatentModel(spec).double()
    lay_layers(model, ocean)
    dynamics = cast(LayeredODE, model.dynamics)
    size = dynamics.fields[:-1].square().mean((1, 2, 3)).sum().rsqrt()
    model.state_covariance.copy_(size.square() * torch.eye(CODE))
    model.code_variance.copy_(model.state_covariance.diagonal())
    model.process_noise.copy_(1e-5 * model.state_covariance)
    model, ocean = without_hidden(model, ocean, 1)
    errors = ErrorsConfig.model_validate({"point": {"white": NOISE}})
    model = model.double().eval().requires_grad_(False)
    cast(LayeredODE, model.dynamics).refresh()
    return Forecaster(model, ocean, AssimilationConfig(method="filter", window_days=8, bound=None, errors=errors))


def seen_of(forecaster, latent, count=60, days=DAYS, seed=0):
    """Points, `count` a day, of an ocean that moves as `latent` says, its noise included, with noise of their own."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    box, root = forecaster.ocean.cover.charts[0], torch.linalg.cholesky(latent.state_covariance)
    draw = lambda: torch.randn(CODE, generator=generator, dtype=torch.float64)  # noqa: E731
    kick = torch.linalg.cholesky(latent.process_noise)
    state, parts = root @ draw(), []
    for day in range(days):
        longitude = box.longitude + box.period_degrees[0] * rng.random(count)
        latitude = box.latitude + box.period_degrees[1] * rng.random(count)
        basis = latent.decoder.basis(torch.as_tensor(box.coordinates(longitude, latitude)))
        values = (basis.offset[:, 0] + basis.modes[:, 0] @ state).numpy() * forecaster.ocean.scale[0, 0]
        parts.append((np.full(count, 20000.0 + day), longitude, latitude, values + NOISE * rng.normal(size=count)))
        state = latent.integrate(state[None], torch.ones(1).double())[0, 0] + kick @ draw()
    time, longitude, latitude, values = map(np.concatenate, zip(*parts, strict=True))
    errors = np.full((len(time), 1), NOISE)
    return Observations(
        time, longitude, latitude, values[:, None], errors, np.arange(len(time)) % 1, ("ssh",), ("point",)
    )


@pytest.fixture(scope="module")
def truth():
    """Other shear, stratification, drag and size than the model's; the same noise."""
    return torch.tensor([0.3, 0.1, 0.25, 0.0, -0.3, 0.2, 0.2, 0.0]).double()


@pytest.fixture(scope="module")
def seen(forecaster, truth):
    return seen_of(forecaster, numbers.changed(forecaster.latent, truth))


def test_nothing_changes_at_zero(forecaster):
    same = numbers.changed(forecaster.latent, torch.zeros(8))
    for name, tensor in forecaster.latent.state_dict().items():
        torch.testing.assert_close(same.state_dict()[name], tensor, msg=name)


def test_a_smaller_population_does_not_bring_in_the_bound_of_the_equations(forecaster):
    model, control = copy.deepcopy(forecaster.latent), torch.zeros(8).double()
    cast(LayeredODE, model.dynamics).extent.fill_(10.0)
    for size, extent in ((-1.0, 10.0), (1.0, 10 * np.e)):
        control[numbers.names_of(model).index("size")] = size
        made = numbers.changed(model, control)
        assert float(cast(LayeredODE, made.dynamics).extent) == pytest.approx(extent, rel=1e-6)
        torch.testing.assert_close(made.state_covariance, np.exp(2 * size) * model.state_covariance)


def test_what_is_missed_is_a_forecast_of_later_values(forecaster, seen):
    """The first ones, one node ahead of the filter's state there, are those of an analysis that ends at the node."""
    latent, record = forecaster.latent, numbers.Filtering.of(forecaster, seen)
    found, end = record.missed(latent), float(record.nodes[filtering.SETTLING])
    analysis = forecaster.analyse_observations(seen.between(seen.time[0], end), end, end - float(seen.time[0]))
    later = seen.between(end + 0.5, end + 1.5)
    days = np.array([end, end + 1.0])
    mean, _ = forecaster.predict(analysis, days, later.longitude, later.latitude, spread=False)
    expected = (later.values[:, 0] - mean[1, :, 0]) / NOISE
    np.testing.assert_allclose(found[: len(later)].numpy(), expected, atol=1e-2)


def test_derivatives_of_one_pass_are_those_of_a_pass_for_every_number(forecaster, seen):
    taught, record, control = forecaster.latent, numbers.Filtering.of(forecaster, seen), 0.1 * torch.ones(8).double()
    now = record.missed(numbers.changed(taught, control))
    found = numbers.derivative(record, taught, control, now)
    for place, unit in enumerate(1e-3 * torch.eye(8).double()):
        there, back = (record.missed(numbers.changed(taught, control + step)) for step in (unit, -unit))
        expected = (there - back) / 2e-3
        # Gains are held and steps are finite: what that leaves of each column.
        assert float((found[:, place] - expected).norm() / expected.norm()) < 0.1, numbers.names_of(taught)[place]


def test_the_numbers_of_an_ocean_are_found_within_their_posterior(forecaster, seen, truth):
    taught, record = forecaster.latent, numbers.Filtering.of(forecaster, seen)
    missed = lambda control: record.missed(numbers.changed(taught, control))  # noqa: E731
    told = lambda control, now: numbers.derivative(record, taught, control, now)  # noqa: E731
    fit = numbers.smallest(missed, told, numbers.prior_precision(taught), torch.zeros(8).double(), silent)
    assert fit.rounds[-1] < fit.rounds[0]
    away = (fit.control - truth)[:6] / fit.covariance.diagonal().sqrt()[:6]
    assert float(away.abs().max()) < 3.5, away
    assert float(fit.covariance[2, 2].sqrt()) < 0.2  # the shear is told, and not by the prior


def test_the_strategy_keeps_what_forecasts_better(forecaster, seen):
    settings = TransferConfig(window_days=6.0, horizon_days=3.0, stride_days=1.0)
    given = Forecaster(forecaster.latent, forecaster.ocean, forecaster.assimilation)
    told = strategy("numbers")(Task(given, seen, settings), silent)
    assert told.kept
    assert told.after < told.before
    assert given.latent is not forecaster.latent
    flow, before = (float(cast(LayeredODE, one.latent.dynamics).numbers[2]) for one in (given, forecaster))
    assert flow == pytest.approx(1.25 * before, rel=0.2)


def test_other_dynamics_and_empty_records_are_refused(task, forecaster, seen):
    with pytest.raises(ConfigError, match=r"dynamics\.form is layers.*network; choose pace"):
        strategy("numbers")(task(), silent)
    with pytest.raises(EmptyDataError, match="without values"):
        numbers.Filtering.of(forecaster, seen.select(np.zeros(len(seen), bool)))
