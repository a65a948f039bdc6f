"""What environments of one system have in common, and what is known of one of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..dynamics.primitives import Primitives

LARGEST, SMALLEST = 50.0, 1e-20  # a logarithm, and a coefficient that has one
ALIKE = 1e9  # degrees of freedom of noise that is the same in all environments
FARTHEST = 3.0  # standard deviations that the logarithm of a coefficient begins below its mean


@dataclass(frozen=True)
class Prior:
    """Coefficients of all environments: Gaussian, those with a `sign` (term,) other than zero in their logarithms.

    mean : (term,) of the coefficients or of the logarithms of their sizes; root : (term, direction) of the covariance.
    An environment is described by weights (environment, direction), standard normal before anything is known of it.
    A coefficient that has one sign in all environments and differs tenfold is better known by its logarithm, and keeps
    its sign. plain : the prior without logarithms, under which an estimate is begun.
    """

    mean: Tensor
    root: Tensor
    sign: Tensor
    plain: "Prior | None" = None

    @property
    def directions(self) -> int:
        """How many numbers describe an environment."""
        return self.root.shape[1]

    @cached_property
    def _logarithmic(self) -> Tensor:
        return self.sign != 0

    def coefficients(self, weights: Tensor) -> Tensor:
        """(environment, term) coefficients of weights."""
        return self.of_numbers(self.mean + weights @ self.root.T)

    def of_numbers(self, numbers: Tensor) -> Tensor:
        """(environment, term) coefficients of numbers that are coefficients or logarithms of their sizes."""
        return torch.where(self._logarithmic, self.sign * numbers.clamp(-LARGEST, LARGEST).exp(), numbers)

    def changes(self, weights: Tensor) -> Tensor:
        """(environment, term, direction) derivative of coefficients by weights."""
        slope = torch.where(self._logarithmic, self.coefficients(weights), torch.ones(()).double())
        return slope.unsqueeze(-1) * self.root

    def weights(self, coefficients: Tensor) -> Tensor:
        """Weights of coefficients (environment, term), the nearest where there are fewer directions."""
        spread = self.root.square().sum(1).sqrt()
        size = torch.maximum((coefficients * self.sign).clamp_min(SMALLEST).log(), self.mean - FARTHEST * spread)
        away = torch.where(self._logarithmic, size, coefficients) - self.mean
        # In units of each term's own spread: coefficients of high derivatives are small and matter as much.
        unit = spread.clamp_min(1e-300)
        return torch.linalg.lstsq(self.root / unit[:, None], (away / unit).T).solution.T

    @property
    def central(self) -> Tensor:
        """(term,) coefficients of weights of zero."""
        return self.coefficients(self.root.new_zeros(1, self.directions))[0]

    @property
    def spread(self) -> Tensor:
        """(term,) standard deviations of the coefficients, to first order."""
        return self.changes(self.root.new_zeros(1, self.directions))[0].square().sum(1).sqrt()


@dataclass(frozen=True)
class Posterior:
    """Coefficients of each environment given its frames.

    weights : (environment, direction) of the prior; factor : (environment, direction, direction) Cholesky factor of
    their precision; misfit : (environment,) mean square of the whitened residual, one where the environment is of the
    kind that was learned; iterations : that were made; scale : (environment,) own noise as a multiple of the family's,
    one when None; caution : (term,) by which standard deviations are stretched, at most to the prior's
    """

    prior: Prior
    weights: Tensor
    factor: Tensor
    misfit: Tensor
    iterations: int = 0
    scale: Tensor | None = None
    caution: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """(environment, term)"""
        return self.prior.coefficients(self.weights)

    @property
    def covariance(self) -> Tensor:
        """(environment, term, term), to first order."""
        changes = self._stretch.unsqueeze(-1) * self.prior.changes(self.weights)
        return changes @ torch.cholesky_solve(changes.mT, self.factor)

    def with_others(self, place: Tensor, others: "Posterior") -> "Posterior":
        """The same with the environments `place` (environment,) from elsewhere."""
        parts = {name: getattr(self, name).clone() for name in ("weights", "factor", "misfit")}
        for name, values in parts.items():
            values[place] = getattr(others, name)
        return replace(self, **parts, iterations=max(self.iterations, others.iterations))

    @cached_property
    def _stretch(self) -> Tensor:
        """(environment, term) by which standard deviations are stretched."""
        root = self.prior.root
        if self.caution is None:
            return root.new_ones(1, len(root))
        own = torch.linalg.solve_triangular(self.factor, root.T.expand(len(self.factor), -1, -1), upper=False)
        most = root.square().sum(1) / own.square().sum(1).clamp_min(1e-300)
        return torch.minimum(self.caution, most.sqrt())

    def drawn(self, place: Tensor, generator: torch.Generator) -> Tensor:
        """Coefficients (trajectory, term) drawn for trajectories of environments (trajectory,)."""
        shape = len(place), self.weights.shape[1], 1
        draw = torch.randn(shape, generator=generator, dtype=torch.float64)
        away = torch.linalg.solve_triangular(self.factor[place].mT, draw, upper=True).squeeze(-1)
        centre = self.prior.mean + self.weights[place] @ self.prior.root.T
        stretch = self._stretch.expand(len(self.weights), -1)[place]
        return self.prior.of_numbers(centre + stretch * (away @ self.prior.root.T))


@dataclass(frozen=True)
class Family:
    """What several environments have in common.

    noise : (block, channel) variance of the next frame about its prediction, of a complex wave both parts together;
    weak_noise : the same of the integral form; steps : of an interval; interval : between frames of training;
    centre, population : (channel,) mean of the fields, and (block, channel) variance of the waves of states about it;
    damping : (block,) or None, closure; caution : (term,) by which posterior standard deviations are stretched, as
    residuals of successive frames are alike
    observed : (channel,) variance of the observation errors of a value; seen : mean square that they make of residuals,
    summed over channels; model : (block, channel) variance of the next frame's own errors, `noise` when None
    change, power : (channel,) mean square of a typical change between frames, and the power of a change's square with
    which noise grows; typical, freedom : of the distribution of environments' own noise
    widening : (2, frame) of a forecast's spread, by lead: of the integral form, and of estimates after iterations
    """

    primitives: Primitives
    prior: Prior
    noise: Tensor
    weak_noise: Tensor
    steps: int
    interval: float
    damping: Tensor | None = None
    caution: Tensor | None = None
    observed: Tensor | None = None
    seen: float = 0.0
    model: Tensor | None = None
    change: Tensor | None = None
    power: float = 0.0
    typical: float = 1.0
    freedom: float = ALIKE
    widening: Tensor | None = None
    centre: Tensor | None = None
    population: Tensor | None = None
    begins_at_mean: bool = False  # where frames are too far apart for the integral form
    rough: int = 0  # steps of an interval that are enough for sensitivities; 0 for as many as predictions have
    iterations: int = 12  # that suffice for environments like those of training
    leaves: float = 0.0  # share of the change that these leave of those, at most
