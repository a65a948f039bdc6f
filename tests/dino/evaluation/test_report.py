import json

import numpy as np
import pytest
from rich.console import Console

from data_pipeline.errors import MissingFileError, StoreError
from dino.evaluation.report import (
    area_mean_table,
    display_units,
    method_label,
    read_report,
    report_table,
    score_rows,
    write_report,
)
from dino.evaluation.scores import Scores


def scores(rmse):
    rmse = np.array(rmse, dtype=np.float64)
    none = np.full_like(rmse, np.nan)
    return Scores(rmse=rmse, bias=rmse - rmse, anomaly_correlation=none, area_bias=-rmse / 2, area_rmse=rmse / 2)


@pytest.fixture
def rows():
    methods = {"dino": scores([[0.01, 1.0], [0.03, 2.0]]), "persistence": scores([[0.02, 1.0], [0.025, np.nan]])}
    return score_rows(methods, ["adt", "sst"], ["m", "degC"], [1, 3])


def test_rows_hold_what_machines_need(rows):
    assert len(rows) == 8
    assert rows[0] == {
        "channel": "adt",
        "method": "dino",
        "lead_days": 1.0,
        "rmse": 0.01,
        "bias": 0.0,
        "anomaly_correlation": None,
        "area_mean_bias": -0.005,
        "area_mean_rmse": 0.005,
        "units": "m",
    }


def test_report_round_trip(rows, tmp_path):
    path = write_report(tmp_path / "new" / "scores.json", rows, store="mediterranean", starts=20)
    report = read_report(path)
    assert report == {"scores": rows, "store": "mediterranean", "starts": 20}
    assert [entry.name for entry in path.parent.iterdir()] == ["scores.json"]


def test_a_failed_write_leaves_the_old_report(rows, tmp_path):
    path = write_report(tmp_path / "scores.json", rows)
    before = path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        write_report(path, rows, bad=float("nan"))
    assert path.read_text() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_unreadable_reports_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="no file"):
        read_report(tmp_path / "absent.json")
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(StoreError, match="not JSON"):
        read_report(path)
    path.write_text(json.dumps({"results": []}))
    with pytest.raises(StoreError, match="scores"):
        read_report(path)


def test_table_shows_centimetres_ratios_and_the_best_in_bold(rows):
    console = Console(width=100, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(report_table(rows, "adt"))
    text = capture.get()
    assert "adt [cm]" in text
    assert "0.50" in text
    assert "1.20" in text
    line = next(line for line in text.splitlines() if "1 d" in line)
    assert "\x1b[1;32m1.0" in line
    assert "\x1b[1;32m3.0" not in line


def test_table_of_a_missing_score_or_no_rows(rows):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(report_table(rows, "sst"))
    assert " - " in capture.get()
    assert report_table([], "adt").row_count == 0


def test_labels():
    assert display_units("m") == (100.0, "cm")
    assert display_units("1") == (1.0, "1")
    assert method_label("half_trend") == "half trend"
    assert method_label("my_model") == "my model"


def test_table_of_the_area_mean(rows):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(area_mean_table(rows, "adt"))
        console.print(area_mean_table(rows, "sst"))
    text = capture.get()
    assert "Area mean of adt [cm]: bias, RMSE" in text
    assert "-0.50 0.50" in text
    assert "-1.00 1.00" in text
    assert area_mean_table([], "adt").row_count == 0
