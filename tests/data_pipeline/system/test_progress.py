"""Progress in a log: a line every tenth, with what was found and the time left."""

import pytest

from data_pipeline.system import progress
from data_pipeline.system.progress import duration, reported, silent


@pytest.fixture
def clock(monkeypatch):
    """A clock of ten seconds a look."""
    now = iter(range(0, 10**6, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))


def test_lines_tell_the_stage_the_loss_and_the_time_left(clock, capsys):
    with reported("training") as report:
        for done in range(1, 101):
            report(done, 100, f"field loss {1 / done:.2f}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("training: 10 of 100, field loss 0.10, ")
    assert lines[0].endswith(" left")
    assert lines[-1] == "training: 100 of 100, field loss 0.01"


def test_every_stage_counts_from_one(capsys):
    with reported("training") as report:
        for note in ("field", "dynamics"):
            for done in (1, 2):
                report(done, 2, note)
    assert capsys.readouterr().err.splitlines() == [
        f"training: {done} of 2, {note}" for note in ("field", "dynamics") for done in (1, 2)
    ]


def test_notes_may_be_left_out(capsys):
    silent(1, 2)
    with reported("simulating") as report:
        report(1, 1)
    assert capsys.readouterr().err == "simulating: 1 of 1\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.4, "12 s"), (119, "119 s"), (300, "5 min"), (10800, "3 h"), (2e5, "2 d")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
