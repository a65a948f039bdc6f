"""What is withheld of tracks stays withheld, what is scored, and what few points tell of a sea laid over them."""

from dataclasses import replace

import numpy as np
import pytest
import tracks
import tracks_alone
from tracks import Split, predicted, score_groups, splits

from data_pipeline.stores.writing import write_store
from dino.config import DomainConfig, ErrorsConfig, SourceErrors
from dino.data.observations import Observations
from dino.forecaster import Forecaster


@pytest.fixture
def missions(sea_dataset, scattered):
    """900 points of thirty days of the toy sea, of three missions by turns."""
    seen = Observations.from_dataset(scattered(sea_dataset(), ["adt"], 900), ("adt",))
    order = np.arange(len(seen))
    return replace(seen, source=order % 3, sources=("alpha", "beta", "gamma"))


def test_every_mission_is_withheld_in_turn_and_never_seen(missions):
    made = list(splits(missions, ["alpha", "beta", "gamma"], 10.0, 4, every=7.0))
    assert [s.mission for s in made] == ["alpha"] * 3 + ["beta"] * 3 + ["gamma"] * 3
    first = missions.time[0]
    for number, split in enumerate(made):
        assert split.end == first + 10.0 + 7.0 * (number % 3)
        assert set(split.withheld.source) == {number // 3}
        assert number // 3 not in split.seen.source
        assert (split.seen.time.min(), split.seen.time.max()) == (split.end - 10.0, split.end)
        assert split.withheld.time.min() >= split.end - 10.0
        assert split.withheld.time.max() <= split.end + 4.0
    scored = sum(int((split.withheld.time > split.end).sum()) for split in made)
    assert scored > 300


def test_scores_are_of_the_same_points_in_bands_of_lead(missions):
    silent = replace(missions, error=np.where(missions.source[:, None] == 2, np.nan, missions.error))
    todo = list(splits(silent, ["alpha", "beta", "gamma"], 10.0, 4, every=30.0))

    def off(split: Split):
        truth = split.withheld.values[:, 0]
        far = split.withheld.time > split.end + 2.0
        return {"near": truth + np.where(far, 0.03, 0.01), "gappy": np.where(far, np.nan, truth)}

    table = predicted(todo, off, ErrorsConfig(point=SourceErrors(white=0.04, along=0.03, offset=0.0)))
    # What the record says, or else the configuration by view.
    assert table["noise"] == pytest.approx(np.where(table["mission"] == "gamma", 0.05, 0.01))
    assert tracks.observation_error_cm(table) == pytest.approx(100 * np.sqrt((table["noise"] ** 2).mean()))
    table |= {"near_std": np.full(len(table["truth"]), 0.03)}
    ratio = ((table["near"] - table["truth"]) / np.hypot(0.03, table["noise"]))[table["lead"] <= 0]
    assert tracks.normalised_error(table, "near")["window"] == pytest.approx(np.sqrt((ratio**2).mean()))
    assert len(table["truth"]) == sum(len(split.withheld) for split in todo)
    both = score_groups(table, ["near", "gappy"], 4)
    assert both["pooled"]["1-2"]["near"]["rmse_cm"] == pytest.approx(1.0)
    assert both["pooled"]["3-4"] == {"points": 0}  # what one method lacks counts for none
    alone = score_groups(table, ["near"], 4)
    assert alone["pooled"]["3-4"]["near"]["bias_cm"] == pytest.approx(3.0)
    assert set(alone["by_mission"]) == {"alpha", "beta", "gamma"}
    assert alone["pooled"]["window"]["points"] == int((table["lead"] <= 0).sum())


@pytest.fixture
def laid(sea_run, missions):
    """laid(count): the toy run over `count` of the points alone, with these points."""
    run, domain = Forecaster.load(sea_run), DomainConfig(kind="tiles", tile_degrees=2.0)

    def make(count: int):
        seen = missions.select(np.sort(np.random.default_rng(0).choice(len(missions), count, replace=False)))
        sea = tracks_alone.Sea("adt", domain, 10.0, 4, box=(1.0, 9.0, 35.0, 41.0))
        return sea.from_points(run, seen), seen

    return make


def test_what_points_tell_of_a_sea(laid):
    forecaster, seen = laid(300)
    told = tracks_alone.told_by(forecaster.ocean, seen)
    count = np.array([chart.contains(seen.longitude, seen.latitude).sum() for chart in forecaster.ocean.cover.charts])
    assert told["points"] == 300
    assert told["tiles"] == len(count)
    assert told["tiles_with_points"] == int((count > 0).sum()) < len(count)
    assert told["tiles_with_their_own_amplitude"] == int((count >= 30).sum()) > 0
    low, high = told["spread_cm"]
    assert 0 < low < high


def test_more_points_leave_less_unknown(laid):
    forecaster, seen = laid(300)
    some = [seen.select(np.linspace(0, 299, count).astype(int)) for count in (3, 30, 300)]
    left = [tracks_alone.unknown(forecaster, few, 10.0) for few in some]
    assert 0.0 < left[2] < 0.8 * left[1] < left[1] < left[0] < 1.0


def test_missions_are_named_by_number(missions, scattered, sea_dataset, tmp_path):
    store = write_store(scattered(sea_dataset(), ["adt"], 40), tmp_path / "tracks.zarr")
    seen, names = tracks.missions(store, ("adt",))
    assert len(seen) == 40
    assert names == [f"mission {number + 1}" for number in range(len(names))]
