"""Factors of a spread by lead."""

import numpy as np
import pytest

from dino.forecasts.widening import matched


def test_misses_that_are_normal_want_their_own_standard_deviation():
    chance = np.random.default_rng(0)
    away = chance.normal(size=(40, 6, 100)) * np.array([1, 1, 1, 2, 2, 2])[:, None]
    made = matched(away)
    assert made[0] == pytest.approx(1.0, rel=0.1)
    assert made[-1] == pytest.approx(2.0, rel=0.1)
