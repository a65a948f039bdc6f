from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure
from PIL import Image

from data_pipeline.errors import ConfigError, EmptyDataError, SchemaError
from data_pipeline.figures.style import PALETTE
from dino.experiments.sequences import SequenceScores
from dino.plotting import (
    animate,
    curves,
    plot_maps,
    plot_observations,
    plot_sequences,
    plot_skill,
    plot_tracks,
    plot_training,
)
from dino.plotting.style import error_scale, field_scale, map_coordinates, spread_scale
from tests.pictures import assert_drawn

LEADS = [1.0, 5.0]


@pytest.fixture
def maps():
    """Truth and forecast (lead, y, x) with land in a corner, and their axes."""
    lon, lat = np.linspace(-5, 10, 24), np.linspace(35, 43, 16)
    truth = np.stack([0.1 * np.sin(lon[None, :] + lead) * np.cos(lat[:, None]) for lead in LEADS])
    truth[:, :4, :6] = np.nan
    return truth, 0.9 * truth + 0.01, lon, lat


def observations(count=300):
    random = np.random.default_rng(0)
    time = np.datetime64("2020-01-01", "ns") + np.sort(random.integers(0, 5 * 86400, count)).astype("timedelta64[s]")
    variables = {
        "time": ("obs", time),
        "adt": ("obs", random.normal(size=count).astype(np.float32), {"units": "m"}),
        "adt_error": ("obs", np.full(count, 0.02, np.float32)),
        "source": ("obs", random.integers(0, 2, count).astype(np.int16)),
        "source_name": ("source_index", np.array(["one", "two"])),
    }
    places = {"longitude": ("obs", random.uniform(-5, 10, count)), "latitude": ("obs", random.uniform(35, 43, count))}
    return xr.Dataset(variables, coords=places)


@pytest.fixture
def sheet(tmp_path):
    """sheet(axes, words, line, noise): a figure with some of what a figure needs."""

    def make(axes=True, words=True, line=True, noise=False):
        figure = Figure(figsize=(4, 3))
        axis = figure.subplots()
        if words:
            axis.set_title("What a figure is called")
            axis.set_xlabel("lead time [days]")
        if line:
            axis.plot([0, 1, 2], [1, 3, 2], color=PALETTE[1])
        if not axes:
            axis.set_axis_off()
        path = tmp_path / "sheet.png"
        figure.savefig(path, dpi=150)
        if noise:
            values = np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8)
            Image.fromarray(values).save(path)
        return path

    return make


def test_what_counts_as_drawn(sheet):
    assert_drawn(sheet())


@pytest.mark.parametrize(
    "what",
    [{"axes": False, "words": False, "line": False}, {"line": False}, {"axes": False}, {"noise": True}],
    ids=["blank", "without data", "without axes", "noise"],
)
def test_what_does_not_count_as_drawn(sheet, what):
    with pytest.raises(AssertionError):
        assert_drawn(sheet(**what))


def test_the_same_picture_of_other_data_does_not_count(sheet):
    with pytest.raises(AssertionError):
        assert_drawn(sheet(), other=sheet())


@pytest.mark.parametrize("curvilinear", [False, True])
@pytest.mark.parametrize("with_truth", [False, True])
def test_maps(maps, tmp_path, curvilinear, with_truth):
    truth, forecast, lon, lat = maps
    if curvilinear:
        lon, lat = np.meshgrid(lon, lat)
        lon = lon + 0.2 * lat

    def draw(values, name):
        return plot_maps(
            truth if with_truth else None,
            values,
            lon,
            lat,
            LEADS,
            "adt",
            "m",
            tmp_path / "figures" / name,
            std=np.abs(values),
            observations=observations(),
        )

    assert_drawn(draw(forecast, "maps.png"), other=draw(forecast[:, ::-1], "other.png"))


def test_maps_with_removed_land_coordinates(maps, tmp_path):
    _, forecast, lon, lat = maps
    lon, lat = np.meshgrid(lon, lat)
    lon[:3, :3] = lat[:3, :3] = np.nan
    assert_drawn(plot_maps(None, forecast, lon, lat, LEADS, "sst", "degC", tmp_path / "maps.png"))


def test_maps_of_nothing_but_land_are_still_written(maps, tmp_path):
    truth, _, lon, lat = maps
    empty = np.full_like(truth, np.nan)
    assert plot_maps(empty, empty, lon, lat, LEADS, "adt", "m", tmp_path / "maps.png", std=empty).stat().st_size > 0


def test_shapes_and_names_that_cannot_be_drawn_are_refused(maps, tmp_path):
    truth, forecast, lon, lat = maps
    with pytest.raises(SchemaError, match="truth has shape"):
        plot_maps(truth[:1], forecast, lon, lat, LEADS, "adt", "m", tmp_path / "maps.png")
    with pytest.raises(SchemaError, match="longitude"):
        plot_maps(truth, forecast, lon[:-1], lat, LEADS, "adt", "m", tmp_path / "maps.png")
    with pytest.raises(ConfigError, match="suffix"):
        plot_maps(truth, forecast, lon, lat, LEADS, "adt", "m", tmp_path / "maps.xyz")
    with pytest.raises(ConfigError, match="GIF"):
        animate(truth, forecast, lon, lat, LEADS, "adt", "m", tmp_path / "forecast.png")


def test_animation_has_a_frame_for_every_lead(maps, tmp_path):
    truth, forecast, lon, lat = maps
    path = animate(truth, forecast, lon, lat, LEADS, "adt", "m", tmp_path / "forecast.gif")
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == len(LEADS)
        first = np.asarray(image.convert("RGB")).copy()
        image.seek(1)
        assert (first != np.asarray(image.convert("RGB"))).mean() > 0.01
    assert_drawn(path)


def test_an_animation_that_fails_leaves_what_was_there(maps, tmp_path, monkeypatch):
    path = tmp_path / "forecast.gif"
    path.write_bytes(b"the last one")

    def full(writer):
        Path(writer.outfile).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(PillowWriter, "finish", full)
    truth, forecast, lon, lat = maps
    with pytest.raises(OSError, match="no space"):
        animate(truth, forecast, lon, lat, LEADS, "adt", "m", path)
    assert path.read_bytes() == b"the last one"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_skill(tmp_path):
    rows = [
        {"channel": channel, "method": method, "lead_days": lead, "rmse": factor * lead**0.5, "units": units}
        for channel, units in (("adt", "m"), ("sst", "degC"))
        for method, factor in (("persistence", 0.01), ("dino", 0.008), ("something_new", 0.02))
        for lead in (1.0, 3.0, 10.0)
    ]
    rows.append({"channel": "adt", "method": "dino", "lead_days": 14.0, "rmse": None, "units": "m"})
    better = [{**row, "rmse": row["rmse"] and 0.5 * row["rmse"] * row["lead_days"]} for row in rows]
    assert_drawn(plot_skill(rows, tmp_path / "skill.png"), other=plot_skill(better, tmp_path / "other.png"))
    with pytest.raises(EmptyDataError, match="no scores"):
        plot_skill([], tmp_path / "skill.png")


def test_training(tmp_path):
    records = [
        {"stage": stage, "step": step, "train": 1 / (1 + step), "validation": None if step % 5 else 2 / (1 + step)}
        for stage in ("field", "dynamics")
        for step in range(20)
    ]
    slower = [{**record, "train": record["train"] ** 0.5} for record in records]
    assert_drawn(
        plot_training([*records, {"stage": "posterior", "seconds": 3.0}], tmp_path / "training.png"),
        other=plot_training(slower, tmp_path / "other.png"),
    )
    with pytest.raises(EmptyDataError, match="no training records"):
        plot_training([{"stage": "field"}], tmp_path / "training.png")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, instead of their files."""
    figures = []
    monkeypatch.setattr(curves, "save", lambda figure, path: figures.append(figure) or path)
    return figures


def test_training_of_a_stage_without_training_losses(tmp_path, drawn):
    """Rounds of a solved stage have a held-out error alone, with or without the key "train"."""
    field = [{"stage": "field", "step": n, "train": 1 / n, "validation": 1 / n} for n in (1, 2)]
    solved = [{"stage": "dynamics", "step": n, "train": None, "validation": v} for n, v in ((1, 0.5), (2, 0.1))]
    solved.append({"stage": "dynamics", "step": 3, "validation": 0.2})
    plot_training([*field, *solved], tmp_path / "training.png")
    left, right = drawn[0].axes
    assert [line.get_label() for line in left.lines][:2] == ["training", "validation"]
    curve, star = right.lines
    np.testing.assert_allclose(curve.get_xydata(), [(1, 0.5), (2, 0.1), (3, 0.2)])
    np.testing.assert_allclose(star.get_xydata(), [(2, 0.1)])


def sequence_scores(factor):
    errors = factor * np.array([[1e-4, 1e-3], [1e-3, 1e-2], [1e-2, 1e-1]])
    return SequenceScores(np.arange(3.0), errors, errors, errors, np.array([1.0, 4.0]), trained_days=1.0)


def test_sequences(tmp_path, drawn):
    plot_sequences(
        {"same_points": sequence_scores(1), "finer grid": sequence_scores(2)}, ["u", "v"], tmp_path / "a.png"
    )
    for index, axis in enumerate(drawn[0].axes):
        same, finer, end = axis.lines
        assert [same.get_label(), finer.get_label()] == ["same points", "finer grid"]
        np.testing.assert_allclose(finer.get_ydata(), sequence_scores(2).by_frame[:, index])
        assert axis.get_yscale() == "log"
        assert end.get_xdata()[0] == 1.0
        assert f"variance {[1, 4][index]}" in axis.get_title()
    with pytest.raises(EmptyDataError, match="no scores"):
        plot_sequences({}, ["u"], tmp_path / "a.png")


def test_sequences_are_written(tmp_path):
    score = sequence_scores(1)
    flat = replace(score, by_frame=0 * score.by_frame + 1e-3)
    assert_drawn(
        plot_sequences({"same points": score}, ["u", "v"], tmp_path / "figures" / "error.png"),
        other=plot_sequences({"same points": flat}, ["u", "v"], tmp_path / "figures" / "other.png"),
    )


def test_observations(tmp_path):
    dataset = observations()
    changed = dataset.assign(adt=dataset["adt"] ** 2, longitude=dataset["longitude"] / 2)
    assert_drawn(
        plot_observations(dataset, tmp_path / "observations.png"),
        other=plot_observations(changed, tmp_path / "other.png"),
    )
    assert_drawn(plot_observations(dataset.drop_vars(["source", "source_name"]), tmp_path / "plain.png", channel="adt"))
    with pytest.raises(SchemaError, match="no 'sla'"):
        plot_observations(dataset, tmp_path / "observations.png", channel="sla")
    dataset["adt"][:] = np.nan
    with pytest.raises(EmptyDataError, match="adt"):
        plot_observations(dataset, tmp_path / "observations.png")


@pytest.mark.parametrize("count", [1, 400, 5000])
def test_tracks(tmp_path, count):
    random = np.random.default_rng(0)
    observed = random.normal(size=count)
    predicted = observed + 0.3 * random.normal(size=count)
    spread = np.full(count, 0.3)
    for std in (None, spread):
        assert_drawn(
            plot_tracks(observed, predicted, "adt", "m", tmp_path / "tracks.png", std=std),
            other=plot_tracks(observed, 2.0 - predicted, "adt", "m", tmp_path / "other.png", std=std),
        )


def test_tracks_without_a_pair_are_refused(tmp_path):
    with pytest.raises(EmptyDataError, match="no valid pair"):
        plot_tracks([np.nan], [1.0], "adt", "m", tmp_path / "tracks.png")


def test_diverging_limits_are_symmetric():
    random = np.random.default_rng(0)
    anomaly = random.normal(size=1000)
    assert field_scale(anomaly).low == -field_scale(anomaly).high
    offset = field_scale(anomaly - 1.0)
    assert 0.5 * (offset.low + offset.high) == pytest.approx(np.median(anomaly - 1.0))
    assert field_scale(anomaly + 20.0).cmap == "viridis"
    assert error_scale(anomaly + 5.0).low == -error_scale(anomaly + 5.0).high
    assert spread_scale(np.abs(anomaly)).low == 0.0


def test_curvilinear_maps_stay_whole_across_the_antimeridian():
    lon = np.array([[178.0, 179.0, -180.0, -179.0]] * 2)
    unwrapped, _ = map_coordinates(lon, np.array([[0.0] * 4, [1.0] * 4]), (2, 4))
    np.testing.assert_allclose(unwrapped[0], [178, 179, 180, 181])
