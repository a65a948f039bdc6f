"""Currents and vorticity beside finite differences of a fine grid, their error bars beside draws of codes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.errors import ConfigError
from dino.forecasts import currents as module
from dino.forecasts.currents import currents, named, operators, with_currents
from dino.forecasts.latent import LatentForecast
from dino.model import Ocean
from dino.model.blending import blend
from dino.space.cover import Cover
from dino.space.decoders import fields
from dino.space.domain import Region
from dino.space.gridmap import GridMap

CODE, TIMES = 6, 2
RADIUS, GRAVITY, ROTATION = 6_371_000.0, 9.81, 7.2921159e-5
STEP = 1e-3  # degrees


@pytest.fixture
def twin(make_twin):
    """The twin's model on four tiles of unequal amplitudes, over a mean field with an eddy in it."""
    twin = make_twin(CODE)
    charts = [
        Region.from_bounds(west, west + 6, south, south + 6, isotropic=False)
        for west in (0.0, 4.0)
        for south in (30.0, 34.0)
    ]
    axis = np.linspace(0.0, 10.0, 41)
    lon, lat = np.meshgrid(axis, 30 + axis)
    mean = 0.2 * np.exp(-((lon - 5) ** 2) / 8 - (lat - 35) ** 2 / 8)
    cover = Cover(tuple(charts), np.array([0.6, 1.0, 1.4, 1.1]), tiled=True)
    twin.ocean = Ocean(twin.ocean.channels, cover, GridMap(axis, 30.0 + axis, mean[None]))
    return twin


@pytest.fixture
def ahead(randomly):
    return LatentForecast(
        codes=0.5 * randomly(TIMES, 4, CODE),
        factor=0.1 * randomly(TIMES, 4, CODE, 9),
        model_error=0.02 * randomly(TIMES, CODE).square(),
        unresolved=torch.zeros(TIMES, 1, dtype=torch.float64),
        calibration=1.0 + randomly(TIMES, 1, 2).square(),
        scale=1.0 + randomly(TIMES, 4).square(),
    )


def places(count: int = 40):
    rng = np.random.default_rng(4)
    return rng.uniform(0.5, 9.5, count), rng.uniform(30.5, 39.5, count)


def height(twin, codes, longitude, latitude):
    """(time, point) sea level in double precision, with the mean field by its spline."""
    flat = replace(twin.ocean, background=GridMap(np.arange(2.0), np.arange(2.0), np.zeros((1, 2, 2))))

    def evaluate(at):
        return fields(twin.latent.decoder, at.coordinates, codes[:, at.chart]), None

    anomaly, _ = blend(flat, twin.latent.code_variance, longitude, latitude, evaluate, (len(codes),))
    return anomaly[..., 0] + module.map_jets(twin.ocean.background, longitude, latitude)[0, :, 0]


def differences(twin, codes, longitude, latitude):
    """(time, point, 3) currents and vorticity by central differences of the definition dv/dx - du/dy on the sphere."""

    def level(east, north):
        return height(twin, codes, longitude + east * STEP, latitude + north * STEP)

    def velocity(east, north):
        phi = np.deg2rad(latitude + north * STEP)
        f, metre = 2 * ROTATION * np.sin(phi), RADIUS * np.deg2rad(2 * STEP)
        u = -GRAVITY / f * (level(east, north + 1) - level(east, north - 1)) / metre
        v = GRAVITY / f * (level(east + 1, north) - level(east - 1, north)) / (metre * np.cos(phi))
        return u, v, np.cos(phi)

    u, v, _ = velocity(0, 0)
    (_, east, _), (_, west, _) = velocity(1, 0), velocity(-1, 0)
    (north, _, top), (south, _, bottom) = velocity(0, 1), velocity(0, -1)
    way = RADIUS * np.cos(np.deg2rad(latitude)) * np.deg2rad(2 * STEP)
    return np.stack([u, v, (east - west) / way - (north * top - south * bottom) / way], axis=-1)


def test_currents_are_finite_differences_of_the_blended_field(twin, ahead):
    longitude, latitude = places()
    made = currents(twin.latent, twin.ocean, ahead, longitude, latitude).mean
    expected = differences(twin, ahead.codes, longitude, latitude)
    size = np.sqrt((expected**2).mean((0, 1)))
    assert (np.abs(made - expected).max((0, 1)) < 1e-3 * size).all()
    # Where a point lies in several tiles, the weights' slopes are not nothing.
    assert (np.bincount(twin.ocean.cover.pairs(longitude, latitude).point) > 1).any()


def test_error_bars_are_those_of_draws_where_one_tile_is(twin, ahead):
    longitude, latitude = np.array([1.0, 9.2]), np.array([31.2, 39.0])
    assert len(twin.ocean.cover.pairs(longitude, latitude).point) == 2
    made = currents(twin.latent, twin.ocean, ahead, longitude, latitude).deviation
    generator = torch.Generator().manual_seed(0)
    draws = 4000
    shaken = torch.einsum(
        "tckd,md->mtck", ahead.factor, torch.randn(draws, 9, generator=generator, dtype=torch.float64)
    )
    noise = torch.randn(draws, TIMES, 4, CODE, generator=generator, dtype=torch.float64)
    departure = shaken + noise * ahead.model_error.sqrt()[:, None]
    still = replace(ahead, codes=torch.zeros(draws * TIMES, 4, CODE, dtype=torch.float64))
    zero = currents_of(twin, still, departure.flatten(0, 1), longitude, latitude) - currents_of(
        twin, still, torch.zeros_like(departure.flatten(0, 1)), longitude, latitude
    )
    found = zero.reshape(draws, TIMES, 2, 3).std(0)
    factor = ahead.calibration[:, 0, 0].numpy()[:, None] * ahead.scale.numpy()[:, [0, 3]]
    assert made == pytest.approx(found * factor[..., None], rel=0.05)


def currents_of(twin, ahead, codes, longitude, latitude):
    """(time, point, 3) of codes, without error bars."""
    count = len(codes)
    plain = replace(
        ahead,
        codes=codes,
        factor=torch.zeros(count, 4, CODE, 1, dtype=torch.float64),
        model_error=torch.zeros(count, CODE, dtype=torch.float64),
        unresolved=torch.zeros(count, 1, dtype=torch.float64),
        calibration=torch.ones(count, 1, 2, dtype=torch.float64),
        scale=torch.ones(count, 4, dtype=torch.float64),
    )
    return currents(twin.latent, twin.ocean, plain, longitude, latitude).mean.astype(np.float64)


def test_what_modes_leave_out_widens_error_bars(twin, ahead):
    longitude, latitude = places()
    rest = replace(ahead, unresolved=torch.full((TIMES, 1), 0.04, dtype=torch.float64))
    narrow, wide = (currents(twin.latent, twin.ocean, part, longitude, latitude).deviation for part in (ahead, rest))
    assert (wide > narrow).all()


def test_nothing_at_the_equator_on_land_and_outside(twin, ahead):
    made = operators(np.array([-0.4, 0.0, 0.4, 0.6]))
    assert np.isnan(made[:3]).all()
    assert np.isfinite(made[3]).all()
    values = twin.ocean.background.values.copy()
    values[:, :8, :8] = np.nan
    coast = replace(twin.ocean, background=replace(twin.ocean.background, values=values))
    found = currents(twin.latent, coast, ahead, np.array([0.5, 5.0, 50.0, np.nan]), np.array([30.5, 35.0, 35.0, 35.0]))
    for part in (found.mean, found.deviation):
        assert np.isfinite(part).all((0, 2)).tolist() == [False, True, False, False]


def test_a_forecast_with_currents_says_what_they_are(twin):
    forecaster = twin.forecaster(window_days=3.0, node_days=1.0)
    analysis = forecaster.analyse(twin.table(twin.observed(300, 3.0)))
    grid = {"latitude": np.array([33.0, 35.0]), "longitude": np.array([3.0, 5.0, 7.0])}
    import xarray as xr

    from dino.data.observations import datetime_of

    days = analysis.time + np.array([0.0, 2.0])
    made = forecaster.forecast(analysis, datetime_of(days), xr.Dataset(coords=grid), beyond=True)
    made = with_currents(made, twin.latent, twin.ocean, analysis, days)
    for name in ("ugos", "vgos", "vorticity"):
        assert made[name].dims == made[f"{name}_std"].dims == ("time", "latitude", "longitude")
        assert np.isfinite(made[name]).all()
        assert (made[f"{name}_std"] > 0).all()
    assert made["ugos"].attrs["standard_name"] == "surface_geostrophic_eastward_sea_water_velocity"
    assert made["vgos_std"].attrs["standard_name"].endswith("velocity standard_error")
    assert list(named("sla", None)) == ["ugosa", "vgosa", "vorticitya"]
    assert "assuming_mean_sea_level_for_geoid" in named("sla", None)["ugosa"]["standard_name"]
    channel = twin.ocean.channels[0].model_copy(update={"name": "sst", "units": "degC"})
    with pytest.raises(ConfigError, match="sea level"):
        with_currents(made, twin.latent, replace(twin.ocean, channels=(channel,)), analysis, days)
