"""Blending of overlapping charts against a plain loop over points and charts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dino.model import ChannelSpec, Ocean, blending
from dino.model.blending import Places, blend, blocks
from dino.space.cover import Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap

SPREAD = (0.1, 3.0)
LIKE = torch.zeros((), dtype=torch.float64)


def make_ocean(tiled: bool = True) -> Ocean:
    """Nine tiles around 180 degrees, or one chart, with a mean that is no constant and some land."""
    bounds = [(w, w + 6.0, s, s + 5.0) for w in (172.0, 175.0, 179.5) for s in (30.0, 32.0, 36.0)]
    charts = tuple(Region.from_bounds(*b, isotropic=False) for b in (bounds if tiled else [(172, 186, 30, 40)]))
    channels = tuple(ChannelSpec(name=n, units="m", spread=s) for n, s in zip("uv", SPREAD, strict=True))
    longitude, latitude = np.arange(171.0, 187.0), np.arange(29.0, 43.0)
    values = np.random.default_rng(4).normal(size=(2, 14, 16))
    values[0, 3:5, 4:7] = np.nan
    return Ocean(
        channels, Cover(charts, np.linspace(0.4, 2.0, len(charts)), tiled), GridMap(longitude, latitude, values)
    )


OCEAN = make_ocean()


def field(chart: NDArray, part: NDArray, coordinates: NDArray, frame: int) -> tuple[NDArray, NDArray]:
    """Values and variances (..., channel) that no two charts, parts and frames have alike."""
    phase = chart[..., None] + 0.3 * part[..., None] + np.arange(2) + 10 * frame
    x, y = coordinates[..., :1], coordinates[..., 1:]
    return np.sin(phase) * x + np.cos(2 * phase) * y**2 + 0.1 * phase, 0.1 + phase + x**2


def evaluate(places: Places, frames: int | None, spread: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    shape = places.point.shape
    chart, part = (column.numpy()[:, None].repeat(shape[1], 1) for column in (places.chart, places.part))
    made = [field(chart, part, places.coordinates.numpy(), frame) for frame in range(frames or 1)]
    value, variance = (torch.as_tensor(np.stack(parts)) for parts in zip(*made, strict=True))
    if frames is None:
        value, variance = value[0], variance[0]
    return value, variance if spread else None


def by_loop(ocean: Ocean, longitude: NDArray, latitude: NDArray, part: NDArray, frame: int) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation (point, channel), one point and one chart after another."""
    mean, deviation = np.full((2, len(longitude), 2), np.nan)
    for point, (x, y) in enumerate(zip(longitude, latitude, strict=True)):
        here = np.array([x]), np.array([y])
        if not np.isfinite(x + y) or not ocean.background.is_ocean(*here)[0]:
            continue
        total, value, error = 0.0, np.zeros(2), np.zeros(2)
        for number, chart in enumerate(ocean.cover.charts):
            if not chart.contains(*here)[0]:
                continue
            one = Cover((chart,), np.ones(1), ocean.cover.tiled).pairs(*here)
            made, variance = field(np.array(number), part[point], chart.coordinates(*here)[0], frame)
            weight = one.weight[0]
            total += weight
            value += weight * ocean.cover.amplitude[number] * ocean.spread * made
            error += weight * ocean.cover.amplitude[number] * ocean.spread * np.sqrt(variance)
        if total:
            mean[point] = value / total + ocean.background.at(*here)[0]
            deviation[point] = error / total
    return mean, deviation


def points(seed: int, count: int = 60) -> tuple[NDArray, NDArray]:
    """Inside, outside, on land, across 180 degrees, and without a place."""
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(168, 190, count), rng.uniform(28, 43, count)
    longitude[::2] = (longitude[::2] + 180) % 360 - 180
    longitude[:1], latitude[1:2] = np.nan, np.nan
    return longitude, latitude


@pytest.mark.parametrize("ocean", [OCEAN, make_ocean(tiled=False)], ids=["tiles", "one chart"])
@pytest.mark.parametrize("frames", [None, 1, 3])
@pytest.mark.parametrize("places", [5, 64, 2**14])
def test_blending_is_a_loop_over_charts(ocean, frames, places):
    longitude, latitude = points(0)
    part = np.random.default_rng(1).integers(0, 4, 60)
    leading = () if frames is None else (frames,)
    mean, deviation = blend(
        ocean, LIKE, longitude, latitude, lambda p: evaluate(p, frames, True), leading, part, places
    )
    assert mean.shape == deviation.shape == (*leading, 60, 2)
    known = np.isfinite(mean[..., 0]).reshape(-1, 60)[0]
    assert 10 < known.sum() < 50
    for frame in range(frames or 1):
        expected = by_loop(ocean, longitude, latitude, part, frame)
        found = (mean, deviation) if frames is None else (mean[frame], deviation[frame])
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 999), st.integers(0, 30), st.integers(1, 40))
def test_any_points_in_batches_of_any_size(seed, count, places):
    longitude, latitude = points(seed, count)
    mean, deviation = blend(OCEAN, LIKE, longitude, latitude, lambda p: evaluate(p, None, True), places=places)
    expected = by_loop(OCEAN, longitude, latitude, np.zeros(count, int), 0)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(deviation, expected[1], rtol=1e-9, atol=1e-9)


def test_without_variances_the_deviation_is_zero_where_there_is_a_value():
    longitude, latitude = points(3)
    mean, deviation = blend(OCEAN, LIKE, longitude, latitude, lambda p: evaluate(p, None, False))
    np.testing.assert_allclose(mean, by_loop(OCEAN, longitude, latitude, np.zeros(60, int), 0)[0], rtol=1e-9)
    np.testing.assert_array_equal(np.isnan(deviation), np.isnan(mean))
    assert (deviation[np.isfinite(deviation)] == 0).all()


def test_a_batch_holds_no_more_places_than_asked():
    longitude, latitude = np.full(100, 178.0), np.linspace(33.0, 34.0, 100)
    sizes = []

    def told(places: Places) -> tuple[torch.Tensor, None]:
        sizes.append(places.point.numel())
        assert places.coordinates.shape == (*places.point.shape, 2)
        return torch.zeros(*places.point.shape, 2), None

    blend(OCEAN, LIKE, longitude, latitude, told, places=30)
    assert max(sizes) <= 30
    assert len(sizes) >= 4 * 100 / 30  # four tiles hold every point


def test_a_field_that_all_charts_agree_on_is_left_as_it_is():
    """In single precision too: charts of one amplitude that see x in degrees give x."""
    charts = OCEAN.cover.charts
    ocean = Ocean(OCEAN.channels, Cover(charts, np.full(len(charts), 0.5), True), OCEAN.background)
    centre = torch.tensor([c.longitude % 360 for c in charts])
    extent = torch.tensor([c.extent_degrees[0] for c in charts])

    def place_east(places: Places) -> tuple[torch.Tensor, torch.Tensor]:
        x = centre[places.chart, None] - 180 + extent[places.chart, None] * places.coordinates[..., 0]
        return x.unsqueeze(-1).expand(-1, -1, 2), torch.full((*places.point.shape, 2), 4.0)

    longitude, latitude = points(6)
    mean, deviation = blend(ocean, torch.zeros(()), longitude, latitude, place_east)
    inside = np.isfinite(mean).all(-1)
    east = np.mod(longitude[inside], 360) - 180
    background = ocean.background.at(longitude[inside], latitude[inside])
    np.testing.assert_allclose(mean[inside] - background, 0.5 * east[:, None] * np.array(SPREAD), atol=1e-5)
    np.testing.assert_allclose(deviation[inside], 0.5 * 2.0 * np.broadcast_to(SPREAD, (inside.sum(), 2)), rtol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 20])
def test_blocks_cover_all_points(count, monkeypatch):
    monkeypatch.setattr(blending, "BLOCK_POINTS", 7)
    found = [np.arange(count)[block] for block in blocks(count)]
    assert np.concatenate([*found, []]).tolist() == list(range(count))
    assert all(0 < len(part) <= 7 for part in found)
