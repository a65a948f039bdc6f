"""Stores that somebody else made: nothing outside is read, nothing is unpickled, and no size is believed."""

import json
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from data_pipeline.errors import DinoError, StoreError
from data_pipeline.stores.blocks import FieldBlocks
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tracks(toy_observations, tmp_path):
    return write_store(toy_observations, tmp_path / "tracks.zarr")


@pytest.fixture
def maps(toy_fields, tmp_path):
    return write_store(toy_fields, tmp_path / "maps.zarr")


def edited(path, **changes):
    """Metadata of an array or group with other values, by dotted keys."""
    metadata = json.loads((path / "zarr.json").read_text())
    for key, value in changes.items():
        *above, last = key.split("__")
        place = metadata
        for name in above:
            place = place[name]
        place[last] = value
    (path / "zarr.json").write_text(json.dumps(metadata))


def refused(path, match, within=2.0):
    """Opening and validating tell it, soon."""
    began = time.monotonic()
    for blocks in (True, False):
        with pytest.raises(StoreError, match=match):
            open_store(path, blocks=blocks)
    assert validate_store(path)
    assert time.monotonic() - began < within


@pytest.mark.parametrize("rows", [10**13, 2**62, 10**30])
@pytest.mark.parametrize("chunk", [1, 500, 2**18, "all"])
@pytest.mark.parametrize("names", [("adt",), ("time", "longitude", "latitude", "adt", "adt_error", "source")])
def test_columns_that_claim_more_rows_than_the_disk_holds(tracks, rows, chunk, names):
    for name in names:
        length = rows if chunk == "all" else chunk
        edited(tracks / name, shape=[rows], chunk_grid__configuration__chunk_shape=[length])
    refused(tracks, "can hold no such number|chunks")


@pytest.mark.parametrize(
    ("shape", "chunk"), [([10**6, 10**6, 10**6], [5, 4, 6]), ([5, 2**40, 6], [5, 4, 6]), ([5, 4, 2**50], [1, 1, 1])]
)
def test_maps_that_claim_more_cells_than_the_disk_holds(maps, shape, chunk):
    edited(maps / "adt", shape=shape, chunk_grid__configuration__chunk_shape=chunk)
    refused(maps, "can hold no such number")


def test_coordinates_and_names_are_bounded_too(maps, tracks):
    edited(maps / "latitude", shape=[2**40], chunk_grid__configuration__chunk_shape=[2**40])
    refused(maps, "can hold no such number")
    edited(tracks / "source_name", shape=[2**40], chunk_grid__configuration__chunk_shape=[2**40])
    refused(tracks, "can hold no such number")


def test_many_chunks_of_which_few_are_there(tracks):
    values = np.random.default_rng(0).bytes(2**21)
    (tracks / "adt" / "c" / "1").write_bytes(values)
    edited(tracks / "adt", shape=[2**33], chunk_grid__configuration__chunk_shape=[2**10])
    refused(tracks, "claims .* chunks where the disk has 2")


def test_one_chunk_of_many_bytes_that_are_all_the_same(tracks):
    (tracks / "adt" / "c" / "1").write_bytes(np.random.default_rng(0).bytes(2**21))
    edited(tracks / "adt", shape=[2**34], chunk_grid__configuration__chunk_shape=[2**34])
    refused(tracks, "more than a reader should hold")


def test_a_store_of_equal_values_is_none_of_these(toy_fields, tmp_path):
    """The best case of the codecs: what is packed sixty thousandfold is opened and read."""
    fine = {"longitude": np.linspace(-5, 5, 2000), "latitude": np.linspace(30, 36, 2000)}
    constant = toy_fields[["adt"]].interp(fine, method="nearest") * np.float32(np.nan)
    constant = constant.astype(np.float32).assign_attrs(toy_fields.attrs)
    constant["adt"].attrs = toy_fields["adt"].attrs
    for name in fine:
        constant[name].attrs = toy_fields[name].attrs
    path = write_store(constant, tmp_path / "nothing.zarr")
    on_disk = sum(file.stat().st_size for file in (path / "adt" / "c").rglob("*") if file.is_file())
    assert constant["adt"].nbytes > 64 * 2**20
    assert on_disk < constant["adt"].nbytes / 3000
    assert np.isnan(open_store(path)["adt"].values).all()


@pytest.mark.parametrize("kind", ["folder", "chunk", "metadata", "root", "dangling", "deep"])
def test_links_out_of_the_store_are_refused(tracks, maps, tmp_path, kind):
    other = tmp_path / "elsewhere"
    shutil.copytree(tracks, other)
    column = tracks / "adt"
    at, to = {
        "folder": (column, other / "adt"),
        "chunk": (column / "c" / "0", other / "adt" / "c" / "0"),
        "metadata": (column / "zarr.json", other / "adt" / "zarr.json"),
        "root": (tracks / "zarr.json", other / "zarr.json"),
        "dangling": (tracks / "new", tmp_path / "never"),
        "deep": (column / "c", other / "adt" / "c"),
    }[kind]
    if at.is_dir():
        shutil.rmtree(at)
    else:
        at.unlink(missing_ok=True)
    at.symlink_to(to)
    refused(tracks, "led out of its folder")


def test_links_inside_and_to_the_whole_store_are_followed(maps, tmp_path):
    whole = open_store(maps)["adt"].values
    (maps / "adt" / "c").rename(maps / "kept")
    (maps / "adt" / "c").symlink_to("../kept")
    (tmp_path / "link.zarr").symlink_to(maps)
    np.testing.assert_array_equal(open_store(tmp_path / "link.zarr")["adt"].values, whole)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("place", ["store", "array"])
def test_objects_of_format_2_are_never_unpickled(tmp_path, maps, place):
    path, harm = tmp_path / "foreign.zarr", tmp_path / "harm"
    chunk = np.array([Bomb(harm)], dtype=object)
    folder = path / "adt" if place == "store" else maps / "bomb"
    folder.mkdir(parents=True)
    if place == "store":
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        attributes = {"dino_store": "fields", "dino_schema": 1, "dino_complete": True}
        (path / ".zattrs").write_text(json.dumps(attributes))
    (folder / ".zarray").write_text(
        json.dumps(
            {
                "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None, "fill_value": 0,
                "order": "C", "filters": [{"id": "pickle", "protocol": 5}],
            }
        )
    )  # fmt: skip
    (folder / "0").write_bytes(pickle.dumps(chunk))
    refused(path if place == "store" else maps, "format 2|no store of dino-data|layout")
    assert not harm.exists()


@pytest.mark.parametrize("codec", ["numcodecs.pickle", "pickle", "numcodecs.json2", "my-own", "numcodecs.msgpack2"])
@pytest.mark.parametrize("nested", [False, True])
def test_codecs_that_stores_do_not_have_are_refused(maps, codec, nested):
    inner = [{"name": codec, "configuration": {}}]
    sharded = [{"name": "sharding_indexed", "configuration": {"chunk_shape": [5, 4, 6], "codecs": inner}}]
    edited(maps / "adt", codecs=sharded if nested else inner)
    refused(maps, "wants the codec")


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [-5, 4, 6]},
        {"shape": "many"},
        {"shape": [5.5, 4, 6]},
        {"shape": [5, 4]},
        {"shape": None},
        {"data_type": "object"},
        {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": -4}}},
        {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 10**14}}},
        {"data_type": 7},
        {"chunk_grid__configuration__chunk_shape": [0, 4, 6]},
        {"chunk_grid": {"name": "rectangular"}},
        {"codecs": None},
        {"codecs": [7]},
    ],
)
def test_metadata_that_describe_no_array(maps, changes):
    edited(maps / "adt", **changes)
    refused(maps, "does not describe an array|can hold no such number|no zarr store|damaged")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"zarr"', "[" * 100_000, "\xff"])
def test_metadata_that_are_no_json(maps, text):
    (maps / "adt" / "zarr.json").write_text(text, encoding="latin-1")
    with pytest.raises(DinoError):
        FieldBlocks(maps, ["adt"])


def test_descriptions_as_long_as_films_are_not_read(maps):
    with open(maps / "adt" / "zarr.json", "r+b") as file:
        file.truncate(2**40)  # of no byte on the disk
    refused(maps, "longer than")


def test_consolidated_metadata_are_not_believed(maps):
    zarr.consolidate_metadata(maps)
    content = json.loads((maps / "zarr.json").read_text())
    content["consolidated_metadata"]["metadata"]["adt"]["shape"] = [10**9, 4, 6]
    (maps / "zarr.json").write_text(json.dumps(content))
    assert open_store(maps)["adt"].shape == (5, 4, 6)
    assert FieldBlocks(maps, ["adt"]).read(0).shape[1] == 5
    assert validate_store(maps) == []


PROGRAM = """
import resource, sys
from data_pipeline.errors import StoreError
from data_pipeline.stores.writing import open_store
import dask.array
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_store(sys.argv[1])
except StoreError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_refusal_takes_no_memory(tracks):
    edited(tracks / "adt", shape=[10**13], chunk_grid__configuration__chunk_shape=[2**18])
    arguments = [sys.executable, "-c", PROGRAM, str(tracks)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) < 50_000, done.stderr  # kB
