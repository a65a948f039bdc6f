"""The table of observed values against a loop over observations, charts and channels."""

import numpy as np
import pytest
import torch
from problems import CODE, make_latent, make_rows, numbers

from dino.config import ErrorsConfig, SourceErrors
from dino.data.observations import Observations
from dino.inference.observed import ObservedValues, observed_values
from dino.model import ChannelSpec, Ocean
from dino.space.cover import Cover
from dino.space.decoders import values_at_points
from dino.space.domain import Region, wrap_longitude
from dino.space.gridmap import GridMap

NODES = 20000.0 + np.array([0.0, 1.0, 2.5, 4.0])
ERROR = 0.07
ERRORS = ErrorsConfig(point=SourceErrors(white=ERROR, along=0.0, offset=0.0))


def make_ocean(tiled: bool = True) -> Ocean:
    """Four tiles across 180 degrees, or one chart, and a mean field that is no constant."""
    bounds = [(w, w + 6.0, s, s + 6.0) for w in (174.0, 177.0) for s in (30.0, 33.0)] if tiled else [(174, 183, 30, 39)]
    charts = tuple(Region.from_bounds(*b, isotropic=False) for b in bounds)
    channels = (ChannelSpec(name="u", units="m", spread=0.1), ChannelSpec(name="v", units="m", spread=2.0))
    values = np.random.default_rng(3).normal(size=(2, 6, 8))
    cover = Cover(charts, np.linspace(0.5, 1.5, len(charts)), tiled)
    return Ocean(channels, cover, GridMap(np.linspace(172.0, 186.0, 8), np.linspace(29.0, 40.0, 6), values))


def make_observations(count: int = 60) -> Observations:
    rng = np.random.default_rng(0)
    values, error = rng.normal(size=(count, 2)), np.where(rng.random((count, 2)) < 0.3, np.nan, 0.05)
    values[rng.random((count, 2)) < 0.3] = np.nan
    time = np.sort(np.concatenate([rng.uniform(NODES[0], NODES[-1], count - 4), NODES]))
    longitude, latitude = wrap_longitude(rng.uniform(172, 185, count)), rng.uniform(29, 40, count)
    return Observations(time, longitude, latitude, values, error, np.zeros(count, np.int64), ("u", "v"))


def by_loop(ocean: Ocean, seen: Observations) -> dict[tuple[int, int, int], tuple]:
    """What a row should hold, by chart, observation and channel."""
    found = {}
    for number in range(len(seen)):
        place = seen.longitude[number, None], seen.latitude[number, None]
        mean = ocean.background.at(*place)[0]
        low = min(int(np.searchsorted(NODES, seen.time[number], side="right")) - 1, len(NODES) - 2)
        share = (seen.time[number] - NODES[low]) / (NODES[low + 1] - NODES[low])
        for chart, domain in enumerate(ocean.cover.charts):
            if not domain.contains(*place)[0]:
                continue
            for channel in range(2):
                value, error = seen.values[number, channel], seen.error[number, channel]
                if np.isfinite(value):
                    scale = ocean.cover.amplitude[chart] * ocean.spread[channel]
                    variance = ((ERROR if np.isnan(error) else error) / scale) ** 2 + 0.02 * (channel + 1)
                    anomaly = (value - mean[channel]) / scale
                    found[chart, number, channel] = (anomaly, variance, low, share, domain.coordinates(*place)[0])
    return found


@pytest.mark.parametrize("tiled", [True, False])
def test_rows_are_those_of_a_loop_over_observations_and_charts(tiled):
    latent, ocean, seen = make_latent(), make_ocean(tiled), make_observations()
    latent.unresolved_variance.copy_(torch.tensor([0.02, 0.04], dtype=torch.float64))
    rows = observed_values(latent, ocean, seen, NODES, ERRORS)
    expected = by_loop(ocean, seen)
    assert len(rows) == len(expected) > 40
    assert (rows.chart.diff() >= 0).all()
    keys = zip(rows.chart.tolist(), rows.observation.tolist(), rows.channel.tolist(), strict=True)
    for row, key in enumerate(keys):
        value, variance, low, share, coordinates = expected[key]
        assert float(rows.value[row]) == pytest.approx(value, rel=1e-9)
        assert float(rows.variance[row]) == pytest.approx(variance, rel=1e-9)
        assert float(rows.node[row] + rows.fraction[row]) == pytest.approx(low + share, abs=1e-6)
        assert 0 <= rows.fraction[row] <= 1
        assert rows.node[row] < len(NODES) - 1
        np.testing.assert_allclose(rows.coordinates[row], coordinates, atol=1e-12)
    assert rows.form is None


def test_a_single_node_and_no_observation_inside():
    latent, ocean, seen = make_latent(), make_ocean(), make_observations()
    rows = observed_values(latent, ocean, seen, NODES[-1:], ERRORS)
    assert not rows.node.any()
    assert not rows.fraction.any()
    away = Observations(**(vars(seen) | {"longitude": seen.longitude * 0.0}))
    for none in (away, seen.select(np.zeros(len(seen), bool))):
        assert len(observed_values(latent, ocean, none, NODES, ERRORS)) == 0


def test_rows_are_in_the_precision_of_the_model():
    latent, ocean = make_latent().float(), make_ocean()
    rows = observed_values(latent, ocean, make_observations(), NODES, ERRORS)
    assert {rows.value.dtype, rows.variance.dtype, rows.coordinates.dtype, rows.fraction.dtype} == {torch.float32}


@pytest.mark.parametrize("decoder", ["fourier", "siren"])
def test_forms_are_the_decoder_about_any_codes(decoder):
    latent = make_latent(decoder=decoder)
    rows = make_rows(latent, (5, 0, 8), NODES, at_nodes=False)
    codes, which = numbers(13, CODE), torch.arange(13)
    about = rows.about(latent.decoder, codes)
    value = values_at_points(latent.decoder, rows.coordinates, codes)[which, rows.channel]
    torch.testing.assert_close((about.form.operator * codes).sum(-1) + about.form.offset, value)
    for row in which:
        place, channel = rows.coordinates[row, None], rows.channel[row]
        slope = torch.func.jacrev(lambda c, p=place, n=channel: latent.decoder(p, c)[0, n])(codes[row])
        torch.testing.assert_close(about.form.operator[row], slope)
    assert torch.equal(about.value, rows.value)
    # The same object where the form is the same about all codes: what iterations compare.
    assert (about is rows) == latent.decoder.is_affine
    zero = rows.formed(latent.decoder)
    torch.testing.assert_close(
        zero.form.offset, values_at_points(latent.decoder, rows.coordinates, 0 * codes)[which, rows.channel]
    )


def test_codes_along_a_trajectory_are_linear_between_nodes():
    latent = make_latent()
    rows, codes = make_rows(latent, (5, 0, 8), NODES, at_nodes=False), numbers(len(NODES), 3, CODE)
    for row, code in enumerate(rows.along(codes)):
        series, place = codes[:, rows.chart[row]], float(rows.node[row] + rows.fraction[row])
        np.testing.assert_allclose(code, [np.interp(place, np.arange(4.0), column) for column in series.T])
    single = make_rows(latent, (2, 2, 2), NODES[:1], at_nodes=False)
    torch.testing.assert_close(single.along(codes[:1]), codes[0, single.chart])


def test_some_rows_keep_all_their_columns():
    rows = make_rows(make_latent(), (5, 0, 8), NODES, at_nodes=False)
    for which in (slice(2, 7), torch.tensor([3, 1]), rows.chart == 2):
        some: ObservedValues = rows.select(which)
        assert torch.equal(some.value, rows.value[which])
        assert torch.equal(some.form.operator, rows.form.operator[which])
        assert torch.equal(some.form.offset, rows.form.offset[which])
        assert torch.equal(some.observation, rows.observation[which])
