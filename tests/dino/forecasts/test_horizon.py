"""Leads beyond those that a model was scored at: a word, a refusal, and the climatology in the end."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import dino
from data_pipeline.stores.writing import open_store
from dino.commands.app import main
from dino.config import AssimilationConfig
from dino.data.observations import datetime_of
from dino.errors import HorizonError
from dino.forecasts.horizon import HorizonWarning, told_horizon
from dino.model.checkpoint import load_model
from dino.space.decoders import at_points
from dino.transfer.evidence import relaxing

AT = xr.Dataset({"longitude": ("point", [2.8, 3.9]), "latitude": ("point", [37.6, 38.2])})


@pytest.fixture(scope="module")
def forecaster(sea_run):
    return dino.Forecaster(*load_model(sea_run), AssimilationConfig(window_days=4.0, node_days=2.0, iterations=2))


@pytest.fixture(scope="module", params=["maps", "points"])
def analysis(request, forecaster, sea_store, scattered):
    maps = open_store(sea_store).load().isel(time=slice(0, 10))
    return forecaster.analyse(maps if request.param == "maps" else scattered(maps, ["adt"], 300))


def ahead(forecaster, analysis, leads, **options):
    return forecaster.forecast(analysis, datetime_of(analysis.time + np.asarray(leads, float)), AT, **options)


def test_scored_leads_are_forecast_without_a_word(forecaster, analysis):
    assert forecaster.latent.scored_days == round(1.5 * forecaster.latent.spec.dynamics.horizons[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ahead(forecaster, analysis, [0, 1, forecaster.latent.scored_days])
    assert told_horizon(forecaster.latent, np.array([0.0, forecaster.latent.scored_days])) is None


def test_beyond_is_told_and_far_beyond_is_refused(forecaster, analysis):
    scored = forecaster.latent.scored_days
    with pytest.warns(HorizonWarning, match=f"beyond the {scored:g} days"):
        ahead(forecaster, analysis, [1, scored + 1])
    for lead in (forecaster.latent.farthest_days + 0.1, 365.0, 3650.0):
        with pytest.raises(HorizonError, match="beyond=True"):
            ahead(forecaster, analysis, [lead])


@pytest.mark.filterwarnings("ignore::dino.forecasts.horizon.HorizonWarning")
def test_the_end_is_the_climatology(forecaster, analysis):
    made = ahead(forecaster, analysis, [365.0, 3650.0], beyond=True)
    here = AT["longitude"].values, AT["latitude"].values
    mean, prior = population(forecaster, here)
    np.testing.assert_allclose(made["adt"].isel(time=1), mean, atol=0.02 * prior.max())
    np.testing.assert_allclose(made["adt_std"].isel(time=1), prior, rtol=0.05)


@pytest.mark.filterwarnings("ignore::dino.forecasts.horizon.HorizonWarning")
def test_codes_that_relax_do_so_whatever_hindcasts_said(forecaster, sea_store):
    """A combination that is far from the dynamics is forgotten beyond the leads that were scored."""
    latent = relaxing(forecaster.latent)
    here = dino.Forecaster(latent, forecaster.ocean)
    combined = here.analyse(open_store(sea_store).load())
    alone, scored = replace(combined, hindcasts=None), latent.scored_days
    one, other = (here.forecast_latent(each, each.time + np.array([scored, 9 * scored])) for each in (combined, alone))
    assert (one.codes[0] - other.codes[0]).abs().max() > 0.1 * other.codes[0].abs().max()
    assert (one.scale[0] != 1.0).all()
    torch.testing.assert_close(one.codes[1], other.codes[1])
    assert (one.scale[1] == 1.0).all()


@torch.no_grad()
def population(forecaster, here):
    """Mean and standard deviation of the field over the population of codes, with what the basis leaves out."""
    ocean, latent = forecaster.ocean, forecaster.latent
    pairs = ocean.cover.pairs(*here)
    coordinates = torch.as_tensor(pairs.coordinates).float()
    basis = at_points(latent.decoder, coordinates, torch.zeros(len(coordinates), latent.dynamics.code_size))
    variance = basis.modes[:, 0].square() @ latent.code_variance + latent.unresolved_variance[0]
    made, weight = np.zeros((2, len(here[0]))), np.bincount(pairs.point, pairs.weight, len(here[0]))
    share = pairs.weight / weight[pairs.point] * ocean.scale[pairs.chart, 0]
    for row, column in zip(made, (basis.offset[:, 0].numpy(), variance.sqrt().numpy()), strict=True):
        np.add.at(row, pairs.point, share * column)
    return made[0] + ocean.background.at(*here)[:, 0], made[1]


@pytest.mark.filterwarnings("ignore::dino.forecasts.horizon.HorizonWarning")
def test_spread_goes_on_from_where_scores_end(forecaster, analysis):
    scored = forecaster.latent.scored_days
    leads = np.array([scored - 0.01, scored, scored + 0.01, 1.5 * scored, 2 * scored, 3 * scored, 4 * scored])
    made = ahead(forecaster, analysis, leads)
    near = made.isel(time=slice(0, 3))
    for name in ("adt", "adt_std"):
        assert np.abs(near[name].diff("time")).max() < 2e-3
    _, prior = population(forecaster, (AT["longitude"].values, AT["latitude"].values))
    assert (made["adt_std"].values <= 1.1 * np.maximum(prior, made["adt_std"].values[1])).all()


def test_the_command_warns_refuses_and_obeys(sea_run, sea_store, tmp_path, capsys):
    out = tmp_path / "next.nc"
    command = ["forecast", str(sea_run), str(sea_store), "--out", str(out), "--grid", "2,5,36,39,1", "--threads", "1"]
    with pytest.raises(SystemExit) as left:
        main([*command, "--leads", "400"])
    assert left.value.code == 2
    assert "--beyond" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(SystemExit) as left:
        main([*command, "--leads", "400", "--beyond"])
    assert left.value.code == 0
    assert "warning: a lead of 400 days" in capsys.readouterr().err
    with xr.open_dataset(out) as made:
        assert np.isfinite(made["adt_std"]).any()
