"""How far levels drift, from levels whose slopes and rest are known."""

import numpy as np
import pytest
import torch

from dino.training.drift_noise import LEAST_SLOPE, LONGER, drift_noise


def levels(slope: float, keep: float, seed: int = 0, series: int = 400, days: int = 60) -> torch.Tensor:
    """(series, day, 1) lines of slopes of a std, with an autoregressive rest of variance one."""
    rng = np.random.default_rng(seed)
    rest = np.empty((series, days))
    rest[:, 0] = rng.normal(size=series)
    for day in range(1, days):
        rest[:, day] = keep * rest[:, day - 1] + np.sqrt(1 - keep**2) * rng.normal(size=series)
    line = 5.0 + slope * rng.normal(size=(series, 1)) * np.arange(days)
    return torch.as_tensor(line + rest)[..., None]


@pytest.mark.parametrize("keep", [0.0, 0.7])
def test_slopes_and_rest_are_told_apart(keep):
    (found,) = drift_noise(levels(0.3, keep), 1.0)
    assert float(found[0]) == pytest.approx(0.3, rel=0.1)
    assert float(found[1]) / LONGER == pytest.approx((1 + keep) / (1 - keep), rel=0.5)  # a line takes some of it along


def test_a_record_without_trends_keeps_the_least_slope():
    (found,) = drift_noise(levels(0.0, 0.8), 1.0)
    assert float(found[0]) == pytest.approx(LEAST_SLOPE, rel=0.4)


def test_units_are_days():
    (daily,), (slow,) = drift_noise(levels(0.3, 0.5), 1.0), drift_noise(levels(0.3, 0.5), 5.0)
    torch.testing.assert_close(slow, daily * torch.tensor([0.2, 5.0], dtype=torch.float64))


def test_levels_that_never_change_do_not_drift():
    assert (drift_noise(torch.ones(3, 10, 2).double(), 1.0) == 0).all()
