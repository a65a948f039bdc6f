"""Oceans: their description, their charts in a box, and what is derived from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.model import ChannelSpec, Ocean, OceanSpec
from dino.space.boxes import points_in
from dino.space.cover import Cover
from dino.space.domain import PeriodicBox, Region, Sphere
from dino.space.gridmap import GridMap

GRID = GridMap(np.linspace(0.0, 4.0, 3), np.linspace(30.0, 34.0, 2), np.zeros((2, 2, 3)))
CHANNELS = (ChannelSpec(name="adt", units="m", spread=0.2), ChannelSpec(name="sst", units="K", spread=1.5))


def globe_of_tiles() -> Ocean:
    """Whole degrees, half overlapping, with columns across 180 degrees."""
    charts = tuple(
        Region.from_bounds(west, west + 20, south, south + 20, isotropic=False)
        for south in range(-60, 60, 10)
        for west in range(-180, 180, 10)
    )
    return Ocean(CHANNELS, Cover(charts, np.linspace(0.5, 2.0, len(charts)), True), GRID)


GLOBE = globe_of_tiles()


def test_a_description_makes_the_same_ocean_again():
    spec = OceanSpec.model_validate_json(GLOBE.spec.model_dump_json())
    again = Ocean.of(spec, GRID)
    assert again.channels == GLOBE.channels
    assert again.cover.charts == GLOBE.cover.charts
    assert again.cover.tiled
    np.testing.assert_array_equal(again.cover.amplitude, GLOBE.cover.amplitude)
    assert again.background is GRID
    assert spec.names == again.names == ("adt", "sst")
    np.testing.assert_array_equal(spec.spread, again.spread)


def test_the_scale_is_amplitude_times_spread():
    assert GLOBE.charts == 432
    assert GLOBE.scale.shape == (432, 2)
    assert GLOBE.scale[3, 1] == pytest.approx(GLOBE.cover.amplitude[3] * 1.5)


@settings(deadline=None, max_examples=40)
@given(st.integers(-400, 400), st.integers(1, 360), st.integers(-90, 89), st.integers(1, 90))
def test_within_a_box_are_the_tiles_that_share_a_cell_with_it(west, width, south, height):
    box = (west, west + width, south, min(south + height, 90))
    x, y = np.meshgrid(np.arange(-179.5, 180.0), np.arange(-89.5, 90.0))
    longitude, latitude = (axis[points_in(x, y, [box])] for axis in (x, y))
    expected = [i for i, chart in enumerate(GLOBE.cover.charts) if chart.contains(longitude, latitude).any()]
    part = GLOBE.within(box)
    if not expected:
        assert part is None
        return
    assert part is not None
    assert part.cover.charts == tuple(GLOBE.cover.charts[i] for i in expected)
    np.testing.assert_array_equal(part.cover.amplitude, GLOBE.cover.amplitude[expected])
    np.testing.assert_array_equal(part.scale, GLOBE.scale[expected])
    assert part.channels == GLOBE.channels
    assert part.background is GLOBE.background
    # Points in the box are seen by the same tiles as before.
    some = slice(None, None, max(1, len(longitude) // 50))
    before, after = (o.cover.pairs(longitude[some], latitude[some]) for o in (GLOBE, part))
    np.testing.assert_array_equal(np.array(expected)[after.chart], before.chart)
    np.testing.assert_allclose(after.weight, before.weight, rtol=1e-12)


def test_within_asks_the_charts_that_have_a_place():
    for domain in (Sphere(), PeriodicBox(length_km=(500.0, 500.0))):
        assert Ocean(CHANNELS, Cover((domain,), np.ones(1), False), GRID).within((0.0, 10.0, 0.0, 10.0)) is None
    region = Ocean(CHANNELS, Cover((Region.from_bounds(0.0, 10.0, 30.0, 40.0),), np.ones(1), False), GRID)
    part = region.within((9.0, 20.0, 20.0, 31.0))
    assert part is not None
    assert part.cover.charts == region.cover.charts
    assert not part.cover.tiled
    assert region.within((10.0, 20.0, 20.0, 31.0)) is None
