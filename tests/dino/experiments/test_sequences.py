"""DINo's test protocol against the same scores computed by hand, in float64, from a model whose motion is known."""

import numpy as np
import pytest
import torch

from dino.config import Config
from dino.data.maps import open_maps
from dino.errors import ConfigError, EmptyDataError, NonFiniteError
from dino.experiments import sequences as module
from dino.experiments.sequences import SequenceScores, forecast_states, score_sequences
from dino.forecaster import Forecaster
from dino.training.prepare import prepare

RATES = torch.linspace(-0.3, 0.1, 8)


@pytest.fixture(scope="module")
def forecaster(box_config):
    """An untrained decoder, and modes that grow or decay each at a rate of its own."""
    torch.manual_seed(0)
    settings = box_config.model_dump(mode="json")
    settings["dynamics"] |= {"form": "quadratic", "order": 1}
    _, latent, ocean = prepare(Config.model_validate(settings))
    latent.dynamics.coefficients.data[1:9] = torch.diag(RATES)
    return Forecaster(latent, ocean)


@pytest.fixture(scope="module")
def box(box_dataset):
    return box_dataset(trajectories=3, days=6)


@pytest.fixture(scope="module")
def seen():
    return np.random.default_rng(0).random((16, 16)) < 0.3


def by_hand(forecaster, truth, start, seen):
    """Forecast fields (sequence, frame, row, column) of one channel, from the normal equations."""

    latent, ocean = forecaster.latent, forecaster.ocean

    def basis(dataset):
        latitude, longitude = np.meshgrid(dataset["latitude"], dataset["longitude"], indexing="ij")
        places = ocean.cover.charts[0].coordinates(longitude.ravel(), latitude.ravel())
        with torch.no_grad():
            made = latent.decoder.basis(torch.as_tensor(places, dtype=torch.float32))
        return made.offset[:, 0].double().numpy(), made.modes[:, 0].double().numpy()

    spread = float(ocean.spread[0])
    mean = float(ocean.background.values.mean())
    offset, modes = basis(start)
    cells = seen.ravel()
    first = (start["ssh"].values[:, 0].reshape(len(start["ssh"]), -1) - mean) / spread
    precision = np.eye(8) + modes[cells].T @ modes[cells] / latent.spec.noise_variance
    right = modes[cells].T @ (first - offset)[:, cells].T / latent.spec.noise_variance
    codes = np.linalg.solve(precision, right).T
    moved = codes[:, None] * np.exp(RATES.numpy() * np.arange(truth.sizes["time"])[:, None])
    offset, modes = basis(truth)
    return ((moved @ modes.T + offset) * spread + mean).reshape(truth["ssh"].shape)


def test_scores_are_those_computed_by_hand(forecaster, box, seen, monkeypatch):
    expected = np.square(by_hand(forecaster, box, box, seen) - box["ssh"].values).mean(0)
    assert expected.std() > 1e-3
    made = score_sequences(forecaster, box, seen, trained_days=2.0)
    np.testing.assert_allclose(made.by_frame[:, 0], expected.mean((1, 2)), rtol=1e-3)
    np.testing.assert_allclose(made.inside[:, 0], expected[:, seen].mean(-1), rtol=1e-3)
    np.testing.assert_allclose(made.outside[:, 0], expected[:, ~seen].mean(-1), rtol=1e-3)
    np.testing.assert_allclose(made.variance, [box["ssh"].values.var()], rtol=1e-5)
    np.testing.assert_allclose(made.leads, np.arange(6.0), atol=1e-9)
    table = made.table()
    assert table["in_t"] == pytest.approx([expected[:3].mean()], rel=1e-3)
    assert table["out_t_out_s"] == pytest.approx([expected[3:][:, ~seen].mean()], rel=1e-3)
    assert set(table) == {span + part for span in ("in_t", "out_t") for part in ("", "_in_s", "_out_s")}
    monkeypatch.setattr(module, "SEQUENCES", 2)  # blocks of sequences are only a matter of memory
    np.testing.assert_allclose(score_sequences(forecaster, box, seen, 2.0).by_frame, made.by_frame, rtol=1e-6)


def test_a_finer_grid_is_scored_from_what_the_coarse_one_shows(forecaster, box, box_dataset, seen):
    fine = box_dataset(trajectories=3, days=6, cells=32)
    np.testing.assert_allclose(fine["ssh"][..., ::2, ::2], box["ssh"], atol=1e-6)
    expected = np.square(by_hand(forecaster, fine, box, seen) - fine["ssh"].values).mean((0, 2, 3))
    made = score_sequences(forecaster, fine, seen, 2.0, initial=box)
    np.testing.assert_allclose(made.by_frame[:, 0], expected, rtol=1e-3)
    assert set(made.table()) == {"in_t", "out_t"}


def test_only_seen_cells_of_the_first_frame_are_looked_at(forecaster, box, seen):
    hidden = box.copy(deep=True)
    hidden["ssh"][:, 0] = hidden["ssh"][:, 0].where(seen)
    hidden["ssh"][:, 1:] = np.nan
    np.testing.assert_array_equal(
        score_sequences(forecaster, box, seen, 2.0, initial=hidden).by_frame,
        score_sequences(forecaster, box, seen, 2.0, initial=box).by_frame,
    )
    other = box.copy(deep=True)
    other["ssh"][0, 0] = other["ssh"][0, 0].where(~seen, 1.0)
    changed = score_sequences(forecaster, box, seen, 2.0, initial=other).by_frame
    assert not np.allclose(changed, score_sequences(forecaster, box, seen, 2.0, initial=box).by_frame)


def test_all_cells_seen_leaves_nothing_outside(forecaster, box):
    made = score_sequences(forecaster, box, np.ones((16, 16), bool), trained_days=5.0)
    assert set(made.table()) == {"in_t"}
    assert np.isnan(made.outside).all()


def test_the_end_of_training_belongs_to_it():
    errors = np.arange(4.0)[:, None] * [1.0, 10.0]
    nothing = np.full((4, 2), np.nan)
    scores = SequenceScores(np.arange(4) * 0.1, errors, nothing, nothing, np.ones(2), trained_days=0.1 * 2)
    assert scores.table() == {"in_t": [1.0, 10.0], "out_t": [3.0, 30.0]}


def test_a_second_order_state_begins_at_the_mean_tendency(box_config, box):
    second = Forecaster(*prepare(box_config)[1:])
    maps = open_maps(box, ["ssh"]).loaded()
    states = forecast_states(second, maps, maps.values[:, 0], np.ones((16, 16), bool), np.array([0.0, 1.0]))
    assert states.shape == (2, 3, 16)
    assert (states[0, :, 8:] == 0).all()
    assert states[0, :, :8].abs().max() > 0


def test_what_cannot_be_scored_is_told(forecaster, box, seen):
    with pytest.raises(EmptyDataError, match="no cell is seen"):
        score_sequences(forecaster, box, np.zeros_like(seen), 2.0)
    with pytest.raises(ConfigError, match=r"where ssh .* is wanted"):
        score_sequences(forecaster, box.rename(ssh="adt"), seen, 2.0)
    dynamics = forecaster.latent.dynamics
    kept = dynamics.coefficients.data.clone()
    dynamics.coefficients.data[9:] = 1e6
    with pytest.raises(NonFiniteError, match="is not finite at"):
        score_sequences(forecaster, box, seen, 2.0)
    dynamics.coefficients.data.copy_(kept)
