"""`dino reproduce` of a protocol of many physics."""

import json

import pytest

from dino.commands.app import main
from dino.experiments.physics_protocols import CONVERGED


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_a_protocol_is_a_table_and_a_file(tmp_path, capsys):
    assert run("reproduce", "coda", "--only", "Lotka-Volterra", "--out", tmp_path, "--threads", 1) == 0
    shown = capsys.readouterr().out
    assert "NCF, best run" in shown
    assert "Lotka-Volterra" in shown
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["protocol"] == "coda"
    new = [row for row in report["scores"] if row["split"] == "new environments"]
    best = {row["library"]: row["value"] for row in new if row["iterations"] == CONVERGED}
    assert best["library"] < 1e-6
    assert best["truth left out"] > 1e-3


def test_options_of_other_experiments_are_refused(tmp_path, capsys):
    assert run("reproduce", "ttg", "--out", tmp_path, "--keep", 0.5) == 2
    assert "--keep" in capsys.readouterr().err


def test_a_task_that_is_none_is_refused(tmp_path, capsys):
    assert run("reproduce", "zebra", "--out", tmp_path, "--only", "waves") == 2
    assert "advection" in capsys.readouterr().err
