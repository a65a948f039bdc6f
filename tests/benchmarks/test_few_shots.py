"""Few shots: what fewer days and points hold, what is compared with what, and modes that no simulation has made."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from few_shots import METHODS, cell, thinned
from strategies.figures import plot_shots
from strategies.untrained import OFFSET, untrained
from tracks import splits

from dino.data.observations import Observations
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config
from tests.pictures import assert_drawn


@pytest.fixture
def split(sea_dataset, scattered):
    """Twenty days of three missions of the toy sea, the first of which is withheld."""
    seen = Observations.from_dataset(scattered(sea_dataset(), ["adt"], 900), ("adt",))
    seen = replace(seen, source=np.arange(len(seen)) % 3, sources=("alpha", "beta", "gamma"))
    return next(splits(seen, ["alpha", "beta", "gamma"], 15.0, 5, every=30.0))


def points(observations):
    return set(zip(observations.time, observations.longitude, observations.latitude, strict=True))


def test_fewer_days_and_points_are_held_by_more_and_what_is_scored_stays(split):
    many, few, late = thinned(split, 15.0, 0.5, 0), thinned(split, 15.0, 0.1, 0), thinned(split, 4.0, 0.5, 0)
    assert points(few.seen) < points(many.seen) < points(split.seen)
    assert len(few.seen) == pytest.approx(0.1 * len(split.seen), rel=0.5)
    assert points(late.seen) == {p for p in points(many.seen) if split.end - 4.0 <= p[0] <= split.end}
    assert points(many.seen) != points(thinned(split, 15.0, 0.5, 1).seen)
    for made in (many, few, late):
        assert points(made.withheld) == {p for p in points(split.withheld) if p[0] >= split.end - 2.0}


def table(**off):
    lead = np.repeat([-1.0, 2.0], 6)
    truth = np.arange(12.0)
    made = {name: truth + 0.01 * off.get(name, 1.0) for name in METHODS}
    return made | {"truth": truth, "lead": lead, "mission": np.full(12, "alpha")}


def test_a_cell_compares_what_has_predicted():
    made = cell(table(dino_statistics=2.0, untrained_statistics=4.0, customary_interpolation=np.nan), [])
    assert made["window"]["points"] == made["after"]["points"] == 6
    assert made["after"]["dino_statistics"] == pytest.approx(2.0)
    assert "customary_interpolation" not in made["window"]
    assert made["ratios"]["dino_statistics_over_untrained_statistics"]["window"] == pytest.approx([0.5] * 3)
    assert not any("customary" in name for name in made["ratios"])


def test_curves_are_drawn(tmp_path):
    def cells(factor):
        return {f"{d}_days": {s: cell(table(dino_statistics=factor), []) for s in ("0.05", "1")} for d in (2, 15)}

    assert_drawn(
        plot_shots(cells(1.5), METHODS, tmp_path / "figure.png"),
        other=plot_shots(cells(3.0), METHODS, tmp_path / "other.png"),
    )


def test_modes_of_chance_have_nothing_of_the_run_and_a_field_of_variance_one(sea_run):
    run = Forecaster(*load_model(sea_run), load_run_config(sea_run).assimilation)
    made, other = untrained(run, 0), untrained(run, 1)
    axis = torch.linspace(-1, 1, 40)
    places = torch.cartesian_prod(*[axis] * run.latent.spec.input_size)
    for forecaster in (made, other):
        basis = forecaster.latent.decoder.basis(places)
        power = basis.modes.square() @ forecaster.latent.code_variance
        assert float(power.detach().mean()) == pytest.approx(1.0, rel=0.1)
        assert float(basis.offset.detach().square().mean().sqrt()) == pytest.approx(OFFSET, rel=0.3)
        assert (forecaster.latent.code_variance.diff() <= 0).all()
    for (name, weights), before in zip(
        made.latent.decoder.named_parameters(), run.latent.decoder.parameters(), strict=True
    ):
        assert name == "readout_bias" or not torch.equal(weights, before)
    assert not torch.equal(made.latent.decoder.shift, other.latent.decoder.shift)
    assert made.ocean is run.ocean
