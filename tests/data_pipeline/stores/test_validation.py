"""validate_store: each rule of the two layouts, broken alone, is found alone, with its place and its value."""

import tracemalloc

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import MissingFileError
from data_pipeline.layout import checks as layout
from data_pipeline.layout.channels import CHANNELS
from data_pipeline.layout.datasets import fields_dataset, layout_problems, observations_dataset
from data_pipeline.stores.validation import validate_store, value_problems
from data_pipeline.stores.writing import write_store

MISSING = np.datetime64("NaT", "ns")


def forge(ds, path):
    """Write whatever `ds` is as a store, without the checks of `write_store`."""
    ds = ds.drop_encoding().assign_attrs(dino_complete=ds.attrs.get("dino_complete", True))
    ds.to_zarr(path, mode="w", zarr_format=3, consolidated=False, write_empty_chunks=True)
    return path


def put(name, index, value):
    """A change of one value (or some) of a variable."""

    def change(ds):
        values = ds[name].values.copy()
        values[index] = value
        return ds.assign({name: ds[name].copy(data=values)}) if name in ds.data_vars else recoord(ds, name, values)

    return change


def recoord(ds, name, values):
    return ds.assign_coords({name: (ds[name].dims, values, ds[name].attrs)})


def drop_attrs(name):
    def change(ds):
        return ds.assign({name: ds[name].drop_attrs()})

    return change


def rename_units(ds):
    return ds.assign(adt=ds["adt"].assign_attrs(units="cm"))


# What is told, and the change that breaks exactly this.
FIELD_FAULTS = {
    "attribute Conventions is 'CF-1.0' where 'CF-1.11' is wanted": lambda ds: ds.assign_attrs(Conventions="CF-1.0"),
    "attribute product is missing or no text": lambda ds: ds.assign_attrs(product=3),
    "attribute history is missing or no text": lambda ds: ds.assign_attrs(history=3),
    "attribute sources is no JSON list of files": lambda ds: ds.assign_attrs(sources="[1]"),
    "attribute sources is no JSON list of files ": lambda ds: ds.assign_attrs(sources="a.nc"),
    "coordinate latitude is missing": lambda ds: ds.drop_vars("latitude"),
    "coordinate latitude has dimensions ('k',) where ('latitude',) is wanted": lambda ds: ds.drop_vars(
        "latitude"
    ).assign_coords(latitude=("k", np.arange(3.0))),
    "longitude has type float32 where float64 is wanted": lambda ds: recoord(
        ds, "longitude", ds["longitude"].values.astype(np.float32)
    ),
    "longitude lies outside [-180, 180) (1 time, first at longitude 5: 180)": put("longitude", 5, 180.0),
    "latitude lies outside [-90, 90] (1 time, first at latitude 3: 91)": put("latitude", 3, 91.0),
    "latitude is not finite (1 time, first at latitude 3: nan)": put("latitude", 3, np.nan),
    "latitude is not strictly ascending (1 time, first at latitude 2: 32)": put("latitude", 2, 32.0),
    "time does not increase (1 time, first at time 3: 2014-05-17T00:00:00.000000)": put(
        "time", 3, np.datetime64("2014-05-17", "ns")
    ),
    "time is missing (1 time, first at time 2: no time)": put("time", 2, MISSING),
    "time is finer than a microsecond, which a store cannot hold "
    "(1 time, first at time 1: 2014-05-16T00:00:00.000000)": put(
        "time", 1, np.datetime64("2014-05-16T00:00:00.000000001", "ns")
    ),
    "time has type int64 where datetime64[ns] is wanted": lambda ds: recoord(ds, "time", np.arange(5)),
    "there is no channel": lambda ds: ds.drop_vars(["adt", "sst"]),
    "channel adt has dimensions ('latitude', 'time', 'longitude') where ('time', 'latitude', 'longitude') or "
    "('trajectory', 'time', 'latitude', 'longitude') is wanted": lambda ds: ds.assign(
        adt=ds["adt"].transpose("latitude", "time", "longitude")
    ),
    "channel adt has type float64 where float32 is wanted": lambda ds: ds.assign(adt=ds["adt"].astype(np.float64)),
    "channel adt has no units": drop_attrs("adt"),
    "channel adt has units 'cm' where 'm' is wanted": rename_units,
    "channel adt is infinite (2 times, first at time 1, latitude 2, longitude 3: inf)": put(
        "adt", (1, 2, slice(3, 5)), np.inf
    ),
    "channel adt lies outside [-5, 5] (1 time, first at time 4, latitude 3, longitude 5: 1e+06)": put(
        "adt", (4, 3, 5), 1e6
    ),
    "channel sst holds no value": put("sst", ..., np.nan),
}


@pytest.mark.parametrize("message", FIELD_FAULTS)
def test_a_rule_of_fields_that_is_broken_alone_is_found_alone(tmp_path, toy_fields, message):
    assert validate_store(forge(toy_fields, tmp_path / "sound.zarr")) == []
    problems = validate_store(forge(FIELD_FAULTS[message](toy_fields), tmp_path / "a.zarr"))
    assert [str(problem) for problem in problems] == [message.rstrip()]


def test_an_empty_dimension_is_named(toy_fields):
    assert [str(p) for p in layout_problems(toy_fields.isel(time=slice(0)))] == ["dimension time is empty"]


@pytest.fixture
def told_observations(toy_observations):
    """Observations of two channels, one of them with a truth and a correlated part of the error."""
    count = toy_observations.sizes["obs"]
    attrs, units = {"product": "toy", "history": "made"}, toy_observations["adt"].attrs["units"]
    assert units == "m"
    adt = toy_observations["adt"].values
    return observations_dataset(
        toy_observations["time"].values,
        toy_observations["longitude"].values,
        toy_observations["latitude"].values,
        {"adt": adt, "sst": np.full(count, 15.0)},
        {"adt": np.full(count, 0.02)},
        toy_observations["source"].values,
        ["mission1", "mission2"],
        attrs,
        correlated_errors={"adt": np.full(count, 0.01)},
        truth={"adt": adt},
    )


OBSERVATION_FAULTS = {
    "attribute Conventions is None where 'CF-1.11' is wanted": lambda ds: ds.assign_attrs(Conventions=None),
    "variable source is missing": lambda ds: ds.drop_vars("source"),
    "variable source has dimensions ('day',) where ('obs',) is wanted": lambda ds: ds.assign(
        source=("day", np.zeros(ds.sizes["day"], np.int16))
    ),
    "there is no observation": lambda ds: ds.isel(obs=slice(0)),
    "source has type int64 where int16 or int32 is wanted": lambda ds: ds.assign(source=ds["source"].astype(np.int64)),
    "source_name is no text": lambda ds: recoord(ds, "source_name", np.arange(2)),
    "source points outside the 2 names of source_name (1 time, first at obs 7: 2)": put("source", 7, 2),
    "source points outside the 2 names of source_name (1 time, first at obs 7: -1)": put("source", 7, -1),
    "there is no channel": lambda ds: ds.drop_vars([n for n in ds if str(n).startswith(("adt", "sst"))]),
    "channel sst has dimensions ('day',) where ('obs',) is wanted": lambda ds: ds.assign(
        sst=("day", np.zeros(ds.sizes["day"], np.float32), ds["sst"].attrs)
    ),
    "channel adt has type float64 where float32 is wanted": lambda ds: ds.assign(adt=ds["adt"].astype(np.float64)),
    "channel adt_error has units 'cm' where 'm' is wanted": lambda ds: ds.assign(
        adt_error=ds["adt_error"].assign_attrs(units="cm")
    ),
    "channel adt_truth has no units": drop_attrs("adt_truth"),
    "sla_error stands beside no channel": lambda ds: ds.assign(sla_error=ds["adt_error"]),
    "day_offset is int32 (11,) where int64 (11,) is wanted for 10 days": lambda ds: ds.assign(
        day_offset=ds["day_offset"].astype(np.int32)
    ),
    "day is no unbroken row of days (1 time, first at day 9: 2014-05-25T00:00:00.000000)": put(
        "day", 9, np.datetime64("2014-05-25", "ns")
    ),
    "day_offset does not rise from 0 to the 500 observations (1 time, first at day_edge 10: 499)": put(
        "day_offset", 10, 499
    ),
    "longitude lies outside [-180, 180) (2 times, first at obs 3: 180)": put("longitude", [3, 400], [180.0, 181.0]),
    "latitude lies outside [-90, 90] (1 time, first at obs 3: -90.5)": put("latitude", 3, -90.5),
    "longitude is not finite (1 time, first at obs 3: nan)": put("longitude", 3, np.nan),
    "latitude has type float32 where float64 is wanted": lambda ds: recoord(
        ds, "latitude", ds["latitude"].values.astype(np.float32)
    ),
    "time is missing (1 time, first at obs 9: no time)": put("time", 9, MISSING),
    "channel adt is infinite (1 time, first at obs 499: -inf)": put("adt", 499, -np.inf),
    "channel adt_truth lies outside [-5, 5] (1 time, first at obs 1: 1e+06)": put("adt_truth", 1, 1e6),
    "channel adt_error is a negative standard deviation (1 time, first at obs 250: -1)": lambda ds: put(
        "adt_correlated_error", 250, np.nan
    )(put("adt_error", 250, -1.0)(ds)),
    "channel adt_correlated_error is larger than adt_error (500 times, first at obs 0: 0.03)": put(
        "adt_correlated_error", ..., 0.03
    ),
    "channel sst holds no value": put("sst", ..., np.nan),
    "observation has no value of any channel (1 time, first at obs 11: nan)": lambda ds: put("sst", 11, np.nan)(
        put("adt", 11, np.nan)(ds)
    ),
}


@pytest.mark.parametrize("message", OBSERVATION_FAULTS)
def test_a_rule_of_observations_that_is_broken_alone_is_found_alone(tmp_path, told_observations, message):
    assert validate_store(forge(told_observations, tmp_path / "sound.zarr")) == []
    problems = validate_store(forge(OBSERVATION_FAULTS[message](told_observations), tmp_path / "a.zarr"))
    assert [str(problem) for problem in problems] == [message]


def swap(values, one, two):
    values = values.copy()
    values[[one, two]] = values[[two, one]]
    return values


@settings(max_examples=20, deadline=None)
@given(st.data(), st.sampled_from([17, 64, 199, 200, 1000]))
def test_the_place_of_a_fault_does_not_depend_on_the_blocks(data, size):
    rng = np.random.default_rng(0)
    time = np.datetime64("2014-05-15", "us") + np.sort(rng.choice(10**9, 200, replace=False)).astype("m8[us]")
    longitude, latitude = rng.uniform(-180, 180, 200), rng.uniform(-60, 60, 200)
    ds = observations_dataset(time, longitude, latitude, {"adt": rng.normal(0, 0.1, 200)})
    at = data.draw(st.integers(0, 199))
    kept = layout.OBSERVATIONS_PER_BLOCK
    layout.OBSERVATIONS_PER_BLOCK = size
    try:
        assert layout_problems(ds) == []
        (problem,) = layout_problems(put("latitude", at, 99.0)(ds))
        assert problem.index == (("obs", at),)
        (problem,) = value_problems(put("adt", at, np.inf)(ds))
        assert (problem.index, problem.value) == ((("obs", at),), "inf")
        if at:
            swapped = recoord(ds, "time", swap(ds["time"].values, at - 1, at))
            late = [problem for problem in layout_problems(swapped) if problem.variable == "time"]
            assert [(p.what, p.count, p.index) for p in late] == [("does not increase", 1, (("obs", at),))]
    finally:
        layout.OBSERVATIONS_PER_BLOCK = kept


def test_observations_on_the_wrong_day_are_found(tmp_path, told_observations):
    offset = told_observations["day_offset"].values
    ds = put("day_offset", 1, offset[1] + 1)(told_observations)
    (problem,) = validate_store(forge(ds, tmp_path / "a.zarr"))
    assert (problem.variable, problem.what) == ("day_offset", "puts observations on the wrong day")
    assert problem.index == (("obs", offset[1]),)


def forget_to_finish(path):
    zarr.open_group(path, mode="r+").attrs["dino_complete"] = False


def pretend_to_be_foreign(path):
    zarr.open_group(path, mode="r+").attrs["dino_store"] = "else"


def come_from_the_future(path):
    zarr.open_group(path, mode="r+").attrs["dino_schema"] = 99


def first_chunk(path):
    return next(file for file in sorted((path / "adt" / "c").rglob("*")) if file.is_file())


def damage_chunk(path):
    first_chunk(path).write_bytes(b"nonsense")


def lose_chunk(path):
    first_chunk(path).unlink()


DISK_FAULTS = {
    "never finished": forget_to_finish,
    "no store of dino-data": pretend_to_be_foreign,
    "has layout 99": come_from_the_future,
    "channel adt cannot be read": damage_chunk,
    "variable adt lacks chunks on disk, of 1 (1 time, first at": lose_chunk,
}


@pytest.mark.parametrize("kind", ["fields", "observations"])
@pytest.mark.parametrize("message", DISK_FAULTS)
def test_what_is_wrong_on_disk_is_told(tmp_path, toy_fields, told_observations, kind, message):
    path = write_store(toy_fields if kind == "fields" else told_observations, tmp_path / "a.zarr")
    DISK_FAULTS[message](path)
    told = [str(problem) for problem in validate_store(path)]
    assert any(message in text for text in told)
    # Nothing else is wrong but what follows from it.
    assert {"channel adt holds no value", *(t for t in told if message in t)} >= set(told)


def test_a_lost_chunk_in_the_middle_is_placed(tmp_path, monkeypatch, told_observations):
    monkeypatch.setattr("data_pipeline.stores.writing.OBSERVATIONS_PER_CHUNK", 100)
    path = write_store(told_observations, tmp_path / "a.zarr")
    (path / "adt_truth" / "c" / "3").unlink()
    (problem,) = validate_store(path)
    assert str(problem) == "variable adt_truth lacks chunks on disk, of 5 (1 time, first at obs 300)"


def test_values_without_position_are_placed(tmp_path):
    x, y = np.meshgrid(np.arange(3.0), np.arange(2.0))
    x[1, 2] = np.nan
    time = np.array(["2000-01-01"], "datetime64[ns]")
    path = write_store(fields_dataset(time, x, y, {"ssh": np.ones((1, 2, 3))}), tmp_path / "a.zarr")
    told = [str(problem) for problem in validate_store(path)]
    assert told == ["channel ssh has values without a position (1 time, first at time 0, y 1, x 2: 1)"]


def test_missing_store_is_not_a_problem_but_an_error(tmp_path):
    with pytest.raises(MissingFileError):
        validate_store(tmp_path / "none.zarr")


@pytest.mark.parametrize("name", CHANNELS)
def test_both_ends_of_every_range_are_watched(name):
    low, high = CHANNELS[name].valid_range
    time = np.array(["2000-01-01"] * 4, "datetime64[us]")
    for value in (low - 0.01, high + 0.01):
        ds = observations_dataset(time, np.zeros(4), np.zeros(4), {name: [low, value, high, 0.5 * (low + high)]})
        (problem,) = value_problems(ds)
        assert (problem.count, problem.index) == (1, (("obs", 1),))


def peak_of_validation(path) -> int:
    """Bytes; reads of blocks run side by side, so that a single peak may hold more of them than another."""
    tracemalloc.start()
    assert validate_store(path) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_is_that_of_a_block_whatever_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr("data_pipeline.stores.writing.OBSERVATIONS_PER_CHUNK", 2**15)
    monkeypatch.setattr("data_pipeline.layout.checks.OBSERVATIONS_PER_BLOCK", 2**15)
    peaks = []
    for count in (2**17, 2**18):
        time = np.datetime64("2014-05-15", "us") + np.arange(count).astype("m8[s]")
        ds = observations_dataset(time, np.zeros(count), np.zeros(count), {"adt": np.zeros(count)})
        path = write_store(ds, tmp_path / f"{count}.zarr")
        del ds, time
        peaks.append(min(peak_of_validation(path) for _ in range(3)))
    columns = 2**18 * (8 + 8 + 8 + 4 + 2)
    assert peaks[1] < 0.6 * columns
    assert peaks[1] < 1.6 * peaks[0]
