"""The number of threads: what is asked for, what the environment says, what the machine has to spare."""

import logging
import os

import pytest
import torch

from dino.numerics import threads
from dino.numerics.threads import (
    Moment,
    choose_threads,
    keep_threads_spare,
    let_waiting_threads_sleep,
    spare_threads,
)


@pytest.fixture(autouse=True)
def _same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_choice(monkeypatch):
    for name in threads.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("allowed", "others", "spare"), [(2, 0.0, 2), (2, 0.4, 2), (2, 1.0, 1), (2, 9.0, 1), (1, 0.0, 1), (16, 3.2, 13)]
)
def test_what_others_use_is_left_to_them(allowed, others, spare):
    assert spare_threads(allowed, others) == spare


def test_others_are_measured_without_this_process():
    assert Moment(10.0, 100.0, 5.0).others(Moment(12.0, 104.0, 7.0)) == pytest.approx(1.0)
    assert Moment(10.0, 100.0, 5.0).others(Moment(12.0, 101.0, 7.0)) == 0.0


def test_without_proc_the_load_tells(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (2.5, 0.0, 0.0))
    assert Moment(10.0, None, 5.0).others(Moment(12.0, None, 7.0)) == 1.5


def test_a_free_machine_gives_all_that_is_allowed(no_choice, monkeypatch, caplog):
    monkeypatch.setattr(threads, "allowed_threads", lambda: 2)
    monkeypatch.setattr(Moment, "others", lambda self, later: 0.1)
    with caplog.at_level(logging.INFO, threads.__name__):
        line = choose_threads()
    assert torch.get_num_threads() == 2
    assert line == "2 threads: of 2 processors other processes use 0.1"
    assert line in caplog.text


def test_what_the_user_says_stands(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    assert "environment" in choose_threads()
    assert torch.get_num_threads() == before
    assert choose_threads(2) == "2 threads: as asked for"
    assert torch.get_num_threads() == 2


def test_long_work_gives_a_processor_back_and_takes_it_again(no_choice, monkeypatch):
    now = {"others": 0.0, "clock": 0.0}
    monkeypatch.setattr(threads, "allowed_threads", lambda: 2)
    monkeypatch.setattr(Moment, "others", lambda self, later: now["others"])
    monkeypatch.setattr(Moment, "now", classmethod(lambda cls: cls(now["clock"], None, 0.0)))
    monkeypatch.setattr(threads.time, "monotonic", lambda: now["clock"])
    monkeypatch.setattr(threads.time, "sleep", lambda seconds: None)
    choose_threads()
    seen = []
    for clock, others in ((0.5, 1.0), (1.5, 1.0), (2.0, 0.0), (3.0, 0.0)):
        now.update(clock=clock, others=others)
        keep_threads_spare()
        seen.append(torch.get_num_threads())
    assert seen == [2, 1, 1, 2]


def test_threads_that_the_user_chose_are_not_watched(no_choice, monkeypatch):
    monkeypatch.setattr(Moment, "others", lambda self, later: 1.0)
    choose_threads(2)
    monkeypatch.setattr(threads, "LOOKED_EVERY_SECONDS", 0.0)
    keep_threads_spare()
    assert torch.get_num_threads() == 2


def test_waiting_threads_soon_sleep_unless_the_user_wants_otherwise(monkeypatch):
    for name in threads.WAITING:
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as patched:
        patched.setenv("OMP_WAIT_POLICY", "active")
        let_waiting_threads_sleep()
        assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.setattr(os, "environ", dict(os.environ))
    let_waiting_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    assert 0 < int(os.environ["GOMP_SPINCOUNT"]) < 100_000


def test_a_quota_of_a_container_counts(tmp_path, monkeypatch):
    assert threads._quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert threads._quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert threads._quota(tmp_path) == 1.5
    monkeypatch.setattr(threads, "_quota", lambda folder: 0.5)
    assert threads.allowed_threads() == 1
