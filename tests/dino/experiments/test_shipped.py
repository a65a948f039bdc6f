"""Experiments by name and by path."""

from pathlib import Path

import pytest

from dino.errors import ConfigError
from dino.experiments.shipped import experiments, find_experiment


def test_a_name_finds_what_a_path_finds():
    assert find_experiment("mediterranean").samefile(experiments()["mediterranean"])
    assert find_experiment("configs/mediterranean.yaml") == Path("configs/mediterranean.yaml")


def test_a_file_of_ones_own_comes_before_a_shipped_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("seed: 0\n")
    assert find_experiment("demo") == Path("demo")


def test_an_unknown_name_is_refused_with_the_names():
    with pytest.raises(ConfigError, match=r"no experiment 'atlantis'.*demo.*mediterranean"):
        find_experiment("atlantis")
