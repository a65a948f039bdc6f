"""Errors that an overflight shares: their covariance by a double loop, what stores and views say, its use."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from problems import COUNTS, correlated, error_covariance, make_latent, make_problem, numbers, tiled_ocean

from data_pipeline.observing.karin import KarinDraw, KarinErrors, sensitivity
from data_pipeline.observing.orbits import RepeatOrbit, longitude_latitude, swath_points
from dino.config import ErrorsConfig, SourceErrors
from dino.data.observations import Observations
from dino.data.overflights import Overflights, View, overflights
from dino.inference.errors import Errors, error_variance, errors_of, pieces, whitened
from dino.inference.gross import raised
from dino.inference.observed import observed_values

ORBIT = RepeatOrbit()
WHITE = {"along": 0.0, "offset": 0.0, "roll": 0.0, "phase": 0.0, "timing": 0.0}
METHODS = ("filter", "window")


def some_errors(count: int, white: float = 0.1) -> Errors:
    """Errors of rows of one overflight at random places, some of them at the same."""
    along, across = 200 * numbers(count, seed=1), 50 * numbers(count, seed=2)
    along[1::7], across[1::7] = along[::7][: len(along[1::7])], across[::7][: len(along[1::7])]
    length = torch.tensor([50.0, 1e12, 900.0], dtype=torch.float64).expand(count, -1)
    return Errors(white * torch.ones_like(along), 0.5 + 0.2 * numbers(count, 3, seed=3), length, along, across)


def test_the_covariance_is_that_of_a_double_loop_and_positive():
    problem = correlated(make_problem(make_latent(), (40,)))
    for piece in problem.rows.piece.unique():
        rows = problem.rows.select(problem.rows.piece == piece)
        torch.testing.assert_close(rows.errors.covariance(), error_covariance(rows))
    for white in (0.1, 0.0):
        errors = some_errors(200, white)
        covariance = errors.covariance()
        assert torch.linalg.eigvalsh(covariance).min() > 0
        assert torch.equal(covariance, covariance.mT)
        torch.testing.assert_close(covariance.diagonal(), errors.variance.clamp_min(1e-9), rtol=2e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_whitened_columns_are_those_of_the_cholesky_factors_of_pieces(dtype):
    """Pieces of many sizes, one of a single row, one whose errors are independent, in any order."""
    errors, columns = some_errors(60), numbers(60, 5, seed=4)
    piece = torch.randint(0, 6, (60,), generator=torch.Generator().manual_seed(2))
    piece[7] = 6
    errors.factor[piece == 2] = 0.0
    made = whitened(piece, errors, columns.to(dtype))
    assert made.dtype == dtype
    for number in range(7):
        mine = piece == number
        root = torch.linalg.cholesky(errors.select(mine).covariance())
        expected = torch.linalg.solve(root, columns[mine]).to(dtype)
        torch.testing.assert_close(
            made[mine],
            expected,
            rtol=1e-9 if dtype == torch.float64 else 1e-4,
            atol=1e-4 if dtype == torch.float32 else 1e-10,
        )


def test_without_white_error_rows_at_one_place_do_not_break():
    made = whitened(torch.zeros(200, dtype=torch.long), some_errors(200, 0.0), numbers(200, 2, seed=4).float())
    assert torch.isfinite(made).all()


def test_nothing_and_one_row():
    none, one = torch.zeros(0, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    assert whitened(none, some_errors(0), numbers(0, 3)).shape == (0, 3)
    errors = some_errors(1)
    torch.testing.assert_close(whitened(one, errors, torch.ones(1, 1).double()), errors.variance.rsqrt()[:, None])
    assert len(pieces(none)) == 0


def test_long_overflights_are_cut_and_keep_their_order():
    group = torch.tensor([3] * 1200 + [1] * 512 + [7] + [3] * 100)
    made = pieces(group)
    assert torch.bincount(made).tolist() == [512, 512, 512, 276, 1]
    assert (made[group == 1] == 0).all()
    assert made[:1200].tolist() == [1] * 512 + [2] * 512 + [3] * 176
    assert (made[-100:] == 3).all()


def test_a_longer_overflight_is_whitened_exactly_within_its_pieces():
    errors = some_errors(700)
    columns, piece = numbers(700, 1, seed=4), pieces(torch.zeros(700, dtype=torch.long))
    made = whitened(piece, errors, columns)
    for part in (slice(0, 512), slice(512, 700)):
        root = torch.linalg.cholesky(errors.select(part).covariance())
        torch.testing.assert_close(made[part], torch.linalg.solve(root, columns[part]))


def seen_as(view: View, count: int = 4) -> Overflights:
    """One overflight, 100 km long, its points left and right of the middle."""
    number, across = np.zeros(count, np.int64), np.where(np.arange(count) % 2, 30.0, -60.0)
    return Overflights(
        number, np.full(count, view, np.int64), np.linspace(0, 100, count), across * (view != View.NADIR)
    )


def told(error, correlated=None, channels: int = 1) -> Observations:
    """Four points of which a store says these errors."""
    error = np.asarray(error, float).reshape(4, channels)
    shared = None if correlated is None else np.asarray(correlated, float).reshape(4, channels)
    names = ("u", "v")[:channels]
    return Observations(
        np.zeros(4),
        np.zeros(4),
        np.zeros(4),
        np.zeros((4, channels)),
        error,
        np.zeros(4, np.int64),
        names,
        correlated_error=shared,
    )


def total(errors: Errors) -> np.ndarray:
    return errors.variance.sqrt().numpy()


def test_views_have_the_errors_of_the_configuration_where_a_store_has_none():
    config, unknown = ErrorsConfig(), np.full(4, np.nan)
    nadir = errors_of(told(unknown), seen_as(View.NADIR), config)
    np.testing.assert_allclose(nadir.white.sqrt(), config.nadir.white)
    np.testing.assert_allclose(nadir.factor, [[config.nadir.along, config.nadir.offset]] * 4)
    np.testing.assert_allclose(nadir.length_km[:, 0], config.nadir.along_km)
    point = errors_of(told(unknown), seen_as(View.POINT), config)
    np.testing.assert_allclose(total(point), config.point.white)
    assert not point.factor.any()
    swath = errors_of(told(unknown), seen_as(View.SWATH), config).covariance().numpy()
    settings = config.swath
    for one, other, way, product in ((0, 2, 200 / 3, 1.0), (0, 1, 100 / 3, -0.5)):
        # The left side's phase and timing are its own; roll changes sign from side to side.
        mine = settings.roll**2 * product + (settings.phase**2 + settings.timing**2) * (product > 0)
        across = 0.0 if product > 0 else 90.0
        expected = settings.along**2 * math.exp(-(way + across) / settings.along_km) + settings.offset**2
        assert swath[one, other] == pytest.approx(expected + mine * math.exp(-way / settings.shape_km), rel=1e-9)


def test_what_a_store_says_of_errors_is_taken():
    config, error = ErrorsConfig(), np.array([0.05, np.nan, 0.03, 0.04])
    plain = errors_of(told(error), seen_as(View.NADIR), config)
    known = np.isfinite(error)
    np.testing.assert_allclose(total(plain)[known], error[known])
    assert not plain.factor[torch.as_tensor(known)].any()
    assert total(plain)[1] == pytest.approx(
        math.sqrt(config.nadir.white**2 + config.nadir.along**2 + config.nadir.offset**2)
    )
    # The correlated part: along a track, in the shapes of a swath, and where the white one is nothing.
    shared = np.array([0.04, 0.02, np.nan, 0.04])
    along = errors_of(told(error, shared), seen_as(View.NADIR), config)
    np.testing.assert_allclose(total(along)[known], error[known])
    np.testing.assert_allclose(along.factor[:, 0], [0.04, config.nadir.along, 0.0, 0.04])
    assert float(along.white[3]) == 0.0
    swath = errors_of(told(error, shared), seen_as(View.SWATH), config)
    np.testing.assert_allclose(total(swath)[known], error[known])
    assert not swath.factor[torch.as_tensor(known), :2].any()
    covariance = swath.covariance()
    ways = math.exp(-100.0 / config.swath.shape_km)
    roll, own = config.swath.roll, math.hypot(config.swath.phase, config.swath.timing)
    at = lambda x: np.array([roll * x, config.swath.phase * abs(x), config.swath.timing])  # noqa: E731
    left, right = at(-1.0), at(0.5)
    expected = 0.04 * 0.04 * left[0] * right[0] / np.linalg.norm(left) / np.linalg.norm(right)
    assert own > 0
    assert float(covariance[0, 3]) == pytest.approx(expected * ways, rel=1e-9)


def test_channels_have_errors_of_their_own():
    error = np.array([[0.05, np.nan]] * 4)
    made = errors_of(told(error, channels=2), seen_as(View.NADIR), ErrorsConfig())
    assert total(made)[::2] == pytest.approx([0.05] * 4)
    assert total(made)[1::2] == pytest.approx([math.sqrt(0.015**2 + 0.02**2 + 0.01**2)] * 4)
    along = Observations(
        **(vars(told(error, channels=2)) | {"time": np.arange(4) / 86400.0, "latitude": 0.06 * np.arange(4)})
    )
    variance = error_variance(along, ErrorsConfig())
    np.testing.assert_allclose(variance, [[0.05**2, 0.015**2 + 0.02**2 + 0.01**2]] * 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rows_of_an_overflight_have_one_time_on_a_chart_and_pieces_of_their_channel(dtype):
    """Two channels on overlapping tiles, some values missing."""
    latent, ocean = make_latent().to(dtype), tiled_ocean()
    seconds = np.concatenate([np.arange(0, 90, 1.0), 86400 + np.arange(0, 90, 1.0)])
    latitude, values = 30.0 + 0.06 * (seconds % 86400), np.random.default_rng(0).normal(size=(180, 2))
    values[::5, 0] = np.nan
    nothing = np.full((180, 2), np.nan)
    seen = Observations(
        20000 + seconds / 86400, np.full(180, 178.0), latitude, values, nothing, np.zeros(180, np.int64), ("u", "v")
    )
    rows = observed_values(latent, ocean, seen, 20000 + np.array([0.0, 0.001, 0.5, 1.0, 1.002]), ErrorsConfig())
    assert len(rows) > 400
    kept = torch.isfinite(torch.as_tensor(seen.values)[rows.observation, rows.channel])
    assert kept.all()
    for piece in rows.piece.unique():
        mine = rows.select(rows.piece == piece)
        assert len(mine) > 20
        for column in (mine.chart, mine.channel, mine.node, mine.fraction, mine.observation // 90):
            assert len(column.unique()) == 1
    white = rows.formed(latent.decoder).whitened()
    assert white.form.operator.dtype == white.value.dtype == dtype
    assert torch.isfinite(white.form.operator).all()
    assert not torch.equal(white.unit, torch.ones_like(white.unit))


def test_a_spike_is_found_beside_its_neighbours_and_they_are_not():
    errors, spread = some_errors(100), torch.eye(2, dtype=torch.float64)
    line = torch.arange(100, dtype=torch.float64)
    errors = replace(errors, along_km=7 * line, across_km=0 * line)
    operator = torch.stack([torch.sin(line / 10), torch.cos(line / 10)], dim=1)
    piece, root = torch.zeros(100, dtype=torch.long), torch.linalg.cholesky(errors.covariance())
    clean = root @ numbers(100, seed=8) + operator @ torch.tensor([1.0, -0.5]).double()
    assert (raised(piece, errors, clean, operator, spread, 4.0) == errors.white).all()
    spoilt = clean.clone()
    spoilt[[30, 31, 70]] += torch.tensor([10.0, 9.0, -8.0]).double()
    white = raised(piece, errors, spoilt, operator, spread, 4.0)
    assert torch.nonzero(white > errors.white).squeeze(-1).tolist() == [30, 31, 70]
    # As many standard deviations as the bound says are left of them.
    total = errors.covariance() + torch.diag(white - errors.white) + operator @ spread @ operator.T
    inverse = torch.linalg.inv(total)
    left = (inverse @ spoilt) / inverse.diagonal().sqrt()
    torch.testing.assert_close(left[[30, 31, 70]].abs(), torch.full((3,), 4.0).double(), rtol=0.02, atol=0)
    # Of independent errors Huber's cost knows enough.
    alone = replace(errors, factor=torch.zeros_like(errors.factor))
    assert torch.equal(raised(piece, alone, spoilt, operator, spread, 4.0), alone.white)


def crossing(twin, across_km: np.ndarray, step: float, days: float) -> tuple[Observations, np.ndarray, np.ndarray]:
    """What the orbit's instrument sees of the twin's ocean, without error; lines and distances across the track."""
    seconds = np.arange(0.0, days * 86400, step)
    longitude, latitude = longitude_latitude(swath_points(ORBIT, seconds, across_km))
    line, place = np.nonzero((longitude > 0) & (longitude < 10) & (latitude > 30) & (latitude < 40))
    time, where = twin.start + seconds[line] / 86400, (longitude[line, place], latitude[line, place])
    value, count = twin.field(time, *where)[:, None], len(line)
    seen = Observations(
        time, *where, value, np.full((count, 1), np.nan), np.zeros(count, np.int64), ("adt",), ("beta",)
    )
    return seen, line, across_km[place]


def drawn(seen: Observations, config: ErrorsConfig, seed: int) -> np.ndarray:
    """(n, 1) errors out of their own covariance."""
    passes, made, generator = overflights(seen), np.zeros((len(seen), 1)), torch.Generator().manual_seed(seed)
    errors = errors_of(seen, passes, config)
    for number in range(len(passes)):
        mine = passes.number == number
        root = torch.linalg.cholesky(errors.select(torch.as_tensor(mine)).covariance())
        made[mine, 0] = root @ torch.randn(int(mine.sum()), generator=generator, dtype=torch.float64)
    return made


GRID = tuple(a.ravel() for a in np.meshgrid(np.linspace(0.5, 9.5, 12), np.linspace(30.5, 39.5, 12)))


def analysed(twin, seen: Observations, days: float, errors: ErrorsConfig, **settings):
    """The field at the end of a window [m], and the analysis."""
    forecaster = twin.forecaster(window_days=days, errors=errors, **settings)
    analysis = forecaster.analyse_observations(seen, twin.start + days, days)
    basis = twin.basis(*GRID)
    return basis.decode(analysis.mean[0, : basis.modes.shape[-1]])[:, 0].numpy() * twin.spread, analysis


@pytest.mark.parametrize("method", METHODS)
def test_a_spike_in_a_correlated_pass_moves_the_analysis_by_little(make_twin, method):
    """Of one among two missions, which is named."""
    twin, config, days = make_twin(12), ErrorsConfig(), 6.0
    first, _, _ = crossing(twin, np.zeros(1), 1.0, days)
    first = replace(first, values=first.values + drawn(first, config, 1))
    other = twin.observed(60, days, every=0.25, error=0.03)
    source = np.concatenate([np.ones(len(first), np.int64), 0 * other.source])
    columns = {
        n: np.concatenate([getattr(first, n), getattr(other, n)])
        for n in ("time", "longitude", "latitude", "values", "error")
    }
    order = np.argsort(columns["time"], kind="stable")
    clean = Observations(
        **{n: c[order] for n, c in columns.items()}, source=source[order], channels=("adt",), sources=("alpha", "beta")
    )
    spoilt = clean.values.copy()
    spoilt[np.flatnonzero(clean.source == 1)[[50, 200, 400]]] += np.array([[1.0], [-1.0], [1.0]])
    spoilt = replace(clean, values=spoilt)

    def moved(bound: float | None) -> tuple[float, dict, dict]:
        settings = {"method": method, "node_days": 0.5, "bound": bound}
        (one, before), (two, after) = (analysed(twin, seen, days, config, **settings) for seen in (clean, spoilt))
        return (
            float(np.sqrt(((one - two) ** 2).mean())),
            dict(before.quality.down_weighted),
            dict(after.quality.down_weighted),
        )

    bounded, before, after = moved(3.0)
    assert bounded < 0.03 * moved(None)[0]
    assert after["beta"] == before.get("beta", 0) + 3
    assert after.get("alpha", 0) == before.get("alpha", 0)


def sharpened(twin):
    """The twin with modes as short as a swath is wide, fields of a standard deviation of about one spread."""
    twin.latent.decoder.frequencies.mul_(8.0)
    twin.latent.unresolved_variance.zero_()
    scale = float(twin.basis(GRID[0], GRID[1]).modes.square().sum(-1).mean().rsqrt())
    code = twin.latent.decoder.code_size
    variance = scale**2 * torch.tensor([1.0, 0.04], dtype=torch.float64).repeat_interleave(code)
    twin.latent.state_covariance.copy_(torch.diag(variance))
    twin.state = variance.sqrt() * numbers(2 * code, seed=3)
    return twin


def compared(
    twin, days: float, right: SourceErrors, errors_at: Callable[[Observations, np.ndarray, np.ndarray], np.ndarray]
) -> tuple[float, float]:
    """Root mean square errors with errors of geometry over those without, as they are, and taken for white ones."""
    seen, line, across = crossing(
        twin, np.concatenate([np.arange(-60.0, 0.0, 15.0), np.arange(15.0, 61.0, 15.0)]), 8.0, days
    )
    truth = twin.field(np.full(144, twin.start + days), *GRID)
    calm = ErrorsConfig(swath=right.model_copy(update=WHITE))
    whole = float(np.sqrt(error_variance(seen, ErrorsConfig(swath=right)).mean()))
    alike = ErrorsConfig(swath=right.model_copy(update=WHITE | {"white": whole}))
    found = []
    for seed in range(3):
        noise = right.white * np.random.default_rng(seed).normal(size=(len(seen), 1))
        spoilt = noise + errors_at(seen, line, across)
        row = []
        for error, config in ((noise, calm), (spoilt, ErrorsConfig(swath=right)), (spoilt, alike)):
            field, _ = analysed(
                twin, replace(seen, values=seen.values + error), days, config, node_days=0.25, bound=None
            )
            row.append(((field - truth) ** 2).mean())
        found.append(row)
    rms = np.sqrt(np.mean(found, axis=0))
    return float(rms[1] / rms[0]), float(rms[2] / rms[0])


def test_a_swath_with_errors_of_its_geometry_is_analysed_as_one_without(make_twin):
    right = SourceErrors(white=0.05, along=0.0, offset=0.0, roll=0.05, phase=0.02, timing=0.01)
    geometry = ErrorsConfig(swath=right.model_copy(update={"white": 1e-4}))
    seeds = iter(range(3))
    known, white = compared(
        sharpened(make_twin(30)), 8.0, right, lambda seen, line, across: drawn(seen, geometry, next(seeds))
    )
    assert known < 1.2
    assert white > 1.35


def test_a_swath_with_the_errors_of_karin_is_analysed_as_one_without(make_twin, real_data: Path):
    spectrum = real_data / "orbits" / "error_spectrum.nc"
    if not spectrum.exists():
        pytest.skip("no spectra of KaRIn's errors")
    config, altitude = (
        KarinErrors(spectrum=spectrum, components=("roll", "phase")),
        ORBIT.altitude_km,
    )
    draws = iter([KarinDraw(config, altitude, 2.0, seed, 0) for seed in range(4)])
    sizes = {
        name: float(signals[0].std * sensitivity(name, np.array([60.0]), altitude)[0])
        for name, signals in next(draws).signals.items()
    }
    right = SourceErrors(white=0.05, along=0.0, offset=0.0, timing=0.0, shape_km=1000.0, **sizes)

    def errors_at(seen: Observations, line: np.ndarray, across: np.ndarray) -> np.ndarray:
        # Lines are 8 seconds apart: so many pixels of 2 km.
        made = next(draws).draw(line * 26, across, np.random.default_rng(0))
        return made.error[:, None]

    known, white = compared(sharpened(make_twin(30)), 8.0, right, errors_at)
    assert known < 1.2
    assert white > 1.5


@pytest.mark.parametrize("count", [0, 1])
def test_no_observation_or_one_is_analysed(make_twin, count):
    twin = make_twin()
    seen = twin.observed(20, 2.0).select(np.arange(count))
    seen = replace(seen, error=np.full_like(seen.error, np.nan))
    for method in METHODS:
        field, analysis = analysed(twin, seen, 2.0, ErrorsConfig(), method=method)
        assert np.isfinite(field).all()
        assert analysis.quality.used == count


def test_errors_move_to_another_device_and_to_single_precision():
    problem = correlated(make_problem(make_latent(), COUNTS))
    errors = problem.rows.errors.to(torch.device("meta"))
    assert {getattr(errors, name).device.type for name in errors.__dataclass_fields__} == {"meta"}
    rows = problem.rows
    single = replace(rows, value=rows.value.float(), form=type(rows.form)(*(part.float() for part in rows.form)))
    made, exact = single.whitened(), rows.whitened()
    assert made.value.dtype == made.unit.dtype == torch.float32
    torch.testing.assert_close(made.form.operator.double(), exact.form.operator, rtol=1e-4, atol=1e-5)
