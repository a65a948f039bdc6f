"""Files of products into canonical datasets: detection, units, positions, missing values, time, provenance."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import EmptyDataError, MissingFileError, SchemaError, UnitsError, UnknownProductError
from data_pipeline.layout.datasets import check_fields, check_observations
from data_pipeline.products import detect, ingest
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store

TRACK = "-4.5 36.0 23510.25 0.10\n355.6 36.1 23510.5 -0.2\n3.0 40.0 23511.0 nan\n"


def grid(values, units="m", name="adt", times=None, **attrs):
    """A 2 x 3 grid file content; values (time, 2, 3), or (2, 3) without time."""
    values = np.asarray(values, dtype=np.float64)
    coords = {
        "latitude": ("latitude", [10.0, 20.0], {"units": "degrees_north"}),
        "longitude": ("longitude", [0.0, 1.0, 2.0], {"units": "degrees_east"}),
    }
    dims = ("time", "latitude", "longitude")[3 - values.ndim :]
    if values.ndim == 3:
        coords["time"] = (
            "time",
            np.arange(len(values)) if times is None else times,
            {"units": "days since 2000-01-01"},
        )
    return xr.Dataset({name: (dims, values, {"units": units} if units else {})}, coords=coords, attrs=attrs)


def saved(tmp_path: Path, ds: xr.Dataset, name: str = "a.nc", **encoding) -> Path:
    ds.to_netcdf(tmp_path / name, encoding=encoding)
    return tmp_path / name


def text(tmp_path: Path, content: str, name: str = "track.dat") -> Path:
    (tmp_path / name).write_text(content)
    return tmp_path / name


# Grids


def test_global_grid_is_rolled_flipped_and_exact(toy_netcdf, tmp_path):
    ds = ingest(toy_netcdf)
    check_fields(ds)
    assert ds["adt"].chunks is not None
    np.testing.assert_array_equal(ds["longitude"], [-180, -135, -90, -45, 0, 45, 90, 135])
    np.testing.assert_array_equal(ds["latitude"], [-60, -30, 0, 30, 60])
    assert ds["time"].values[0] == np.datetime64("2014-05-15T12:00")
    with xr.open_dataset(toy_netcdf) as raw:
        wanted = raw.assign_coords(lon=(raw["lon"] + 180) % 360 - 180).sortby(["lat", "lon"])["adt"].values
    np.testing.assert_array_equal(ds["adt"].values, wanted.astype(np.float32))
    assert np.isnan(ds["adt"]).sum() == 3
    back = open_store(write_store(ds, tmp_path / "a.zarr"))
    np.testing.assert_array_equal(back["adt"], ds["adt"])


def test_provenance_is_kept(toy_netcdf):
    ds = ingest(str(toy_netcdf))
    (source,) = json.loads(ds.attrs["sources"])
    digest = hashlib.sha256(toy_netcdf.read_bytes()).hexdigest()
    counts = {"adt": {"read": 120, "kept": 117, "dropped": {"missing in the file": 3}}}
    assert source == {"file": "maps.nc", "sha256": digest, "bytes": toy_netcdf.stat().st_size, "counts": counts}
    assert ds.attrs["history"].startswith("born\n")
    assert ds.attrs["product"] == "cf-grid"


@pytest.mark.parametrize(
    ("name", "units", "value", "channel", "wanted"),
    [
        ("sst", "kelvin", 293.15, "sst", 20.0),
        ("analysed_sst", "K", 273.15, "sst", 0.0),
        ("sst_anom", "K", 1.5, "sst_anomaly", 1.5),
        ("sla", "cm", 12.0, "sla", 0.12),
        ("uo", "cm/s", 50.0, "u", 0.5),
    ],
)
def test_units_are_converted_and_told(tmp_path, name, units, value, channel, wanted):
    ds = ingest(saved(tmp_path, grid(np.full((1, 2, 3), value), units, name)))
    np.testing.assert_allclose(ds[channel], wanted, atol=1e-5)
    if wanted != value:
        assert f"{units} converted" in ds.attrs["history"]


def test_missing_units_of_an_unknown_product_are_refused(tmp_path):
    path = saved(tmp_path, grid(np.ones((1, 2, 3)), units=None))
    with pytest.raises(UnitsError, match="--units adt='m'"):
        ingest(path)
    told = ingest(path, units={"adt": "cm"})
    np.testing.assert_allclose(told["adt"], 0.01)
    assert "as told by --units" in told.attrs["history"]
    named = ingest(path, product="duacs-l4")
    assert "no units in the file, 'm' taken from product duacs-l4" in named.attrs["history"]


def test_missing_units_of_a_recognised_product_are_told(tmp_path):
    title = "DT merged all satellites Mediterranean Sea Gridded SSALTO/DUACS Sea Surface Height L4 product"
    path = saved(tmp_path, grid(np.ones((1, 2, 3)), units=None, title=title))
    assert detect(path).name == "duacs-l4"
    assert "taken from product duacs-l4" in ingest(path).attrs["history"]


def test_wrong_units_are_refused(tmp_path):
    with pytest.raises(UnitsError, match="'kelvin' where 'adt' is wanted in 'm'"):
        ingest(saved(tmp_path, grid(np.ones((1, 2, 3)), units="kelvin")))


def test_undeclared_fill_is_screened_and_told(tmp_path):
    packed = np.array([[[-2147483647, 1000, 2000], [-2147483648, 3000, 2147483647]]], np.int32)
    ds = grid(np.zeros((1, 2, 3)))
    ds["adt"] = (ds["adt"].dims, packed, {"units": "m", "scale_factor": 1e-4})
    path = saved(tmp_path, ds, adt={"_FillValue": None})
    screened = ingest(path)
    np.testing.assert_allclose(screened["adt"].values[0], [[np.nan, 0.1, 0.2], [np.nan, 0.3, np.nan]], rtol=1e-6)
    assert "3 at the packed integer's extreme" in screened.attrs["history"]


def test_values_no_ocean_holds_are_screened_and_told(tmp_path):
    ds = ingest(saved(tmp_path, grid([[[9999.0, 0.1, 1e20], [-9999.0, 0.2, 0.3]]])))
    assert np.isnan(ds["adt"]).sum() == 3
    assert "3 outside [-5, 5] m" in ds.attrs["history"]


def test_only_missing_values_are_an_error(tmp_path):
    with pytest.raises(EmptyDataError, match="no valid value"):
        ingest(saved(tmp_path, grid(np.full((1, 2, 3), np.nan))))
    with pytest.raises(EmptyDataError, match="6 outside"):
        ingest(saved(tmp_path, grid(np.full((1, 2, 3), 300.0), units="degC", name="sst"), "b.nc"))


@pytest.mark.parametrize(
    ("file_name", "attrs", "option", "wanted"),
    [
        ("eNATL60_y2009m08d15.nc", {}, None, "2009-08-15"),
        ("map_20090815.nc", {}, None, "2009-08-15"),
        ("map_2009-08-15_2009-08-15.nc", {}, None, "2009-08-15"),
        ("map.nc", {"time_coverage_start": "2009-08-15T06:00:00Z"}, None, "2009-08-15T06:00"),
        ("y2009m08d15.nc", {}, "2010-01-02T03:00", "2010-01-02T03:00"),
    ],
)
def test_time_of_a_map_without_time(tmp_path, file_name, attrs, option, wanted):
    ds = ingest(saved(tmp_path, grid(np.ones((2, 3)), **attrs), file_name), time=option)
    assert ds["time"].values[0] == np.datetime64(wanted)
    assert "time " in ds.attrs["history"]


def test_scalar_time_coordinate(tmp_path):
    ds = grid(np.ones((2, 3))).assign_coords(time=np.datetime64("2009-08-15T12:00", "ns"))
    assert ingest(saved(tmp_path, ds))["time"].values[0] == np.datetime64("2009-08-15T12:00")


@pytest.mark.parametrize("file_name", ["map.nc", "map_20090815_20090816.nc"])
def test_map_of_unknown_time_is_refused(tmp_path, file_name):
    with pytest.raises(SchemaError, match="--time"):
        ingest(saved(tmp_path, grid(np.ones((2, 3))), file_name))


def test_curvilinear_grid_without_coordinate_attributes(tmp_path):
    x, y = np.meshgrid([178.0, 181.0, 184.0], [10.0, 20.0])
    x[0, 0] = 1e30
    ds = xr.Dataset(
        {"sossheig": (("y", "x"), np.ones((2, 3), np.float32), {"units": "m"})},
        coords={"lon": (("y", "x"), x), "lat": (("y", "x"), y)},
    )
    fields = ingest(saved(tmp_path, ds, "model_y2009m08d15.nc"))
    assert fields["ssh"].dims == ("time", "y", "x")
    np.testing.assert_allclose(fields["longitude"], [[np.nan, -179, -176], [178, -179, -176]])
    assert int(fields["ssh"].isnull().sum()) == 1


def test_surface_level_is_taken(tmp_path):
    values = np.arange(12.0).reshape(1, 2, 2, 3)
    ds = grid(np.zeros((1, 2, 3))).drop_vars("adt")
    ds["so"] = (("time", "depth", "latitude", "longitude"), values, {"units": "1e-3"})
    ds["depth"] = ("depth", [10.0, 0.5], {"positive": "down"})
    fields = ingest(saved(tmp_path, ds))
    np.testing.assert_array_equal(fields["salinity"].values, values[:, 1])
    assert "depth 0.5 taken of 2 levels" in fields.attrs["history"]


def test_channels_and_variables_are_chosen(tmp_path):
    ds = grid(np.ones((1, 2, 3)), name="odd")
    ds["sla"] = ds["odd"] * 2.0
    ds["sla"].attrs["units"] = "m"
    path = saved(tmp_path, ds)
    assert list(ingest(path).data_vars) == ["sla"]
    both = ingest(path, variables={"adt": "odd"}, channels=["adt"])
    assert list(both.data_vars) == ["adt"]
    with pytest.raises(UnknownProductError, match="holds sla where sst is wanted"):
        ingest(path, channels=["sst"])
    with pytest.raises(UnknownProductError, match="--variable adt=none"):
        ingest(path, variables={"adt": "none"})


def test_a_repeated_meridian_is_dropped(tmp_path):
    ds = xr.Dataset(
        {"adt": (("time", "latitude", "longitude"), np.ones((1, 2, 3)), {"units": "m"})},
        coords={"time": [np.datetime64("2000-01-01", "ns")], "latitude": [0.0, 1.0], "longitude": [0.0, 180.0, 360.0]},
    )
    fields = ingest(saved(tmp_path, ds))
    np.testing.assert_array_equal(fields["longitude"], [-180.0, 0.0])
    assert "1 repeated longitude dropped" in fields.attrs["history"]


def test_several_grids_join_in_time_order(tmp_path):
    saved(tmp_path, grid(np.full((2, 2, 3), 0.2), times=[2, 3]), "a.nc")
    saved(tmp_path, grid(np.full((3, 2, 3), 0.1), times=[0, 1, 2]), "b.nc")
    ds = ingest(tmp_path / "*.nc")
    np.testing.assert_allclose(ds["adt"].values[:, 0, 0], [0.1, 0.1, 0.2, 0.2])
    assert "1 maps of times that came before dropped" in ds.attrs["history"]
    assert len(json.loads(ds.attrs["sources"])) == 2


def test_grids_that_differ_are_refused(tmp_path):
    first = saved(tmp_path, grid(np.ones((1, 2, 3))), "a.nc")
    second = saved(tmp_path, grid(np.ones((1, 2, 3)), times=[1]).isel(longitude=slice(2)), "b.nc")
    with pytest.raises(SchemaError, match="differ in grid"):
        ingest([first, second])


def test_dates_of_another_calendar_keep_their_date(tmp_path):
    ds = grid(np.ones((1, 2, 3)))
    ds["time"].attrs["calendar"] = "360_day"
    assert ingest(saved(tmp_path, ds))["time"].values[0] == np.datetime64("2000-01-01")
    ds = grid(np.ones((1, 2, 3)), times=[59])  # the 30th of February
    ds["time"].attrs["calendar"] = "360_day"
    with pytest.raises(SchemaError, match="calendar"):
        ingest(saved(tmp_path, ds, "b.nc"))


# Points


def track_file(tmp_path, name="l3.nc", **variables):
    count = 4
    ds = xr.Dataset(
        {key: ("time", np.asarray(values, float), {"units": "m"}) for key, values in variables.items()},
        coords={
            "time": ("time", 23510.0 + np.arange(count) / 8.0, {"units": "days since 1950-01-01"}),
            "longitude": ("time", [359.0, 359.5, 0.0, 0.5], {"units": "degrees_east"}),
            "latitude": ("time", [30.0, 31.0, 32.0, 33.0], {"units": "degrees_north"}),
        },
    )
    return saved(tmp_path, ds, name)


def test_old_names_of_along_track_files(tmp_path):
    path = track_file(tmp_path, ADT=[0.1, np.nan, 0.3, 0.4])
    ds = ingest(path)
    check_observations(ds)
    np.testing.assert_allclose(ds["adt"], [0.1, 0.3, 0.4])
    np.testing.assert_allclose(ds["longitude"], [-1.0, 0.0, 0.5])
    assert ds["time"].values[0] == np.datetime64("2014-05-15")
    assert list(ds["source_name"].values) == ["l3"]
    assert "adt: 3 of 4 values kept; dropped 1 missing in the file" in ds.attrs["history"]


def test_new_names_give_sla_and_adt(tmp_path):
    parts = {"sla_filtered": [9, 9, 9, 9], "sla_unfiltered": [0.1, 0.2, 0.3, 0.4], "mdt": [1] * 4, "lwe": [0.01] * 4}
    path = track_file(tmp_path, **parts)
    assert detect(path).name == "copernicus-l3"
    ds = ingest(path)
    np.testing.assert_allclose(ds["sla"], [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(ds["adt"], [1.09, 1.19, 1.29, 1.39], rtol=1e-6)
    assert "sla is sla_unfiltered, not sla_filtered" in ds.attrs["history"]
    assert "adt = sla_unfiltered + mdt - lwe" in ds.attrs["history"]
    assert set(ingest(path, channels=["sla"]).data_vars) == {"sla", "source", "day_offset"}
    assert set(ingest(path, channels=["adt"]).data_vars) == {"adt", "source", "day_offset"}


def test_text_without_header(tmp_path):
    path = text(tmp_path, TRACK)
    assert detect(path).name == "alongtrack-text"
    ds = ingest(path)
    np.testing.assert_allclose(ds["longitude"], [-4.5, -4.4])
    np.testing.assert_allclose(ds["adt"], [0.1, -0.2])
    assert ds["time"].values[1] == np.datetime64("2014-05-15T12:00")
    assert "'m' taken from product alongtrack-text" in ds.attrs["history"]


@pytest.mark.parametrize("name", ["points", "cf_points", "alongtrack-text"])
def test_a_family_is_named(tmp_path, name):
    assert ingest(text(tmp_path, TRACK), product=name).attrs["product"] == "alongtrack-text"
    with pytest.raises(UnknownProductError, match="is a grid"):
        ingest(saved(tmp_path, grid(np.ones((1, 2, 3)))), product=name)


def test_text_with_other_columns(tmp_path):
    path = text(tmp_path, "0.5 36.0 -4.5 10\n1.5 36.1 -4.4 20\n")
    columns = ["time", "latitude", "longitude", "sla"]
    with pytest.raises(UnitsError, match="--units sla"):
        ingest(path, columns=columns, time_units="hours since 2000-01-01")
    with pytest.raises(SchemaError, match="--time-units"):
        ingest(path, columns=columns, units={"sla": "cm"})
    ds = ingest(path, columns=columns, units={"sla": "cm"}, time_units="hours since 2000-01-01")
    np.testing.assert_allclose(ds["sla"], [0.1, 0.2])
    assert ds["time"].values[1] == np.datetime64("2000-01-01T01:30")


@pytest.mark.parametrize("separator", [",", ";", " "])
def test_table_with_header(tmp_path, separator):
    rows = ["# cruise", "lon lat time sst[K]", "10 20 2014-05-15T06:00:00Z 300", "11 21 2014-05-14T06:00:00Z 301"]
    ds = ingest(text(tmp_path, "\n".join(row.replace(" ", separator) for row in rows), "a.csv"))
    np.testing.assert_allclose(ds["sst"], [27.85, 26.85], rtol=1e-6)
    assert ds["time"].values[0] == np.datetime64("2014-05-14T06:00")


def test_table_needs_units(tmp_path):
    path = text(tmp_path, "longitude,latitude,time,adt\n1,2,5,0.1\n", "a.csv")
    with pytest.raises(UnitsError, match="--time-units"):
        ingest(path, units={"adt": "m"})
    with pytest.raises(UnitsError, match="--units adt='m'"):
        ingest(path, time_units="days since 2000-01-01")
    with pytest.raises(UnitsError, match="'fortnights since then', which are none"):
        ingest(path, units={"adt": "m"}, time_units="fortnights since then")


def test_several_tracks_are_several_sources(tmp_path):
    text(tmp_path, "1 1 23510 0.1\n1 1 23512 0.3\n", "one.dat")
    text(tmp_path, "1 1 23511 0.2\n1 1 23512 0.3\n", "two.dat")
    ds = ingest(str(tmp_path / "*.dat"))
    np.testing.assert_allclose(ds["adt"], [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(ds["source"], [0, 1, 0])
    assert list(ds["source_name"].values) == ["one", "two"]
    assert "adt: 3 of 4 values kept; dropped 1 repeated" in ds.attrs["history"]


def test_positions_no_globe_has_are_left_out(tmp_path):
    rows = ["1 1 23510 0.1"] * 58 + ["1 99 23511 0.2", "1e9 1 23511 0.2"]
    ds = ingest(text(tmp_path, "\n".join(rows)), keep_repeats=True)
    assert ds.sizes["obs"] == 58


# What is refused


def test_missing_file():
    with pytest.raises(MissingFileError, match="no file 'nowhere"):
        ingest("nowhere/*.nc")
    with pytest.raises(MissingFileError, match="no file is named"):
        ingest([])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", EmptyDataError),
        (b"# nothing\n", EmptyDataError),
        (b"lon,lat,time,adt\n", EmptyDataError),
        (b"1 1 23510 nan\n", EmptyDataError),
        (b"\x89PNG\r\n\x1a\n\x00\x00", UnknownProductError),
        (b"\x89HDF\r\n\x1a\n rubbish", UnknownProductError),
        (b"CDF\x01 rubbish", UnknownProductError),
        (b"dear diary\n", UnknownProductError),
        (b"1 2 3\n", UnknownProductError),
        (b"1 2 3 4\n1 2 3 4 5\n", UnknownProductError),
        (b"lon,lat,time,adt[m]\n1,1,yesterday,0.1\n", SchemaError),
    ],
)
def test_foreign_and_empty_files(tmp_path, content, error):
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    with pytest.raises(error, match=r"a\.dat"):
        ingest(path)


def test_truncated_netcdf(toy_netcdf):
    content = toy_netcdf.read_bytes()
    toy_netcdf.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnknownProductError, match="cannot be read as NetCDF"):
        ingest(toy_netcdf)


def test_products_that_do_not_fit(toy_netcdf, tmp_path):
    with pytest.raises(UnknownProductError, match="no product 'nonsense'"):
        ingest(toy_netcdf, product="nonsense")
    with pytest.raises(UnknownProductError, match="is a grid"):
        ingest(toy_netcdf, product="copernicus-l3")
    with pytest.raises(UnknownProductError, match="holds points"):
        ingest(track_file(tmp_path, adt=[1, 1, 1, 1]), product="duacs-l4")
    with pytest.raises(UnknownProductError, match="ingest them apart"):
        ingest([toy_netcdf, text(tmp_path, TRACK)])
    with pytest.raises(UnknownProductError, match="no longitude and latitude"):
        ingest(saved(tmp_path, xr.Dataset({"adt": ("x", [1.0])}), "bare.nc"))
    with pytest.raises(UnknownProductError, match="is a folder"):
        ingest(tmp_path)
    with pytest.raises(UnknownProductError, match="text"):
        ingest(text(tmp_path, TRACK), product="duacs-l4")


def test_one_time_for_many_maps_is_refused(toy_netcdf, tmp_path):
    with pytest.raises(SchemaError, match="3 maps"):
        ingest(toy_netcdf, time="2000-01-01")
    paths = [saved(tmp_path, grid(np.ones((2, 3))), name) for name in ("a.nc", "b.nc")]
    with pytest.raises(SchemaError, match="2 files"):
        ingest(paths, time="2000-01-01")


# Real files

REAL = {
    "grids/duacs_l4_med_adt_2005-04-01_2005-06-09.nc": ("duacs-l4", {"adt"}, (70, 128, 344)),
    "grids/eNATL60-BLB002_y2009m08d15.1d_SSH-med.nc": ("enatl60", {"ssh"}, (1, 602, 346)),
    "grids/ersst_v5_monthly_2010-01_2020-08.nc": ("ersst", {"sst"}, (128, 89, 180)),
    "grids/globcurrent_agulhas_2002-01-01_2002-08-31.nc": ("globcurrent", {"u", "v"}, (243, 41, 81)),
    "grids/mercator_glo12_zos_2022-02-17_2022-02-24.nc": ("glo12", {"ssh"}, (8, 85, 146)),
    "grids/tropical_pacific_sst_anom_monthly_197001_200303.nc": ("cf-grid", {"sst_anomaly"}, (399, 30, 84)),
    "grids/nemo_orca1_tos_2015-01.nc": ("nemo", {"sst"}, (1, 330, 360)),
    "grids/roms_arctic20_2016-02-01_2016-02-05.nc": ("roms", {"ssh", "temperature", "salinity", "u", "v"}, (5, 51, 91)),
    "traps/global_adt_no_fillvalue_2019-01-01.nc": ("cf-grid", {"adt"}, (1, 720, 1440)),
    "alongtrack/dt_med_al_adt_vfec_20140101_20140829.nc": ("copernicus-l3", {"adt"}, (182,)),
    "alongtrack/dt_med_al_phy_vxxc_l3_20140605_20170110.nc": ("copernicus-l3", {"sla", "adt"}, (329,)),
    "alongtrack/nrt_blacksea_al_phy_vfec_l3_*.nc": ("copernicus-l3", {"sla"}, (215,)),
    "alongtrack/med_adt_2014-05-15_2014-06-03_mission?.dat": ("alongtrack-text", {"adt"}, (8212,)),
}


@pytest.mark.parametrize("file", REAL)
def test_real_files(real_data, tmp_path, file):
    product, channels, shape = REAL[file]
    ds = ingest(str(real_data / file))
    assert ds.attrs["product"] == product
    assert set(ds.data_vars) - {"source", "day_offset"} == channels
    assert ds[min(channels)].shape == shape
    assert validate_store(write_store(ds, tmp_path / "a.zarr")) == []


def test_real_trap_equals_its_valid_cells(real_data):
    path = real_data / "traps" / "global_adt_no_fillvalue_2019-01-01.nc"
    ds = ingest(path)
    assert "440040 at the packed integer's extreme" in ds.attrs["history"]
    assert float(ds["adt"].min()) > -2.0
