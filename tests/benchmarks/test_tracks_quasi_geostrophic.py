"""The quasi-geostrophic yardstick on tracks chooses by what is assimilated and never sees what is withheld."""

from dataclasses import replace

import numpy as np
import pytest
import tracks_quasi_geostrophic
from peers.reduced_gravity import Box
from tracks import Split
from tracks_quasi_geostrophic import Yardstick, inner

from dino.data.observations import Observations
from dino.evaluation import withheld
from dino.evaluation.covariance import Component, Covariance
from dino.evaluation.fitted_interpolation import FittedInterpolation

END = 6.0


class Halves:
    """Stands for the cover of a run: it holds points east of 7 degrees."""

    def holds(self, longitude, latitude):
        return (longitude > 7.0) & np.isfinite(latitude)


@pytest.fixture
def split():
    """Forty short overflights of one mission in six days, and points of another until three days later."""
    chance = np.random.default_rng(0)

    def passes(count: int, days: float, source: int) -> Observations:
        begin = np.sort(chance.uniform(0.0, days, count))[:, None]
        step = np.arange(8)
        time = (begin + step / 86400.0).ravel()
        longitude = (chance.uniform(4.0, 9.0, (count, 1)) + 0.02 * step).ravel()
        latitude = (chance.uniform(36.0, 39.0, (count, 1)) + 0.06 * step).ravel()
        value = 0.05 * np.sin(longitude - 0.05 * time) + 0.01 * chance.standard_normal(len(time))
        return Observations(
            time=time, longitude=longitude, latitude=latitude, values=value[:, None],
            error=np.full((len(time), 1), 0.02), source=np.full(len(time), source), channels=("adt",),
            sources=("alpha", "beta"),
        )  # fmt: skip

    return Split("beta", passes(40, END, 0), passes(20, END + 3.0, 1), END)


def test_what_is_held_out_is_of_what_is_assimilated(split):
    part = inner(split)
    assert part.end == END - 3.0
    assert len(part.seen) + len(part.withheld) == len(split.seen)
    assert (part.seen.time <= part.end).all()
    late = part.withheld.time > part.end
    assert late.sum() == (split.seen.time > part.end).sum()
    # Whole overflights of eight points are held out, about one of five.
    assert (~late).sum() % 8 == 0
    assert 0.1 < (~late).sum() / (split.seen.time <= part.end).sum() < 0.3
    assert not np.intersect1d(part.seen.time, part.withheld.time).size


@pytest.fixture(autouse=True)
def known_covariance(monkeypatch):
    """Two scales in place of those that a fit finds, which takes long."""
    covariance = Covariance((Component(2e-3, 90.0, 100.0), Component(2e-4, 40.0, 1.0)), 1e-4)
    for module in (withheld, tracks_quasi_geostrophic):
        known = FittedInterpolation(covariance, "known", {})
        monkeypatch.setattr(module, "fitted_interpolation", lambda *given, found=known, **options: found)


def test_choices_are_blind_to_the_points_that_are_scored(split):
    box = Box.around(split.seen.longitude, split.seen.latitude, 40.0, 300.0)
    made, other = Yardstick(box, [None, 20.0, 60.0], 0), Yardstick(box, [None, 20.0, 60.0], 0, Halves())
    first = made.predict(split)
    wrong = replace(split.withheld, values=split.withheld.values + 10.0)
    second = other.predict(replace(split, withheld=wrong))
    assert set(tracks_quasi_geostrophic.METHODS) <= set(first)
    held = split.withheld.longitude > 7.0
    for name, values in first.items():
        assert np.isfinite(values).all()
        assert second[name][held] == pytest.approx(values[held])
        assert np.isnan(second[name][~held]).all()
    told = made.told[0]
    worth = {name: np.prod(parts) for name, parts in told["held_out_rmse_cm_in_and_after"].items()}
    assert told["chosen_or_still"] == min(worth, key=worth.get)
    assert told["chosen"] in ("radius_20", "radius_60")
    assert first["quasi_geostrophic"] == pytest.approx(first[told["chosen"]])
    both = first["quasi_geostrophic"] + first["optimal_interpolation"]
    assert first["mean_of_quasi_geostrophic_and_interpolation"] == pytest.approx(0.5 * both)
