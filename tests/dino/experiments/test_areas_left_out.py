"""Areas that training must not see: tiles that touch them go, and nothing of them is left in the statistics."""

import pytest
import torch

from data_pipeline.stores.writing import write_store
from data_pipeline.system.progress import silent
from dino.config import Config
from dino.errors import DomainError
from dino.experiments.train import train
from dino.space.boxes import centred_in, touches
from dino.training.prepare import prepare

SOUTH_EAST = (4.2, 6.0, 36.0, 37.0)
NORTH = (2.0, 3.2, 38.9, 40.0)


def with_data(config: Config, boxes=(), **data) -> Config:
    """A configuration whose first store leaves boxes out, with other settings of `data`."""
    stores = [config.data.stores[0].model_copy(update={"exclude": list(boxes)}), *config.data.stores[1:]]
    return config.model_copy(update={"data": config.data.model_copy(update={"stores": stores, **data})})


def test_no_tile_touches_what_is_excluded(sea_config):
    everywhere = prepare(sea_config)[2].cover.charts
    left = prepare(with_data(sea_config, [SOUTH_EAST]))[2].cover.charts
    assert [chart for chart in everywhere if not touches(chart, [SOUTH_EAST])] == list(left)
    assert 0 < len(left) < len(everywhere)
    with pytest.raises(DomainError, match="areas left out leave no cell"):
        prepare(with_data(sea_config, [(0.0, 10.0, 30.0, 45.0)]))
    with pytest.raises(DomainError, match="where it is wanted"):
        prepare(with_data(sea_config, [(3.5, 4.5, 37.5, 38.5)]))


def test_values_inside_an_excluded_area_change_nothing(sea_config, sea_dataset, tmp_path):
    """Not even the mean, the spread or the amplitudes: the sea there is replaced by another one."""
    sea = sea_dataset()
    inside = (sea.longitude > SOUTH_EAST[0]) & (sea.latitude < SOUTH_EAST[3])
    made = []
    for name, dataset in (("one", sea), ("other", sea.assign(adt=sea.adt.where(~inside, 7.0 - sea.adt)))):
        path = write_store(dataset, tmp_path / f"{name}.zarr")
        config = with_data(sea_config, [SOUTH_EAST])
        stores = [config.data.stores[0].model_copy(update={"path": path})]
        splits, _, ocean = prepare(with_data(config, [SOUTH_EAST], stores=stores))
        made.append((splits[0].training, ocean))
    torch.testing.assert_close(made[0][0].values, made[1][0].values, rtol=0, atol=0)
    assert made[0][1].spec == made[1][1].spec


def test_validation_areas_are_validated_on_and_not_trained_on(sea_config, tmp_path):
    config = with_data(sea_config, validation_areas=[NORTH])
    splits, _, ocean = prepare(config)
    assert not any(touches(chart, [NORTH]) for chart in ocean.cover.charts)
    centred = [chart for chart in prepare(sea_config)[2].cover.charts if centred_in(chart, [NORTH])]
    assert splits[0].validation.count == len(centred) > 0
    assert len(splits[0].training.times) == len(splits[0].validation.times) == 30  # no days are held out besides
    assert float(train(config, tmp_path, silent).latent.lead_error[1].mean()) > 0
