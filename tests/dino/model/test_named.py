"""Models by name: which folder a word means, what a published model refuses before it is laid, and its card."""

import numpy as np
import pytest

import dino
from dino.data.observations import Observations
from dino.errors import CheckpointError, DomainError, MissingFileError
from dino.model import Ocean, named
from dino.model.checkpoint import load_model, load_run_config, save_config, save_model
from dino.model.named import Card, card_of, find_model, shipped_models

CREDIT = "Generated using made-up waves"
HEAD = """---
name: toy-sea
channel: adt [m]
area: any sea
saw: waves
skill: none
licence: Apache-2.0
credit: {credit}
---
# toy-sea
"""


def publish(run, folder):
    """A run as a shipped model: no place and no mean field."""
    latent, ocean = load_model(run)
    latent.spec = latent.spec.model_copy(update={"credit": CREDIT})
    save_model(latent, Ocean.nowhere(ocean.channels), folder)
    save_config(load_run_config(run), folder)
    (folder / "CARD.md").write_text(HEAD.format(credit=CREDIT))
    return folder


@pytest.fixture
def toy_sea(sea_run, tmp_path, monkeypatch):
    folder = publish(sea_run, tmp_path / "shipped" / "toy-sea")
    monkeypatch.setattr(named, "SHIPPED", tmp_path / "shipped")
    shipped_models.cache_clear()
    yield folder
    shipped_models.cache_clear()


def test_a_word_is_a_run_here_before_it_is_a_name(toy_sea, sea_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("toy-sea") == toy_sea
    (tmp_path / "toy-sea").mkdir()  # a folder that is no run is not meant
    assert find_model("toy-sea") == toy_sea
    (tmp_path / "toy-sea").rmdir()
    (tmp_path / "toy-sea").symlink_to(sea_run)
    assert find_model("toy-sea").name == "toy-sea"
    assert dino.load("toy-sea").ocean.charts > 0


def test_an_unknown_word_lists_the_names(toy_sea, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match=r"no run folder here and no shipped model.*toy-sea"):
        dino.load("sea-lebel")
    with pytest.raises(MissingFileError, match="no finished run"):
        dino.load("runs/toy-sea")  # a path is never a name


def test_a_published_model_lies_nowhere_until_it_is_laid(toy_sea, sea_dataset, scattered):
    model = dino.load("toy-sea")
    seen = scattered(sea_dataset(west=170.0, land=False), ["adt"], 300)
    times, at = ["2005-05-02"], {"longitude": ("point", [172.0]), "latitude": ("point", [38.0])}
    places = seen.drop_vars(seen.variables).assign_coords(at)
    assert model.ocean.charts == 0
    for refused in (
        lambda: model.analyse(seen),
        lambda: model.forecast(seen, times, places),
        lambda: model.analyse(sea_dataset(west=170.0, land=False)),
    ):
        with pytest.raises(DomainError, match="lies over no sea yet"):
            refused()
    made = model.over(seen, tile_degrees=2.0).forecast(seen, times, places)
    assert np.isfinite(made["adt"]).all()
    assert made.attrs["credit"] == CREDIT
    assert made.attrs["dino_weights_sha256"] == model.latent.origin
    assert len(model.latent.origin) == 64


def test_what_is_fitted_passes_the_credit_on(toy_sea, sea_dataset, scattered):
    seen = scattered(sea_dataset(west=170.0, land=False), ["adt"], 300)
    model = dino.load("toy-sea").over(seen, tile_degrees=2.0)
    fitted = dino.adapt(model, seen)
    assert fitted.latent.spec.credit == CREDIT
    assert fitted.latent.origin == model.latent.origin
    assert fitted.latent.spec.relaxing
    assert not model.latent.spec.relaxing


def test_sea_level_is_found_under_its_other_names(toy_sea, sea_dataset, scattered):
    seen = scattered(sea_dataset(west=170.0, land=False), ["adt"], 300)
    anomalies = seen.rename(adt="sla", adt_error="sla_error")
    anomalies["sla"].attrs = {"units": "m"}
    assert dino.load("toy-sea").over(anomalies, tile_degrees=2.0).ocean.names == ("sla",)
    assert float(np.nanmax(dino.load("toy-sea").over(anomalies, tile_degrees=2.0).ocean.background.values)) == 0.0
    both = anomalies.assign(adt=seen["adt"] + 1.0)
    assert dino.load("toy-sea").over(both, tile_degrees=2.0).ocean.names == ("adt",)


def test_tiles_are_small_in_enclosed_seas():
    """The Mediterranean, the Black Sea, the Gulf Stream, and one pass."""
    for box, degrees in (((-6, 36, 30, 46), 4.0), ((27, 42, 40, 47), 4.0), ((-74, -46, 32, 44), 8.0)):
        corners = np.array([(box[0], box[2]), (box[1], box[3])], float)
        seen = Observations(
            np.arange(2.0), *corners.T, np.zeros((2, 1)), np.zeros((2, 1)), np.zeros(2, np.int64), ("sla",)
        )
        assert named_size(seen) == degrees


def named_size(seen):
    from dino.model.laying import suited_tile_degrees

    return suited_tile_degrees(seen)


def test_a_card_tells_what_forecasts_pass_on(toy_sea):
    assert card_of(toy_sea) == Card(
        name="toy-sea",
        channel="adt [m]",
        area="any sea",
        saw="waves",
        skill="none",
        licence="Apache-2.0",
        credit=CREDIT,
    )
    (toy_sea / "CARD.md").write_text("# toy-sea\n")
    with pytest.raises(CheckpointError, match="no readable head"):
        card_of(toy_sea)


def test_every_shipped_model_has_a_card_and_no_place():
    for name, folder in shipped_models().items():
        card = card_of(folder)
        latent, ocean = load_model(folder)
        assert card.name == name
        assert card.credit == latent.spec.credit
        assert ocean.charts == 0
        assert ocean.background.values.size == len(ocean.channels)
        assert not [s.path for s in load_run_config(folder).data.stores if s.path.is_absolute()]
