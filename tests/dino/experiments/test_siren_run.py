"""A run whose decoder is not affine, from training to forecasts and transfer, through the public interface."""

import numpy as np
import pytest
import torch
import xarray as xr

import dino
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import silent
from dino.config import AssimilationConfig, Config, DecoderConfig, TransferConfig
from dino.errors import ConfigError
from dino.experiments.train import train
from dino.model.checkpoint import load_model
from dino.model.latent import build_decoder
from dino.space.decoders import FourierDecoder, SirenDecoder
from dino.training.code_statistics import encode_series, series_metric
from dino.training.field_stage import FieldStage
from dino.training.prepare import prepare
from dino.transfer import Task, strategy

DAY = np.timedelta64(1, "D")
SHORT = {"window_days": 4.0, "node_days": 2.0, "iterations": 3}
FIELD = {"steps": 40, "frames_per_step": 16, "points_per_map": 64, "prior_rounds": 2, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def config(box_config) -> Config:
    decoder = {"kind": "siren", "code_size": 12, "hidden": 16, "layers": 1, "w0_first": 3.0}
    changed = {"decoder": decoder, "field": box_config.field.model_dump() | FIELD | {"ridge": 0.02}}
    return Config.model_validate(box_config.model_dump() | changed)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("siren") / "run"
    train(config, folder, silent)
    return folder


@pytest.fixture(scope="module")
def ocean(box_store):
    """One trajectory of the toy store as a plain sea."""
    return open_store(box_store).load().isel(trajectory=7, drop=True)


@pytest.fixture(scope="module")
def grid(ocean):
    return xr.Dataset(coords={name: ocean[name] for name in ("latitude", "longitude")})


def test_the_configuration_chooses_the_decoder():
    assert isinstance(build_decoder(DecoderConfig(kind="siren"), 3, 2), SirenDecoder)
    assert isinstance(build_decoder(DecoderConfig(), 3, 2), FourierDecoder)
    assert DecoderConfig.model_validate({"kind": "siren"}).layers == 1
    assert DecoderConfig.model_validate({"kind": "siren", "layers": 2}).layers == 2
    assert DecoderConfig().layers == 3
    old = {"code_size": 8, "hidden": 16, "layers": 2, "scale": 4.0}  # as runs made before there was a choice say it
    assert DecoderConfig.model_validate(old).kind == "fourier"


def test_training_lowers_the_error_on_held_out_maps(config):
    torch.manual_seed(0)
    splits, model, _ = prepare(config)
    held = splits[0].validation
    longer = config.field.model_copy(update={"steps": 150})
    stage = FieldStage(model, [splits[0].training], held, longer, torch.Generator().manual_seed(0))
    before = stage.validate()
    for index in range(150):
        stage.step(index)
    assert stage.validate() < 0.3 * before


def test_latent_length_is_field_size_on_average_over_the_population(run, config):
    model, _ = load_model(run)
    splits, *_ = prepare(config)
    codes, covariance = encode_series(model, splits[0].training, model.code_prior)
    assert covariance.shape == (splits[0].training.count, 12, 12)
    metric = series_metric(model, splits[0].training, codes)[0]
    scale = metric.diagonal().mean()
    assert (metric - scale * torch.eye(12)).abs().max() < 0.5 * scale
    assert (model.code_variance.diff() <= 0).all()


def test_the_same_seed_and_a_resumed_run_give_the_same_weights(run, config, tmp_path):
    calls = []

    def cut(done, total, note=""):
        calls.append(done)
        if len(calls) == 17:
            raise KeyError("power cut")

    with pytest.raises(KeyError):
        train(config, tmp_path, cut)
    train(config, tmp_path, silent, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_run_comes_back_as_it_was(run):
    model, _ = load_model(run)
    assert isinstance(model.decoder, SirenDecoder)
    assert model.spec.decoder.kind == "siren"
    again, _ = load_model(run)
    x, codes = torch.rand(5, model.decoder.input_size), torch.randn(2, 12)
    assert torch.equal(model.decoder(x, codes), again.decoder(x, codes))


def test_maps_are_analysed_and_forecast(run, ocean, grid):
    forecaster = dino.load(run)
    analysis = forecaster.analyse(ocean)
    assert analysis.maps is not None
    made = forecaster.forecast(analysis, ocean["time"].values[-1] + DAY * np.array([1, 3]), grid)
    assert np.isfinite(made["ssh"]).all()
    assert (made["ssh_std"] > 0).all()
    plain = forecaster.forecast(analysis, ocean["time"].values[-1] + DAY * np.array([1, 3]), grid, spread=False)
    # The spread's ensemble moves the mean; what matters here is that both ways of decoding agree on the field.
    assert float(np.abs(plain["ssh"] - made["ssh"]).mean()) < 0.5 * float(made["ssh_std"].mean())


@pytest.mark.parametrize("method", ["window", "filter"])
def test_points_are_analysed_and_the_analysis_fits_them(run, ocean, grid, scattered, method):
    sparse = scattered(ocean.isel(time=slice(-5, None)), ["ssh"], 200)
    forecaster = dino.Forecaster(*load_model(run), AssimilationConfig(method=method, **SHORT))
    analysis = forecaster.analyse(sparse, smooth=True)
    made = forecaster.forecast(analysis, ocean["time"].values[-1:], grid)
    error = float(np.sqrt(((made["ssh"].values[0] - ocean["ssh"].values[-1]) ** 2).mean()))
    assert error < 0.8 * float(ocean["ssh"].isel(time=-1).std())
    observed = dino.Observations.from_dataset(sparse, ("ssh",))
    place = (observed.time, observed.longitude, observed.latitude)
    mean, deviation = forecaster.along_track(analysis, *place)
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()
    assert np.mean((mean - observed.values) ** 2) < 0.8 * observed.values.var()


def test_the_evidence_wants_an_affine_decoder_and_pace_does_not(run, ocean, scattered):
    forecaster = dino.Forecaster(*load_model(run), AssimilationConfig(**SHORT))
    observations = dino.Observations.from_dataset(scattered(ocean, ["ssh"], 300), ("ssh",))
    settings = TransferConfig(rounds=1, steps=5, window_days=4.0, horizon_days=2.0)
    task = Task(forecaster, observations, settings)
    with pytest.raises(ConfigError, match="affine"):
        strategy("modulation")(task, silent)
    result = strategy("pace")(task, silent)
    assert result.after <= result.before
    assert np.isfinite(result.rounds).all()
