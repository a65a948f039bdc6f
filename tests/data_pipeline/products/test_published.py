import pickle

import netCDF4
import numpy as np
import pytest

from data_pipeline.errors import MissingFileError, SchemaError, UnknownProductError
from data_pipeline.products.published import from_nested, from_trajectories, import_published
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import write_store

VALUES = np.random.default_rng(0).normal(size=(4, 3, 2, 5, 6)).astype(np.float32)


def test_trajectories_with_environments_go_to_a_sound_store(tmp_path):
    np.savez(tmp_path / "a.npz", trajectories=VALUES, env_id=[0, 0, 1, 1], t=[0, 0.5, 1])
    ds = import_published(tmp_path / "a.npz", lengths=(6.0, 2.5), channels=("u", "v"))
    np.testing.assert_array_equal(ds["v"], VALUES[:, :, 1])
    assert ds["v"].dims == ("trajectory", "time", "y", "x")
    assert ds["v"].dtype == np.float32
    assert ds["environment"].values.tolist() == [0, 0, 1, 1]
    assert ds["time"].values.tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(ds["y"].values, 0.5 * np.arange(5))
    assert "a.npz" in ds.attrs["sources"]
    assert validate_store(write_store(ds, tmp_path / "a.zarr")) == []


def test_arrays_alone_and_hdf5(tmp_path):
    np.save(tmp_path / "a.npy", VALUES[:, :, :, 0])
    alone = import_published(tmp_path / "a.npy")
    assert alone["u0"].dims == ("trajectory", "time", "x")
    assert alone.attrs["lengths"] == [6]
    with netCDF4.Dataset(tmp_path / "a.h5", "w") as group:
        for name, size in zip("ntcyx", VALUES.shape, strict=True):
            group.createDimension(name, size)
        group.createVariable("trajectories", "f4", tuple("ntcyx"))[:] = VALUES
        group.createVariable("env_id", "i4", ("n",))[:] = [0, 1, 2, 3]
    ds = import_published(tmp_path / "a.h5")
    np.testing.assert_array_equal(ds["u0"], VALUES[:, :, 0])
    assert ds["environment"].values.tolist() == [0, 1, 2, 3]


def test_nested_arrays_and_mappings(tmp_path):
    nested = np.arange(2 * 3 * 4 * 2, dtype=float).reshape(2, 3, 4, 2)
    np.savez(tmp_path / "train.npz", X=nested, t=np.linspace(0, 1, 4))
    ds = import_published(tmp_path / "train.npz")
    assert ds["environment"].values.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(ds["u1"], nested[..., 1].reshape(6, 4))
    uneven = from_nested({"one": nested[0], "two": nested[1, :1]}, channels=("prey", "predators"))
    assert uneven["environment"].values.tolist() == [0, 0, 0, 1]


def test_what_is_none_of_these_is_told(tmp_path):
    with pytest.raises(MissingFileError):
        import_published(tmp_path / "none.npz")
    (tmp_path / "a.npy").write_bytes(pickle.dumps({"state": 1}))
    with pytest.raises(UnknownProductError, match=r"save its arrays as \.npz"):
        import_published(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    with pytest.raises(UnknownProductError, match="has a where one of"):
        import_published(tmp_path / "b.npz")
    for wrong, what in (
        ({"values": np.zeros((2, 3))}, "reorder their axes"),
        ({"times": [0, 1]}, "a time for each"),
        ({"lengths": [1.0]}, "x first"),
        ({"channels": ["u"]}, "name each"),
        ({"environment": [0]}, "one for each"),
    ):
        with pytest.raises(SchemaError, match=what):
            from_trajectories(**{"values": VALUES, **wrong})
    with pytest.raises(SchemaError, match="step, state"):
        from_nested([np.zeros((2, 3))])
