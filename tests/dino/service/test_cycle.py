"""Updates of an analysis and the cycle on disk: what one long window says, killed writers, foreign states."""

import json
import os
import pickle
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from data_pipeline.errors import StoreError
from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.folders import claimed
from dino.commands.app import main
from dino.config import AssimilationConfig, Config
from dino.data.observations import Observations, datetime_of
from dino.errors import CheckpointError, HorizonError, NonFiniteError, ObservationError
from dino.forecaster import Analysis, Forecaster
from dino.model.checkpoint import load_model, run_identity, save_config, save_model
from dino.service.cycle import advance, advancing
from dino.service.state import load_cycle, save_cycle

DAYS, EVERY = 6.0, 0.5
CLOSE = {"rtol": 1e-6, "atol": 1e-8}


@pytest.fixture(scope="module")
def twin(make_twin):
    return make_twin()


@pytest.fixture(scope="module")
def seen(twin):
    """On nodes, where window and filter see the same."""
    return Observations.from_dataset(twin.table(twin.observed(240, DAYS, every=EVERY)), ("adt",))


@pytest.fixture(scope="module")
def run_of_twin(twin, tmp_path_factory):
    """The twin as a run on disk."""
    folder = tmp_path_factory.mktemp("twin") / "run"
    save_model(twin.latent, twin.ocean, folder)
    quick = {"window_days": DAYS, "node_days": EVERY}
    save_config(
        Config.model_validate({"data": {"stores": [{"path": "none"}], "channels": ["adt"]}, "assimilation": quick}),
        folder,
    )
    return folder


def forecaster_of(twin, **changes):
    return twin.forecaster(**{"window_days": DAYS, "node_days": EVERY} | changes)


def between(twin, seen, first, last):
    return seen.select((seen.time > twin.start + first - 1e-6) & (seen.time < twin.start + last + 1e-6))


@pytest.mark.parametrize("bias", [0.0, 0.05])
@pytest.mark.parametrize("method", ["window", "filter"])
def test_updates_are_what_one_window_says(twin, seen, method, bias):
    """Two updates after a short window, against one window over all days; no process noise, linear dynamics."""
    forecaster = forecaster_of(twin, method=method, bias_error=bias)
    whole = forecaster.analyse_observations(seen, twin.start + DAYS, DAYS)
    analysis = forecaster.analyse_observations(between(twin, seen, 0, 2), twin.start + 2, 2.0)
    for until in (3.5, DAYS):
        table = twin.table(between(twin, seen, 0, until))
        analysis = forecaster.update(analysis, table, datetime_of(twin.start + until))
        assert analysis.time == twin.start + until
    torch.testing.assert_close(analysis.mean, whole.mean, **CLOSE)
    torch.testing.assert_close(analysis.covariance, whole.covariance, **CLOSE)
    for source, channels in whole.quality.biases.items():
        assert analysis.quality.biases[source]["adt"] == pytest.approx(channels["adt"], abs=1e-6)
    assert bool(whole.quality.biases) == (bias > 0)


def test_an_update_is_the_long_filter_with_process_noise(make_twin, seen):
    twin = make_twin()
    twin.latent.process_noise.copy_(0.05 * torch.eye(len(twin.latent.process_noise)))
    forecaster = forecaster_of(twin, method="filter")
    whole = forecaster.analyse_observations(seen, twin.start + DAYS, DAYS)
    early = forecaster.analyse_observations(between(twin, seen, 0, 4), twin.start + 4, 4.0)
    made = forecaster.update(early, twin.table(seen))
    torch.testing.assert_close(made.mean, whole.mean, **CLOSE)
    torch.testing.assert_close(made.covariance, whole.covariance, **CLOSE)
    here = xr.Dataset({"longitude": 5.0, "latitude": 35.0})
    assert np.isfinite(forecaster.forecast(made, [datetime_of(twin.start + DAYS)], here)["adt"]).all()
    with pytest.raises(ObservationError, match="lies before the analysis"):
        forecaster.forecast(made, [datetime_of(twin.start + 5)], here)


def test_late_known_and_future_observations_are_counted_and_left_out(twin, seen):
    forecaster = forecaster_of(twin)
    late = twin.observed(7, 3.0, seed=9)
    early = forecaster.analyse_observations(between(twin, seen, 0, 4), twin.start + 4, 4.0)
    parts = [twin.table(part) for part in (seen, late)]
    table = xr.concat(parts, "obs", data_vars="minimal", coords="minimal", compat="override")
    until = datetime_of(twin.start + 5)
    made = forecaster.update(early, table, until)
    plain = forecaster.update(early, twin.table(seen), until)
    assert (made.quality.late, plain.quality.late) == (7, 0)
    assert made.quality.known == len(between(twin, seen, 0, 4))
    assert made.quality.used == len(between(twin, seen, 4.1, 5))
    assert made.quality.outside == len(between(twin, seen, 5.1, DAYS))
    torch.testing.assert_close(made.mean, plain.mean, rtol=0, atol=0)


def test_nothing_new_is_a_forecast_and_earlier_is_refused(twin, seen):
    forecaster = forecaster_of(twin)
    early = forecaster.analyse_observations(between(twin, seen, 0, 4), twin.start + 4, 4.0)
    table = twin.table(between(twin, seen, 0, 4))
    same = forecaster.update(early, table)
    torch.testing.assert_close(same.mean, early.mean, rtol=0, atol=0)
    assert (same.quality.used, same.time) == (0, early.time)
    later = forecaster.update(early, table, datetime_of(early.time + 1))
    flow = forecaster.forecast_latent(early, np.array([early.time + 1]), spread=False)
    torch.testing.assert_close(later.mean[:, :6], flow.codes[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ObservationError, match="cannot go back"):
        forecaster.update(early, table, datetime_of(early.time - 1))
    for far in ("2100-01-01", datetime_of(early.time + forecaster.latent.farthest_days + 1)):
        with pytest.raises(HorizonError, match="days after the last observation"):
            forecaster.update(early, table, far)


def test_offsets_of_sources_that_are_gone_are_forgotten(twin, seen):
    forecaster = forecaster_of(twin, bias_error=0.05, window_days=2.0)
    early = forecaster.analyse_observations(between(twin, seen, 0, 2), twin.start + 2, 2.0)
    only = seen.select(seen.source == 0)
    made = forecaster.update(early, twin.table(between(twin, only, 0, 3)))
    assert set(made.quality.biases) == set(seen.sources)
    made = forecaster.update(made, twin.table(only))
    assert set(made.quality.biases) == {seen.sources[0]}
    assert made.seen is not None
    assert made.seen.time.min() >= made.time - 2.0


def test_a_state_comes_back_as_it_was(twin, seen, run_of_twin, tmp_path):
    forecaster = forecaster_of(twin, bias_error=0.05)
    analysis = forecaster.analyse_observations(seen, twin.start + DAYS, DAYS)
    assert load_cycle(tmp_path / "state", run_of_twin) is None
    save_cycle(analysis, tmp_path / "state", run_of_twin)
    back = load_cycle(tmp_path / "state", run_of_twin)
    assert back is not None
    assert back.joint is not None
    assert analysis.joint is not None
    assert back.time == analysis.time
    assert back.joint.offsets == analysis.joint.offsets
    for one, other in ((back, analysis), (back.joint, analysis.joint)):
        torch.testing.assert_close(one.mean, other.mean, rtol=0, atol=0)
        torch.testing.assert_close(one.covariance, other.covariance, rtol=0, atol=0)
    for one, other in zip(back.seen or (), analysis.seen or (), strict=True):
        np.testing.assert_array_equal(one, other)


def assert_same(one: Analysis, other: Analysis) -> None:
    assert one.time == other.time
    torch.testing.assert_close(one.mean, other.mean, rtol=0, atol=0)
    torch.testing.assert_close(one.covariance, other.covariance, rtol=0, atol=0)


@pytest.mark.parametrize("bias", [0.0, 0.05])
def test_an_analysis_goes_on_from_the_disk_as_it_would_have_gone_on(sea_run, sea_store, scattered, tmp_path, bias):
    """On tiles with dynamics that are not linear; the trajectory of a smoothed analysis stays behind."""
    fields = open_store(sea_store).load()
    seen = scattered(fields, ["adt"], 500)
    forecaster = Forecaster(*load_model(sea_run), AssimilationConfig(window_days=4.0, bias_error=bias))
    middle, end = fields["time"].values[[14, 19]]
    analysis = forecaster.analyse(seen, middle, smooth=True)
    save_cycle(analysis, tmp_path / "state", sea_run)
    back = load_cycle(tmp_path / "state", sea_run)
    assert back is not None
    assert_same(back, analysis)
    assert (back.joint is not None) == bool(bias)
    assert analysis.trajectory is not None
    assert back.trajectory is None
    grid = xr.Dataset(coords={name: fields[name] for name in ("latitude", "longitude")})
    later = middle + np.array([0, 36, 120], "timedelta64[h]")
    made = [forecaster.forecast(start, later, grid) for start in (analysis, back)]
    xr.testing.assert_identical(*made)
    earlier = middle - np.array([24], "timedelta64[h]")
    assert np.isfinite(forecaster.forecast(analysis, earlier, grid)["adt"]).any()
    with pytest.raises(ObservationError, match="lies before the analysis"):
        forecaster.forecast(back, earlier, grid)
    assert_same(forecaster.update(back, seen, end), forecaster.update(analysis, seen, end))
    assert forecaster.update(back, seen, end).quality == forecaster.update(analysis, seen, end).quality


@pytest.mark.parametrize("smooth", [False, True])
def test_an_analysis_can_be_sent(twin, seen, smooth):
    forecaster = forecaster_of(twin, bias_error=0.05)
    analysis = forecaster.analyse_observations(seen, twin.start + DAYS, DAYS, smooth)
    back = pickle.loads(pickle.dumps(analysis))
    assert_same(back, analysis)
    times = datetime_of(twin.start + DAYS + np.array([-1.0, 0.0, 2.0] if smooth else [0.0, 2.0]))
    here = xr.Dataset({"longitude": 5.0, "latitude": 35.0})
    xr.testing.assert_identical(*(forecaster.forecast(start, times, here) for start in (back, analysis)))


def test_a_killed_writer_leaves_the_old_state_or_the_new_one(twin, seen, run_of_twin, tmp_path, monkeypatch):
    forecaster, path = forecaster_of(twin), tmp_path / "state"
    old = forecaster.analyse_observations(between(twin, seen, 0, 2), twin.start + 2, 2.0)
    new = forecaster.analyse_observations(seen, twin.start + DAYS, DAYS)
    times = []
    for dies_at in range(1, 30):
        save_cycle(old, path, run_of_twin)
        (path / ".state-0.safetensors.partial-1-0.safetensors").touch()  # of a writer that was killed outright
        calls = iter(range(1, 100))

        def dying(function, calls=calls, dies_at=dies_at):
            def run(*arguments, **options):
                if next(calls) == dies_at:
                    raise KeyboardInterrupt
                return function(*arguments, **options)

            return run

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying(os.replace))
            patch.setattr(os, "fsync", dying(os.fsync))
            patch.setattr("pathlib.Path.unlink", dying(Path.unlink))
            with suppress(KeyboardInterrupt):
                save_cycle(new, path, run_of_twin)
        back = load_cycle(path, run_of_twin)
        assert back is not None
        torch.testing.assert_close(back.mean, (old if back.time == old.time else new).mean, rtol=0, atol=0)
        times.append(back.time)
    assert times == sorted(times)
    assert {times[0], times[-1]} == {old.time, new.time}
    assert next(calls) < dies_at  # the last one was not disturbed
    assert len(list(path.iterdir())) == 2


def test_states_that_are_damaged_or_foreign_are_refused(twin, seen, run_of_twin, tmp_path):
    path = tmp_path / "state"
    save_cycle(forecaster_of(twin).analyse_observations(seen, twin.start + DAYS, DAYS), path, run_of_twin)
    other = tmp_path / "other"
    twin.latent.lead_error += 1
    save_model(twin.latent, twin.ocean, other)
    twin.latent.lead_error -= 1
    assert run_identity(other) != run_identity(run_of_twin)
    with pytest.raises(CheckpointError, match="another run"):
        load_cycle(path, other)
    with pytest.raises(CheckpointError, match="no state of a cycle"):
        load_cycle(run_of_twin, run_of_twin)
    tensors = next(path.glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="damaged"):
        load_cycle(path, run_of_twin)
    for content in ("{", json.dumps({"format": "dino-state", "version": 99}), "[]"):
        (path / "state.json").write_text(content)
        with pytest.raises(CheckpointError):
            load_cycle(path, run_of_twin)


def test_a_second_writer_is_refused_and_maps_too(twin, seen, run_of_twin, tmp_path, sea_dataset):
    forecaster, table = forecaster_of(twin), twin.table(seen)
    with claimed(tmp_path / ".state.lock", ""), pytest.raises(StoreError, match="updating this state"):
        advance(forecaster, run_of_twin, table, None, tmp_path / "state")
    with pytest.raises(ObservationError, match="leave --cycle out"):
        advance(forecaster, run_of_twin, sea_dataset(5, 2.0, False), None, tmp_path / "state")


def test_locks_and_days_without_data_have_codes_of_their_own(twin, seen, run_of_twin, tmp_path, capsys):
    def ended(store, *extra):
        command = ["forecast", run_of_twin, store, "--grid", "1,3,33,35,1", "--cycle", tmp_path / "state", *extra]
        with pytest.raises(SystemExit) as stop:
            main([*map(str, command), "--out", str(tmp_path / "next.nc"), "--overwrite", "--log-json"])
        *_, error, end = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert end["exit_code"] == stop.value.code
        return stop.value.code, error

    table = twin.table(seen)
    columns = [table[name].values for name in ("time", "longitude", "latitude")]
    store = write_store(observations_dataset(*columns, {"adt": table["adt"].values}), tmp_path / "seen.zarr")
    before = str(datetime_of(twin.start - 30.0))
    code, told = ended(store, "--time", before)
    assert (code, told["type"]) == (3, "NothingNewError")
    assert not (tmp_path / "state").exists()
    with claimed(tmp_path / ".state.lock", ""):
        code, told = ended(store)
    assert (code, told["type"]) == (75, "BusyError")
    assert ended(store)[0] == 0
    assert ended(store)[0] == 0  # nothing new, but a forecast was asked for and made
    code, told = ended(store, "--time", before)
    assert (code, told["type"]) == (2, "ObservationError")


def test_the_command_goes_on_from_day_to_day(twin, seen, run_of_twin, tmp_path, capsys):
    def call(name: str, *extra: str) -> xr.Dataset:
        places = tmp_path / "here.csv"
        places.write_text("longitude,latitude\n5.0,35.0\n2.0,32.0\n")
        out = tmp_path / f"{name}.nc"
        command = [
            "forecast",
            run_of_twin,
            tmp_path / f"{name[:4]}.zarr",
            "--at",
            places,
            "--leads",
            "0,1",
            "--out",
            out,
        ]
        with pytest.raises(SystemExit) as stop:
            main([*map(str, command), *extra])
        assert not stop.value.code
        with xr.open_dataset(out) as made:
            return made.load()

    for name, part in (
        ("day1", between(twin, seen, 0, 4)),
        ("day2", seen),
        ("odd2", replace(seen, values=seen.values + 1e-3)),
    ):
        table = twin.table(part)
        columns = [table[n].values for n in ("time", "longitude", "latitude")]
        values, errors = ({"adt": table[n].values} for n in ("adt", "adt_error"))
        ds = observations_dataset(*columns, values, errors, table["source"].values, part.sources)
        write_store(ds, tmp_path / f"{name}.zarr")
    cycle = ("--cycle", str(tmp_path / "state"))
    first = call("day1", *cycle)
    capsys.readouterr()
    second = call("day2", *cycle)
    told = capsys.readouterr().out
    new = len(seen) - len(between(twin, seen, 0, 4))
    assert f"{new} observations used" in told
    assert f"{len(seen) - new} known already" in told
    assert first.attrs["observations_used"] == len(seen) - new
    assert second.attrs["observations_used"] == new
    whole = call("day2_whole")
    # The population stands at the start of another window: two days earlier, and it is not stationary.
    np.testing.assert_allclose(second["adt"], whole["adt"], atol=1e-3)
    np.testing.assert_allclose(second["adt_std"], whole["adt_std"], rtol=0.02)
    again = call("day2_again", *cycle)
    np.testing.assert_allclose(again["adt"], second["adt"], atol=1e-6)
    assert call("odd2", *cycle).attrs["observations_late"] > 0
    # A cycle keeps no trajectory: what asks for one is refused before the state has moved.
    before = (tmp_path / "state" / "state.json").read_bytes()
    refused = ("forecast", run_of_twin, tmp_path / "day2.zarr", "--leads=-1,1", "--out", tmp_path / "x.nc", *cycle)
    with pytest.raises(SystemExit) as stop:
        main([*map(str, refused), "--grid", "1,3,33,35,1"])
    assert stop.value.code == 2
    assert "leave --cycle out" in capsys.readouterr().err
    assert (tmp_path / "state" / "state.json").read_bytes() == before


def test_a_state_is_kept_when_what_is_done_with_it_succeeds(twin, seen, run_of_twin, tmp_path):
    forecaster, path = forecaster_of(twin), tmp_path / "state"
    early, later = (twin.table(between(twin, seen, 0, days)) for days in (3, 4))
    advance(forecaster, run_of_twin, early, None, path)
    before = load_cycle(path, run_of_twin)
    with pytest.raises(ObservationError, match="a target"), advancing(forecaster, run_of_twin, later, None, path):
        raise ObservationError("a target that is none")
    assert load_cycle(path, run_of_twin).time == before.time
    with advancing(forecaster, run_of_twin, later, None, path) as analysis:
        assert analysis.time > before.time
    assert load_cycle(path, run_of_twin).time == analysis.time


def test_a_state_remembers_when_it_was_last_observed(twin, seen, run_of_twin, tmp_path):
    forecaster, path = forecaster_of(twin, window_days=1.0), tmp_path / "state"
    table = twin.table(between(twin, seen, 0, 2))
    last = advance(forecaster, run_of_twin, table, None, path)
    for days in range(1, int(forecaster.latent.scored_days) + 1):
        last = advance(forecaster, run_of_twin, table, datetime_of(last.observed_until + days), path)
    with pytest.raises(HorizonError, match="after the last observation"):
        advance(forecaster, run_of_twin, table, datetime_of(last.observed_until + days + 1), path)


def test_a_state_that_is_not_finite_is_not_kept(twin, seen, run_of_twin, tmp_path):
    made = forecaster_of(twin).analyse_observations(between(twin, seen, 0, 2), twin.start + 2, 2.0)
    with pytest.raises(NonFiniteError, match="is not kept"):
        save_cycle(replace(made, mean=made.mean * float("nan")), tmp_path / "state", run_of_twin)
    assert not (tmp_path / "state").exists()
