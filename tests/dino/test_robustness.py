"""Hard numerics: what the data cannot determine, say twice, or say in odd units comes out right or is refused."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import dino
from data_pipeline.stores.writing import open_store, write_store
from dino.config import AssimilationConfig, Config
from dino.dynamics import integrate
from dino.errors import DinoError, EmptyDataError, NonFiniteError
from dino.experiments.train import train
from dino.inference import encode, encode_frames
from dino.model.checkpoint import load_model
from dino.numerics.gaussian import Gaussian
from dino.space.decoders.base import Basis
from dino.training.code_statistics import encode_series, learn_code_statistics
from dino.training.prepare import prepare
from dino.training.principal_axes import principal_axes
from dino.training.variable_projection import project

SHORT = AssimilationConfig(window_days=4.0, node_days=2.0, iterations=2)
SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=10, deadline=None)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_basis(seed, points=30, code=6, channels=2):
    return Basis(normal(seed, points, channels), normal(seed + 1, points, channels, code))


def duplicated(basis, *, dead=False):
    """The last mode once more, or a mode that does nothing, or both: fields are those of the basis."""
    extra = [basis.modes[..., -1:]] + ([torch.zeros_like(basis.modes[..., :1])] if dead else [])
    return Basis(basis.offset, torch.cat([basis.modes, *extra], -1))


def unit(size, variance=1.0):
    return Gaussian(torch.zeros(size, dtype=torch.float64), variance * torch.eye(size, dtype=torch.float64))


def single(*things):
    return [Basis(t.offset.float(), t.modes.float()) if isinstance(t, Basis) else t.float() for t in things]


# ---- bases that do not determine their codes


@FEW
@given(SEEDS, st.booleans(), st.sampled_from([1e-8, 1e-4, 1e-1]))
def test_projection_on_a_rank_deficient_basis_is_that_of_the_pseudo_inverse(seed, dead, ridge):
    whole, values = a_basis(seed), normal(seed + 2, 1, 4, 30, 2)
    weights = torch.ones(1, 30, 2, dtype=torch.float64)
    made = project(duplicated(whole, dead=dead), values, weights, ridge)
    modes = duplicated(whole, dead=dead).modes.flatten(0, 1)
    target = (values[0] - whole.offset).flatten(1)
    # The penalty is relative to modes of unit mean square; a mode that does nothing weighs nothing.
    size = modes.square().mean(0).sqrt()
    some = modes[:, size > 0] / size[size > 0]
    normal_matrix = some.T @ some + ridge * torch.eye(some.shape[1], dtype=torch.float64)
    codes = torch.linalg.solve(normal_matrix, some.T @ target.T)
    residual = (target - (some @ codes).T).square().mean()
    assert torch.isfinite(made.codes).all()
    assert float(made.residual) == pytest.approx(float(residual), rel=1e-6)
    if ridge == 1e-8:
        best = target - (modes @ torch.linalg.pinv(modes) @ target.T).T
        assert float(made.residual) == pytest.approx(float(best.square().mean()), rel=1e-5)
    lone = project(*single(duplicated(whole, dead=dead), values, weights), max(ridge, 1e-4))
    assert torch.isfinite(lone.codes).all()
    assert float(lone.residual) == pytest.approx(float(made.residual), rel=2e-3)


@FEW
@given(SEEDS, st.booleans())
def test_encoding_with_a_rank_deficient_basis_predicts_what_the_prior_implies(seed, dead):
    """Two equal modes with unit priors are one mode with a prior of twice the variance."""
    whole, values = a_basis(seed), normal(seed + 2, 3, 30, 2)
    made = encode(duplicated(whole, dead=dead), values, 0.01, unit(7 + dead))
    merged = unit(6)
    merged.covariance[5, 5] = 2.0
    expected = encode(whole, values, 0.01, merged)
    torch.testing.assert_close(duplicated(whole, dead=dead).decode(made.mean), whole.decode(expected.mean))
    torch.testing.assert_close(made.mean[:, 5], made.mean[:, 6])
    if dead:
        torch.testing.assert_close(made.mean[:, 7], torch.zeros(3, dtype=torch.float64))
        assert float(made.covariance[7, 7]) == pytest.approx(1.0)
    # In single precision the normal matrix is singular within rounding.
    basis, values, prior = duplicated(whole, dead=dead), values, unit(7 + dead)
    lone = encode(*single(basis, values), 1e-7, Gaussian(*single(prior.mean, prior.covariance)))
    sharp = encode(basis, values, 1e-7, prior)
    assert torch.isfinite(lone.mean).all()
    torch.testing.assert_close(basis.decode(lone.mean.double()), basis.decode(sharp.mean), rtol=0, atol=2e-2)


def rank_deficient(model):
    """Two modes of a model's decoder made equal, and another one nothing."""
    with torch.no_grad():
        model.decoder.shift[..., 3] = model.decoder.shift[..., 2]
        model.decoder.shift[..., 5] = 0.0
    return model


def test_frames_are_encoded_with_equal_and_dead_modes(box_config):
    splits, model, _ = prepare(box_config)
    rank_deficient(model)
    series = splits[0].series
    made = encode_frames(model.decoder, series.coordinates, series.values[0], 1e-4, model.code_prior)
    basis = model.decoder.basis(series.coordinates)
    exact = encode(
        Basis(basis.offset.double(), basis.modes.double()),
        series.values[0].double(),
        1e-4,
        Gaussian(model.code_prior.mean.double(), model.code_prior.covariance.double()),
    )
    decoded = basis.decode(made.mean).detach().double()
    truth = Basis(basis.offset.double(), basis.modes.double()).decode(exact.mean).detach()
    assert (decoded - truth).abs().max() < 1e-3 * truth.std()


def test_code_statistics_of_a_rank_deficient_basis(box_config):
    """Maps are represented as well as without the useless modes, and the prior is a proper one."""
    splits, model, _ = prepare(box_config)
    rank_deficient(model)
    series = splits[0].training
    basis = model.decoder.basis(series.coordinates)
    wide = Gaussian(torch.zeros(8), 100 * torch.eye(8))
    reached = basis.decode(encode(basis, series.values.flatten(0, 1), 1e-4, wide).mean).detach()
    reached = reached.unflatten(0, series.values.shape[:2])
    scale = learn_code_statistics(model, [series], box_config.field)
    modes = model.decoder.basis(series.coordinates).modes.detach()
    explained = float((modes.square() @ model.code_variance).mean())
    assert explained == pytest.approx(float((reached - reached.mean((0, 1))).square().mean()), rel=0.1)
    assert scale == pytest.approx((explained / 8) ** 0.5, rel=0.1)
    assert torch.isfinite(model.code_variance).all()
    assert (model.code_variance > 0).all()
    assert float(model.code_variance.mean()) == pytest.approx(1.0, rel=1e-4)
    # Six modes carry the fields; what is left of the others is next to nothing.
    assert model.code_variance[6:].max() < 1e-3
    model.spec = model.spec.model_copy(update={"noise_variance": 1e-4})
    codes, _ = encode_series(model, series, model.code_prior)
    after = model.decoder.basis(series.coordinates).decode(codes).detach()
    assert (after - series.values).square().mean() < 1.02 * (reached - series.values).square().mean()


@FEW
@given(SEEDS, st.booleans())
def test_principal_axes_of_a_singular_metric(seed, dead):
    modes = duplicated(a_basis(seed), dead=dead).modes.flatten(0, 1)
    metric = modes.T @ modes / len(modes)
    root = normal(seed + 3, len(metric), len(metric))
    covariance = root @ root.T + 0.1 * torch.eye(len(metric), dtype=torch.float64)
    axes = principal_axes(metric, torch.zeros(len(metric)), covariance)
    assert torch.isfinite(axes.transform).all()
    assert (axes.variance > 0).all()
    assert axes.variance[6:].max() < 1e-6
    fields = modes @ covariance @ modes.T
    turned = modes @ axes.transform
    torch.testing.assert_close(turned * axes.variance @ turned.T, fields, rtol=1e-4, atol=1e-4 * float(fields.max()))


# ---- too little, or the same again


@FEW
@given(SEEDS, st.integers(1, 30))
def test_the_same_points_seen_n_times_are_seen_once_more_exactly(seed, times):
    basis, values = a_basis(seed, points=4), normal(seed + 2, 2, 4, 2)
    again = Basis(basis.offset.repeat(times, 1), basis.modes.repeat(times, 1, 1))
    made = encode(again, values.repeat(1, times, 1), 0.3, unit(6))
    once = encode(basis, values, 0.3 / times, unit(6))
    torch.testing.assert_close(made.mean, once.mean)
    torch.testing.assert_close(made.covariance, once.covariance)


@FEW
@given(SEEDS, st.integers(1, 5))
def test_fewer_points_than_codes_condition_the_prior(seed, points):
    """Against the other form of the posterior, in which a matrix of the size of the data is inverted."""
    basis, values = a_basis(seed, points=points, code=20, channels=1), normal(seed + 2, 1, points, 1)
    root = normal(seed + 3, 20, 20)
    covariance = root @ root.T / 20 + 0.01 * torch.eye(20, dtype=torch.float64)
    prior = Gaussian(normal(seed + 4, 20), covariance)
    made = encode(basis, values, 0.05, prior)
    h = basis.modes[:, 0]
    gain = covariance @ h.T @ torch.linalg.inv(h @ covariance @ h.T + 0.05 * torch.eye(points, dtype=torch.float64))
    misfit = values[0, :, 0] - basis.offset[:, 0] - h @ prior.mean
    torch.testing.assert_close(made.mean[0], prior.mean + gain @ misfit, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(made.covariance, covariance - gain @ h @ covariance, rtol=1e-6, atol=1e-8)
    lone = encode(*single(basis, values), 0.05, Gaussian(*single(prior.mean, covariance)))
    torch.testing.assert_close(lone.mean.double(), made.mean, rtol=0, atol=2e-3)


@FEW
@given(SEEDS)
def test_limits_of_the_prior(seed):
    """A prior of no width is what comes out; one without bounds leaves the data alone to speak."""
    basis, values = a_basis(seed), normal(seed + 2, 2, 30, 2)
    tight = encode(basis, values, 0.1, unit(6, 1e-14))
    torch.testing.assert_close(tight.mean, torch.zeros(2, 6, dtype=torch.float64), rtol=0, atol=1e-10)
    wide = encode(basis, values, 0.1, unit(6, 1e14))
    solution = torch.linalg.lstsq(basis.modes.flatten(0, 1), (values - basis.offset).flatten(1).T).solution.T
    torch.testing.assert_close(wide.mean, solution)
    stiff = project(basis, values[None], torch.ones(1, 30, 2, dtype=torch.float64), 1e12)
    assert stiff.codes.abs().max() < 1e-9


def test_a_prior_without_width_in_some_direction_is_kept_to():
    """Singular covariances are conditioned on as their limit, not with a decomposition's error."""
    prior = unit(6)
    prior.covariance[5] = prior.covariance[:, 5] = prior.covariance[:, 4]
    prior.covariance[5, 5] = 1.0
    made = encode(a_basis(0), normal(2, 2, 30, 2), 0.1, prior)
    torch.testing.assert_close(made.mean[:, 4], made.mean[:, 5], rtol=0, atol=1e-4)
    with pytest.raises(NonFiniteError, match="not positive definite"):
        encode(a_basis(0), normal(2, 2, 30, 2), 0.1, Gaussian(prior.mean, -prior.covariance))


@pytest.mark.parametrize("variance", [0.0, float("nan")])
def test_an_error_of_zero_or_none_is_refused(variance):
    with pytest.raises(NonFiniteError):
        encode(a_basis(0), normal(2, 2, 30, 2), variance, unit(6))


@pytest.mark.parametrize("factor", [2.0**-40, 1e-12, 1e12, 2.0**40])
def test_encoding_does_not_depend_on_the_units(factor):
    basis, values = a_basis(0), normal(2, 3, 30, 2)
    scaled = Basis(basis.offset * factor, basis.modes * factor)
    made = encode(scaled, values * factor, 0.1 * factor**2, unit(6))
    expected = encode(basis, values, 0.1, unit(6))
    torch.testing.assert_close(made.mean, expected.mean)
    torch.testing.assert_close(made.covariance, expected.covariance)


# ---- through the whole: training, analysis, forecast


@pytest.mark.parametrize("factor", [2.0**-40, 2.0**40])
def test_a_run_does_not_depend_on_the_units(factor, box_config, box_run, box_dataset, tmp_path):
    """Powers of two leave every rounding as it is: normalised, the stores are equal to the bit."""
    dataset = box_dataset()
    dataset["ssh"] = dataset["ssh"] * factor
    content = box_config.model_dump(mode="json")
    content["data"]["stores"][0]["path"] = str(write_store(dataset, tmp_path / "box.zarr"))
    train(Config.model_validate(content), tmp_path / "run", lambda *told: None)
    ours, base = dino.load(tmp_path / "run"), dino.load(box_run)
    assert ours.ocean.spread == pytest.approx(factor * base.ocean.spread, rel=1e-6)
    maps = box_dataset().isel(trajectory=0)
    times = maps["time"].values[-1] + np.array([1, 3], "timedelta64[D]")
    expected = base.forecast(maps, times, maps)["ssh"]
    found = ours.forecast(maps * factor, times, maps)
    np.testing.assert_allclose(found["ssh"] / factor, expected, rtol=1e-4, atol=1e-5 * float(expected.std()))
    assert np.isfinite(found["ssh_std"]).all()


@pytest.fixture(scope="module")
def sea(box_store):
    return open_store(box_store).isel(trajectory=0).load()


@pytest.fixture(scope="module")
def forecaster(box_run):
    return dino.Forecaster(*load_model(box_run), SHORT)


@pytest.fixture(scope="module")
def sparse(sea, scattered):
    return scattered(sea, ["ssh"], 200).drop_vars("day_offset", errors="ignore")


def here():
    return xr.Dataset({"longitude": ("point", [-60.4, -59.1]), "latitude": ("point", [38.2, 37.4])})


def ahead(dataset, *hours):
    return dataset["time"].values.max() + np.array(hours, "timedelta64[h]")


@pytest.mark.parametrize("kind", ["maps", "points"])
def test_forecast_times_in_any_order_and_twice(kind, forecaster, sea, sparse):
    analysis = forecaster.analyse(sea if kind == "maps" else sparse)
    now = dino.data.observations.datetime_of(analysis.time)
    hours = np.array([48, 6, 48, 24, 6], "timedelta64[h]")
    made = forecaster.forecast(analysis, now + hours, here())
    plain = forecaster.forecast(analysis, now + np.unique(hours), here())
    order = np.searchsorted(np.unique(hours), hours)
    for name in ("ssh", "ssh_std"):
        np.testing.assert_allclose(made[name], plain[name].values[order], rtol=1e-5)
    assert not np.allclose(plain["ssh"][0], plain["ssh"][2])


def test_observations_in_any_order(forecaster, sparse):
    shuffled = sparse.isel(obs=np.random.default_rng(0).permutation(sparse.sizes["obs"]))
    times = ahead(sparse, 24)
    expected = forecaster.forecast(sparse, times, here())
    found = forecaster.forecast(shuffled, times, here())
    np.testing.assert_allclose(found["ssh"], expected["ssh"], rtol=1e-3, atol=1e-5)


def test_maps_in_any_order(forecaster, sea):
    times = ahead(sea, 24)
    expected = forecaster.forecast(sea, times, here())
    for order in (slice(None, None, -1), np.random.default_rng(1).permutation(sea.sizes["time"])):
        mixed = sea.isel(time=order)
        np.testing.assert_array_equal(forecaster.forecast(mixed, times, here())["ssh"], expected["ssh"])
        early = sea["time"].values[9]
        one, other = (forecaster.analyse(d, early) for d in (sea, mixed))
        assert one.time == other.time
        assert torch.equal(one.mean, other.mean)


def test_two_instruments_that_agree_are_one_of_half_the_variance_and_one_told_twice_is_one(forecaster, sparse):
    """Up to the part of the error that the model adds for what its basis leaves out, which is taken away here.

    Without a bound: what lies beyond it depends on the error that is declared.
    """
    model, ocean = forecaster.latent, forecaster.ocean
    forecaster = dino.Forecaster(model, ocean, SHORT.model_copy(update={"bound": None}))
    kept = model.unresolved_variance.clone()
    model.unresolved_variance.zero_()
    try:
        agreeing = sparse.assign(ssh=sparse["ssh"] + np.float32(1e-5))
        twice, same = (xr.concat([sparse, s], "obs", data_vars="minimal") for s in (agreeing, sparse))
        sharper = sparse.assign(ssh_error=sparse["ssh_error"] / np.sqrt(2))
        times = ahead(sparse, 24)
        one, other, plain, repeated = (forecaster.forecast(d, times, here()) for d in (twice, sharper, sparse, same))
    finally:
        model.unresolved_variance.copy_(kept)
    np.testing.assert_allclose(one["ssh"], other["ssh"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(one["ssh_std"], other["ssh_std"], rtol=1e-3)
    assert (one["ssh_std"] < plain["ssh_std"]).all()
    for name in ("ssh", "ssh_std"):
        np.testing.assert_array_equal(repeated[name], plain[name])


def test_a_single_observation(forecaster, sparse, sea):
    lone = sparse.isel(obs=[57])
    place = xr.Dataset({n: ("point", lone[n].values) for n in ("longitude", "latitude")})
    now = lone["time"].values
    made = forecaster.forecast(lone, now, place)
    precise = forecaster.forecast(lone.assign(ssh_error=lone["ssh_error"] * 1e-2), now, place)
    vague, other = (
        forecaster.forecast(lone.assign(ssh=lone["ssh"] + shift, ssh_error=lone["ssh_error"] * 1e4), now, place)
        for shift in (0.0, 0.5)
    )
    seen, mean = float(lone["ssh"][0]), float(vague["ssh"][0, 0])
    assert float(precise["ssh_std"][0, 0]) <= float(made["ssh_std"][0, 0]) < float(vague["ssh_std"][0, 0])
    assert abs(float(made["ssh"][0, 0]) - seen) < abs(mean - seen)
    np.testing.assert_allclose(other["ssh"], vague["ssh"], atol=1e-3)  # a value of no weight


def test_frames_without_a_value(forecaster, sea, sparse):
    blank = sea.copy(deep=True)
    blank["ssh"][-1] = np.nan
    with pytest.raises(EmptyDataError, match="hold no value at all"):
        forecaster.analyse(blank)
    blank["ssh"][:] = np.nan
    with pytest.raises(DinoError):
        forecaster.analyse(blank)
    nothing = sparse.assign(ssh=sparse["ssh"] * np.nan)
    with pytest.raises(EmptyDataError, match="are missing"):
        forecaster.analyse(nothing)


@FEW
@given(
    st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.75, 3.0]), min_size=1, max_size=7),
    st.sampled_from(["midpoint", "rk4"]),
)
def test_integration_at_times_in_any_order_and_twice(times, method):
    def right(time, state):
        return torch.stack([state[..., 1], -state[..., 0]], -1)

    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    moments = torch.tensor(times, dtype=torch.float64)
    made = integrate(right, start, moments, method, 0.05)
    exact = torch.stack([moments.cos(), -moments.sin()], -1)[:, None]
    torch.testing.assert_close(made, exact, rtol=0, atol={"midpoint": 2e-3, "rk4": 1e-6}[method])
