"""The evidence against the dense density of the same Gaussian, and what it finds of known covariances."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from dino.config import AssimilationConfig, DecoderConfig, DynamicsConfig, ErrorsConfig, SourceErrors
from dino.data.observations import Observations
from dino.data.overflights import overflights
from dino.forecaster import Forecaster
from dino.inference.evidence import forms, log_evidence, log_overflights, without_gross
from dino.inference.evidence_covariance import Covariance, fitted_errors
from dino.inference.evidence_record import record_of
from dino.inference.filter import Problem, filtered
from dino.inference.observed import observed_values
from dino.inference.offsets import Layout
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.numerics.gaussian import Gaussian
from dino.space.cover import Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap
from dino.transfer.evidence import relaxing, write_fitted

DAY = 20000.0
NADIR = SourceErrors(white=0.01, along=0.02, along_km=60.0, offset=0.012)
ERRORS = ErrorsConfig(nadir=NADIR)


@pytest.fixture(scope="module")
def latent():
    torch.manual_seed(0)
    spec = LatentSpec(
        decoder=DecoderConfig(code_size=8, hidden=16, layers=2, scale=2.0),
        dynamics=DynamicsConfig(order=1, depth=0),
        input_size=2, channels=1, interval_days=1.0, noise_variance=0.01, data_digest="toy",
    )  # fmt: skip
    made = LatentModel(spec).double().eval().requires_grad_(False)
    made.code_variance.copy_(torch.linspace(2.0, 0.5, 8))
    made.unresolved_variance.fill_(0.03)
    return relaxing(made).double().requires_grad_(False)


@pytest.fixture(scope="module")
def ocean():
    charts = tuple(Region.from_bounds(w, w + 6.0, 30.0, 36.0, isotropic=False) for w in (0.0, 3.0))
    channels = (ChannelSpec(name="sla", units="m", spread=0.1),)
    flat = GridMap(np.linspace(-1, 10, 4), np.linspace(29, 37, 4), np.zeros((1, 4, 4)))
    return Ocean(channels, Cover(charts, np.array([1.0, 1.5]), True), flat)


def passes(count: int, points: int, seed: int = 0, days: float = 8.0, at_noon: bool = False) -> Observations:
    """Passes from south to north at random longitudes and times, as fast as a satellite."""
    chance = np.random.default_rng(seed)
    start = np.sort(chance.uniform(0, days, count))
    start = np.round(start) if at_noon else start
    seconds = 667.0 / points / 6.6 * np.arange(points)
    time = DAY + (start[:, None] + seconds / 86400.0).ravel()
    latitude = np.tile(30.0 + 6.0 * (np.arange(points) + 0.5) / points, count)
    longitude = np.repeat(chance.uniform(0.5, 8.5, count), points) + 0.1 * np.tile(np.arange(points) / points, count)
    source, values = np.repeat(np.arange(count) % 3, points), chance.normal(size=(count * points, 1)) * 0.1
    order = np.argsort(time, kind="stable")
    nothing = np.full(values.shape, np.nan)
    columns = (time, longitude, latitude, values, nothing, source)
    return Observations(*(column[order] for column in columns), ("sla",))


def dense(covariance, record, ocean, seen, chart):
    """Values (row,), covariance (row, row) and overflights of a chart by loops over pairs of points."""
    rows = torch.nonzero(record.key == chart)[:, 0]
    which = record.rows.observation[rows].numpy()
    decoder, scale = covariance.decoder, float(ocean.scale[chart, 0])
    basis = decoder.basis(record.rows.coordinates[rows].double())
    modes, population = basis.modes[:, 0].detach().numpy(), covariance.population().detach().numpy()
    days = covariance.time_scales().detach().numpy()
    passed = overflights(seen).number[which]
    seconds = 86400.0 * (seen.time[which] - seen.time[0])
    # All points of a pass on a chart have the time of their mean.
    mean = np.array([seen.time[which][passed == p].mean() for p in passed])
    total = np.zeros((len(rows), len(rows)))
    for i in range(len(rows)):
        for j in range(len(rows)):
            total[i, j] = (modes[i] * population * modes[j] * np.exp(-abs(mean[i] - mean[j]) / days)).sum()
            if passed[i] == passed[j]:
                way = 6.6 * abs(seconds[i] - seconds[j])
                total[i, j] += (NADIR.along**2 * np.exp(-way / NADIR.along_km) + NADIR.offset**2) / scale**2
        total[i, i] += NADIR.white**2 / scale**2 + 0.03
    return record.rows.value[rows].numpy() - basis.offset[:, 0].detach().numpy(), total, passed


def on_nodes(latent, covariance, record, ocean, seen, chart):
    """As `dense`, with every pass at its node, where the filter takes it; and modes and nodes of the rows."""
    missed, total, _ = dense(covariance, record, ocean, seen, chart)
    rows = torch.nonzero(record.key == chart)[:, 0]
    modes = latent.decoder.basis(record.rows.coordinates[rows].double()).modes[:, 0].numpy()
    node = np.round(seen.time[record.rows.observation[rows].numpy()])
    days, population = latent.dynamics.days.numpy(), latent.code_variance.numpy()
    between = np.exp(-np.abs(node[:, None] - node)[..., None] / days)
    exact = np.exp(-np.abs((record.days[rows, None] - record.days[rows]).numpy())[..., None] / days)
    total += np.einsum("ik,k,jk,ijk->ij", modes, population, modes, between - exact)
    return missed, total, modes, node


def of_charts(density, covariance, record):
    """The densities of all charts, by their numbers."""
    found = {}
    for batch in record.batches(2**10):
        found |= dict(zip(batch.group.tolist(), density(covariance, record, batch), strict=True))
    return found


def test_the_evidence_is_the_density_of_the_dense_gaussian(latent, ocean):
    seen = passes(7, 9)
    record = record_of(latent, ocean, [seen], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    found = of_charts(log_evidence, covariance, record)
    assert len(found) == 2
    for chart, value in found.items():
        missed, total, _ = dense(covariance, record, ocean, seen, chart)
        assert float(value.detach()) == pytest.approx(
            multivariate_normal(np.zeros(len(missed)), total).logpdf(missed), rel=1e-7
        )


def test_the_density_of_overflights_is_that_of_each_given_the_others(latent, ocean):
    seen = passes(6, 8, seed=1)
    record = record_of(latent, ocean, [seen], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    for chart, value in of_charts(log_overflights, covariance, record).items():
        missed, total, passed = dense(covariance, record, ocean, seen, chart)
        expected = 0.0
        for number in np.unique(passed):
            mine, rest = passed == number, passed != number
            gain = np.linalg.solve(total[np.ix_(rest, rest)], total[np.ix_(rest, mine)]).T
            left = missed[mine] - gain @ missed[rest]
            variance = np.diag(total[np.ix_(mine, mine)] - gain @ total[np.ix_(rest, mine)])
            expected += (-0.5 * (left**2 / variance + np.log(2 * np.pi * variance))).sum()
        assert float(value.detach()) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("density", [log_evidence, log_overflights])
def test_gradients_are_finite_differences(latent, ocean, density):
    record = record_of(latent, ocean, [passes(5, 6, seed=2)], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    weight = latent.decoder.modulation()[0].requires_grad_(True)
    changed = {**covariance.parameters, "modulation": weight}

    def total():
        return torch.stack(list(of_charts(density, covariance, record).values())).sum()

    gradients = torch.autograd.grad(total(), list(changed.values()), allow_unused=True)
    step = 1e-5
    for (name, value), gradient in zip(changed.items(), gradients, strict=True):
        place = (0,) * value.dim()
        with torch.no_grad():
            value[place] += step
            above = total()
            value[place] -= 2 * step
            below = total()
            value[place] += step
        slope = 0.0 if gradient is None else float(gradient[place])
        assert slope == pytest.approx(float(above - below) / (2 * step), rel=2e-4, abs=1e-5), name
    weight.requires_grad_(False)


def test_known_sizes_come_back_from_a_record_drawn_with_them(latent, ocean):
    seen = passes(60, 12, seed=3, days=30.0)
    record = record_of(latent, ocean, [seen], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    known = {"white": 0.5, "along": 0.3, "length": 0.4}
    with torch.no_grad():
        for name, value in known.items():
            covariance.parameters[name].fill_(value)
        covariance.parameters["days"].fill_(np.log(8.0))
        for batch in record.batches(2**20):
            modes = latent.decoder.basis(record.rows.coordinates[batch.row].double()).modes[..., 0, :]
            factor = torch.linalg.cholesky(covariance.of_rows(record, batch, modes))
            drawn = factor @ torch.randn(*batch.row.shape, 1, generator=torch.Generator().manual_seed(1)).double()
            offset = latent.decoder.basis(record.rows.coordinates[batch.row].double()).offset[..., 0]
            record.rows.value[batch.row[batch.known]] = (drawn.squeeze(-1) + offset)[batch.known]
    fit = Covariance(latent, latent.decoder)
    optimiser = torch.optim.LBFGS(list(fit.parameters.values()), max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = fit.prior() - torch.stack(list(of_charts(log_evidence, fit, record).values())).sum()
        value.backward()
        return value

    optimiser.step(loss)
    names = list(fit.parameters)
    value = fit.prior() - torch.stack(list(of_charts(log_evidence, fit, record).values())).sum()
    slopes = torch.autograd.grad(value, list(fit.parameters.values()), create_graph=True)
    flat = torch.cat(slopes)
    rows = [torch.cat(torch.autograd.grad(slope, list(fit.parameters.values()), retain_graph=True)) for slope in flat]
    deviation = dict(
        zip(names, torch.linalg.inv(torch.stack(rows)).diagonal().sqrt().split([len(v) for v in slopes]), strict=True)
    )
    known["days"] = np.log(8.0)
    for name, wanted in known.items():
        places = len(fit.parameters[name]) if name == "days" else 1
        for place in range(places):
            off = float(fit.parameters[name][place].detach()) - wanted
            assert abs(off) < 3 * float(deviation[name][place]), (name, place)
        # Nothing tells white errors from what no mode resolves, and days are few in eight codes.
        assert name in ("white", "days") or float(deviation[name][0]) < 0.5, name
    errors = fitted_errors(ERRORS, fit)
    assert errors.nadir.along == pytest.approx(NADIR.along * float(fit.parameters["along"][0].detach().exp()), rel=1e-3)
    assert errors.point == ERRORS.point


def test_the_filter_of_relaxing_codes_is_the_dense_analysis(latent, ocean):
    """On nodes, and its smoothed and forecast fields are those of the Gaussian process."""
    seen = passes(9, 5, seed=4, days=5.0, at_noon=True)
    record = record_of(latent, ocean, [seen], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    write_fitted(latent, covariance)
    config = AssimilationConfig(errors=ERRORS, bound=None, node_days=1.0)
    end = float(np.ceil(seen.time[-1]))
    length = end - float(np.floor(seen.time[0]))
    forecaster = Forecaster(latent, ocean, config)
    analysis = forecaster.analyse_observations(seen, end, length, smooth=True)
    ahead = forecaster.forecast_latent(analysis, np.array([end, end + 4.0]))
    for chart in range(2):
        missed, total, modes, node = on_nodes(latent, covariance, record, ocean, seen, chart)
        days, population = latent.dynamics.days.numpy(), latent.code_variance.numpy()
        for index, lead in enumerate((0.0, 4.0)):
            cross = population[:, None] * modes.T * np.exp(-np.abs(end + lead - node) / days[:, None])
            mean = cross @ np.linalg.solve(total, missed)
            spread = np.diag(population) - cross @ np.linalg.solve(total, cross.T)
            np.testing.assert_allclose(ahead.codes[index, chart].numpy(), mean, atol=2e-6)
            made = (ahead.factor[index, chart] @ ahead.factor[index, chart].mT).numpy()
            made = made + np.diag(ahead.model_error[index].numpy())
            np.testing.assert_allclose(made, spread, atol=2e-5)


@pytest.mark.parametrize("louder", [1.0, 30.0])
def test_gross_errors_are_left_out_and_nothing_else(latent, ocean, louder):
    """Also where all errors are far larger than the configured ones, which a fit has yet to find."""
    seen = passes(20, 12, seed=6)
    record = record_of(latent, ocean, [seen], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    value = record.rows.value
    for batch in record.batches(2**10):
        modes, offset = forms(covariance.decoder, record, batch.row)
        factor = torch.linalg.cholesky(covariance.of_rows(record, batch, modes).detach())
        drawn = factor @ torch.randn(*batch.row.shape, 1, generator=torch.Generator().manual_seed(2)).double()
        value[batch.row[batch.known]] = (louder * drawn.squeeze(-1) + offset.detach())[batch.known]
    assert without_gross(covariance, record) is record
    # Two neighbours of one pass, and single values of others.
    wrong = torch.tensor([20, 21, 60, 100])
    value[wrong] += louder * torch.tensor([40.0, 40.0, -20.0, 100.0], dtype=torch.float64)
    left = without_gross(covariance, record)
    kept = np.setdiff1d(np.arange(len(record.rows)), wrong.numpy())
    np.testing.assert_array_equal(left.rows.value.numpy(), value[kept].numpy())
    np.testing.assert_array_equal(left.days.numpy(), record.days[kept].numpy())
    np.testing.assert_array_equal(left.errors.white.numpy(), record.errors.white[kept].numpy())
    assert left.once == record.once


@pytest.mark.parametrize("points", [3, 25])
def test_the_filter_tells_the_dense_evidence(latent, ocean, points):
    """By its innovations, whether a node has fewer or more rows than a code has entries."""
    seen = passes(9, points, seed=5, days=5.0, at_noon=True)
    record = record_of(latent, ocean, [seen], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    write_fitted(latent, covariance)
    nodes = np.arange(np.floor(seen.time[0]), np.ceil(seen.time[-1]) + 1.0)
    rows = observed_values(latent, ocean, seen, nodes, ERRORS)
    prior = Gaussian(latent.state_prior.mean.expand(2, -1), latent.state_prior.covariance.expand(2, -1, -1))
    layout = Layout(latent.dynamics.code_size, latent.dynamics.state_size)
    context = torch.zeros(2, 0, dtype=torch.float64)
    made = filtered(Problem(latent, context, layout.augmented(prior), rows, nodes - nodes[0], layout))
    for chart in range(2):
        missed, total, *_ = on_nodes(latent, covariance, record, ocean, seen, chart)
        expected = multivariate_normal(np.zeros(len(missed)), total).logpdf(missed)
        assert float(made.evidence[chart]) == pytest.approx(expected, rel=1e-6)


def test_channels_of_one_overflight_err_for_themselves(latent, ocean):
    """As the analysis has it: what two channels share is the sea alone."""
    record = record_of(latent, ocean, [passes(5, 6, seed=7)], ERRORS)
    covariance = Covariance(latent, latent.decoder)
    (batch,) = record.batches(2**20)
    nothing = torch.zeros(*batch.row.shape, latent.decoder.code_size, dtype=torch.float64)
    whole = covariance.of_rows(record, batch, nothing)
    covariance.unresolved = covariance.unresolved.repeat(2)
    record.rows.channel[::2] = 1
    parted = covariance.of_rows(record, batch, nothing)
    channel = record.rows.channel[batch.row]
    same = channel.unsqueeze(-1) == channel.unsqueeze(-2)
    torch.testing.assert_close(parted, torch.where(same, whole, 0.0))
    assert bool((whole[~same] != 0).any())
