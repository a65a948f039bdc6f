"""Channels of an ocean under the names they have in a store of another sea."""

import numpy as np
import pytest

from data_pipeline.layout.channels import CHANNELS
from dino.config import DomainConfig
from dino.data.observations import Observations
from dino.model import ChannelSpec, Ocean
from dino.space.cover import Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap

MEAN = 0.3


def relocated(of: str, name: str) -> Ocean:
    """A run of channel `of` laid over points of channel `name` whose mean is MEAN."""
    known = CHANNELS[of]
    channel = ChannelSpec(name=of, spread=0.1, **known.attrs)
    cover = Cover((Region.from_bounds(0.0, 4.0, 30.0, 34.0, isotropic=False),), np.ones(1), True)
    like = Ocean((channel,), cover, GridMap(np.zeros(1), np.zeros(1), np.zeros((1, 1, 1))))
    rng = np.random.default_rng(0)
    place = rng.uniform(-40.0, -30.0, 400), rng.uniform(30.0, 40.0, 400)
    values = MEAN + rng.choice([-0.1, 0.1], (400, 1))
    values += MEAN - values.mean()
    blank = np.full((400, 1), np.nan)
    seen = Observations(np.linspace(0.0, 9.0, 400), *place, values, blank, np.zeros(400, np.int64), (name,))
    return Ocean.over(seen, like, DomainConfig(kind="tiles", tile_degrees=4.0), names=[name])


@pytest.mark.parametrize(
    ("of", "name", "mean"),
    [("sla", "sla", 0.0), ("adt", "sla", 0.0), ("sla", "adt", MEAN), ("adt", "adt", MEAN), ("sla", "height", 0.0)],
)
def test_what_a_store_calls_an_anomaly_has_no_mean_and_a_topography_has_one(of, name, mean):
    ocean = relocated(of, name)
    known = CHANNELS.get(name, CHANNELS[of])
    assert (ocean.names, ocean.channels[0].standard_name) == ((name,), known.standard_name)
    assert ocean.channels[0].long_name == known.long_name
    field = ocean.background.at(np.array([-35.0]), np.array([35.0]))[0, 0]
    assert field == pytest.approx(mean, abs=1e-9)
    # A mean that is taken off is no amplitude.
    amplitude = np.sqrt(0.1**2 + (MEAN - mean) ** 2) / 0.1
    assert ocean.cover.amplitude == pytest.approx(np.full(ocean.charts, amplitude), rel=0.2)


def test_a_name_of_other_units_keeps_the_description_of_the_run():
    assert relocated("sla", "sst").channels[0].units == "m"
