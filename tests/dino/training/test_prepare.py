"""From stores to what training sees: what is held out, which stores, whose channels, and copies of the rest."""

import numpy as np
import pytest
import torch

from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.writing import write_store
from dino.config import Config
from dino.data.copies import mirrored
from dino.errors import ConfigError, EmptyDataError, MissingFileError, SchemaError
from dino.space.cover import CONTEXT
from dino.training.prepare import found_stores, prepare


def test_trajectories_held_out_of_every_tile(box_store, box_config):
    domain = {"kind": "tiles", "tile_degrees": 4.0, "overlap": 0.5}
    splits, _, ocean = prepare(Config.model_validate(box_config.model_dump() | {"domain": domain}))
    split, charts = splits[0], ocean.charts
    assert charts > 1
    assert split.series.count == 8 * charts
    assert split.training.count == 7 * charts
    held = split.validation
    assert held.count == charts
    assert torch.equal(held.values, split.series.values[7::8])


def test_held_out_days_are_not_trained_on(sea_config):
    splits, *_ = prepare(sea_config)
    assert splits[0].training.values.shape[1] == 30 - 6
    np.testing.assert_array_equal(splits[0].training.times, splits[0].series.times[:24])


def test_sea_without_enough_days_is_refused(sea_config):
    settings = sea_config.model_dump(mode="json")
    settings["data"]["validation_days"] = 29
    with pytest.raises(EmptyDataError, match="nothing to validate on"):
        prepare(Config.model_validate(settings))


def test_stores_that_are_none(box_config, tmp_path):
    settings = box_config.model_dump(mode="json")
    settings["data"]["stores"][0]["path"] = str(tmp_path / "none.zarr")
    with pytest.raises(MissingFileError):
        prepare(Config.model_validate(settings))
    time = np.datetime64("2000-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
    observed = observations_dataset(time, [0, 1, 2], [0, 1, 2], {"ssh": [0.0, 0.1, 0.2]})
    settings["data"]["stores"][0]["path"] = str(write_store(observed, tmp_path / "observed.zarr"))
    with pytest.raises(SchemaError, match="holds observations"):
        prepare(Config.model_validate(settings))


def test_every_periodic_store_is_moved_about(box_config):
    """The first keeps its held-out trajectories as they are; a second one holds none out."""
    stores = [store.model_copy() for store in box_config.data.stores * 2]
    data = box_config.data.model_copy(update={"translations": 3, "stores": stores})
    splits, *_ = prepare(box_config.model_copy(update={"data": data}))
    alone, *_ = prepare(box_config.model_copy(update={"data": data.model_copy(update={"translations": 1})}))
    (first, second), (once, _) = splits, alone
    assert first.series.count == once.series.count + 2 * (once.series.count - once.held)
    assert second.series.count == 3 * once.series.count


def test_channels_of_the_first_store_are_not_ignored(box_config):
    store = box_config.data.stores[0]
    named = box_config.data.model_copy(update={"stores": [store.model_copy(update={"channels": ["sla"]})]})
    with pytest.raises(ConfigError, match=r"stores\.0\.channels"):
        prepare(box_config.model_copy(update={"data": named}))
    same = box_config.data.model_copy(update={"stores": [store.model_copy(update={"channels": ["ssh"]})]})
    prepare(box_config.model_copy(update={"data": same}))


def test_mirrors_of_a_streamed_store_are_refused(sea_config):
    data = sea_config.data.model_copy(update={"mirrors": True, "memory_gb": 1e-6})
    with pytest.raises(ConfigError, match=r"data\.mirrors"):
        prepare(sea_config.model_copy(update={"data": data}))


def test_a_pattern_is_every_store_in_order_with_one_weight_together(sea_config, tmp_path):
    for name in ("b.zarr", "a.zarr", "c.zip"):
        (tmp_path / name).mkdir()
    pattern = sea_config.data.stores[0].model_copy(update={"path": tmp_path / "*.zarr", "weight": 3.0})
    found = found_stores([sea_config.data.stores[0], pattern])
    assert [store.path.name for store in found] == [sea_config.data.stores[0].path.name, "a.zarr", "b.zarr"]
    assert [store.weight for store in found] == [1.0, 1.5, 1.5]
    with pytest.raises(MissingFileError, match=r"no store matches the pattern .*\*.nc"):
        found_stores([pattern.model_copy(update={"path": tmp_path / "*.nc"})])


def test_mirrors_turn_rows_signs_and_hemispheres(sea_config):
    config = sea_config.model_copy(update={"data": sea_config.data.model_copy(update={"mirrors": True})})
    splits, *_ = prepare(config)
    series, copies = splits[0].training, splits[0].copies
    side = round(np.sqrt(series.values.shape[2]))
    field, *copied = (each.values.unflatten(2, (side, side)) for each in (series, *copies))
    over, turned, both = copied
    torch.testing.assert_close(over, field.flip(2))
    torch.testing.assert_close(turned, -field.flip(2))
    torch.testing.assert_close(both, -field)
    sine = series.context[:, 0]
    for copy, sign in zip(copies, (-1, 1, -1), strict=True):
        torch.testing.assert_close(copy.context[:, 0], sign * sine)
        torch.testing.assert_close(copy.context[:, 1:], series.context[:, 1:])
    # A copy of a copy is the original again, gaps included.
    again = mirrored(copies[0], (side, side))[0]
    torch.testing.assert_close(again.values, series.values)
    torch.testing.assert_close(again.weights, series.weights)
    torch.testing.assert_close(again.context, series.context)


def test_what_is_held_out_begins_after_what_is_trained_on(sea_config, box_config):
    """Days with the history that their forecasts begin from; of trajectories all days."""
    (split,), *_ = prepare(sea_config)
    assert (split.held, split.training_frames) == (0, slice(0, 24))
    assert split.training_rows == slice(0, 1)
    assert split.held_frames() == slice(24, None)
    assert split.held_frames(history=3) == slice(20, None)
    assert split.held_frames(history=99) == slice(0, None)
    (split,), *_ = prepare(box_config)
    assert (split.held, split.training_rows, split.held_rows) == (1, slice(0, 7), slice(7, None))
    assert split.held_frames(history=3) == slice(None)


def test_model_and_ocean_are_those_of_the_first_store(sea_config, sea_dataset, tmp_path):
    other = write_store(sea_dataset(west=10.0, land=False), tmp_path / "other.zarr")
    second = sea_config.data.stores[0].model_copy(update={"path": other})
    stores = [*sea_config.data.stores, second]
    splits, latent, ocean = prepare(
        sea_config.model_copy(update={"data": sea_config.data.model_copy(update={"stores": stores})})
    )
    _, alone, same = prepare(sea_config)
    assert len(splits) == 2
    assert splits[1].training_frames == slice(None)  # nothing of it is held out
    assert ocean.spec == same.spec
    np.testing.assert_array_equal(ocean.background.values, same.background.values)
    assert latent.spec.model_copy(update={"data_digest": ""}) == alone.spec.model_copy(update={"data_digest": ""})
    assert latent.spec.data_digest != alone.spec.data_digest
    assert latent.spec.context == CONTEXT
    assert [split.series.values.shape[-1] for split in splits] == [1, 1]


def test_a_channel_is_described_as_in_its_store(sea_config, sea_dataset, tmp_path):
    dataset = sea_dataset()
    dataset["adt"].attrs |= {"standard_name": "sea_surface_height_above_geoid", "units": "m"}
    path = write_store(dataset, tmp_path / "sea.zarr")
    stores = [sea_config.data.stores[0].model_copy(update={"path": path})]
    config = sea_config.model_copy(update={"data": sea_config.data.model_copy(update={"stores": stores})})
    (channel,) = prepare(config)[2].channels
    assert (channel.name, channel.units) == ("adt", "m")
    assert channel.standard_name == "sea_surface_height_above_geoid"
    known = np.isfinite(dataset["adt"].values[0])
    values = dataset["adt"].values[:24, known]  # the days that are trained on
    mean = np.average(values.mean(0), weights=_rows(dataset)[known])
    assert channel.spread == pytest.approx(np.sqrt(np.square(values - mean).mean()), rel=1e-5)


def _rows(dataset):
    """Area of every cell, by the cosine of its latitude."""
    return np.broadcast_to(np.cos(np.deg2rad(dataset["latitude"].values))[:, None], dataset["adt"].shape[1:])


def stored_sea(sea_config, sea_dataset, folder, change, more=()):
    """The settings of a run on a changed toy sea, and on further stores."""
    settings = sea_config.model_dump(mode="json")
    first, *others = [write_store(made, folder / f"{i}.zarr") for i, made in enumerate([change(sea_dataset()), *more])]
    settings["data"]["stores"] = [{**settings["data"]["stores"][0], "path": str(path)} for path in (first, *others)]
    return settings


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21, 22], r"1 to 8 days apart .*\(1 of 15 steps .*2005-04-13"),
        (
            [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15],
            "train_start=2005-04-05T00:00 data.train_end=2005-04-11T00:00",
        ),
        ([0, 3, 4, 9, 10, 17, 18, 26, 29], "1 to 8 days apart"),
    ],
)
def test_uneven_maps_are_refused_and_their_even_part_is_named(sea_config, sea_dataset, tmp_path, keep, message):
    settings = stored_sea(sea_config, sea_dataset, tmp_path, lambda ds: ds.isel(time=keep))
    with pytest.raises(ConfigError, match=message):
        prepare(Config.model_validate(settings))


def test_months_are_even_enough(sea_config, sea_dataset, tmp_path):
    months = np.arange("2000-01", "2002-07", dtype="datetime64[M]").astype("datetime64[ns]")
    settings = stored_sea(sea_config, sea_dataset, tmp_path, lambda ds: ds.assign_coords(time=months))
    settings["data"]["validation_days"] = 180
    _, latent, _ = prepare(Config.model_validate(settings))
    assert latent.spec.interval_days == 31.0


def test_a_second_store_has_the_interval_of_the_first(sea_config, sea_dataset, tmp_path):
    other = sea_dataset().isel(time=slice(None, None, 5))
    settings = stored_sea(sea_config, sea_dataset, tmp_path, lambda ds: ds, [other])
    with pytest.raises(ConfigError, match=r"1.zarr are 5 to 5 days apart where 1 is wanted"):
        prepare(Config.model_validate(settings))


def test_a_sea_that_never_changes_is_refused(sea_config, sea_dataset, tmp_path, caplog):
    still = lambda ds: ds.copy(data={"adt": np.broadcast_to(ds["adt"].values[:1], ds["adt"].shape).copy()})  # noqa: E731
    with pytest.raises(EmptyDataError, match="are the same"):
        prepare(Config.model_validate(stored_sea(sea_config, sea_dataset, tmp_path / "still", still)))

    def copied(ds):
        values = ds["adt"].values.copy()
        values[[3, 9]] = values[[2, 8]]
        return ds.copy(data={"adt": values})

    prepare(Config.model_validate(stored_sea(sea_config, sea_dataset, tmp_path / "copied", copied)))
    assert "2 of 23 maps are copies of the one before them" in caplog.text
