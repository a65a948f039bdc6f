"""A stranger's tracks, forecast by a shipped model in one command: files, cache, table, figure, credit; refusals."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data_pipeline.stores.writing import write_store
from dino.commands.app import main
from dino.model import Ocean, named
from dino.model.checkpoint import load_model, load_run_config, save_config, save_model
from dino.model.named import shipped_models
from tests.pictures import assert_drawn

CREDIT = "Generated using made-up waves"
SMALL = ["--tile-degrees", "2", "--threads", "1", "--set", "assimilation.window_days=6"]


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def shipped(sea_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped")
    latent, ocean = load_model(sea_run)
    latent.spec = latent.spec.model_copy(update={"credit": CREDIT})
    save_model(latent, Ocean.nowhere(ocean.channels), folder / "toy-sea")
    save_config(load_run_config(sea_run), folder / "toy-sea")
    head = f"name: toy-sea\nchannel: adt [m]\narea: any sea\nsaw: waves\nskill: none\nlicence: none\ncredit: {CREDIT}\n"
    (folder / "toy-sea" / "CARD.md").write_text(f"---\n{head}---\n")
    return folder


@pytest.fixture(autouse=True)
def place(shipped, tmp_path, monkeypatch):
    """An empty folder, a cache of its own, the toy model shipped."""
    monkeypatch.setattr(named, "SHIPPED", shipped)
    monkeypatch.setenv("DINO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shipped_models.cache_clear()
    yield tmp_path
    shipped_models.cache_clear()


@pytest.fixture(scope="module")
def sea(sea_dataset):
    """A sea in the Pacific, where the shipped mask has no land."""
    return sea_dataset(west=170.0, land=False)


@pytest.fixture
def tracks(place, sea, scattered):
    """Ten files of raw points, as a product has them."""
    points = scattered(sea, ["adt"], 900, error=None)
    (place / "my_tracks").mkdir()
    for number in range(10):
        rows = points.isel(obs=slice(90 * number, 90 * (number + 1)))
        columns = {
            "adt": ("time", rows["adt"].values, {"units": "m"}),
            "longitude": ("time", rows["longitude"].values, {"units": "degrees_east"}),
            "latitude": ("time", rows["latitude"].values, {"units": "degrees_north"}),
        }
        xr.Dataset(columns, coords={"time": rows["time"].values}).to_netcdf(place / "my_tracks" / f"{number}.nc")
    return "my_tracks/*.nc"


@pytest.fixture
def refused(capsys):
    def check(*arguments) -> str:
        capsys.readouterr()
        assert run(*arguments) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return check


def test_raw_files_become_a_table_a_figure_and_a_file(tracks, place, sea, capsys):
    asked = ("--figure", "week.png", "--out", "week.nc", "--leads", "1,3")
    assert run("forecast", "toy-sea", tracks, *asked, *SMALL) == 0
    told = capsys.readouterr().out
    assert "laid over 900 observations of adt" in told
    assert "adapted to" in told
    assert "the mean field is one level estimated from these observations" in " ".join(told.split())
    assert "±" in told
    assert CREDIT in told
    assert_drawn(place / "week.png")
    with xr.open_dataset("week.nc") as made:
        assert made["adt"].dims == ("time", "latitude", "longitude")
        assert made.attrs["credit"] == CREDIT
        assert made.attrs["Conventions"] == "CF-1.11"
        assert len(made.attrs["dino_weights_sha256"]) == 64
        assert "laid over" in made.attrs["history"]
        assert str(place) not in str(made.attrs)
        inside = made.sel(longitude=slice(170.5, 173.5), latitude=slice(36.5, 39.5))
        truth = sea["adt"].isel(time=-1).interp(longitude=inside["longitude"], latitude=inside["latitude"])
        error = np.sqrt(float(((inside["adt"].isel(time=0) - truth) ** 2).mean()))
        assert error < np.sqrt(float(((truth - truth.mean()) ** 2).mean()))
    assert len(list((place / "cache" / "ingested").iterdir())) == 1
    assert run("forecast", "toy-sea", tracks, "--leads", "1", *SMALL) == 0  # a table alone
    assert sorted(path.name for path in place.iterdir()) == ["cache", "my_tracks", "week.nc", "week.png"]


def test_an_area_and_places_of_ones_own(tracks, place, capsys):
    (place / "buoys.csv").write_text("name,longitude,latitude\nnorth,172.0,38.6\nsouth,172.0,37.2\n")
    asked = ("--area", "171,173,37,39", "--at", "buoys.csv", "--leads", "1", "--out", "buoys.nc", "--no-adapt")
    assert run("forecast", "toy-sea", tracks, *asked, *SMALL) == 0
    told = capsys.readouterr().out
    assert "adapted" not in told
    assert "north" in told
    with xr.open_dataset("buoys.nc") as made:
        assert made["adt"].dims == ("time", "point")
        assert np.isfinite(made["adt"]).all()


def test_what_came_after_the_analysis_is_not_looked_at(tracks, place):
    """A model that is laid and adapted at an earlier time gives what it would have given then."""
    asked = ("--leads", "1", "--grid", "171,173,37,39,0.5", *SMALL)
    assert run("forecast", "toy-sea", "my_tracks/[0-6].nc", "--out", "then.nc", *asked, "--time", "2005-04-20") == 0
    assert run("forecast", "toy-sea", "my_tracks/*.nc", "--out", "later.nc", *asked, "--time", "2005-04-20") == 0
    with xr.open_dataset("then.nc") as then, xr.open_dataset("later.nc") as later:
        np.testing.assert_allclose(then["adt"], later["adt"], rtol=1e-6)


def test_a_store_an_archive_and_maps_are_starts_too(place, sea, scattered, capsys):
    store = write_store(scattered(sea, ["adt"], 900), place / "tracks.zarr")
    assert run("forecast", "toy-sea", store, "--leads", "1", *SMALL) == 0
    maps = write_store(sea, place / "maps.zarr")
    assert run("forecast", "toy-sea", maps, "--out", "a.nc", "--leads", "1", *SMALL) == 0
    assert "laid over the sea of the maps" in capsys.readouterr().out


def test_models_are_listed(capsys):
    assert run("models") == 0
    told = capsys.readouterr().out
    for part in ("toy-sea", "adt [m]", "any sea", CREDIT):
        assert part in told


def test_a_run_of_a_shipped_model_goes_on_from_day_to_day(tracks, place, sea, scattered, refused):
    store = write_store(scattered(sea, ["adt"], 900), place / "tracks.zarr")
    assert "dino relocate" in refused("forecast", "toy-sea", store, "--cycle", "state", "--leads", "1", *SMALL)
    assert run("relocate", "toy-sea", store, "--tile-degrees", "2", "--out", "runs/mine") == 0
    assert run("forecast", "runs/mine", store, "--cycle", "state", "--leads", "1", *SMALL[2:]) == 0
    assert "adapted anew" in refused("forecast", "runs/mine", store, "--cycle", "state", "--adapt", *SMALL[2:])
    assert "--area too" in refused("forecast", "runs/mine", store, "--leads", "1", *SMALL)


def test_what_is_wrong_is_told_in_a_sentence(tracks, place, refused, sea, scattered):
    store = write_store(scattered(sea, ["adt"], 90), place / "few.zarr")
    assert "no run folder here and no shipped model" in refused("forecast", "sea-lebel", tracks)
    assert "no store and no file" in refused("forecast", "toy-sea", "none.nc")
    assert "no file" in refused("forecast", "toy-sea", "none/*.nc")
    assert "is a store" in refused("forecast", "toy-sea", store, "my_tracks/1.nc")
    assert "none of 900 observations" in refused("forecast", "toy-sea", tracks, "--area", "0,10,30,40")
    assert "--area" in refused("forecast", "toy-sea", tracks, "--area", "0,10,40,30")
    assert "--figure" in refused("forecast", "toy-sea", tracks, "--figure", "week.gif")
    assert "lies over no sea yet" in refused("evaluate", "toy-sea", write_store(sea, place / "sea.zarr"))
    assert not (place / "week.gif").exists()


def test_the_lines_of_python_in_the_docs_run(tracks, capsys):
    page = (Path(__file__).resolve().parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    part = page.split("## In Python\n")[1].split("\n## ")[0]
    code = "\n".join(line[4:] for line in part.splitlines() if line.startswith("    "))
    here = {
        '"sea-level"': '"toy-sea"',
        "[-62.0, -55.5]": "[171.5, 172.5]",
        ".over(tracks)": ".over(tracks, tile_degrees=2.0)",
    }
    for there, name in here.items():
        assert there in code
        code = code.replace(there, name)
    exec(code.replace("40.25", "37.0"), {})
    assert "adt_std" in capsys.readouterr().out
