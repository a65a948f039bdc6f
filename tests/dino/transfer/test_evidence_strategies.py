"""Statistics and modulation by the evidence: what they change, what they gain, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import dino.transfer.evidence as evidence
from dino.config import AssimilationConfig, DecoderConfig, DynamicsConfig, ErrorsConfig, SourceErrors, TransferConfig
from dino.data.observations import Observations
from dino.errors import ConfigError, EmptyDataError
from dino.forecaster import Forecaster
from dino.inference.evidence_covariance import Covariance
from dino.inference.evidence_record import record_of
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.model.checkpoint import load_model, save_model
from dino.space.cover import Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap
from dino.transfer import Task, strategy

LEVEL = 0.3
SETTINGS = TransferConfig(window_days=8.0, horizon_days=4.0, stride_days=1.0)
TRUE = ErrorsConfig(nadir=SourceErrors(white=0.006, along=0.03, along_km=60.0, offset=0.003))


def make_latent(kind: str = "fourier") -> LatentModel:
    torch.manual_seed(0)
    spec = LatentSpec(
        decoder=DecoderConfig(kind=kind, code_size=8, hidden=16, layers=1, scale=2.0),
        dynamics=DynamicsConfig(order=2, depth=0, lags=2, horizons=[4]),
        input_size=2, channels=1, interval_days=1.0, noise_variance=0.01, data_digest="toy",
    )  # fmt: skip
    made = LatentModel(spec).double().eval()
    with torch.no_grad():
        made.code_variance.copy_(torch.linspace(2.0, 0.5, 8))
        made.state_covariance.copy_(torch.diag(torch.cat([made.code_variance, 0.2 * made.code_variance])))
        made.process_noise.copy_(1e-3 * torch.eye(16))
        made.unresolved_variance.fill_(0.01)
    return made


def make_ocean() -> Ocean:
    chart = Region.from_bounds(0.0, 6.0, 30.0, 36.0, isotropic=False)
    flat = GridMap(np.linspace(-1, 7, 4), np.linspace(29, 37, 4), np.zeros((1, 4, 4)))
    channels = (ChannelSpec(name="sla", units="m", spread=0.1),)
    return Ocean(channels, Cover((chart,), np.array([1.0]), True), flat)


@torch.no_grad()
def make_observations(latent: LatentModel, ocean: Ocean, days: float = 24.0, each: int = 7) -> Observations:
    """Passes over a sea whose codes relax in ten days, three times as strong as the model's, with errors along them."""
    chance, count, points = np.random.default_rng(1), int(each * days), 12
    start = np.sort(chance.uniform(0, days, count))
    time = 20000.0 + (start[:, None] + 101.0 / points / 86400.0 * np.arange(points)).ravel()
    latitude = np.tile(30.0 + 6.0 * (np.arange(points) + 0.5) / points, count)
    longitude, source = np.repeat(chance.uniform(0.5, 5.5, count), points), np.repeat(np.arange(count) % 2, points)
    nothing = np.full((count * points, 1), np.nan)
    seen = Observations(time, longitude, latitude, np.zeros_like(nothing), nothing, source, ("sla",))
    relaxed = evidence.relaxing(latent).double()
    record = record_of(relaxed, ocean, [seen], TRUE, most=10**6)
    covariance = Covariance(relaxed, relaxed.decoder)
    covariance.parameters["size"].fill_(np.log(3.0))
    covariance.parameters["days"].fill_(np.log(10.0))
    covariance.parameters["trend"].fill_(-9.0)
    (batch,) = record.batches(10**6)
    basis = relaxed.decoder.basis(record.rows.coordinates[batch.row].double())
    factor = torch.linalg.cholesky(covariance.of_rows(record, batch, basis.modes[..., 0, :]))
    noise = torch.randn(factor.shape[-1], 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = np.empty(len(seen))
    values[record.rows.observation[batch.row[0]].numpy()] = ((factor @ noise)[0, :, 0] + basis.offset[0, :, 0]).numpy()
    return Observations(time, longitude, latitude, LEVEL + 0.1 * values[:, None], nothing, source, ("sla",))


@pytest.fixture(scope="module", params=["statistics", "modulation"])
def done(request):
    latent, ocean = make_latent(), make_ocean()
    seen = make_observations(latent, ocean)
    forecaster = Forecaster(latent, ocean, AssimilationConfig(window_days=8.0))
    before = {name: value.clone() for name, value in latent.state_dict().items()}
    calls = []
    result = strategy(request.param)(Task(forecaster, seen, SETTINGS), lambda *step: calls.append(step))
    return request.param, forecaster, seen, result, before, latent, calls


def test_it_is_kept_and_finds_the_sea(done):
    name, forecaster, _, result, before, latent, calls = done
    assert result.kept
    assert result.after < 0.8 * result.before
    model = forecaster.latent
    assert model.spec.relaxing
    assert 1.5 < float((model.code_variance[:8] / before["code_variance"]).mean()) < 6.0
    assert float(model.code_variance[8:].mean()) < float(model.code_variance[:8].mean())
    errors = forecaster.assimilation.errors.nadir
    assert errors.along > errors.white
    assert errors.along == pytest.approx(0.03, rel=0.5)
    assert forecaster.ocean.background.at(np.array([3.0]), np.array([33.0]))[0, 0] == pytest.approx(LEVEL, abs=0.1)
    assert calls[-1][0] == calls[-1][1] == evidence.STEPS * (2 if name == "modulation" else 1)
    # The model it came with is as it was.
    assert all(torch.equal(value, before[key]) for key, value in latent.state_dict().items())
    changed = not torch.equal(model.decoder.base.shift, latent.decoder.shift)
    assert changed == (name == "modulation")


def test_a_forecast_is_never_worse_than_its_analysis_held_still(done):
    _, forecaster, seen, *_ = done
    errors = {"ahead": [], "still": []}
    for end in 20010.0 + np.arange(0.0, 10.0, 2.0):
        analysis = forecaster.analyse_observations(seen.between(end - 8, end), end, 8.0)
        later = seen.between(end + 2, end + 4)
        place = later.longitude, later.latitude
        for name, time in (("ahead", later.time), ("still", np.full(len(later), end))):
            mean, _ = forecaster.along_track(analysis, time, *place)
            errors[name].append(mean - later.values)
    ahead, still = (np.sqrt(np.mean(np.concatenate(part) ** 2)) for part in errors.values())
    assert ahead < still


def test_it_comes_back_as_it_was_saved(done, tmp_path):
    _, forecaster, seen, *_ = done
    save_model(forecaster.latent, forecaster.ocean, tmp_path)
    latent, ocean = load_model(tmp_path)
    assert latent.spec == forecaster.latent.spec
    loaded = Forecaster(latent, ocean, forecaster.assimilation)
    means = [f.analyse_observations(seen, 20020.0, 8.0).mean.double() for f in (loaded, forecaster)]
    torch.testing.assert_close(*means, atol=1e-4, rtol=1e-3)


def test_a_second_transfer_begins_where_the_first_ended(done):
    _, forecaster, seen, *_ = done
    again = evidence.fitted(forecaster, seen, lambda *step: None)
    assert again.latent.decoder.code_size == forecaster.latent.decoder.code_size
    ratio = again.latent.code_variance[:8] / forecaster.latent.code_variance[:8]
    assert float(ratio.log().abs().max()) < 1.0


def test_what_is_not_better_is_not_kept(monkeypatch):
    latent, ocean = make_latent(), make_ocean()
    seen = make_observations(latent, ocean)
    forecaster = Forecaster(latent, ocean, AssimilationConfig(window_days=8.0))

    def harmful(given, *rest):
        with torch.no_grad():
            made = evidence.relaxing(given.latent)
            made.code_variance.mul_(1e-6)
            made.state_covariance.mul_(1e-6)
        return Forecaster(made, given.ocean, given.assimilation)

    monkeypatch.setattr(evidence, "fitted", harmful)
    result = strategy("statistics")(Task(forecaster, seen, SETTINGS), lambda *step: None)
    assert not result.kept
    assert result.after == result.before
    assert forecaster.latent is latent
    assert forecaster.ocean is ocean


def test_a_decoder_that_is_not_affine_is_refused():
    ocean = make_ocean()
    seen = make_observations(make_latent(), ocean)
    forecaster = Forecaster(make_latent("siren").float(), ocean, AssimilationConfig(window_days=8.0))
    with pytest.raises(ConfigError, match="affine"):
        strategy("statistics")(Task(forecaster, seen, SETTINGS), lambda *step: None)


def quietly(done: int, total: int, note: str = "", /) -> None:
    """Progress that nobody follows."""


def test_spikes_do_not_spoil_what_is_fitted(monkeypatch):
    monkeypatch.setattr(evidence, "STEPS", 15)
    latent, ocean = make_latent(), make_ocean()
    seen = make_observations(latent, ocean, days=12.0, each=3)
    values = seen.values.copy()
    values[[50, 200]] += [[10.0], [-1.0]]
    forecaster = Forecaster(latent, ocean, AssimilationConfig(window_days=8.0))
    clean, spiked = (evidence.fitted(forecaster, s, quietly) for s in (seen, replace(seen, values=values)))
    for name in ("white", "along", "offset"):
        errors = [getattr(made.assimilation.errors.nadir, name) for made in (clean, spiked)]
        assert errors[1] == pytest.approx(errors[0], rel=0.05), name
    torch.testing.assert_close(spiked.latent.code_variance, clean.latent.code_variance, rtol=0.1, atol=0.0)
    place = np.array([3.0]), np.array([33.0])
    assert spiked.ocean.background.at(*place) == pytest.approx(clean.ocean.background.at(*place), abs=2e-3)


@pytest.mark.parametrize("count", [0, 1])
def test_a_record_of_nothing_is_refused(count):
    latent, ocean = make_latent(), make_ocean()
    seen = make_observations(latent, ocean, days=2.0, each=3)
    nothing = seen.between(0.0, 1.0) if not count else seen.between(0.0, float(seen.time[0]) + 1e-6)
    assert len(nothing) == count
    forecaster = Forecaster(latent, ocean, AssimilationConfig(window_days=8.0))
    with pytest.raises(EmptyDataError, match="points"):
        evidence.fitted(forecaster, nothing, quietly)
    with pytest.raises(EmptyDataError, match="points"):
        strategy("statistics")(Task(forecaster, nothing, SETTINGS), quietly)


def test_a_fit_leaves_the_chance_of_its_caller(monkeypatch):
    monkeypatch.setattr(evidence, "STEPS", 2)
    latent, ocean = make_latent(), make_ocean()
    seen = make_observations(latent, ocean, days=4.0, each=3)
    forecaster = Forecaster(latent, ocean, AssimilationConfig(window_days=8.0))
    made = []
    for chance in (1, 2):
        torch.manual_seed(chance)
        before = torch.get_rng_state()
        made.append(evidence.fitted(forecaster, seen, quietly, modulation=True).latent.state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())


@pytest.mark.filterwarnings("error")
def test_the_level_is_that_of_values_without_gross_errors():
    ocean = make_ocean()
    two = replace(
        ocean, channels=(*ocean.channels, ChannelSpec(name="sst", units="K", spread=1.0)),
        background=GridMap(ocean.background.longitude, ocean.background.latitude, np.zeros((2, 4, 4))),
    )  # fmt: skip
    chance = np.random.default_rng(0)
    values = np.column_stack([0.2 + 0.1 * chance.normal(size=100), np.full(100, np.nan)])
    nothing, place = np.full(values.shape, np.nan), (chance.uniform(1, 5, 100), chance.uniform(31, 35, 100))
    expected = values[1:, 0].mean()
    values[0, 0] = 10.0
    seen = Observations(20000.0 + np.arange(100.0), *place, values, nothing, np.zeros(100, np.int64), ("sla", "sst"))
    level = evidence.levelled(two, seen).background.at(np.array([3.0]), np.array([33.0]))[0]
    np.testing.assert_allclose(level, [expected, 0.0], atol=1e-12)


def test_repeated_points_count_once(monkeypatch):
    monkeypatch.setattr(evidence, "STEPS", 3)
    latent, ocean = make_latent(), make_ocean()
    seen = make_observations(latent, ocean, days=4.0, each=3)
    forecaster = Forecaster(latent, ocean, AssimilationConfig(window_days=8.0))
    twice = seen.select(np.repeat(np.arange(len(seen)), 2))
    once, again = (evidence.fitted(forecaster, record, quietly) for record in (seen, twice))
    assert once.assimilation == again.assimilation
    torch.testing.assert_close(again.latent.state_dict(), once.latent.state_dict())


def test_a_forecast_far_beyond_scores_relaxes_once(done):
    """To the climatology, with its spread, by the codes' own time scales and nothing else."""
    _, forecaster, seen, *_ = done
    latent = forecaster.latent
    analysis = forecaster.analyse_observations(seen.between(20012.0, 20020.0), 20020.0, 8.0)
    leads = latent.scored_days * np.array([0.5, 1.0, 1.5, 3.0, 30.0])
    ahead = forecaster.forecast_latent(analysis, 20020.0 + leads)
    kept = torch.exp(-torch.as_tensor(leads)[:, None] / latent.dynamics.days.double())
    torch.testing.assert_close(ahead.codes[:, 0].double(), kept * analysis.mean[0].double(), atol=1e-5, rtol=1e-4)
    variance = ahead.factor[:, 0].square().sum(-1) + ahead.model_error
    exact = latent.code_variance - kept**2 * (latent.code_variance - analysis.covariance[0].diagonal())
    torch.testing.assert_close(variance.double(), exact.double(), atol=1e-4, rtol=1e-3)
    assert (variance.diff(dim=0) >= -1e-5).all()
