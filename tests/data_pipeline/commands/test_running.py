"""What a command ends with and how it speaks: every code of the table, in text, quietly and in JSON."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
import zarr

from data_pipeline.commands.app import main
from data_pipeline.commands.running import run
from data_pipeline.errors import BusyError, DinoError, EmptyDataError, NothingNewError, StoreError
from data_pipeline.stores.writing import write_store
from data_pipeline.system.exit_codes import ExitCode, exit_code
from data_pipeline.system.folders import claimed
from data_pipeline.system.progress import reported
from data_pipeline.system.voice import Voice, speaking, voice

ROOT = Path(__file__).resolve().parents[3]
TRACK = "-4.5 36.0 23510.25 0.10\n-4.4 36.1 23510.5 -0.2\n"


@pytest.fixture
def track(tmp_path):
    path = tmp_path / "track.dat"
    path.write_text(TRACK)
    return path


def ended(capsys, *arguments, program=main):
    """(exit code, stdout, stderr) of a command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        program([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return stop.value.code, told.out, told.err


def events(err):
    """The objects on stderr; every line is one, with the keys that each of them has."""
    found = [json.loads(line) for line in err.splitlines()]
    for event in found:
        assert {"time", "level", "event", "message"} <= set(event)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
        assert event["level"] in ("info", "warning", "error")
    return found


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BusyError("x"), 75),
        (NothingNewError("x"), 3),
        (EmptyDataError("x"), 2),
        (StoreError("x"), 2),
        (DinoError("x"), 2),
        (PermissionError(13, "Permission denied", "/a"), 2),
        (OSError(28, "No space left on device", "/a"), 2),
        (OSError("of no path"), 1),
        (ValueError("x"), 1),
        (MemoryError(), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_code(error, code):
    assert exit_code(error) == code


def test_the_table_in_the_docs_is_that_of_the_program():
    table = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)}
    assert told == {int(code) for code in ExitCode}


def test_codes_of_ingest(capsys, tmp_path, track):
    archive = tmp_path / "a.archive"
    append = ("--append", "--out", archive)
    assert ended(capsys, "ingest", tmp_path / "none-*.dat", *append)[0] == 3  # no file today
    assert ended(capsys, "ingest", tmp_path / "none-*.dat", tmp_path / "never?.dat", *append)[0] == 3
    assert ended(capsys, "ingest", tmp_path / "none.dat", *append)[0] == 2  # a name is a promise
    assert ended(capsys, "ingest", tmp_path / "none-*.dat", track, *append)[0] == 2
    assert not archive.exists()
    assert ended(capsys, "ingest", track, *append)[0] == 0
    assert ended(capsys, "ingest", track, *append)[0] == 3
    masked = tmp_path / "masked.dat"
    masked.write_text("-4.5 36.0 23511.25 nan\n")
    assert ended(capsys, "ingest", masked, *append)[0] in (0, 3)
    assert ended(capsys, "ingest", masked, "--out", tmp_path / "masked.zarr")[0] == 2
    (tmp_path / "empty.dat").touch()
    assert ended(capsys, "ingest", tmp_path / "empty.dat", *append)[0] == 2  # a download that failed
    assert ended(capsys, "ingest", track, "--out", archive)[0] == 2  # there is something already
    (tmp_path / "late.dat").write_text(TRACK.replace("23510", "23509"))
    with claimed(archive / "lock", ""):
        code, _, err = ended(capsys, "ingest", tmp_path / "late.dat", *append)
    last = err.splitlines()[-1]
    assert (code, last.startswith("error: "), str(os.getpid()) in last) == (75, True, True)
    (tmp_path / "bad.dat").write_bytes(b"\x00\x01\x02")
    code, _, err = ended(capsys, "ingest", tmp_path / "late.dat", tmp_path / "bad.dat", *append)
    assert code == 1
    assert "1 bad files are not in it" in err


@pytest.mark.parametrize("options", [["simulate", "nonsense"], ["nonsense"], ["ingest", "--nonsense"], ["ingest"]])
@pytest.mark.parametrize("flag", [[], ["--quiet"], ["--log-json"]])
def test_a_wrong_command_line_is_told_in_every_voice(capsys, options, flag):
    code, out, err = ended(capsys, *options, *flag)
    assert (code, out) == (2, "")
    assert err.strip()
    if flag == ["--log-json"]:
        error, end = events(err)[-2:]
        assert (error["level"], error["exit_code"], end["exit_code"]) == ("error", 2, 2)


@pytest.mark.parametrize("before", [True, False])
def test_quiet_says_nothing_but_errors(capsys, tmp_path, track, before):
    def quietly(*words):
        return ended(capsys, *(("--quiet", *words) if before else (*words, "--quiet")))

    out = ("--append", "--out", tmp_path / "a")
    assert quietly("ingest", track, *out) == (0, "", "")
    assert quietly("ingest", track, *out) == (3, "", "")
    assert quietly("validate", tmp_path / "a") == (0, "", "")
    code, said, err = quietly("inspect", tmp_path / "none")
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: there is no store")


@pytest.mark.parametrize("before", [True, False])
def test_json_is_an_object_a_line(capsys, tmp_path, track, before):
    def as_json(*words):
        code, out, err = ended(capsys, *(("--log-json", *words) if before else (*words, "--log-json")))
        assert out == ""
        found = events(err)
        assert (found[-1]["event"], found[-1]["exit_code"]) == ("end", code)
        return code, found[:-1]

    code, found = as_json("ingest", track, "--append", "--out", tmp_path / "a")
    assert code == 0
    assert ("result", "info") in {(event["event"], event["level"]) for event in found}
    assert any("commit 1" in event["message"] for event in found)
    assert any(event["level"] == "info" and "no units in the file" in event["message"] for event in found)
    code, (nothing,) = as_json("ingest", track, "--append", "--out", tmp_path / "a")
    assert (code, nothing["event"], nothing["level"], nothing["exit_code"]) == (3, "nothing new", "info", 3)
    with claimed(tmp_path / "a" / "lock", ""):
        track.write_text(TRACK.replace("0.1", "0.3"))
        code, (*_, busy) = as_json("ingest", track, "--append", "--out", tmp_path / "a")
    assert (code, busy["type"], busy["exit_code"], busy["level"]) == (75, "BusyError", 75, "error")
    code, found = as_json("inspect", tmp_path / "a")
    assert any(event["message"].startswith("time") and "2014-05-15" in event["message"] for event in found)


def test_json_of_files_that_are_left_out_names_them(capsys, tmp_path, track):
    (tmp_path / "bad.dat").write_bytes(b"\x00\x01\x02")
    code, _, err = ended(
        capsys, "--log-json", "ingest", track, tmp_path / "bad.dat", "--append", "--out", tmp_path / "a"
    )
    told = [event for event in events(err) if event["level"] == "error"]
    assert code == 1
    assert len(told) == 1
    assert "bad.dat" in json.dumps(told[0]["left_out"])


def a_program(tmp_path, body):
    """A program of one command, of which `body` is the function's."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.callback()
    def options(quiet: bool = False, log_json: bool = False) -> None: ...

    @app.command("do")
    def do(word: str = "") -> None:
        body(word)

    return lambda arguments: run(app, arguments)


def test_a_fault_of_the_program_is_code_one_with_its_traceback(capsys, tmp_path):
    def broken(word):
        raise RuntimeError("of the program")

    program = a_program(tmp_path, broken)
    with pytest.raises(RuntimeError, match="of the program"):  # the interpreter prints it and exits with 1
        program(["do"])
    code, _, err = ended(capsys, "do", "--quiet", program=program)
    assert code == 1
    assert "Traceback" in err
    code, _, err = ended(capsys, "do", "--log-json", program=program)
    error, _ = events(err)
    assert (code, error["type"], error["exit_code"]) == (1, "RuntimeError", 1)
    assert "broken" in error["traceback"]


def test_what_libraries_print_is_told_and_threads_do_not_mix(capsys, tmp_path):
    def prints(word):
        import warnings
        from concurrent.futures import ThreadPoolExecutor

        warnings.warn("look out", UserWarning, stacklevel=1)
        sys.stdout.write("half a ")
        sys.stdout.write("line\nand the end")
        with reported("work") as report, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda done: report(done, 40, "so far"), range(1, 41)))

    code, out, err = ended(capsys, "do", "--log-json", program=a_program(tmp_path, prints))
    found = events(err)
    assert (code, out, voice()) == (0, "", Voice.TEXT)
    messages = [event["message"] for event in found]
    assert "half a line" in messages
    assert "and the end" in messages
    assert [event["type"] for event in found if event["event"] == "warning"] == ["UserWarning"]
    steps = [event for event in found if event["event"] == "progress"]
    assert len(steps) >= 5
    assert all(step["task"] == "work" and step["total"] == 40 for step in steps)


def test_words_that_look_like_options_are_left_alone(capsys, tmp_path):
    heard = []
    program = a_program(tmp_path, heard.append)
    assert ended(capsys, "do", "--word", "quiet", program=program)[0] == 0
    assert ended(capsys, "do", "--word=--quiet", program=program)[0] == 0
    assert heard == ["quiet", "--quiet"]


def test_interrupted_commands_end_with_130(capsys, tmp_path):
    def stopped(word):
        raise KeyboardInterrupt

    program = a_program(tmp_path, stopped)
    for flag in ((), ("--quiet",), ("--log-json",)):
        assert ended(capsys, "do", *flag, program=program)[0] == 130


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_in_the_middle_of_a_command_ends_with_130(tmp_path):
    time_axis = np.datetime64("2014-05-15", "ns") + np.arange(4) * np.timedelta64(1, "D")
    maps = xr.Dataset(
        {"adt": (("time", "latitude", "longitude"), np.zeros((4, 8, 8)), {"units": "m"})},
        coords={"time": time_axis, "latitude": np.arange(8.0), "longitude": np.arange(8.0)},
    )
    maps.to_netcdf(tmp_path / "maps.nc")
    program = (
        "import signal, time, sys\nimport data_pipeline.commands.ingest as ingest\n"
        # A shell's background jobs ignore interrupts, and so would what they start.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from data_pipeline.commands.app import main\n"
        "def slow(*a, **k):\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "ingest.read_files = slow\nmain(['ingest', sys.argv[1], '--out', sys.argv[2]])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "maps.nc", tmp_path / "a.zarr"], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def test_an_unsound_store_is_code_one(capsys, tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    zarr.open_array(path / "adt", mode="r+")[0, 0, 0] = np.inf
    code, _, err = ended(capsys, "--log-json", "validate", path)
    assert code == 1
    assert any("is infinite" in event["message"] for event in events(err))


def test_a_line_that_warns_is_a_warning(capsys):
    with speaking(Voice.JSON):
        sys.stderr.write("warning: 3 of 4 places have no value\nnote: 5 of 5 values kept\n")
    found = [(e["event"], e["level"], e["message"]) for e in events(capsys.readouterr().err)]
    assert found == [
        ("warning", "warning", "3 of 4 places have no value"),
        ("note", "info", "5 of 5 values kept"),
    ]
