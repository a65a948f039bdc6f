"""Whole files and folders: what a writer leaves when it ends well, fails or is killed, and what others see."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from data_pipeline.errors import StoreError
from data_pipeline.figures.style import save
from data_pipeline.system.atomic import hidden, recover, remove_leftovers, writing_file, writing_folder

ROOT = Path(__file__).resolve().parents[3]


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def replace_any(path):
    """Whatever is at `path` may be replaced."""


def fail(writing, error):
    with writing as partial:
        (partial / "x" if partial.is_dir() else partial).write_text("half")
        raise error


def dead_pid():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_a_file_appears_whole_under_its_name(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with writing_file(path) as partial:
        assert partial.suffix == ".json"
        assert partial.name.startswith(".a.json.partial-")
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "kept").touch()
    for writing in (writing_file, lambda path: writing_folder(path, replace_any)):
        for name in ("a.txt", "b", "new"):
            with pytest.raises(error):
                fail(writing(tmp_path / name), error)
    assert names(tmp_path) == ["a.txt", "b"]
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path / "b") == ["kept"]


def test_a_writer_that_writes_nothing_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), writing_file(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def test_a_folder_replaces_only_what_it_may(tmp_path):
    path = tmp_path / "a.zarr"
    with writing_folder(path) as partial:
        (partial / "first").touch()
    with pytest.raises(StoreError, match="exists already"), writing_folder(path):
        pytest.fail("the block must not run")
    with writing_folder(path, replace_any) as partial:
        (partial / "second").touch()
        assert names(path) == ["first"]
    assert names(path) == ["second"]
    with writing_folder(tmp_path / "new" / "a"), writing_file(tmp_path / "new" / "b" / "c") as partial:
        partial.touch()
    assert names(tmp_path / "new") == ["a", "b"]
    (tmp_path / "empty").mkdir()
    with writing_folder(tmp_path / "empty") as partial:
        (partial / "third").touch()
    assert names(tmp_path) == ["a.zarr", "empty", "new"]


def test_a_folder_that_came_meanwhile_is_refused(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(StoreError, match="exists already"), writing_folder(path), writing_folder(path) as other:
        (other / "of another").touch()
    assert names(path) == ["of another"]
    assert names(tmp_path) == ["a"]


def test_an_old_folder_comes_back_after_a_death_between_the_renames(tmp_path):
    path = tmp_path / "a"
    aside = tmp_path / f".a.previous-{dead_pid()}-0"
    aside.mkdir()
    (aside / "kept").touch()
    recover(path)
    assert names(path) == ["kept"]
    recover(path)  # nothing to do
    assert names(tmp_path) == ["a"]


def test_an_old_folder_comes_back_when_the_rename_fails(tmp_path, monkeypatch):
    path, rename = tmp_path / "a", os.rename
    path.mkdir()
    (path / "kept").touch()

    def failing(source, target):
        if ".partial-" in str(source):
            raise OSError("no more names")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="no more names"), writing_folder(path, replace_any):
        pass
    assert names(tmp_path) == ["a"]
    assert names(path) == ["kept"]


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    path, dead = tmp_path / "a.png", dead_pid()
    (tmp_path / f".a.png.partial-{dead}-3.png").touch()
    (tmp_path / f".a.png.partial-{dead}").mkdir()
    (tmp_path / f".a.png.partial-{os.getpid()}-99999.png").touch()  # of an earlier process of this number
    stay = [f".a.png.partial-{os.getppid()}-0.png", f".b.png.partial-{dead}-0.png", ".a.png.partial-notes"]
    for name in stay:
        (tmp_path / name).touch()
    with hidden(path) as own:
        own.touch()
        remove_leftovers(path, "partial")
        assert names(tmp_path) == sorted([*stay, own.name])
    assert names(tmp_path) == sorted(stay)


def test_writers_of_the_same_path_do_not_meet(tmp_path):
    path, together = tmp_path / "a", threading.Barrier(8)

    def write(number):
        with writing_file(path) as partial:
            together.wait()
            partial.write_text(str(number) * 1000)
            together.wait()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in {str(number) * 1000 for number in range(8)}
    assert names(tmp_path) == ["a"]


def test_a_killed_writer_leaves_no_half_file(tmp_path):
    program = (
        "import os, pathlib, signal, sys\n"
        "from data_pipeline.system.atomic import writing_file\n"
        "with writing_file(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "a.txt"
    killed = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert len(names(tmp_path)) == 1
    with writing_file(path) as partial:
        partial.write_text("whole")
    assert names(tmp_path) == ["a.txt"]


def test_a_figure_that_fails_leaves_no_half_picture(tmp_path, monkeypatch):
    path = save(Figure(), tmp_path / "a.png")
    whole = path.read_bytes()
    assert whole.startswith(b"\x89PNG")

    def half(self, name, **how):
        Path(name).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", half)
    for name in ("a.png", "b.pdf"):
        with pytest.raises(OSError, match="no space"):
            save(Figure(), tmp_path / name)
    assert names(tmp_path) == ["a.png"]
    assert path.read_bytes() == whole
