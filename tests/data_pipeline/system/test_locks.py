"""Locks: one process holds a file at a time, on the systems that have fcntl and on those that have msvcrt."""

import builtins
import errno
import os
import sys
from types import SimpleNamespace

import pytest

from data_pipeline.errors import StoreError
from data_pipeline.system import locks
from data_pipeline.system.folders import claimed


@pytest.fixture
def on_windows(monkeypatch):
    """No fcntl, and an msvcrt that keeps the locked bytes of each file like Windows: by process and handle."""
    held = {}

    def locking(number, mode, count):
        assert (mode, count) == (2, 1)
        key = (os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR))
        if held.setdefault(key, number) != number:
            raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    return held


def held_by_one(path):
    with open(path, "a+") as first, open(path, "a+") as second:
        first.write("12")
        first.flush()
        first.seek(0)
        taken = locks.try_lock(first), locks.try_lock(second)
        return taken, first.read(), second.read()


def test_a_file_is_locked_once(tmp_path):
    assert held_by_one(tmp_path / "lock")[0] == (True, False)
    assert held_by_one(tmp_path / "lock")[0] == (True, False)  # closing lets go


def test_a_file_is_locked_once_without_fcntl(tmp_path, on_windows):
    taken, first, _ = held_by_one(tmp_path / "lock")
    assert taken == (True, False)
    assert first == "12"  # where the file was read stays as it was
    ((_, byte),) = on_windows
    assert byte > 2**20  # others can read what the holder wrote


@pytest.mark.parametrize("system", ["posix", "windows"])
def test_a_claim_names_the_holder(tmp_path, system, request):
    if system == "windows":
        request.getfixturevalue("on_windows")
    lock = tmp_path / "lock"
    with claimed(lock, "held by {writer}"):
        with pytest.raises(StoreError, match=f"held by {os.getpid()}"), claimed(lock, "held by {writer}"):
            pytest.fail("two hold the lock")
        assert lock.read_text() == str(os.getpid())


def test_a_lock_that_was_deleted_meanwhile_is_no_claim(tmp_path, monkeypatch):
    lock, opened = tmp_path / "lock", builtins.open

    def gone(path, *how, **more):
        file = opened(path, *how, **more)
        os.unlink(path)
        return file

    monkeypatch.setattr(builtins, "open", gone)
    with pytest.raises(StoreError, match="held by unknown"), claimed(lock, "held by {writer}"):
        pytest.fail("nobody sees this lock")
