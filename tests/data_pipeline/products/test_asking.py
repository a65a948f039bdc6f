"""What is asked of `ingest` in Python: arguments of another kind are refused by name."""

from pathlib import Path

import pytest

from data_pipeline.errors import ConfigError
from data_pipeline.products import ingest


@pytest.mark.parametrize("paths", [5, None, [None], b"a.csv", [b"a.csv"], {5: "a.csv"}, [["a.csv"]]])
def test_what_is_no_path_is_refused(paths):
    with pytest.raises(ConfigError, match="is no path"):
        ingest(paths)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("variables", value) for value in ("x", ["x"], {"adt": 5}, {5: "adt"})),
        *(("units", value) for value in ("cm", {"adt": 5}, {"adt": None})),
        *(("channels", value) for value in ("adt", 5, [5], None)),
        *(("columns", value) for value in ("longitude,latitude", 5, [None])),
        *(("depth", value) for value in ("5", True, float("nan"), [5])),
        *(("product", value) for value in (5, ["text"])),
        *(("time_units", value) for value in (5, ["days"])),
        *(("layout", value) for value in (5, ["maps"])),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(tmp_path, name, value):
    (tmp_path / "a.csv").write_text("lon,lat,time,adt [m]\n5,38,2014-05-15,0.1\n")
    with pytest.raises(ConfigError, match=name):
        ingest(tmp_path / "a.csv", **{name: value})


def test_every_kind_of_path(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,time,adt [m]\n5,38,2014-05-15,0.1\n")
    path = Path(tmp_path / "a.csv")
    for paths in (path, str(path), [path], (str(path),), iter([path]), {path: None}):
        assert ingest(paths).sizes["obs"] == 1
