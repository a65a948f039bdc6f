"""The commands from a store to a forecast, and every error of a user in one line with exit code 2."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

from data_pipeline.archive.appending import append
from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from data_pipeline.stores.writing import open_store, write_store
from dino.commands.app import main

FAST = [
    "--set",
    "assimilation.window_days=4",
    "--set",
    "assimilation.node_days=2",
    "--set",
    "assimilation.iterations=1",
]

QUICK = []
for setting in ("rounds=1", "steps=3", "window_days=4", "horizon_days=6", "stride_days=6"):
    QUICK += ["--set", f"transfer.{setting}"]


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail: exit code 2 and one line on stderr, which is returned."""

    def check(*arguments) -> str:
        capsys.readouterr()
        assert run(*arguments) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        return lines[0]

    return check


@pytest.fixture(scope="module")
def seen(sea_store, scattered, tmp_path_factory):
    """A store of scattered observations of the toy sea."""
    fields = open_store(sea_store).load()
    return write_store(scattered(fields, ["adt"], 300), tmp_path_factory.mktemp("seen") / "seen.zarr")


@pytest.fixture
def config(sea_config, tmp_path):
    path = tmp_path / "sea.yaml"
    path.write_text(sea_config.to_yaml())
    return path


def test_train_then_evaluate(config, sea_store, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run("train", config, "--out", folder, "--set", "seed=3", "--set", "field.steps=6") == 0
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 3
    assert (folder / "figures" / "training.png").exists()
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    leads = "evaluation.leads_days=[1, 3]"
    report = tmp_path / "scores.json"
    assert run("evaluate", folder, sea_store, "--json", report, "--set", leads, "--set", "evaluation.stride=9") == 0
    scores = json.loads(report.read_text())["scores"]
    assert {row["method"] for row in scores} == {"dino", "persistence", "half_trend", "mean", "lim"}
    assert {row["lead_days"] for row in scores} == {1.0, 3.0}
    assert {"channel", "method", "lead_days", "rmse", "units"} <= set(scores[0])
    for name in ("maps.png", "skill.png", "forecast.gif"):
        assert (folder / "figures" / name).stat().st_size > 1000
    assert "RMSE of adt" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_forecast_at_points_of_a_table(sea_run, seen, tmp_path, suffix):
    (tmp_path / "here.csv").write_text("name,longitude,latitude\na,4.0,38.0\nb,5.1,37.2\n")
    out = tmp_path / f"next.{suffix}"
    command = ("forecast", sea_run, seen, "--at", tmp_path / "here.csv", "--leads", "1,2.5", "--out", out, *FAST)
    assert run(*command) == 0
    made = xr.open_dataset(out) if suffix == "nc" else xr.open_zarr(out, consolidated=False)
    assert made["adt"].dims == ("time", "point")
    assert made["adt"].shape == made["adt_std"].shape == (2, 2)
    assert np.isfinite(made["adt"]).all()
    made.close()
    assert run(*command) == 2
    assert run(*command, "--overwrite") == 0
    assert sorted(entry.name for entry in tmp_path.iterdir() if "next" in entry.name) == [out.name]


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_places_keep_their_names_and_those_without_a_value_are_told(sea_run, seen, tmp_path, capsys, suffix):
    """An inland place, one outside the charts, one without a position; the columns of the list stay beside them."""
    rows = ["a,4.0,38.0,7,3", "inland,2.2,36.2,8,", "far,100,38,9,5", "nowhere,,38,10,6"]
    (tmp_path / "here.csv").write_text("name,lon,lat [degrees_north],time,adt\n" + "\n".join(rows) + "\n")
    out = tmp_path / f"next.{suffix}"
    assert run("forecast", sea_run, seen, "--at", tmp_path / "here.csv", "--leads", "1,2", "--out", out, *FAST) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.split("'")[1] for line in told] == ["inland", "far", "nowhere"]
    assert "is land" in told[0]
    assert "outside the model's charts" in told[1]
    assert "is missing" in told[2]
    made = xr.open_dataset(out) if suffix == "nc" else xr.open_zarr(out, consolidated=False)
    with made:
        assert made["name"].values.tolist() == ["a", "inland", "far", "nowhere"]
        assert made["at_time"].values.tolist() == [7, 8, 9, 10]  # a name that the forecast has itself
        np.testing.assert_array_equal(made["at_adt"].values, [3.0, np.nan, 5.0, 6.0])
        np.testing.assert_array_equal(np.isfinite(made["adt"].values[0]), [True, False, False, False])
        assert made["time"].dims == ("time",)


def test_places_without_any_value_are_refused(refused, sea_run, seen, tmp_path):
    (tmp_path / "here.csv").write_text("name,longitude,latitude\ninland,2.2,36.2\n")
    out = tmp_path / "a.nc"
    refusal = refused("forecast", sea_run, seen, "--at", tmp_path / "here.csv", "--leads", "1", "--out", out, *FAST)
    assert "none of the 1 places has a value" in refusal
    assert "'inland'" in refusal
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("longitude,latitude\n4.0,38.0\n4.0,38.0,9\n", "line 3"),
        ("longitude,latitude\n1,4.0,38.0\n2,5.0,38.0\n", "line 2"),  # pandas makes an index of 1 and 2
        ("name,longitude,latitude\na,4.0\n", "line 2"),
        ("longitude,lon,latitude\n4,4,38\n", "each once"),
        ("longitude [m],latitude\n4,38\n", "units"),
        ("4,38\n5,38\n", "no header"),
    ],
)
def test_a_list_of_places_that_shifts_is_refused(refused, sea_run, seen, tmp_path, text, told):
    (tmp_path / "here.csv").write_text(text)
    out = ("--leads", "1", "--out", tmp_path / "a.nc", *FAST)
    assert told in refused("forecast", sea_run, seen, "--at", tmp_path / "here.csv", *out)


def test_places_of_a_store_without_a_value_are_told(sea_run, seen, tmp_path, capsys):
    places = observations_dataset(
        np.full(2, np.datetime64("2005-04-02", "ns")), [4.0, 2.2], [38.0, 36.2], {"adt": [0.1, 0.1]}
    )
    at = write_store(places, tmp_path / "at.zarr")
    command = ("forecast", sea_run, seen, "--at", at, "--leads", "1", "--out", tmp_path / "a.nc", *FAST)
    assert run(*command) == 0
    assert "warning: place 2 (2.2 E, 36.2 N) has no value: it is land" in capsys.readouterr().err


def test_a_forecast_replaces_no_folder_of_others(refused, sea_run, seen, tmp_path):
    (tmp_path / "here.csv").write_text("longitude,latitude\n4.0,38.0\n")
    to = ("--at", tmp_path / "here.csv", "--leads", "1", "--overwrite", *FAST)
    for name in ("thesis.zarr", "thesis.nc", "thesis"):
        out = tmp_path / name
        out.mkdir()
        (out / "chapter").touch()
        refusal = refused("forecast", sea_run, seen, "--out", out, *to)
        assert "no store of forecasts" in refusal if out.suffix else "must end in" in refusal
        assert [entry.name for entry in out.iterdir()] == ["chapter"]


def test_a_forecast_does_not_replace_what_it_starts_from(refused, sea_run, seen, tmp_path):
    mine = tmp_path / "mine.zarr"
    shutil.copytree(seen, mine)
    at = ("--grid", "3,5,37,39,1", "--leads", "1", *FAST)
    assert "no store of forecasts" in refused("forecast", sea_run, mine, "--out", mine, "--overwrite", *at)
    xr.testing.assert_identical(open_store(mine).load(), open_store(seen).load())


def test_a_refused_forecast_leaves_no_folder(refused, sea_run, seen, tmp_path):
    refused("forecast", sea_run, seen, "--out", tmp_path / "deep" / "a.nc", "--grid", "a,b")
    refused("forecast", sea_run, seen, "--out", tmp_path / "deep" / "a.zarr", "--grid", "100,110,37,39,1", *FAST)
    assert not (tmp_path / "deep").exists()


def test_times_inside_the_window_are_forecast(refused, sea_run, seen, sea_store, tmp_path):
    out = tmp_path / "a.nc"
    at = ("--grid", "4,5,38,39,0.5", "--time", "2005-04-20", *FAST)
    assert run("forecast", sea_run, seen, "--out", out, "--leads=-3.5,-1,0,2", *at) == 0
    with xr.open_dataset(out) as made:
        assert made["time"].values[0] == np.datetime64("2005-04-16T12:00")
        assert np.isfinite(made["adt"]).all()
        assert (made["adt_std"] > 0).all()
    assert "before the analysis" in refused("forecast", sea_run, seen, "--out", tmp_path / "b.nc", "--leads=-5", *at)


@pytest.mark.parametrize("time", ["2005-04-20", "20050420", "2005-04-20T02:00+02:00", "20050420T0000"])
def test_every_spelling_of_a_date_is_the_time_of_an_analysis(sea_run, seen, tmp_path, time):
    at = ("--grid", "4,5,38,39,0.5", "--time", time, "--leads", "1", *FAST)
    assert run("forecast", sea_run, seen, "--out", tmp_path / "a.nc", *at, "--cycle", tmp_path / "state") == 0
    with xr.open_dataset(tmp_path / "a.nc") as made:
        assert made["forecast_reference_time"].values == np.datetime64("2005-04-20")


@pytest.mark.parametrize("time", ["soon", "5", "23000101", "2005-02-30", ""])
def test_what_is_no_time_is_refused(refused, sea_run, seen, tmp_path, time):
    at = ("--grid", "4,5,38,39,0.5", "--time", time, "--leads", "1", *FAST)
    assert "--time" in refused("forecast", sea_run, seen, "--out", tmp_path / "a.nc", *at)


def test_forecast_on_a_grid(sea_run, sea_store, seen, tmp_path):
    assert run("forecast", sea_run, sea_store, "--grid", "3.5,5.5,37.5,39,0.5", "--out", tmp_path / "a.nc") == 0
    with xr.open_dataset(tmp_path / "a.nc") as made:
        assert made["adt"].dims == ("time", "latitude", "longitude")
        assert made["adt"].shape == (5, 4, 5)
    assert run("forecast", sea_run, sea_store, "--out", tmp_path / "b.zarr", "--time", "2005-04-20") == 0
    own = xr.open_zarr(tmp_path / "b.zarr", consolidated=False)
    assert own["adt"].shape == (5, 16, 16)
    assert own["forecast_reference_time"].values == np.datetime64("2005-04-20")
    out = tmp_path / "c.nc"
    assert run("forecast", sea_run, seen, "--at", sea_store, "--leads", "1", "--out", out, *FAST) == 0
    assert run("forecast", sea_run, seen, "--leads", "1", "--out", tmp_path / "d.nc", *FAST) == 0
    with xr.open_dataset(tmp_path / "d.nc") as made:  # a grid of the program's choice, as the tiles lie
        assert made["adt"].dims == ("time", "latitude", "longitude")
        assert np.isfinite(made["adt"]).any()


def test_transfer_writes_a_run_of_its_own(sea_run, seen, tmp_path, capsys):
    out = tmp_path / "moved"
    assert run("transfer", sea_run, seen, "--out", out, "--stop", "20050422", *QUICK, *FAST) == 0
    assert "held-out misfit" in capsys.readouterr().out
    (tmp_path / "here.csv").write_text("longitude,latitude\n4.0,38.0\n")
    made = tmp_path / "made.nc"
    command = ("forecast", out, seen, "--at", tmp_path / "here.csv", "--leads", "1", "--out", made)
    assert run(*command, *FAST) == 0


def test_a_forecast_is_repeated_with_what_was_known_then(sea_run, seen, tmp_path, refused):
    """Early points make one archive; later ones for the same days arrive, and --as-of takes them away again."""
    archive = tmp_path / "a.archive"
    whole = open_store(seen).load()
    for name, part in (("early.nc", slice(0, None, 2)), ("late.nc", slice(1, None, 2))):
        rows = whole.isel(obs=part)
        described = [{"file": name, "sha256": name, "bytes": 1}]
        channels, errors = {"adt": rows["adt"]}, {"adt": rows["adt_error"]} if "adt_error" in rows else {}
        append(
            observations_dataset(
                rows["time"],
                rows["longitude"],
                rows["latitude"],
                channels,
                errors,
                source_name=[name.removesuffix(".nc")],
                attrs={"sources": described},
            ),
            archive,
        )
    (tmp_path / "here.csv").write_text("longitude,latitude\n4.0,38.0\n")
    at = ("--at", tmp_path / "here.csv", "--leads", "1", "--time", "2005-04-20", *FAST)
    made = {}
    for name, store, options in (
        ("now", archive, ()),
        ("then", archive, ("--as-of", "1")),
        ("whole", seen, ()),
    ):
        assert run("forecast", sea_run, store, "--out", tmp_path / f"{name}.nc", *at, *options) == 0
        with xr.open_dataset(tmp_path / f"{name}.nc") as forecast:
            made[name] = forecast.load()
    assert made["then"].attrs["observations_as_of_commit"] == 1
    assert "observations_as_of_commit" not in made["whole"].attrs
    np.testing.assert_allclose(made["now"]["adt"], made["whole"]["adt"], rtol=1e-5)
    assert abs(made["then"]["adt"] - made["now"]["adt"]).max() > 1e-4
    assert "has commits 1 to 2" in refused(
        "forecast", sea_run, archive, "--out", tmp_path / "x.nc", *at, "--as-of", "3"
    )
    moved = ("transfer", sea_run, archive, "--out", tmp_path / "moved", "--stop", "2005-04-22", *QUICK, *FAST)
    assert run(*moved, "--as-of", "1") == 0
    assert "made in one piece" in refused("transfer", sea_run, seen, "--out", tmp_path / "x", "--as-of", "1")


def test_missing_things_are_refused(refused, config, sea_run, sea_store, seen, tmp_path):
    none = tmp_path / "none"
    out = ("--out", tmp_path / "a.nc")
    assert "no configuration file" in refused("train", none, "--out", tmp_path / "r")
    refused("train", config, "--out", tmp_path / "r", "--set", f"data.stores.0.path={none}")
    for command in (("forecast", none, seen, *out), ("evaluate", none, sea_store), ("transfer", none, seen, *out)):
        assert "no run folder" in refused(*command)
    for command in (("forecast", sea_run, none, *out), ("evaluate", sea_run, none), ("transfer", sea_run, none, *out)):
        assert "no store" in refused(*command)
    refused("evaluate", sea_run, sea_store, "--observations", none)
    refused("forecast", sea_run, seen, "--at", tmp_path / "none.csv", *out, *FAST)
    refused("forecast", sea_run, seen, "--at", tmp_path / "none.zarr", *out, *FAST)


def test_settings_that_are_wrong_are_refused(refused, config, sea_run, sea_store, seen, tmp_path):
    out = ("--out", tmp_path / "r")
    assert "known keys" in refused("train", config, *out, "--set", "decoder.size=3")
    refused("train", config, *out, "--set", "decoder.code_size=-3")
    refused("train", config, *out, "--set", "nonsense")
    refused("train", config, *out, "--set", "data.channels=[sst]")
    refused("train", config, *out, "--set", "device=cuda:7")
    config.write_text("data: [")
    refused("train", config, *out)
    refused("evaluate", sea_run, sea_store, "--set", "evaluation.first=2005-04-20")
    refused("evaluate", sea_run, sea_store, "--set", "evaluation.start=2020-01-01")
    assert "unknown transfer strategy" in refused("transfer", sea_run, seen, *out, "--strategy", "magic")
    for option in ("--start", "--stop"):
        for nonsense in ("yesterday", "5", "23000101", ""):
            assert option in refused("transfer", sea_run, seen, *out, option, nonsense)
    refused("transfer", sea_run, seen, *out, "--stop", "2005-04-02")


def test_a_finished_run_is_not_trained_over(refused, config, sea_run):
    assert "holds a finished run" in refused("train", config, "--out", sea_run)


@pytest.mark.parametrize("grid", ["1,2,3", "a,b,c,d,e", "5,4,37,38,1", "3,5,37,39,0", "3,inf,37,39,1", "3,5,80,120,5"])
def test_a_wrong_grid_is_refused(refused, grid, sea_run, sea_store, tmp_path):
    refused("forecast", sea_run, sea_store, "--grid", grid, "--out", tmp_path / "a.nc")


@pytest.mark.parametrize("leads", ["", "one", "1,,2", "nan", "inf", "-3", "1e12"])
def test_wrong_leads_are_refused(refused, leads, sea_run, sea_store, tmp_path):
    refused("forecast", sea_run, sea_store, "--leads", leads, "--out", tmp_path / "a.nc")


def test_a_wrong_target_is_refused(refused, sea_run, sea_store, seen, tmp_path):
    out = ("--out", tmp_path / "a.nc")
    both = ("--grid", "3,5,37,39,1", "--at", sea_store)
    assert "either" in refused("forecast", sea_run, sea_store, *both, *out)
    refused("forecast", sea_run, sea_store, "--out", tmp_path / "a.txt")
    refused("forecast", sea_run, sea_store, "--time", "tomorrow", *out)
    refused("forecast", sea_run, sea_store, "--time", "1999-01-01", *out)
    refused("forecast", sea_run, sea_store, "--grid", "100,110,37,39,1", *out)
    for text in ("lon,lat\n1,2\n", "longitude,latitude\nfour,38\n", "", "longitude,latitude\n"):
        (tmp_path / "at.csv").write_text(text)
        refused("forecast", sea_run, sea_store, "--at", tmp_path / "at.csv", *out)


def test_stores_that_do_not_fit_are_refused(refused, config, sea_run, sea_store, box_store, seen, tmp_path):
    out = ("--out", tmp_path / "a.nc")
    siren = "--set", "decoder.kind=siren"  # from points an affine decoder alone is trained
    assert "fourier" in refused("train", config, *out, "--set", f"data.stores.0.path={seen}", *siren)
    assert "fields are wanted" in refused("evaluate", sea_run, seen)
    assert "observations are wanted" in refused("transfer", sea_run, sea_store, *out)
    refused("evaluate", sea_run, sea_store, "--observations", sea_store)
    refused("forecast", sea_run, box_store, *out)
    refused("forecast", sea_run, box_store, "--trajectory", "8", *out)
    refused("evaluate", sea_run, box_store)
    foreign = tmp_path / "foreign.zarr"
    xr.Dataset({"adt": ("x", [1.0])}).to_zarr(foreign, consolidated=False)
    refused("forecast", sea_run, foreign, *out)


def observed(longitude, values, name, tmp_path):
    time = np.datetime64("2005-04-10", "ns") + np.arange(len(values)) * np.timedelta64(1, "h")
    latitude = np.full(len(values), 38.0)
    return write_store(observations_dataset(time, longitude, latitude, {"adt": values}), tmp_path / name)


def test_observations_that_say_nothing_are_refused(refused, sea_run, sea_store, seen, tmp_path):
    grid = ("--grid", "3,5,37,39,1", "--out", tmp_path / "a.nc", *FAST)
    far = observed(np.full(30, 120.0), np.ones(30), "far.zarr", tmp_path)
    assert "none of the" in refused("forecast", sea_run, far, *grid)
    refused("transfer", sea_run, far, "--out", tmp_path / "r")
    assert "no observation" in refused("forecast", sea_run, seen, "--time", "2011-01-01", *grid)
    blank = open_store(seen).load()
    blank["adt"][:] = np.nan
    nothing = write_store(blank, tmp_path / "nothing.zarr")
    refused("forecast", sea_run, nothing, *grid)
    refused("transfer", sea_run, nothing, "--out", tmp_path / "r")


def test_maps_that_say_nothing_are_refused(refused, config, sea_run, sea_dataset, tmp_path):
    sea = sea_dataset()
    axes = (sea["time"].values, sea["longitude"].values, sea["latitude"].values)
    blank = fields_dataset(*axes, {"adt": np.full(sea["adt"].shape, np.nan)})
    store = write_store(blank, tmp_path / "blank.zarr")
    refused("forecast", sea_run, store, "--out", tmp_path / "a.nc")
    refused("evaluate", sea_run, store)
    refused("train", config, "--out", tmp_path / "r", "--set", f"data.stores.0.path={store}")


def test_another_quantity_is_refused(refused, sea_run, sea_dataset, tmp_path):
    store = write_store(sea_dataset().rename(adt="sla"), tmp_path / "sla.zarr")
    assert "adt" in refused("forecast", sea_run, store, "--out", tmp_path / "a.nc")
    assert "adt" in refused("evaluate", sea_run, store)


def test_checkpoints_that_are_damaged_or_foreign_are_refused(refused, sea_run, box_run, sea_store, tmp_path):
    out = ("--out", tmp_path / "a.nc")
    for name in ("model.safetensors", "model.json", "config.yaml"):
        damaged = tmp_path / f"damaged-{name}"
        shutil.copytree(sea_run, damaged)
        content = (damaged / name).read_bytes()
        (damaged / name).write_bytes(content[: len(content) // 2])
        refused("forecast", damaged, sea_store, *out)
    foreign = tmp_path / "foreign"
    shutil.copytree(sea_run, foreign)
    shutil.copy(box_run / "model.safetensors", foreign)
    assert "different runs" in refused("forecast", foreign, sea_store, *out)
    (foreign / "model.safetensors").write_bytes(b"\x80\x04\x95pickle")
    refused("evaluate", foreign, sea_store)


@pytest.mark.parametrize("command", ["train", "transfer", "forecast", "evaluate", "demo"])
def test_help_shows_an_example(command, capsys):
    assert run(command, "--help") == 0
    assert f"Example: dino {command}" in capsys.readouterr().out


def test_the_program_itself_reports_in_one_line(tmp_path):
    """Through a process: warnings of libraries would show here."""
    program = "import sys; from dino.commands.app import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "train", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_refused(refused, config, sea_run, sea_store, seen, device, tmp_path):
    message = "GPU" if device.startswith("cuda") else "device 'abacus' is none"
    out = tmp_path / "r"
    for command in (
        ("forecast", sea_run, sea_store, "--out", tmp_path / "a.nc"),
        ("evaluate", sea_run, sea_store),
        ("transfer", sea_run, seen, "--out", out),
    ):
        assert message in refused(*command, "--device", device)
    assert message in refused("train", config, "--out", out, "--set", f"device={device}")
    assert message in refused("reproduce", "navier-stokes", "--out", out, "--set", f"device={device}")
    assert list(tmp_path.iterdir()) == [config]


def options_of(command, capsys) -> set[str]:
    capsys.readouterr()
    assert run(command, "--help") == 0
    return set(capsys.readouterr().out.replace("│", " ").split())


def test_a_place_that_cannot_be_written_is_told_in_one_line(config, sea_run, sea_store, seen, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    bad = tmp_path / "file" / "deep"
    stride = ("--set", "evaluation.stride=20", "--set", "evaluation.leads_days=[1]")
    for command in (
        ("forecast", sea_run, sea_store, "--leads", "1", "--out", bad / "a.nc"),
        ("forecast", sea_run, sea_store, "--leads", "1", "--out", bad / "a.zarr"),
        ("evaluate", sea_run, sea_store, "--figures", bad, *stride),
        ("transfer", sea_run, seen, "--out", bad, "--strategy", "none", *QUICK, *FAST),
        ("relocate", sea_run, sea_store, "--out", bad),
        ("train", config, "--out", bad),
    ):
        assert run(*command) == 2
        *progress, last = capsys.readouterr().err.strip().splitlines()
        assert last.startswith(f"error: {bad}: not a directory")
        assert "Traceback" not in " ".join(progress)
    assert (tmp_path / "file").read_text() == "no folder"


def test_threads_and_device_are_options_of_commands_that_compute(capsys):
    for command in ("train", "transfer", "forecast", "evaluate", "demo", "reproduce"):
        assert "--threads" in options_of(command, capsys)
    for command in ("transfer", "forecast", "evaluate"):
        assert "--device" in options_of(command, capsys)
    assert not options_of("relocate", capsys) & {"--threads", "--device"}  # a few means


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_commands_take_the_threads_asked_for_and_say_so(config, sea_run, sea_store, seen, tmp_path, capsys):
    score = []
    for setting in ("evaluation.leads_days=[1]", "evaluation.stride=20"):
        score += ["--set", setting]
    for number, command in enumerate(
        (
            ("forecast", sea_run, sea_store, "--leads", "1", "--out", tmp_path / "a.zarr"),
            ("evaluate", sea_run, sea_store, *score, "--figures", tmp_path / "figures"),
            ("transfer", sea_run, seen, "--out", tmp_path / "moved", "--strategy", "none", *QUICK, *FAST),
            ("train", config, "--out", tmp_path / "run", "--set", "field.steps=2", "--set", "dynamics.steps=2"),
        )
    ):
        wanted = 1 + number % 2
        capsys.readouterr()
        device = ("--set", "device=cpu") if command[0] == "train" else ("--device", "cpu")
        assert run(*command, "--threads", wanted, *device) == 0
        assert f"{wanted} thread{'s' if wanted > 1 else ''}: as asked for" in capsys.readouterr().out
        assert torch.get_num_threads() == wanted


@pytest.mark.parametrize("wanted", ["0", "-1", "many"])
def test_threads_that_are_no_number_are_refused(sea_run, sea_store, wanted, tmp_path, capsys):
    assert run("forecast", sea_run, sea_store, "--out", tmp_path / "a.nc", "--threads", wanted) == 2
    assert "--threads" in capsys.readouterr().err


def test_a_refused_training_leaves_no_folder(refused, config, tmp_path):
    refused("train", config, "--out", tmp_path / "r", "--set", "data.channels=[sst]")
    assert not (tmp_path / "r").exists()
