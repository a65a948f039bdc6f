"""The slow level of a chart: its filter against dense Gaussian algebra, and seas whose mean rises for good."""

import numpy as np
import pytest
import torch
from problems import make_latent, numbers, tiled_ocean

from dino.forecaster import Forecaster
from dino.inference.drift import TURNOVER_DAYS, Drift, LevelForm, drift_of
from dino.inference.maps import EncodedMaps
from dino.space.decoders import decode

TIMES = np.array([3.0, 4.0, 5.0, 7.5, 8.0, 12.0])
NOISE = torch.tensor([[0.2, 0.5], [0.05, 3.0]])
LEADS = torch.tensor([1.0, 4.0, 30.0])


def integrated(one, other):
    """Covariance of what a slope of unit variance has brought since day 0 after `one` and `other` days."""
    one, other = one[:, None], other[None]
    away = np.exp(-one / TURNOVER_DAYS) + np.exp(-other / TURNOVER_DAYS)
    apart = np.exp(-np.abs(one - other) / TURNOVER_DAYS)
    return 2 * TURNOVER_DAYS * np.minimum(one, other) + TURNOVER_DAYS**2 * (away - apart - 1)


def test_the_filter_is_the_joint_gaussian_of_all_levels():
    levels = numbers(len(TIMES), 3, 2)
    found = drift_of(levels, TIMES, NOISE)
    ahead, variance = found.ahead(LEADS)
    days, usual = TIMES - TIMES[0], np.median(np.diff(TIMES))
    later = days[-1] + np.append(0.0, LEADS.numpy())
    for channel, (std, rest) in enumerate(NOISE.double().tolist()):
        known = std**2 * integrated(days, days) + 1e4  # of a first level that nobody knows
        joint = std**2 * integrated(later, days) + 1e4
        gain = joint @ np.linalg.inv(known + rest / usual * np.eye(len(days)))
        covariance = std**2 * integrated(later, later) + 1e4 - gain @ joint.T
        mean = gain @ levels[:, :, channel].numpy()
        np.testing.assert_allclose(found.mean[:, channel, 0], mean[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(ahead[:, :, channel], mean[1:], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found.covariance[0, channel, 0, 0], covariance[0, 0], rtol=1e-3)
        # From the present level on: what is wrong with that is the rest's.
        moved = np.diag(covariance)[1:] - 2 * covariance[0, 1:] + covariance[0, 0]
        np.testing.assert_allclose(variance[:, 0, channel], moved, rtol=1e-3)


def test_one_map_has_a_level_and_no_slope():
    found = drift_of(torch.tensor([[[2.0, -1.0]]]), np.array([9.0]), NOISE)
    torch.testing.assert_close(found.mean, torch.tensor([[[2.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64))
    torch.testing.assert_close(found.covariance[0, :, 1, 1], NOISE[:, 0].double().square())


def test_a_path_goes_through_the_present_level():
    found = Drift(torch.tensor([[[2.0, 0.5]]]), torch.zeros(1, 1, 2, 2), torch.ones(1))
    torch.testing.assert_close(found.path(torch.tensor([-2.0, 0.0])).flatten(), torch.tensor([1.0, 2.0]))


def test_intervals_hold_what_levels_do():
    """Levels drawn from the model itself: a slope that wanders, and a rest."""
    rng, charts, days = np.random.default_rng(0), 4000, 40
    keep = np.exp(-1 / TURNOVER_DAYS / 10)
    slope, level, seen, after = rng.normal(size=charts), np.zeros(charts), [], []
    for step in range(10 * (days + 10)):
        level = level + 0.1 * slope
        slope = keep * slope + np.sqrt(1 - keep**2) * rng.normal(size=charts)
        if step % 10 == 9:
            after.append(level)
            seen.append(level + 3.0 * rng.normal(size=charts))
    known = torch.as_tensor(np.stack(seen[:days]))[..., None]
    found = drift_of(known, np.arange(float(days)), torch.tensor([[1.0, 9.0]]))
    mean, variance = found.ahead(torch.tensor([10.0]))
    wrong = (after[-1] - after[days - 1]) - (mean[0, :, 0] - found.mean[:, 0, 0]).numpy()
    inside = np.abs(wrong) < 1.645 * variance[0, :, 0].sqrt().numpy()
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    assert np.sqrt((wrong**2).mean()) < 0.55 * np.sqrt(((after[-1] - after[days - 1]) ** 2).mean())


def test_codes_hold_a_uniform_field():
    latent = make_latent()
    form = LevelForm.of(latent)
    torch.testing.assert_close(form.measure @ form.uniform.T, torch.eye(2, dtype=torch.float64))
    axis = (torch.arange(16, dtype=torch.float64) + 0.5) / 8 - 1
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).flatten(0, 1)
    code = numbers(3)
    difference = decode(latent.decoder, points, torch.stack([code, torch.zeros_like(code)])).mean(1)
    torch.testing.assert_close(form.measure @ code, difference[0] - difference[1])


def rising(latent, starts, rise, wave):
    """Encoded maps whose tiles' mean rises by `rise` a day, with a wave of twelve days on it, over 60 days."""
    days = np.arange(60.0)
    level = torch.as_tensor(rise * days + wave * np.sin(2 * np.pi * days / 12.0))
    form, charts = LevelForm.of(latent), 5
    codes = (level[:, None, None] * form.uniform.sum(0)).expand(-1, charts, -1)
    maps = EncodedMaps(
        times=days, codes=codes, covariance=1e-6 * torch.eye(3, dtype=torch.float64).expand(1, charts, 3, 3),
        longitude=np.zeros(1), latitude=np.zeros(1), shape=(1, 1), axes=(np.zeros(1), np.zeros(1)),
        residual=torch.zeros(60, 2, 1, dtype=torch.float64),
    )  # fmt: skip
    return level.numpy(), [maps.frames(slice(start - latent.lags, start + 1)) for start in starts]


@pytest.mark.parametrize(("rise", "wave"), [(0.1, 0.0), (0.1, 0.3), (0.0, 0.3)])
def test_a_sea_that_rises_for_good_is_forecast_to_rise_on(rise, wave):
    """Dynamics in which every tendency ends within days: without the slow level they fall behind half the trend."""
    latent, leads = make_latent(), np.array([1.0, 3.0, 5.0, 7.0, 10.0])
    latent.dynamics.linear.fill_(-1.0)  # type: ignore[operator]
    starts = range(30, 50)
    level, parts = rising(latent, starts, rise, wave)
    truth = np.stack([level[start + leads.astype(int)] for start in starts])
    still = np.stack([np.full(len(leads), level[start]) for start in starts])
    trend = [np.polyfit(np.arange(5), level[start - 4 : start + 1], 1)[0] for start in starts]
    half = still + 0.5 * leads * np.array(trend)[:, None]
    measure = LevelForm.of(latent).measure[0]
    errors = {}
    for name, noise in (("drift", [[0.05, 0.1]] * 2), ("none", [[0.0, 0.0]] * 2)):
        latent.drift_noise.copy_(torch.tensor(noise))
        forecaster = Forecaster(latent, tiled_ocean())
        made = []
        for part in parts:
            ahead = forecaster.forecast_latent(forecaster.analyse_maps(part), part.times[-1] + leads)
            made.append((ahead.codes[:, 0] @ measure).numpy())
        errors[name] = np.sqrt(((np.stack(made) - truth) ** 2).mean(0))
    errors |= {n: np.sqrt(((f - truth) ** 2).mean(0)) for n, f in (("still", still), ("half", half))}
    if rise:
        assert (errors["drift"] < np.minimum(errors["still"], errors["half"])).all()
        assert (errors["drift"] < 0.85 * errors["none"])[1:].all()
    else:
        assert (errors["drift"] < 1.1 * errors["none"]).all()


def test_without_a_slow_level_nothing_changes():
    latent = make_latent()
    _, (part,) = rising(latent, [40], 0.1, 0.3)
    analysis = Forecaster(latent, tiled_ocean()).analyse_maps(part)
    assert analysis.drift is None
    torch.testing.assert_close(analysis.mean, latent.initialiser(part.codes.movedim(0, 1)))


def test_the_code_of_an_analysis_is_that_of_its_map():
    latent = make_latent()
    latent.drift_noise.copy_(NOISE)
    _, (part,) = rising(latent, [40], 0.1, 0.3)
    forecaster = Forecaster(latent, tiled_ocean())
    analysis = forecaster.analyse_maps(part)
    torch.testing.assert_close(analysis.mean[:, :3], part.codes[-1])
    now = forecaster.forecast_latent(analysis, np.array([part.times[-1]]))
    torch.testing.assert_close(now.codes[0], part.codes[-1])
    assert now.factor.shape[-1] == 3 + 2
    assert forecaster.forecast_latent(analysis, np.array([60.0]), spread=False).factor.shape[-1] == 0
