"""Tables of text: every column plausible, every row as long as the first, long tables pivoted with their quality."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import DinoError, SchemaError, UnitsError, UnknownProductError
from data_pipeline.products import detect, ingest

ROWS = [(5.0 + 0.1 * n, 38.0 + 0.05 * n, 23510.0 + n / 24.0, 0.01 * n - 0.05) for n in range(24)]


def written(tmp_path, rows, header="", separator=" ", name="a.dat"):
    lines = [separator.join(map(str, row)) for row in rows]
    path = tmp_path / name
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return path


# Rows of another length


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lon,lat,time,adt [m]\n5,38,2014-05-15,0.1\n5,38,2014-05-16,0.2,7\n", 3),
        ("lon,lat,time,adt [m]\n5,38,2014-05-15,0.1,7\n5,38,2014-05-16,0.2,7\n", 2),  # pandas makes an index of 5
        ("lon,lat,time,adt [m]\n\n# note\n5,38,2014-05-15,0.1\n5,38,2014-05-16\n", 5),
        ("5 38 23510 0.1\n5 38 0.2\n", 2),  # a blank where a value is missing shifts the rest
        ("lon lat time sla[m] adt[m]\n5 38 2014-05-15 0.1 0.2\n5 38 2014-05-16 0.3\n", 3),
    ],
)
def test_a_row_of_another_length_is_refused_with_its_line(tmp_path, text, line):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UnknownProductError, match=rf"line {line}\b|in line {line}\b"):
        ingest(tmp_path / "a.csv")


def test_an_empty_field_is_a_missing_value(tmp_path):
    (tmp_path / "a.csv").write_text('lon,lat,time,"adt [m]"\n5,38,2014-05-15,\n5,38,2014-05-16,0.2\n')
    ds = ingest(tmp_path / "a.csv")
    np.testing.assert_allclose(ds["adt"], [0.2])


def test_columns_that_come_twice_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,date,time,adt\n5,38,2014-05-15,12:00,0.1\n")
    with pytest.raises(UnknownProductError, match="several columns time"):
        ingest(tmp_path / "a.csv")


# Columns that cannot be what they are taken for


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ((0, 1, 3, 2), "--columns"),  # longitude latitude ADT weight, or time last
        ((2, 0, 1, 3), "longitude"),
        ((3, 0, 1, 2), "--columns"),
        ((0, 2, 1, 3), "latitude"),
    ],
)
def test_columns_in_another_order_are_refused(tmp_path, order, wanted):
    with pytest.raises(SchemaError, match=wanted):
        ingest(written(tmp_path, [[row[n] for n in order] for row in ROWS]))


def test_a_weight_is_no_topography(tmp_path):
    with pytest.raises(SchemaError, match=r"read as 'days since 1950-01-01', lie outside 1970 to today.*--columns"):
        ingest(written(tmp_path, [(x, y, adt, 1.0) for x, y, _, adt in ROWS]))
    with pytest.raises(SchemaError, match="whole numbers"):
        ingest(written(tmp_path, [(x, y, t, n % 2) for n, (x, y, t, _) in enumerate(ROWS)]))


def test_swapped_positions_are_told(tmp_path):
    with pytest.raises(SchemaError, match="look swapped"):
        ingest(written(tmp_path, [(y, x + 140.0, t, adt) for x, y, t, adt in ROWS]))


def test_another_unit_is_told(tmp_path):
    rows = [(x, y, t, 100 * adt + 20.5) for x, y, t, adt in ROWS]
    with pytest.raises(SchemaError, match="--units adt"):
        ingest(written(tmp_path, rows))
    np.testing.assert_allclose(
        ingest(written(tmp_path, rows), units={"adt": "cm"})["adt"], [r[3] / 100 for r in rows], rtol=1e-5
    )


def test_words_among_numbers(tmp_path):
    with pytest.raises(SchemaError, match=r"are no numbers, e.g. '0,10'"):
        ingest(
            written(
                tmp_path,
                [(x, y, t, "0,10") for x, y, t, _ in ROWS],
                "lon;lat;time [days since 1950-01-01];adt [m]",
                ";",
            )
        )


def test_single_impossible_times_are_left_out(tmp_path):
    rows = [*ROWS, *((x, y, t + 2, a) for x, y, t, a in ROWS), (5.0, 38.0, 0.3, 0.1)]
    ds = ingest(written(tmp_path, rows))
    assert ds.sizes["obs"] == 48
    assert "1 times outside 1970 to today" in ds.attrs["history"]


@given(st.permutations(range(4)))
def test_any_order_of_columns_is_the_truth_or_refused(tmp_path_factory, order):
    """Without names; longitudes and latitudes may change places unseen where both are possible."""
    rows = [(150.0 + 0.1 * n, 38.0, 23510.0 + n / 24.0, 0.01 * n - 0.05) for n in range(24)]
    path = written(tmp_path_factory.mktemp("order"), [[row[n] for n in order] for row in rows])
    if list(order) == [0, 1, 2, 3]:
        np.testing.assert_allclose(ingest(path)["adt"], [row[3] for row in rows], atol=1e-6)
        return
    with pytest.raises(DinoError):
        ingest(path)
    names = ["longitude", "latitude", "time", "adt"]
    told = ingest(path, columns=[names[n] for n in order], units={"adt": "m"})
    np.testing.assert_allclose(told["adt"], [row[3] for row in rows], atol=1e-6)
    np.testing.assert_allclose(told["longitude"], [row[0] for row in rows])


# Units and dates of a header


@pytest.mark.parametrize(
    ("header", "longitude"),
    [("lon [degrees_west],lat,time,adt [m]", -5.0), ("lon [degrees_east],lat [degrees_north],time,adt [m]", 5.0)],
)
def test_positions_have_units(tmp_path, header, longitude):
    (tmp_path / "a.csv").write_text(f"{header}\n5,38,2014-05-15,0.1\n")
    np.testing.assert_allclose(ingest(tmp_path / "a.csv")["longitude"], [longitude])


def test_positions_in_metres_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("lon [m],lat [m],time,adt [m]\n5,38,2014-05-15,0.1\n")
    with pytest.raises(UnitsError, match="longitude"):
        ingest(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "date", ["20140515", "2014-05-15", "2014-05-15T00:00:00Z", "2014-05-15 00:00", "2014-05-15T02:00:00+02:00"]
)
def test_dates(tmp_path, date):
    (tmp_path / "a.csv").write_text(f"lon,lat,time,adt [m]\n5,38,{date},0.1\n5,39,{date},0.2\n")
    assert (ingest(tmp_path / "a.csv")["time"].values == np.datetime64("2014-05-15")).all()


@pytest.mark.parametrize("date", ["2300-01-01", "0001-01-01", "2014-02-30", "yesterday", "now", "today", "12:00"])
def test_dates_that_a_store_cannot_hold_are_refused(tmp_path, date):
    (tmp_path / "a.csv").write_text(f"lon,lat,time,adt [m]\n5,38,{date},0.1\n")
    with pytest.raises(SchemaError):
        ingest(tmp_path / "a.csv")


# Long tables

LONG = "variable,platform_id,platform_type,time,longitude,latitude,depth,value,value_qc,institution"


def long_rows(quality=(1, 2, 4, 1)):
    """Four moments of one satellite, three variables each, and a mooring at three depths."""
    rows = []
    for n, flag in enumerate(quality):
        for variable, value in (("sla_filtered", 0.9), ("sla_unfiltered", 0.1 * n), ("mdt", 0.5)):
            rows.append((variable, "SWOT", "SAT", f"2024-01-01T00:00:0{n}Z", 5.0 + n, 38.0, "", value, flag, "CLS"))
    for depth, value in ((3.0, 14.5), (50.0, 13.0), (500.0, 12.0)):
        rows.append(("TEMP", "61001", "MO", "2024-01-01T00:00:00Z", 7.8, 43.4, depth, value, 1, "MF"))
    return rows


def test_a_long_table_is_pivoted_and_its_quality_obeyed(tmp_path):
    path = written(tmp_path, long_rows(), LONG, ",", "tool.csv")
    assert detect(path).name == "long-table"
    ds = ingest(path)
    sea = ds.isel(obs=np.isfinite(ds["sla"].values))
    np.testing.assert_allclose(sea["sla"], [0.0, 0.1, 0.3], atol=1e-7)
    np.testing.assert_allclose(sea["adt"], [0.5, 0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(sea["longitude"], [5.0, 6.0, 8.0])
    assert set(ds["source_name"].values[sea["source"]]) == {"SWOT"}
    mooring = ds.isel(obs=np.isfinite(ds["temperature"].values))
    np.testing.assert_allclose(mooring["temperature"], [14.5])
    assert ds["source_name"].values[mooring["source"].item()] == "61001"
    (source,) = json.loads(ds.attrs["sources"])
    assert source["counts"]["temperature"] == {
        "read": 3,
        "kept": 1,
        "dropped": {"at another depth than the one taken": 2},
    }
    condemned = "with a value_qc that is neither 1 (good) nor 2 (probably good)"
    for channel in ("sla", "adt"):
        assert source["counts"][channel] == {"read": 4, "kept": 3, "dropped": {condemned: 1}}
    assert "sla is sla_unfiltered, not sla_filtered" in ds.attrs["history"]
    kept = ingest(path, keep_flagged=True)
    np.testing.assert_allclose(kept["sla"].values[np.isfinite(kept["sla"])], [0.0, 0.1, 0.2, 0.3], atol=1e-7)


def test_a_long_table_in_any_order_of_rows(tmp_path):
    rows = long_rows()
    one = ingest(written(tmp_path, rows, LONG, ",", "a.csv"))
    other = ingest(written(tmp_path, rows[::-1], LONG, ",", "b.csv"))
    for name in ("sla", "adt", "temperature"):
        np.testing.assert_array_equal(np.sort(one[name].values), np.sort(other[name].values))


def test_a_depth_of_a_long_table(tmp_path):
    path = written(tmp_path, long_rows(), LONG, ",", "tool.csv")
    np.testing.assert_allclose(ingest(path, depth=40.0, channels=["temperature"])["temperature"], [13.0])
    deep = [row for row in long_rows() if row[6] == 500.0]
    with pytest.raises(DinoError, match="--depth"):
        ingest(written(tmp_path, deep, LONG, ",", "deep.csv"))


def test_two_values_at_one_place_stay_two(tmp_path):
    rows = [("sla_unfiltered", "S", "SAT", "2024-01-01", 5.0, 38.0, "", value, 1, "CLS") for value in (0.1, 0.2, 0.2)]
    np.testing.assert_allclose(ingest(written(tmp_path, rows, LONG, ",", "a.csv"))["sla"], [0.1, 0.2])


def test_a_real_table_of_moorings_names_its_options(real_data):
    path = real_data / "points" / "swot_karin_moorings_gliders_california_2023.csv"
    with pytest.raises(UnknownProductError, match=r"without time.*--columns"):
        ingest(path)
    names = ["time", "longitude", "latitude", "left", "right", "sla", "steric", "linear", "swh", "pass", "mooring"]
    ds = ingest(path, columns=names, units={"sla": "cm"}, time_units="seconds since 2023-01-01")
    assert ds.sizes["obs"] > 1700
    assert ds["time"].values[0].astype("M8[D]") == np.datetime64("2023-04-01")
    assert abs(ds["sla"]).max() < 1.0


def test_options_overrule_a_header(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,time,adt [m]\n5,38,2014-05-15,0.1\n")
    np.testing.assert_allclose(ingest(tmp_path / "a.csv", units={"longitude": "degrees_west"})["longitude"], [-5.0])


# Names behind #


@pytest.mark.parametrize(
    "header",
    [
        "# lat lon time sla[cm]",
        "#lat,lon,time,sla [cm]",
        "# track 7\n# Latitude (degrees_north)\tLongitude (degrees_east)\ttime [days since 1950-01-01]\tsla [cm]",
        "# lat lon time[days since 1950-01-01] sla[cm]\n# second line",
    ],
)
def test_names_behind_a_hash_are_obeyed(tmp_path, header):
    ds = ingest(
        written(tmp_path, [(38.5, 3.0, 23510.0, 31.0), (38.6, 3.1, 23511.0, 32.0)], header),
        time_units="days since 1950-01-01",
    )
    np.testing.assert_allclose(ds["longitude"], [3.0, 3.1])
    np.testing.assert_allclose(ds["sla"], [0.31, 0.32], rtol=1e-6)
    assert "adt" not in ds
    assert ds["time"].values[0] == np.datetime64("2014-05-15")


def test_a_unit_of_time_behind_a_hash_is_obeyed(tmp_path):
    rows = [(3.0, 38.5, 24.0, 0.3), (3.1, 38.6, 48.0, 0.4)]
    ds = ingest(written(tmp_path, rows, "# lon lat time[hours since 2005-01-01] sla[m]"))
    assert list(ds["time"].values.astype("M8[D]").astype(str)) == ["2005-01-02", "2005-01-03"]


def test_names_behind_a_hash_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UnknownProductError, match=r"4 columns.*--columns"):
        ingest(written(tmp_path, [(38.5, 3.0, 23510.0, 31.0)], "# lat lon time sla error"))


def test_other_comments_say_nothing(tmp_path):
    np.testing.assert_allclose(ingest(written(tmp_path, ROWS, "# from the archive, 24 points"))["adt"][:1], [-0.05])


# Times in parts, twice, or told otherwise


@pytest.mark.parametrize("name", ["hour", "clock", "HHMM", "time_of_day", "UTC"])
def test_a_clock_of_its_own_is_refused(tmp_path, name):
    (tmp_path / "a.csv").write_text(f"lon,lat,date,{name},adt [m]\n5,38,2014-05-15,12,0.1\n5,38,2014-05-15,13,0.1\n")
    with pytest.raises(SchemaError, match="one column"):
        ingest(tmp_path / "a.csv")


def test_a_clock_beside_whole_times_is_no_matter(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,time,hour,adt [m]\n5,38,2014-05-15T12:00,12,0.1\n")
    assert ingest(tmp_path / "a.csv")["time"].values[0] == np.datetime64("2014-05-15T12:00")


@pytest.mark.parametrize(
    ("header", "time", "options", "wanted"),
    [
        ("time [days since 1950-01-01]", "23510.5", {"time_units": "days since 2000-01-01"}, "of its own"),
        ("time", "2014-05-15", {"time_units": "garbage"}, "are dates"),
        ("time", "2014-05-15", {"time": "2014-05-16"}, "leave out --time"),
        ("time", "23510.5", {"time": "2014-05-16"}, "leave out --time"),
        ("time [CET]", "2014-05-15T12:00", {}, "in UTC"),
        ("time [local]", "2014-05-15T12:00", {}, "in UTC"),
    ],
)
def test_times_that_contradict_each_other_are_refused(tmp_path, header, time, options, wanted):
    (tmp_path / "a.csv").write_text(f"lon,lat,{header},adt [m]\n5,38,{time},0.1\n")
    with pytest.raises(DinoError, match=wanted):
        ingest(tmp_path / "a.csv", **options)


@pytest.mark.parametrize("header", ["time [UTC]", "time [yyyy-mm-dd]", "time (ISO8601)"])
def test_what_a_header_says_of_dates(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"lon,lat,{header},adt [m]\n5,38,2014-05-15,0.1\n5,38,,0.1\n")
    ds = ingest(tmp_path / "a.csv")
    assert list(ds["time"].values) == [np.datetime64("2014-05-15")]


def test_the_same_reference_twice_is_one(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,time [days since 1950-01-01],adt [m]\n5,38,23510.5,0.1\n")
    ds = ingest(tmp_path / "a.csv", time_units="days since 1950-01-01 00:00:00")
    assert ds["time"].values[0] == np.datetime64("2014-05-15T12:00")


def test_observations_do_not_lie_in_the_future(tmp_path):
    rows = [(x, y, 51282.0 + n, a) for n, (x, y, _, a) in enumerate(ROWS)]  # Modified Julian Days of 1999
    with pytest.raises(SchemaError, match="--time-units"):
        ingest(written(tmp_path, rows))
    ds = ingest(written(tmp_path, rows), time_units="days since 1858-11-17")
    assert ds["time"].values[0] == np.datetime64("1999-04-14")


def test_a_hash_within_a_name_is_no_comment(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,time,adt [m],name\n5,38,2014-05-15,0.1,A#1\n6,38,2014-05-15,0.2,B # b\n")
    np.testing.assert_allclose(ingest(tmp_path / "a.csv")["adt"], [0.1, 0.2])


def test_names_of_platforms_are_kept_as_written(tmp_path):
    rows = [("TEMP", name, "MO", "2024-01-01", 7.8, 43.4, 3.0, 14.5, 1, "MF") for name in ("007", "NA", "A#1")]
    ds = ingest(written(tmp_path, rows, LONG, ",", "a.csv"), keep_repeats=True)
    assert set(ds["source_name"].values[ds["source"]]) == {"007", "NA", "A#1"}


# Qualities and levels of long tables

QC = "variable,platform_id,time,longitude,latitude,depth,value,value_qc,time_qc,position_qc"


def profile(tmp_path, rows, header=QC):
    return written(tmp_path, rows, header, ",", "long.csv")


def test_qualities_in_words_are_obeyed(tmp_path):
    words = ["good", "bad", "probably_good", "suspect", "", "whatever"]
    rows = [("TEMP", "a", f"2024-01-0{n + 1}", 7.8, 43.4, 1.0, 14.0 + n, w, "", "") for n, w in enumerate(words)]
    np.testing.assert_allclose(ingest(profile(tmp_path, rows))["temperature"], [14.0, 16.0, 18.0])
    assert ingest(profile(tmp_path, rows), keep_flagged=True).sizes["obs"] == 6


def test_qualities_of_time_and_place_are_obeyed(tmp_path):
    qualities = [(1, 1), (4, 1), (1, 3), (0, 8), ("", ""), ("bad", "good")]
    rows = [("TEMP", "a", f"2024-01-0{n + 1}", 7.8, 43.4, 1.0, 14.0 + n, 1, *q) for n, q in enumerate(qualities)]
    ds = ingest(profile(tmp_path, rows))
    np.testing.assert_allclose(ds["temperature"], [14.0, 17.0, 18.0])
    (source,) = json.loads(ds.attrs["sources"])
    assert source["counts"]["temperature"]["dropped"] == {"with a time_qc or position_qc that condemns": 3}


@pytest.mark.parametrize(
    ("columns", "levels"),
    [
        ("depth,pressure", [(500.0, ""), (3.0, "")]),
        ("depth,pressure", [("", 500.0), ("", 3.0)]),
        ("depth [km],pressure", [(0.5, ""), (0.003, "")]),
        ("deph,pres [dbar]", [("", 500.0), (3.0, "")]),
        ("depth,other", [(500.0, ""), ("surface", "")]),
        ("elevation,other", [(-500.0, ""), (-3.0, "")]),
        ("pressure,other", [(500.0, ""), (3.0, "")]),
    ],
)
def test_levels_however_they_are_told(tmp_path, columns, levels):
    rows = [("TEMP", "2024-01-01", 7.8, 43.4, *level, 13.0 + n) for n, level in enumerate(levels)]
    path = profile(tmp_path, rows, f"variable,time,longitude,latitude,{columns},value")
    np.testing.assert_allclose(ingest(path)["temperature"], [14.0])
    np.testing.assert_allclose(ingest(path, depth=450.0)["temperature"], [13.0])


@pytest.mark.parametrize(
    ("column", "level"),
    [("depth", "bottom"), ("depth [fathom]", 3.0), ("z", 3.0), ("level", 2), ("pressure [Pa]", 3.0)],
)
def test_levels_that_are_no_depth_are_refused(tmp_path, column, level):
    rows = [("TEMP", "2024-01-01", 7.8, 43.4, level, 13.0)]
    with pytest.raises(DinoError, match=column.split(" ")[0]):
        ingest(profile(tmp_path, rows, f"variable,time,longitude,latitude,{column},value"))
