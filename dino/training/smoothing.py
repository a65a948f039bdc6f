"""Smoothing of training codes: the code of every map given all maps of its trajectory and the dynamics fitted so far.

A map that is seen at few points leaves part of its code undetermined, and a regression on codes of single maps takes
that error for dynamics. The codes of a trajectory together minimise

    J = 1/2 a_0' S^-1 a_0 + 1/2 sum_t |a_t - z_t|^2_H + 1/2 sum_t |a_{t+1} - M(a_t)|^2_{Q^-1}

with H = Phi' R^-1 Phi the information of one map, z_t its own code, M the flow over one interval and Q the covariance
of its error: weak-constraint 4D-Var (Tremolet 2006, Quarterly Journal of the Royal Meteorological Society 132). The
normal matrix of a Gauss-Newton step is block tridiagonal, so that a step costs a few products of (code, code) matrices
for every map. Q is found by expectation-maximisation on some of the trajectories (Shumway & Stoffer 1982, Journal of
Time Series Analysis 3).
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torchdiffeq import odeint

from ..dynamics import QuadraticODE
from ..dynamics.integrate import solver_steps
from ..inference.gaussian import cholesky
from ..model import OceanModel
from .dynamics_stage import Codes
from .parallel import ALONE, Group
from .prepare import Split
from .series import Series, cell_area
from .symmetries import Move

SERIES_AT_ONCE = 32  # bounds memory: a few (code, code) matrices for every map of so many series
NOISE_SERIES, NOISE_ROUNDS = 16, 6  # of every fold
NOISE_FLOOR = 1e-6  # of the mean error variance, so that its covariance has an inverse


@dataclass
class TrajectorySmoothing:
    """Smooths the codes of every store and moves them to its symmetric copies, which saves smoothing each copy.

    seen : codes of single maps, those of the stores in the order of `splits`; those of copies may follow
    """

    model: OceanModel
    splits: list[Split]
    seen: list[Codes]
    group: Group = ALONE

    @torch.no_grad()
    def __call__(self, current: list[Codes], coefficients: list[Tensor]) -> list[Codes]:
        """Smoothed codes in the order of `seen`, by one step from the `current` ones.

        coefficients : of the dynamics for each fold of the series (see `folds_of`), fitted without it
        """
        made, moved = [], []
        for split, seen, codes in zip(self.splits, self.seen, current, strict=False):
            made.append(replace(codes, codes=self._smoothed(split, seen.codes, codes.codes, coefficients)))
            for turn, shift in moves_of_codes(self.model, split.moves):
                moved.append(replace(made[-1], codes=made[-1].codes @ turn + shift))
        return made + moved

    def _smoothed(self, split: Split, seen: Tensor, codes: Tensor, coefficients: list[Tensor]) -> Tensor:
        folds = list(zip(seen.tensor_split(len(coefficients)), codes.tensor_split(len(coefficients)), strict=True))
        information = information_of_a_map(self.model, split.training)
        smoothers = [self._smoother(information, those) for those in coefficients]
        noise = sum(smoother.noise(*fold) for smoother, fold in zip(smoothers, folds, strict=True) if len(fold[0]))
        noise = torch.as_tensor(noise) / sum(len(fold[0]) > 0 for fold in folds)
        parts = [smoother.smooth(*fold, noise, self.group) for smoother, fold in zip(smoothers, folds, strict=True)]
        return torch.cat(parts)

    def _smoother(self, information: Tensor, coefficients: Tensor) -> "Smoother":
        """With dynamics of other coefficients than the model's."""
        model, dynamics = self.model, deepcopy(cast(QuadraticODE, self.model.dynamics))
        dynamics.coefficients.copy_(coefficients)
        prior = torch.diag(1 / model.code_variance.double())
        interval = model.spec.interval_days
        # Jacobians are most of the cost. The path's error with two steps an interval is far below that of the codes.
        step = max(model.step_days, interval / 2)
        return Smoother(dynamics, information, prior, interval, step, model.spec.dynamics.method)


def information_of_a_map(model: OceanModel, series: Series) -> Tensor:
    """(code, code) float64 precision that one map's values give its code, for series whose maps have no gaps."""
    modes = model.decoder.linearise(series.coordinates, model.code_prior.mean[None]).modes.flatten(0, 1).double()
    return modes.mT @ modes / model.spec.noise_variance


def moves_of_codes(model: OceanModel, moves: tuple[Move, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """For every move the matrix (code, code) and shift (code,) that take codes, as rows, to those of the moved field.

    The moved field is fitted at all cells of the grid, where the mean field is known.
    """
    grid, domain, prior = model.background, model.cover.charts[0], model.code_prior.mean[None]
    longitude, latitude = grid.cells()
    here = model.decoder.linearise(model.coordinates(0, longitude, latitude), prior)
    area = torch.as_tensor(cell_area(domain, latitude)).to(prior.device).repeat_interleave(len(model.spec.channels))
    for move in moves:
        places = torch.as_tensor(move.coordinates(domain, longitude, latitude)).to(prior)
        there = model.decoder.linearise(places, prior)
        sign = torch.as_tensor(move.sign).to(prior)
        modes = there.modes.flatten(0, 1).double()
        values = (here.modes * sign[:, None]).flatten(0, 1).double()
        offset = (here.offset * sign - there.offset).flatten().double()
        weighted = modes * area[:, None]
        right = weighted.mT @ torch.cat([values, offset[:, None]], 1)
        fitted = torch.cholesky_solve(right, cholesky(weighted.mT @ modes))
        yield fitted[:, :-1].mT.to(prior), fitted[:, -1].to(prior)


class Solution(NamedTuple):
    """One Gauss-Newton step: codes (series, time, code), their misfit to the flow (series, time - 1, code), and the
    Jacobians, factors and gains, one a time, of which the posterior covariance is made."""

    codes: Tensor
    misfit: Tensor
    jacobians: Tensor
    factors: list[Tensor]
    gains: list[Tensor]


@dataclass(frozen=True)
class Smoother:
    """Smooths codes along trajectories whose maps are seen at the same points.

    information, prior_precision : (code, code) float64, of one map and of the population of codes
    interval, step : of maps and of the solver [days]
    """

    dynamics: QuadraticODE
    information: Tensor
    prior_precision: Tensor
    interval: float
    step: float
    method: str = "rk4"

    def smooth(self, seen: Tensor, codes: Tensor, noise: Tensor, group: Group = ALONE) -> Tensor:
        """Codes (series, time, code) after one step from `codes`; `seen` are the codes of single maps.

        noise : (code, code) error covariance of the flow over one interval
        """
        mine = group.share(len(seen))
        precision = torch.cholesky_inverse(cholesky(noise))
        parts = zip(seen[mine].split(SERIES_AT_ONCE), codes[mine].split(SERIES_AT_ONCE), strict=True)
        made = [self._solve(own, start, precision).codes.to(codes) for own, start in parts]
        return group.gather(torch.cat(made) if made else codes[mine], len(seen))

    def noise(self, seen: Tensor, codes: Tensor) -> Tensor:
        """(code, code) float64 error covariance of the flow over one interval, from some of the series."""
        some = torch.linspace(0, len(seen) - 1, min(NOISE_SERIES, len(seen))).long().to(seen.device)
        seen, codes = seen[some], codes[some].double()
        before, after = codes[:, :-1], codes[:, 1:]
        flow, _ = self.flow(before.flatten(0, 1).to(seen))
        noise = _covariance(after.flatten(0, 1) - flow.double())
        for _ in range(NOISE_ROUNDS):
            precision = torch.cholesky_inverse(cholesky(noise))
            parts, total, weight = [], torch.zeros_like(noise), 0
            for own, start in zip(seen.split(SERIES_AT_ONCE), codes.split(SERIES_AT_ONCE), strict=True):
                solution = self._solve(own, start, precision)
                parts.append(solution.codes)
                total += len(own) * (_covariance(solution.misfit.flatten(0, 1)) + _misfit_covariance(solution))
                weight += len(own)
            # Twice as far as the step itself, in size: such over-relaxed steps converge faster (Salakhutdinov & Roweis
            # 2003, International Conference on Machine Learning 20).
            found, codes = total / weight, torch.cat(parts)
            noise = found * (found.trace() / noise.trace())
        return noise

    def flow(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (sample, code) one interval later and the Jacobians (sample, code, code)."""

        def both(time: Tensor, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            state, tangents = pair
            return self.dynamics.derivative(state), self.dynamics.jacobian(state) @ tangents

        size = codes.shape[-1]
        eye = torch.eye(size, dtype=codes.dtype, device=codes.device).expand(len(codes), size, size)
        times = torch.tensor([0.0, self.interval], device=codes.device)
        options = {"grid_constructor": lambda f, y0, t: solver_steps(t, self.step)}
        states, jacobians = odeint(both, (codes, eye), times, method=self.method, options=options)
        assert isinstance(jacobians, Tensor)
        return states[-1], jacobians[-1]

    def _solve(self, seen: Tensor, codes: Tensor, precision: Tensor) -> Solution:
        """One Gauss-Newton step from codes (series, time, code); precision is that of the flow's error."""
        codes, length = codes.double(), codes.shape[1]
        states, jacobians = self.flow(codes[:, :-1].flatten(0, 1).to(seen))
        jacobians = jacobians.double().unflatten(0, (len(codes), length - 1))
        misfit = codes[:, 1:] - states.double().unflatten(0, (len(codes), length - 1))
        # Minus the gradient: S^-1 a = H (z' - a) of single maps gives H z' = (S^-1 + H) a.
        right = seen.double() @ (self.information + self.prior_precision) - codes @ self.information
        right[:, 0] -= codes[:, 0] @ self.prior_precision
        pull = misfit @ precision
        right[:, 1:] -= pull
        right[:, :-1] += (jacobians.mT @ pull[..., None]).squeeze(-1)
        factors, gains, forward = [], [], []
        for time in range(length):
            normal = self.information + (precision if time else self.prior_precision)
            normal, part = normal.expand(len(codes), *normal.shape), right[:, time, :, None]
            if time:
                normal = normal - gains[-1].mT @ gains[-1]
                part = part - gains[-1].mT @ forward[-1]
            if time < length - 1:
                carried = precision @ jacobians[:, time]
                normal = normal + jacobians[:, time].mT @ carried
            factors.append(cholesky(normal))
            forward.append(torch.linalg.solve_triangular(factors[-1], part, upper=False))
            if time < length - 1:
                gains.append(torch.linalg.solve_triangular(factors[-1], -carried.mT, upper=False))
        change = [torch.linalg.solve_triangular(factors[-1].mT, forward[-1], upper=True)]
        for time in range(length - 2, -1, -1):
            part = forward[time] - gains[time] @ change[-1]
            change.append(torch.linalg.solve_triangular(factors[time].mT, part, upper=True))
        moved = torch.stack(change[::-1], 1).squeeze(-1)
        misfit = misfit + moved[:, 1:] - (jacobians @ moved[:, :-1, :, None]).squeeze(-1)
        return Solution(codes + moved, misfit, jacobians, factors, gains)


def _misfit_covariance(solution: Solution) -> Tensor:
    """(code, code) posterior covariance of a_{t+1} - M a_t, a mean over series and times."""
    later = torch.cholesky_inverse(solution.factors[-1])
    total, length = torch.zeros_like(later[0]), len(solution.gains)
    for time in range(length - 1, -1, -1):
        # Given a_{t+1} the code a_t is -G a_{t+1} plus what is independent of it.
        gain = torch.linalg.solve_triangular(solution.factors[time].mT, solution.gains[time], upper=True)
        earlier = torch.cholesky_inverse(solution.factors[time]) + gain @ later @ gain.mT
        jacobian = solution.jacobians[:, time]
        cross = jacobian @ gain @ later
        total += (later + cross + cross.mT + jacobian @ earlier @ jacobian.mT).mean(0)
        later = earlier
    return total / length


def _covariance(misfit: Tensor) -> Tensor:
    """(code, code) mean square of misfits (sample, code), with a floor."""
    made = misfit.mT @ misfit / len(misfit)
    return made + NOISE_FLOOR * made.diagonal().mean() * torch.eye(len(made), dtype=made.dtype, device=made.device)
