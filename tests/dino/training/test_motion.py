"""Motion from smoothed states: moments of dense algebra, an M step in closed form, a drift that is found and shared."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig, ErrorsConfig
from dino.data.observations import Observations
from dino.dynamics import CoupledODE
from dino.inference.filter import Moments, filtered
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.numerics.parallel import Group
from dino.space.cover import CONTEXT, Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap
from dino.training import motion
from dino.training.motion import Scene, maximised, moving, relaxed_step, smoothed_moments
from dino.training.motion_misfits import forecast_misfits
from dino.training.motion_stage import Motion, MotionStage

CODE, DAYS, TURN = 4, 60.0, 0.6
CHARTS = tuple(Region.from_bounds(west, west + 2, 30, 32, isotropic=False) for west in (-60, -58))
ERRORS = ErrorsConfig.model_validate(
    {view: {"white": 0.02, "along": 0.0, "offset": 0.0} for view in ("nadir", "swath", "point")}
)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_latent() -> LatentModel:
    torch.manual_seed(2)
    spec = LatentSpec(
        decoder=DecoderConfig(code_size=CODE, hidden=16, layers=1, scale=3.0),
        dynamics=DynamicsConfig(order=1, depth=0), input_size=2, channels=1, context=CONTEXT, interval_days=1.0,
        noise_variance=0.01, data_digest="", relaxing=True,
    )  # fmt: skip
    latent = LatentModel(spec).double().eval().requires_grad_(False)
    latent.code_variance[CODE:] = 1e-4  # next to nothing but the modes
    latent.state_covariance.copy_(torch.diag(latent.code_variance))
    latent.dynamics.days.fill_(20.0)
    latent.process_noise.copy_(torch.diag(latent.code_variance * latent.dynamics.lost(torch.ones(1))[0]))
    latent.unresolved_variance.fill_(1e-4)
    return latent


def make_ocean() -> Ocean:
    field = GridMap(np.array([-60.0, -56.0]), np.array([30.0, 32.0]), np.zeros((1, 2, 2)))
    return Ocean((ChannelSpec(name="sla", units="m", spread=1.0),), Cover(CHARTS, np.ones(2), tiled=True), field)


def turning(latent: LatentModel) -> LatentModel:
    """The same whose first two codes turn into each other."""
    generator = -torch.eye(len(latent.code_variance), dtype=torch.float64) / 20.0
    generator[0, 1], generator[1, 0] = TURN, -TURN
    return moving(latent, generator)


@pytest.fixture(scope="module")
def scene():
    """Points, six a day on each chart, of codes that turn."""
    latent, ocean, chance = turning(make_latent()), make_ocean(), np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    flow = latent.dynamics.flows(torch.tensor([0.5]))[0]
    noise = torch.linalg.cholesky(latent.dynamics.noise(latent.process_noise, 0.5))
    codes, parts = latent.state_prior.sample(2, generator), []
    for half in range(int(2 * DAYS)):
        longitude, latitude = -60 + 4 * chance.random(6), 30 + 2 * chance.random(6)
        pairs = ocean.cover.pairs(longitude, latitude)
        order = np.argsort(pairs.point)
        basis = latent.decoder.basis(torch.as_tensor(pairs.coordinates[order]))
        value = basis.offset[:, 0] + (basis.modes[:, 0] * codes[torch.as_tensor(pairs.chart[order])]).sum(-1)
        where = pairs.point[order]
        parts.append((np.full(len(where), 0.5 * half), longitude[where], latitude[where], value.detach().numpy()))
        codes = codes @ flow.mT + torch.randn(codes.shape, generator=generator, dtype=torch.float64) @ noise.mT
    time, longitude, latitude, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    value = value + 0.02 * chance.standard_normal(len(value))
    error = np.full((len(value), 1), 0.02)
    seen = Observations(
        time, longitude, latitude, value[:, None], error, np.zeros(len(value), np.int64), ("sla",), ("buoys",)
    )

    def window(start, end):
        found = seen.between(start, end)
        return found if len(found) else None

    return Scene(ocean, window, ERRORS, 0.5)


def test_moments_are_those_of_dense_algebra(scene):
    latent = turning(make_latent())
    problem = scene.problem(latent, 0.0, 1.5, scene.points(0.0, 1.5), moments=True)
    made = filtered(problem).moments
    assert made is not None
    scale, nodes, size = latent.code_variance.sqrt(), len(problem.nodes), len(latent.code_variance)
    flow = latent.dynamics.flows(torch.tensor([0.5]))[0]
    powers = [torch.linalg.matrix_power(flow, k) @ latent.state_covariance for k in range(nodes)]
    prior = torch.cat([torch.cat([powers[i - j] if i >= j else powers[j - i].mT for j in range(nodes)], 1)
                       for i in range(nodes)])  # fmt: skip
    rows = problem.rows.formed(latent.decoder)
    node, totals = rows.node + (rows.fraction > 0.5).long(), torch.zeros(3, size, size, dtype=torch.float64)
    for chart in range(2):
        which = torch.nonzero(rows.chart == chart).squeeze(-1)
        operator = torch.zeros(len(which), nodes * size, dtype=torch.float64)
        for row, i in enumerate(which):
            operator[row, size * node[i] : size * (node[i] + 1)] = rows.form.operator[i]
        covariance = operator @ prior @ operator.mT + torch.diag(rows.variance[which])
        gain = torch.linalg.solve(covariance, operator @ prior).mT
        mean = gain @ (rows.value - rows.form.offset)[which]
        second = (prior - gain @ operator @ prior + mean[:, None] * mean).unflatten(0, (nodes, size))
        second = second.unflatten(2, (nodes, size))
        for k in range(1, nodes):
            totals += torch.stack([second[k, :, k], second[k, :, k - 1], second[k - 1, :, k - 1]])
    expected = totals / scale[:, None] / scale
    assert made.count == 2 * (nodes - 1)
    for part, wanted in zip(made[:3], expected, strict=True):
        torch.testing.assert_close(part, wanted, rtol=1e-6, atol=1e-8)


def test_nodes_are_an_interval_apart_however_long_a_window_is(scene):
    for end in (3.0, 3.2, 3.5, 3.7):
        nodes = scene.problem(make_latent(), 0.0, end, scene.points(0.0, end)).nodes
        np.testing.assert_allclose(np.diff(nodes), scene.node_days)
        assert 0 <= nodes[-1] - end < scene.node_days


def test_the_m_step_of_states_that_are_known_is_their_transition():
    relaxed, days = 0.9 * torch.eye(2, dtype=torch.float64), 0.5
    generator = torch.tensor([[-0.1, 0.4], [-0.4, -0.2]], dtype=torch.float64)
    step = torch.linalg.matrix_exp(days * generator)
    known = 1e6 * torch.eye(2, dtype=torch.float64)
    moments = Moments(known, step @ known, known, 10**6)
    torch.testing.assert_close(maximised(moments, relaxed, 1.0, days), generator, atol=1e-5, rtol=0)
    held = torch.matrix_exp(days * maximised(moments, relaxed, 1e12, days))
    torch.testing.assert_close(held, relaxed, atol=1e-5, rtol=0)


def test_a_step_without_a_generator_goes_part_of_the_way_and_no_code_grows():
    relaxed, known = 0.9 * torch.eye(2, dtype=torch.float64), 1e3 * torch.eye(2, dtype=torch.float64)
    made = maximised(Moments(known, -0.5 * known, known, 1000), relaxed, 1.0, 1.0)
    assert torch.isfinite(made).all()
    made = maximised(Moments(known, 1.5 * known, known, 1000), relaxed, 1.0, 1.0)
    assert float(torch.linalg.eigvalsh(made + made.mT).max()) < 0


def test_rounds_find_the_turn_and_raise_the_evidence_and_forecasts_gain(scene):
    latent = make_latent()
    relaxed, current, told = relaxed_step(latent, 0.5), latent, []
    for _ in range(4):
        moments, evidence = smoothed_moments(current, scene, 0.0, 45.0, 15.0)
        generator = maximised(moments, relaxed, 10.0, 0.5)
        current = moving(latent, generator)
        told.append(float(evidence))
    assert min(told[1:]) > told[0] + 50  # the population is kept, so that rounds need not rise each
    assert float(generator[0, 1]) == pytest.approx(TURN, abs=0.15)
    assert float(generator[1, 0]) == pytest.approx(-TURN, abs=0.15)
    starts = [45.0, 48.0, 51.0, 54.0]
    still, made = (forecast_misfits(model, scene, starts, 10.0, 3) for model in (latent, current))
    assert (still[:, 1] == made[:, 1]).all()
    assert (made[:, 0] < 0.7 * still[:, 0]).all()


def test_relaxing_codes_written_as_a_generator_are_the_same_model(scene):
    latent = make_latent()
    written = moving(latent, torch.diag(-1 / latent.dynamics.days))
    one, other = (smoothed_moments(model, scene, 0.0, 20.0, 10.0) for model in (latent, written))
    torch.testing.assert_close(one[1], other[1])
    torch.testing.assert_close(one[0].lagged, other[0].lagged)
    for lead in (0.3, 2.0):
        torch.testing.assert_close(written.model_error(lead)[0], latent.model_error(lead)[0])
    ahead = [forecast_misfits(model, scene, [30.0], 10.0, 2) for model in (latent, written)]
    torch.testing.assert_close(*ahead)


def test_windows_that_processes_share_add_up(scene):
    class Kept(Group):
        def sum_(self, tensors):
            pass

    latent = make_latent()
    whole = smoothed_moments(latent, scene, 0.0, 45.0, 15.0)
    parts = [smoothed_moments(latent, scene, 0.0, 45.0, 15.0, Kept(rank=rank, size=2)) for rank in (0, 1)]
    torch.testing.assert_close(parts[0][1] + parts[1][1], whole[1])
    torch.testing.assert_close(parts[0][0].lagged + parts[1][0].lagged, whole[0].lagged)
    assert parts[0][0].count + parts[1][0].count == whole[0].count


def test_a_window_has_a_limit_of_points_which_are_always_the_same(scene, monkeypatch):
    monkeypatch.setattr(motion, "MOST_POINTS", 50)
    one, again = scene.points(0.0, 30.0), scene.points(0.0, 30.0)
    assert len(one) == 50
    assert (one.values == again.values).all()
    assert replace(scene, window=lambda start, end: None).points(0.0, 1.0) is None


def test_the_stage_keeps_what_forecasts_gain_by_and_begins_every_ridge_anew(scene):
    latent = make_latent()
    held = Motion(torch.nn.Identity(), len(latent.code_variance))
    stage = MotionStage(held, latent, scene, (0.0, 45.0, 59.0), 15.0, 2, torch.Generator())
    first = float(stage.step(0))
    stage.step(1)
    assert float(stage.step(3)) == pytest.approx(first)
    assert stage.validate() < 0.98
    assert isinstance(moving(latent, held.generator).dynamics, CoupledODE)
    assert math.isfinite(first)
