"""Faults of observations: each changes the analysis by less than the share of the points that have it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.data.observations import datetime_of
from dino.errors import EmptyDataError
from dino.forecaster import Forecaster
from dino.inference.quality import Quality

DAYS, COUNT = 4.0, 1500
METHODS = ("window", "filter")


def forecaster_of(twin, method: str, controlled: bool = True, **changes) -> Forecaster:
    plain = {} if controlled else {"bound": None}
    return twin.forecaster(method=method, window_days=DAYS, node_days=0.25, **plain | changes)


@pytest.fixture(scope="module")
def twin(make_twin):
    return make_twin()


@pytest.fixture(scope="module")
def clean(twin):
    return twin.observed(COUNT, DAYS)


def field_of(twin, analysis) -> np.ndarray:
    """The analysed field at the end of the window, on a grid [m]."""
    longitude, latitude = (a.ravel() for a in np.meshgrid(np.linspace(0.5, 9.5, 12), np.linspace(30.5, 39.5, 12)))
    basis = twin.basis(longitude, latitude)
    return basis.decode(analysis.mean[0, : basis.modes.shape[-1]])[:, 0].numpy() * twin.spread


def change(twin, forecaster, clean, faulty) -> tuple[float, Quality]:
    """How far faults move the analysis, over how far the clean observations moved it from the population's mean."""
    end = twin.start + DAYS
    analyses = [forecaster.analyse(twin.table(seen), datetime_of(end)) for seen in (clean, faulty)]
    good, bad = (field_of(twin, analysis) for analysis in analyses)
    nothing = field_of(twin, replace(analyses[0], mean=torch.zeros_like(analyses[0].mean)))
    return float(np.sqrt(((bad - good) ** 2).mean() / ((good - nothing) ** 2).mean())), analyses[1].quality


@pytest.mark.parametrize("method", METHODS)
def test_gross_errors(twin, clean, method):
    rng = np.random.default_rng(3)
    values, wrong = clean.values.copy(), rng.choice(COUNT, COUNT // 100, replace=False)
    values[wrong] += rng.choice([-1.0, 1.0], (len(wrong), 1))
    faulty = replace(clean, values=values)
    moved, quality = change(twin, forecaster_of(twin, method), clean, faulty)
    without, _ = change(twin, forecaster_of(twin, method, controlled=False), clean, faulty)
    assert moved < 0.01
    assert moved < without / 5
    counted, faults = (
        quality.down_weighted,
        {n: int((clean.source[wrong] == i).sum()) for i, n in enumerate(clean.sources)},
    )
    assert all(counted[name] >= number for name, number in faults.items())
    # Of the clean ones few in a thousand lie beyond three deviations.
    assert sum(counted.values()) - len(wrong) < COUNT / 200


@pytest.mark.parametrize("method", METHODS)
def test_a_biased_mission(twin, clean, method):
    values = clean.values + 0.1 * (clean.source == 1)[:, None]
    faulty = replace(clean, values=values)
    share = float((clean.source == 1).mean())
    moved, quality = change(twin, forecaster_of(twin, method, bias_error=0.05), clean, faulty)
    without, _ = change(twin, forecaster_of(twin, method, controlled=False), clean, faulty)
    assert moved < share / 5
    assert moved < without / 5
    found = {name: quality.biases[name]["adt"] for name in clean.sources}
    # Against each other they are known to millimetres, together as well as the basis can tell a constant.
    assert found["beta"] - found["alpha"] == pytest.approx(0.1, abs=0.01)
    assert found["gamma"] - found["alpha"] == pytest.approx(0.0, abs=0.01)
    assert sum(quality.down_weighted.values()) < COUNT / 100


@pytest.mark.parametrize("method", METHODS)
def test_a_pass_delivered_twice(twin, clean, method):
    again = np.flatnonzero(clean.source == 2)
    order = np.argsort(np.concatenate([clean.time, clean.time[again]]), kind="stable")
    doubled = clean.select(np.concatenate([np.arange(COUNT), again])[order])
    # Under the name of its second file.
    doubled = replace(doubled, source=np.where(np.diff(doubled.time, prepend=0.0) == 0, 3, doubled.source))
    moved, quality = change(twin, forecaster_of(twin, method), clean, doubled)
    assert moved == 0
    assert (quality.used, quality.duplicates) == (COUNT, len(again))


@pytest.mark.parametrize("method", METHODS)
def test_wrong_times(twin, clean, method):
    """A twentieth of the points is hours or days off: some leave the window, the others disagree."""
    rng = np.random.default_rng(4)
    wrong = rng.choice(COUNT, COUNT // 20, replace=False)
    time = clean.time.copy()
    time[wrong] += rng.choice([-30.0, -1.0, -0.25, 0.25, 1.0, 30.0], len(wrong))
    order = np.argsort(time, kind="stable")
    faulty = replace(clean, time=time).select(order)
    outside = int(((time < twin.start) | (time > twin.start + DAYS)).sum())
    assert outside > 20
    moved, quality = change(twin, forecaster_of(twin, method), clean, faulty)
    assert moved < 0.05
    assert quality.outside == outside
    assert quality.used == COUNT - outside


def test_points_without_value_time_or_place_are_left_out_and_counted(twin, clean):
    table = twin.table(clean).copy(deep=True)
    table["time"][3] = np.datetime64("NaT", "ns")
    table["longitude"][5] = np.nan
    table["latitude"][7] = np.inf
    table["adt"][9], table["adt"][11] = np.nan, np.inf
    forecaster = forecaster_of(twin, "window")
    made = forecaster.analyse(table, datetime_of(twin.start + DAYS))
    assert (made.quality.missing, made.quality.used) == (5, COUNT - 5)
    with pytest.raises(EmptyDataError, match="time and a position"):
        forecaster.analyse(table.isel(obs=[3, 5, 7]), datetime_of(twin.start + DAYS))


def test_clean_observations_are_analysed_as_without_control(twin, clean):
    for method in METHODS:
        moved = [field_of(twin, forecaster_of(twin, method, on).analyse(twin.table(clean))) for on in (True, False)]
        np.testing.assert_allclose(*moved, atol=1e-4)


def test_quality_in_words_and_as_attributes():
    quality = Quality(used=9, duplicates=2, late=1, down_weighted={"a": 3}, biases={"a": {"adt": 0.0512}})
    assert quality.lines() == [
        "9 observations used; 2 duplicate; 1 late; 3 down-weighted (a 3)",
        "estimated biases: a adt +0.0512",
    ]
    told = quality.attributes()
    assert told["observations_used"] == 9
    assert told["observations_down_weighted"] == '{"a": 3}'
    assert all(isinstance(value, int | str) for value in told.values())
    assert Quality(used=1).lines() == ["1 observations used"]
