"""Lists of places: names stay as they are written, numbers are numbers."""

import numpy as np
import pytest

from dino.errors import EmptyDataError
from dino.forecasts.places import read_places


def test_names_stay_as_they_are_written(tmp_path):
    names = ["007", "NA", "None", "A#1", "1e3"]
    rows = [f"{name},{3.0 + n},38.1,{n},0{n}" for n, name in enumerate(names)]
    (tmp_path / "a.csv").write_text("\n".join(["name,lon,lat,weight,code", *rows]) + "\n")
    places = read_places(tmp_path / "a.csv")
    assert list(places["name"].values) == names
    np.testing.assert_allclose(places["longitude"], 3.0 + np.arange(5))
    np.testing.assert_allclose(places["weight"], np.arange(5))
    assert list(places["code"].values) == ["00", "01", "02", "03", "04"]


def test_a_header_behind_a_hash(tmp_path):
    (tmp_path / "a.txt").write_text("# lat lon\n38.1 3.0\n38.2 nan\n")
    places = read_places(tmp_path / "a.txt")
    np.testing.assert_allclose(places["latitude"], [38.1, 38.2])
    np.testing.assert_allclose(places["longitude"], [3.0, np.nan])


def test_rows_that_are_comments_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("name,lon,lat\n#1,3.6,38.1\n")
    with pytest.raises(EmptyDataError, match="begins with #"):
        read_places(tmp_path / "a.csv")


def test_a_number_that_is_missing_stays_one(tmp_path):
    (tmp_path / "a.csv").write_text("name,lon,lat,weight\na,3,38,1\nb,3,38,\nc,,38,nan\n")
    places = read_places(tmp_path / "a.csv")
    np.testing.assert_array_equal(places["weight"].values, [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(places["longitude"].values, [3.0, 3.0, np.nan])
