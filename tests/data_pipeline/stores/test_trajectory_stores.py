"""Stores of trajectories on a box: round trips, rules, growth after a stop, and the commands on them."""

import numpy as np
import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

from data_pipeline.commands.inspect import inspect
from data_pipeline.commands.simulate import simulate
from data_pipeline.commands.validate import validate
from data_pipeline.errors import ConfigError, SchemaError
from data_pipeline.layout.trajectories import trajectories_dataset
from data_pipeline.simulators import lotka_volterra
from data_pipeline.simulators.environments import parts
from data_pipeline.simulators.lotka_volterra import LotkaVolterraConfig
from data_pipeline.simulators.systems import SYSTEMS
from data_pipeline.stores import writing
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store

app = typer.Typer()
for command in (simulate, inspect, validate):
    app.command(command.__name__)(command)


def toy(dimensions=1, **settings):
    shape = (4, 3, *(5, 6)[:dimensions])
    values = np.arange(np.prod(shape), dtype=float).reshape(shape) / 7
    lengths = (2.0, 3.0)[:dimensions]
    usual = {"environment": [0, 0, 3, 3], "parameters": {"rate": [1, 1, 2, 2]}, "periodic": False}
    return trajectories_dataset({"v": values, "adt": 100 * values}, [0, 0.5, 2], lengths=lengths, **usual | settings)


@pytest.mark.parametrize("dimensions", [0, 1, 2])
def test_round_trip_is_exact_and_sound(tmp_path, dimensions):
    ds = toy(dimensions)
    back = open_store(write_store(ds, tmp_path / "a.zarr"))
    xr.testing.assert_identical(back.compute(), ds.assign_attrs(dino_complete=True))
    assert list(back.data_vars) == ["v", "adt"]
    assert back["v"].dtype == np.float64
    assert validate_store(tmp_path / "a.zarr") == []
    np.testing.assert_array_equal(open_store(tmp_path / "a.zarr", blocks=False)["v"], ds["v"])


def test_many_chunks_are_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_BYTES", 2 * 30 * 8)
    monkeypatch.setattr(writing, "REGION_BYTES", 4 * 30 * 8)
    ds = toy(2)
    assert writing.store_chunks(ds) == {"x": 6, "y": 5, "time": 2, "trajectory": 1}
    back = open_store(write_store(ds, tmp_path / "a.zarr"))
    np.testing.assert_array_equal(back["v"], ds["v"])
    assert validate_store(tmp_path / "a.zarr") == []


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (lambda ds: ds.assign_coords(parameter_rate=("trajectory", [1.0, 2, 3, 3])), "differs within an environment"),
        (lambda ds: ds.assign_coords(time=[0.0, 2.0, 1.0]), "does not increase"),
        (lambda ds: ds.assign_coords(time=[0, 1, 2]), "float64 is wanted"),
        (lambda ds: ds.transpose("time", "trajectory", "x"), "has dimensions"),
        (lambda ds: ds.assign(v=ds["v"].astype(np.float16)), "float32 or float64"),
        (lambda ds: ds.drop_vars("environment"), "is missing"),
        (lambda ds: ds.assign_attrs(lengths=[1.0, 2.0]), "as many of `periodic`"),
        (lambda ds: ds.drop_vars(["v", "adt"]), "no channel"),
    ],
)
def test_a_broken_rule_is_told(tmp_path, broken, what):
    with pytest.raises(SchemaError, match=what):
        write_store(broken(toy()), tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_infinite_values_are_found(tmp_path):
    ds = toy()
    ds["v"][1, 2, 3] = np.inf
    write_store(ds, tmp_path / "a.zarr")
    (problem,) = validate_store(tmp_path / "a.zarr")
    assert "is infinite (1 time, first at trajectory 1, time 2, x 3" in str(problem)


def test_a_stopped_simulation_leaves_nothing_half_and_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(LotkaVolterraConfig, "BATCH", 8)
    config = LotkaVolterraConfig.preset("coda", "train")
    path, made = tmp_path / "prey.zarr", []
    plan = parts(config)
    make = plan.make

    def stops(part, report):
        if part == 3 and part not in made:
            made.append(part)
            raise KeyboardInterrupt
        made.append(part)
        return make(part, report)

    object.__setattr__(plan, "make", stops)
    with pytest.raises(KeyboardInterrupt):
        grow_store(plan, path)
    assert not path.exists()
    grow_store(plan, path)
    assert made == [0, 1, 2, 3, 3, 4]
    assert validate_store(path) == []
    whole = lotka_volterra.simulate(config).assign_attrs(dino_complete=True)
    xr.testing.assert_identical(open_store(path).compute(), whole)


def test_every_system_is_simulated_inspected_and_sound(tmp_path):
    sizes = {"gray-scott": ["size=10"], "vorticity": ["size=8"], "glycolysis": [], "lotka-volterra": []}
    for name in SYSTEMS:
        out = str(tmp_path / f"{name}.zarr")
        changes = ["frames=2", "start=0", *sizes.get(name, ["size=16"])]
        overrides = [word for change in changes for word in ("--set", change)]
        told = CliRunner().invoke(app, ["simulate", name, "--out", out, "--part", "adaptation", *overrides])
        assert told.exit_code == 0, told.output
        told = CliRunner().invoke(app, ["inspect", out])
        assert told.exit_code == 0, told.output
        assert f"{name} simulation" in told.output
        told = CliRunner().invoke(app, ["validate", out])
        assert told.exit_code == 0, told.output


def test_presets_are_named_by_protocol_and_part(tmp_path):
    words = ["simulate", "lotka-volterra", "--preset", "coda", "--out", str(tmp_path / "a.zarr")]
    told = CliRunner().invoke(app, [*words, "--part", "adaptation-test", "--set", "trajectories=2"])
    assert told.exit_code == 0, told.output
    assert "8 trajectory, 20 time" in told.output
    told = CliRunner().invoke(app, ["inspect", str(tmp_path / "a.zarr"), "--figures", str(tmp_path / "figures")])
    assert [each.name for each in (tmp_path / "figures").iterdir()] == ["histograms.png"]
    told = CliRunner().invoke(app, ["simulate", "wave", "--preset", "coda", "--out", str(tmp_path / "b.zarr")])
    assert isinstance(told.exception, ConfigError)
    assert "paper train" in str(told.exception)
    told = CliRunner().invoke(app, ["simulate", "heat", "--preset", "coda", "--out", str(tmp_path / "b.zarr")])
    assert isinstance(told.exception, ConfigError)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_preset_is_valid(name):
    for protocol, part in SYSTEMS[name].PRESETS:
        config = SYSTEMS[name].preset(protocol, part)
        assert config.part == part
        assert SYSTEMS[name].model_validate(config.model_dump(exclude_unset=True)) == config
