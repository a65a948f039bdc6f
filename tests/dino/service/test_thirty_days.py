"""Thirty days of the job in docs/service.md: late and corrupt files, empty days, a lock, kills and a full disk."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data_pipeline.commands.app import main as dino_data
from data_pipeline.errors import NothingNewError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.observing.instruments import TrackInstrument
from data_pipeline.observing.missions import MISSIONS
from data_pipeline.observing.swaths import SampleConfig, sample
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store
from data_pipeline.system.folders import claimed
from dino.config import Config
from dino.forecaster import Forecaster
from dino.model.checkpoint import save_config, save_model
from dino.service.cycle import advance
from dino.service.state import load_cycle

ROOT = Path(__file__).resolve().parents[3]
FIRST, DAYS = np.datetime64("2005-04-01"), 30
LAG = 4
DAY = np.timedelta64(1, "D")
# Both programs as they are installed, but for a death in the middle: once, where a file says so.
PROGRAM = """
import os, signal, sys
from pathlib import Path
name, marks = sys.argv.pop(1), Path(os.environ["MARKS"])
def dying(function, wanted, mark):
    def run(source, target, *rest, **options):
        if wanted in str(target) and (marks / mark).exists():
            (marks / mark).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(source, target, *rest, **options)
    return run
os.rename = dying(os.rename, "commits/0", "kill-append")
os.replace = dying(os.replace, "state.json", "kill-cycle")
if name == "dino":
    from dino.commands.app import main
else:
    from data_pipeline.commands.app import main
main()
"""


def script_of_the_docs() -> str:
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```sh\n(#!/bin/sh\n.*?)```", text, flags=re.DOTALL)
    return script


def test_the_script_has_ten_lines_and_is_one():
    script = script_of_the_docs()
    assert len(script.splitlines()) == 10
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


@pytest.fixture
def run(make_twin, tmp_path):
    """A model of a sea of ten by ten degrees, in which every observation counts in full."""
    twin, folder = make_twin(), tmp_path / "run"
    twin.latent.process_noise.copy_(1e-3 * twin.latent.state_covariance)
    save_model(twin.latent, twin.ocean, folder)
    settings = {"window_days": 6.0, "node_days": 1.0, "bound": None}
    content = {"data": {"stores": [{"path": "none"}], "channels": ["adt"]}, "assimilation": settings}
    save_config(Config.model_validate(content), folder)
    return folder


def files_of_the_days(folder: Path) -> dict[int, Path]:
    """A file of tracks for every day but one, of a field that waves go through."""
    folder.mkdir()
    time_axis = FIRST.astype("M8[ns]") + np.arange(DAYS + 1) * np.timedelta64(1, "D")
    axis = np.linspace(0.0, 10.0, 21)
    phase = 0.2 * np.arange(DAYS + 1)[:, None, None] + axis[:, None] * 0.6 + axis * 0.9
    fields = fields_dataset(time_axis, axis, 30 + axis, {"adt": 0.2 * np.sin(phase)}, attrs={"product": "waves"})
    tracks = SampleConfig(
        instruments=(
            TrackInstrument(name="alpha", kind="nadir", orbit=MISSIONS["jason"].orbit, error_std={"adt": 0.01}),
        )
    )
    seen = sample(fields, tracks)
    made = {}
    for day in range(DAYS):
        rows = np.flatnonzero(seen["time"].values.astype("M8[D]") == FIRST + day)
        if rows.size:
            days = (seen["time"].values[rows] - np.datetime64("1950-01-01")) / np.timedelta64(1, "D")
            table = np.column_stack([seen[name].values[rows] for name in ("longitude", "latitude")] + [days])
            made[day] = folder / f"alpha-{FIRST + day}.dat"
            np.savetxt(made[day], np.column_stack([table, seen["adt"].values[rows]]), fmt="%.9f")
    assert len(made) > DAYS // 2
    return made


class Job:
    """The script with its folders, run for one day at a time."""

    def __init__(self, tmp_path: Path, run: Path) -> None:
        self.folder, self.run = tmp_path / "job", run
        self.inbox, self.out, self.marks, programs = (
            self.folder / name for name in ("inbox", "out", "marks", "programs")
        )
        for made in (self.inbox, self.out, self.marks, programs):
            made.mkdir(parents=True)
        for name in ("dino", "dino-data"):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "$PROGRAM" {name} "$@"\n')
            (programs / name).chmod(0o755)
        self.places = self.folder / "places.csv"
        self.places.write_text("longitude,latitude\n5.0,35.0\n2.0,32.0\n")
        self.script = self.folder / "daily.sh"
        self.script.write_text(script_of_the_docs())
        paths = os.pathsep.join([str(programs), os.environ["PATH"]])
        self.environment = os.environ | {
            "PATH": paths, "PYTHONPATH": str(ROOT), "PROGRAM": PROGRAM, "MARKS": str(self.marks),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.archive, self.state = self.folder / "a.archive", self.folder / "state"

    def day(self, number: int, prefix: str = "") -> tuple[int, list[int]]:
        """The script's exit code on the morning after day `number`, and those of its commands."""
        arguments = [self.script, self.inbox, self.archive, self.run, self.state, self.places, self.out]
        done = subprocess.run(
            ["sh", "-c", f'{prefix} exec sh "$@"', "sh", *map(str, arguments)], capture_output=True, text=True,
            timeout=300, env=self.environment | {"TODAY": str(FIRST + number + 1)},
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        return done.returncode, [line["exit_code"] for line in lines if line["event"] == "end"]


def rows_of(archive: Path) -> xr.Dataset:
    ds = open_store(archive).load()
    names = ("source", ds["source_name"].values[ds["source"].values])
    return xr.Dataset(
        {name: ("obs", ds[name].values) for name in ("time", "longitude", "latitude", "adt")}
        | {"by": ("obs", names[1])}
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a script of POSIX")
def test_thirty_days_with_troubles_end_as_without(run, tmp_path):
    files = files_of_the_days(tmp_path / "files")
    whole = {day: path.read_bytes() for day, path in files.items()}
    job = Job(tmp_path, run)
    with_data = sorted(files)
    late, corrupt, busy, appending, cycling, full = with_data[6:24:3]

    def deliver(day: int, content: bytes | None = None) -> None:
        if day in files:
            (job.inbox / files[day].name).write_bytes(whole[day] if content is None else content)

    for day in range(DAYS):
        prefix, holder = "", None
        if day == late + 3:
            deliver(late)
        if day == corrupt + 2:
            deliver(corrupt)
        if day == corrupt:
            deliver(day, b"\x00\x01 no file of anything \xff" + whole[day][:40])
        elif day != late:
            deliver(day)
        if day == busy:
            holder = threading.Thread(target=hold, args=(job.archive / "lock", 6.0))
            holder.start()
            time.sleep(0.2)
        if day in (appending, cycling):
            (job.marks / ("kill-append" if day == appending else "kill-cycle")).touch()
        if day == full:
            prefix = "ulimit -f 1;"
        code, codes = job.day(day, prefix)
        if holder is not None:
            holder.join()
            assert 75 in codes
        assert not list(job.marks.iterdir()), "a kill did not happen"
        if day == full:
            assert code not in (0, 3, 75)
        elif corrupt <= day < corrupt + 2:
            assert code in (1, 2)
        else:
            assert (code, set(codes) <= {0, 3, 75}) == (0, True)
        assert (job.out / f"{FIRST + day + 1}.nc").is_file() == (day != full)

    for path in files.values():
        path.write_bytes(whole[int((np.datetime64(path.stem[-10:]) - FIRST) / DAY)])
    with pytest.raises(SystemExit) as stop:
        dino_data(["ingest", f"{tmp_path}/files/*", "--append", "--out", str(tmp_path / "plain.archive"), "--quiet"])
    assert not stop.value.code
    assert validate_store(job.archive) == []
    xr.testing.assert_identical(rows_of(job.archive), rows_of(tmp_path / "plain.archive"))

    forecaster, seen = Forecaster.load(run), open_store(tmp_path / "plain.archive")
    for day in range(DAYS):
        try:
            plain = advance(forecaster, run, seen, (FIRST + day + 1 - LAG).astype("M8[ns]"), tmp_path / "plain")
        except NothingNewError:
            assert day < LAG + with_data[0] + 1
    state = load_cycle(job.state, run)
    assert state is not None
    assert state.time == plain.time
    scale = plain.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    assert float(((state.mean - plain.mean).abs() / scale).max()) < 2e-4
    np.testing.assert_allclose(state.covariance, plain.covariance, atol=1e-5 * float(scale.max() ** 2))
    leftovers = [path for path in job.folder.rglob(".*") if "partial" in path.name or "previous" in path.name]
    assert leftovers == []


def hold(lock: Path, seconds: float) -> None:
    with claimed(lock, "held"):
        time.sleep(seconds)


def test_a_kill_is_code_137_in_a_shell():
    done = subprocess.run(["sh", "-c", "sh -c 'kill -9 $$'; echo $?"], capture_output=True, text=True)
    assert done.stdout.strip() == str(128 + signal.SIGKILL)
