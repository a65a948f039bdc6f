"""The latent model: what it is built of, tables of leads, contexts by name, the residual field and segments."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries
from dino.dynamics import LatentODE, QuadraticODE, integrate
from dino.model import LEADS, ChannelSpec, LatentModel, LatentSpec, Ocean, Start
from dino.model.segments import forecast_codes, segment_errors
from dino.space.cover import CONTEXT, Cover
from dino.space.decoders import FourierDecoder, SirenDecoder
from dino.space.domain import Region
from dino.space.gridmap import GridMap


def make(**spec) -> LatentModel:
    torch.manual_seed(0)
    settings = {
        "decoder": DecoderConfig(code_size=4, hidden=8, layers=1),
        "dynamics": DynamicsConfig(hidden=8, depth=2, lags=3),
        "input_size": 2,
        "channels": 2,
        "interval_days": 0.5,
        "noise_variance": 0.01,
        "data_digest": "none",
    }
    return LatentModel(LatentSpec(**(settings | spec))).double().requires_grad_(False).eval()


def test_a_model_is_built_as_it_is_described():
    plain = make()
    assert isinstance(plain.decoder, FourierDecoder)
    assert isinstance(plain.dynamics, LatentODE)
    assert (plain.dynamics.order, plain.dynamics.state_size, plain.lags) == (2, 8, 3)
    assert plain.step_days == 0.5
    assert make(dynamics=DynamicsConfig(step_days=0.1)).step_days == 0.1
    assert isinstance(make(decoder=DecoderConfig(kind="siren", code_size=4, hidden=8)).decoder, SirenDecoder)
    form = make(dynamics=DynamicsConfig(form="quadratic", order=1, products=3)).dynamics
    assert isinstance(form, QuadraticODE)
    assert form.pairs.shape == (2, 3)
    assert (make(dynamics=DynamicsConfig(order=1)).lags, make(dynamics=DynamicsConfig(depth=0)).dynamics.is_linear) == (
        0,
        True,
    )


def test_priors_are_those_of_the_population():
    model = make()
    model.code_variance.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    model.state_covariance.copy_(3.0 * torch.eye(8))
    assert torch.equal(model.code_prior.covariance, torch.diag(model.code_variance))
    assert torch.equal(model.state_prior.covariance, model.state_covariance)
    assert not model.code_prior.mean.any()
    assert not model.state_prior.mean.any()


def test_a_context_is_made_of_the_entries_the_model_knows_by_name():
    charts = tuple(Region.from_bounds(w, w + 4, 30.0, 34.0 + w, isotropic=False) for w in (0.0, 2.0, 6.0))
    channel = ChannelSpec(name="adt", units="m", spread=0.1)
    ocean = Ocean(
        (channel,),
        Cover(charts, np.array([0.5, 1.0, 2.0]), True),
        GridMap(np.zeros(1), np.zeros(1), np.zeros((1, 1, 1))),
    )
    whole = ocean.cover.context()
    np.testing.assert_allclose(make(context=CONTEXT).context(ocean), whole)
    some = make(context=("log_size", "log_amplitude")).context(ocean)
    np.testing.assert_allclose(some, whole[:, [3, 2]])
    assert make().context(ocean).shape == (3, 0)
    single = Ocean((channel,), Cover(charts[:1], np.ones(1), False), ocean.background)
    assert make().context(single).shape == (1, 0)


@settings(deadline=None)
@given(st.floats(0, 100))
def test_model_error_is_linear_between_leads_and_goes_on_beyond(lead):
    model = make()
    generator = torch.Generator().manual_seed(1)
    for table in (model.lead_error, model.unresolved_error):
        table.copy_(torch.rand(table.shape, generator=generator).cumsum(0))
    codes, unresolved = model.model_error(lead)
    for found, table in ((codes, model.lead_error), (unresolved, model.unresolved_error)):
        rows = np.arange(LEADS) * 0.5
        last = table[-1] + (table[-1] - table[-2]) * max(lead - rows[-1], 0.0) / 0.5
        expected = [np.interp(lead, rows, column) for column in table.T.numpy()] if lead <= rows[-1] else last
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_model_error_is_never_negative():
    model = make()
    model.lead_error.copy_(torch.linspace(1, 0.1, LEADS)[:, None])
    assert (model.model_error(1000.0)[0] == 0).all()


@settings(deadline=None)
@given(st.floats(-1, 100), st.sampled_from(Start))
def test_calibration_is_linear_between_leads_and_constant_beyond(lead, start):
    model = make()
    model.spread_factor.copy_(torch.rand(model.spread_factor.shape, generator=torch.Generator().manual_seed(2)))
    rows = np.arange(LEADS) * 0.5
    table = model.spread_factor[start].flatten(1).numpy()
    expected = [np.interp(lead, rows, column) for column in table.T]
    np.testing.assert_allclose(model.calibration(lead, start).flatten(), expected, rtol=1e-9)
    assert Start.MAPS != Start.POINTS


def test_the_residual_field_of_a_steady_change_goes_on(randomly):
    """Without forces every cell keeps the tendency of its last changes."""
    model = make()
    model.unresolved_dynamics.linear.zero_()
    slope, start = randomly(2, 1, 5), randomly(2, 1, 5)
    history = start + slope * torch.arange(4).double()[:, None]  # half a day apart
    leads = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    ahead = model.forecast_unresolved(history, leads)
    torch.testing.assert_close(ahead, start + slope * (3 + leads[:, None] / 0.5))
    # A damped tendency: x(t) = x0 + s (1 - exp(-r t)) / r.
    model.unresolved_dynamics.damp(0.3)
    ahead = model.forecast_unresolved(history, leads)
    expected = history[:, -1:] + 2 * slope * (1 - (-0.3 * leads[:, None]).exp()) / 0.3
    torch.testing.assert_close(ahead, expected, rtol=1e-4, atol=1e-5)


def series(randomly, count: int, frames: int, own_metric: bool) -> CodeSeries:
    root = randomly(count if own_metric else 1, 4, 4)
    return CodeSeries(
        codes=randomly(count, frames, 4), metric=root @ root.mT, unresolved=torch.zeros(count, frames, 2).double(),
        context=randomly(count, 2), persistence=torch.ones(1).double(), share=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("own_metric", [False, True])
def test_segments_are_forecasts_one_by_one(own_metric, randomly):
    model, store = make(context=("cos_latitude", "log_size")), series(randomly, 3, 12, own_metric)
    torch.nn.init.normal_(model.dynamics.network[-1].weight)
    which, start = torch.tensor([0, 2, 1, 2]), torch.tensor([3, 8, 5, 4])
    errors = segment_errors(model, store, which, start, 3)
    assert errors.shape == (4, 3)
    days = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    for row, (number, first) in enumerate(zip(which.tolist(), start.tolist(), strict=True)):
        history = store.codes[number, first - 3 : first + 1]
        state = model.initialiser(history)
        states = integrate(model.dynamics.bind(store.context[number]), state, days, "rk4", 0.5)
        miss = states[:, :4] - store.codes[number, first + 1 : first + 4]
        metric = store.metric[number if own_metric else 0]
        torch.testing.assert_close(errors[row], torch.einsum("ti,ij,tj->t", miss, metric, miss))
        codes = forecast_codes(model, history[None], 3, store.context[number, None])
        torch.testing.assert_close(codes[0], states[:, :4])
