"""Error statistics of dynamics whose errors are known: random walks forecast by standing still."""

from dataclasses import replace

import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries
from dino.model import LEADS, LatentModel, LatentSpec
from dino.training import model_error as module
from dino.training.model_error import measure_model_error, state_population

CODE, INTERVAL, STEP = 3, 2.0, torch.tensor([0.5, 0.2, 0.1], dtype=torch.float64)


def a_model(order: int = 1, horizons=(4,)) -> LatentModel:
    """Of order one it forecasts that codes stay; of order two that they go on as they went over the last two frames."""
    spec = LatentSpec(
        input_size=2,
        channels=2,
        decoder=DecoderConfig(code_size=CODE, hidden=4, layers=1),
        dynamics=DynamicsConfig(order=order, lags=2, depth=0, horizons=list(horizons)),
        interval_days=INTERVAL,
        noise_variance=0.01,
        data_digest="walk",
    )
    return LatentModel(spec).double().eval().requires_grad_(False)


def walks(count: int, length: int, unresolved: float = 0.3) -> CodeSeries:
    """Codes whose steps are white, and a residual field that is white in time."""
    generator = torch.Generator().manual_seed(0)
    steps = STEP * torch.randn(count, length, CODE, dtype=torch.float64, generator=generator)
    rest = unresolved * torch.randn(count, length, 6, dtype=torch.float64, generator=generator)
    return CodeSeries(
        steps.cumsum(1), torch.eye(CODE)[None].double(), rest, steps.new_zeros(count, 0), steps[0, 0], 1.0
    )


def test_errors_of_standing_still_grow_with_the_lead():
    model, data = a_model(), walks(400, 30)
    measure_model_error(model, data)
    assert (model.lead_error[0] == 0).all()
    for lead in range(1, 7):  # half as far again as training looked
        change = (data.codes[:, lead:] - data.codes[:, :-lead]).square().mean((0, 1))
        torch.testing.assert_close(model.lead_error[lead], change)
        torch.testing.assert_close(model.lead_error[lead], lead * STEP.square(), rtol=0.1, atol=0)
    growth = model.lead_error[6] - model.lead_error[5]
    for lead in range(7, LEADS):
        torch.testing.assert_close(model.lead_error[lead], model.lead_error[6] + (lead - 6) * growth)


def test_what_modes_leave_is_told_by_channel():
    """Values come channel by channel at each cell: the second channel leaves twice as much as the first."""
    model, data = a_model(), walks(400, 30)
    measure_model_error(model, replace(data, unresolved=data.unresolved * torch.tensor([1.0, 2.0]).repeat(3)))
    wanted = torch.tensor([0.3, 0.6], dtype=torch.float64)
    torch.testing.assert_close(model.unresolved_variance.sqrt(), wanted, rtol=0.02, atol=0)
    ratio = model.unresolved_error[1:, 1] / model.unresolved_error[1:, 0]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 4.0), rtol=0.05, atol=0)


def test_process_noise_is_the_error_of_an_interval_a_day():
    """Between modes half of what the sample says: it would be noise."""
    model, data = a_model(), walks(400, 30)
    measure_model_error(model, data)
    jumps = (data.codes[:, 1:] - data.codes[:, :-1]).flatten(0, 1)
    sample = jumps.T @ jumps / len(jumps) / INTERVAL
    expected = 0.5 * sample + 0.5 * torch.diag(sample.diagonal())
    torch.testing.assert_close(model.process_noise, expected)


def test_a_code_that_jumps_takes_its_tendency_along():
    """Of order two a step of a walk is half a change of the mean tendency over two frames: known to the filter."""
    model, data = a_model(order=2), walks(2000, 12)
    measure_model_error(model, data)
    rate = float(model.dynamics.rates[0])
    noise = model.process_noise * INTERVAL
    # The code goes on by half the last two steps and finds another: a miss of s' - (s1 + s2) / 2. Its tendency turns
    # from (s1 + s2) / 2 to (s2 + s') / 2 a frame: a miss of (s' - s1) / 2. Their product is 3/4 of the variance of s.
    variance = STEP.square()
    torch.testing.assert_close(noise[:CODE, :CODE].diagonal(), 1.5 * variance, rtol=0.05, atol=0)
    across = noise[:CODE, CODE:].diagonal() * rate * INTERVAL
    torch.testing.assert_close(across, 0.75 * variance, rtol=0.05, atol=0)
    torch.testing.assert_close(
        noise[CODE:, CODE:].diagonal() * (rate * INTERVAL) ** 2, 0.5 * variance, rtol=0.05, atol=0
    )
    assert torch.linalg.eigvalsh(model.process_noise)[0] > -1e-12


def test_what_the_basis_leaves_out_is_measured_for_every_channel():
    model, data = a_model(), walks(400, 30)
    measure_model_error(model, data)
    torch.testing.assert_close(model.unresolved_variance, torch.full((2,), 0.09).double(), rtol=0.03, atol=0)
    assert (model.unresolved_error[0] == 0).all()
    # White in time and held still: twice its variance, at every lead.
    torch.testing.assert_close(model.unresolved_error[1:7], torch.full((6, 2), 0.18).double(), rtol=0.03, atol=0)
    assert (model.unresolved_error.diff(dim=0) >= -0.01).all()


def test_blocks_of_series_are_only_a_matter_of_memory(monkeypatch):
    one, other, data = a_model(order=2), a_model(order=2), walks(20, 12)
    measure_model_error(one, data)
    monkeypatch.setattr(module, "SEGMENTS", 30)
    measure_model_error(other, data)
    for name, value in one.named_buffers():
        torch.testing.assert_close(value, dict(other.named_buffers())[name], msg=name)


def test_a_record_shorter_than_the_horizons_grows_on_from_what_it_has():
    model, data = a_model(horizons=(10,)), walks(50, 4)
    measure_model_error(model, data)
    growth = model.lead_error[3] - model.lead_error[2]
    torch.testing.assert_close(model.lead_error[20], model.lead_error[3] + 17 * growth.clamp_min(0))


@pytest.mark.parametrize("order", [1, 2])
def test_the_population_of_states_is_their_second_moment(order):
    """Codes of the population that was learned, correlations shrunk by a tenth."""
    model, data = a_model(order), walks(300, 8)
    model.code_variance.copy_(torch.tensor([4.0, 1.0, 0.25]))
    made = state_population(model, [data, replace(data, codes=data.codes + 0.1)])
    states = torch.cat([
        model.initialiser(codes[:, start - model.lags : start + 1])
        for codes in (data.codes, data.codes + 0.1)
        for start in range(model.lags, 8)
    ])  # fmt: skip
    sample = states.T @ states / len(states)
    torch.testing.assert_close(made.diagonal()[:CODE], model.code_variance, rtol=1e-5, atol=0)
    torch.testing.assert_close(made.diagonal()[CODE:], sample.diagonal()[CODE:], rtol=1e-5, atol=0)
    root = [covariance.diagonal().sqrt() for covariance in (made, sample)]
    ours, theirs = (c / r[:, None] / r for c, r in zip((made, sample), root, strict=True))
    off = ~torch.eye(len(made), dtype=torch.bool)
    torch.testing.assert_close(ours[off], 0.9 * theirs[off], rtol=1e-4, atol=1e-6)
    torch.linalg.cholesky(made)


def test_channels_have_errors_of_their_own_and_land_has_none():
    """Three cells of two channels: the second channel is ten times finer, and one of its cells is land in a series."""
    model, data = a_model(), walks(400, 30)
    data.unresolved[..., 1::2] *= 0.1
    data.unresolved[:300, :, 3] = 0.0
    measure_model_error(model, data)
    expected = 0.09 * torch.tensor([1.0, 0.01]).double()
    torch.testing.assert_close(model.unresolved_variance, expected, rtol=0.03, atol=0)
    torch.testing.assert_close(model.unresolved_error[1:7], 2 * expected.expand(6, 2), rtol=0.03, atol=0)
    data.unresolved[..., 1::2] = 0.0
    measure_model_error(model, data)
    assert model.unresolved_variance[1] == 0
    assert (model.unresolved_error[:, 1] == 0).all()
