"""Weak-constraint 4D-Var of altimeter tracks with a reduced-gravity ocean and the covariance of an interpolation.

Optimal interpolation with two scales says that sea level is the sum of a slow field, which forgets exponentially, and a
fast one. Here the slow field is carried by the equations from day to day, and each day it forgets as much, and is given
as much news, as that covariance says. The fast field stays what it is there. Without motion this is the interpolation
itself, but for the box, so that equations are all that differs. Control: white noise for the first day and every
day's news, coloured by the spectrum of the slow covariance; cost: half its square plus half the squared misfit in
the metric of fast covariance and errors (Derber 1989, Monthly Weather Review 117, 2437-2446; Trémolet 2006, Quarterly
Journal of the Royal Meteorological Society 132, 2483-2504).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from dino.data.observations import Observations
from dino.errors import NonFiniteError
from dino.evaluation.averages import averaged, boxes
from dino.evaluation.covariance import Component, Covariance, kernel, positions_km
from dino.evaluation.fitted_interpolation import AVERAGED_BEYOND

from .reduced_gravity import ReducedGravity
from .separate_descent import minimise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sampler:
    """Linear functions of daily maps: linear in time, cubic convolution in space (Keys 1981).

    cells : (observation, part) numbers of (day, row, column); weight : same shape
    """

    cells: Tensor
    weight: Tensor

    @classmethod
    def of(cls, model: ReducedGravity, start: float, days: int, seen: Observations) -> "Sampler":
        """Of the maps of `days` days and one from `start` on at the places and times of observations."""
        box = model.box
        x, y = (side / box.cell_km for side in box.km(seen.longitude, seen.latitude))
        age = np.clip(seen.time - start, 0.0, days)
        first = np.minimum(np.floor(age).astype(np.int64), days - 1)
        later = np.stack([1.0 - (age - first), age - first], -1)
        column, across = _cubic(x)
        row, along = _cubic(y)
        day = first[:, None] + np.arange(2)
        place = (row % box.rows)[:, :, None] * box.columns + (column % box.columns)[:, None, :]
        cells = day[:, :, None, None] * (box.rows * box.columns) + place[:, None]
        weight = later[:, :, None, None] * (along[:, :, None] * across[:, None, :])[:, None]
        return cls(torch.as_tensor(cells.reshape(len(x), -1)), torch.as_tensor(weight.reshape(len(x), -1)))

    def __call__(self, maps: Tensor) -> Tensor:
        """Values (observation,) of maps (day, row, column), in double precision."""
        return (maps.flatten()[self.cells].double() * self.weight).sum(1)


@dataclass
class TrackAnalysis:
    """What observations of a window tell of the days from its start to `days` after it.

    covariance : of an interpolation; its slowest component is carried by the model

    `NonFiniteError` where the model blows up.
    """

    model: ReducedGravity
    covariance: Covariance
    seen: Observations
    start: float
    window_days: int
    days_ahead: int
    iterations: int = 150
    settled: float = 1e-4
    maps: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.mean = float(np.nanmean(self.seen.values[:, 0]))
        self.slow, self.fast, noise = divided(self.covariance)
        seen, count = self.seen, np.ones(len(self.seen))
        if len(seen) > AVERAGED_BEYOND:
            seen, count = averaged(seen, *boxes(self.covariance))
        self.factor, carried = colour(self.model, self.covariance, self.slow)
        error = np.nan_to_num(seen.error[:, 0]) ** 2 + noise / count
        # Waves too short for the box are white noise to it.
        error += max(self.slow.variance - carried, 0.0)
        self.used, self.places = seen, positions_km(seen.longitude, seen.latitude)
        total = self.fast.of_observations(self.places, seen.time, np.zeros(len(seen)), error)
        self.root = cho_factor(total, lower=True)
        self._root = torch.as_tensor(np.tril(self.root[0]))
        self.missed = torch.as_tensor(seen.values[:, 0] - self.mean)
        self.sampler = Sampler.of(self.model, self.start, self.window_days, seen)
        self.kept = float(np.exp(-1.0 / self.slow.time_days))

    def run(self, first: Tensor | None = None) -> Tensor:
        """Minimise, from a control or from nothing; makes the daily maps and returns the control (1, numbers)."""
        box = self.model.box
        size = (self.window_days + 1) * box.rows * box.columns
        start = torch.zeros(1, size, dtype=torch.float64) if first is None else first
        found = minimise(self.cost, start, self.iterations, settled=self.settled)
        self.made, self.value = found.iterations, float(found.value)
        with torch.no_grad():
            self.maps = self.days_of(found.point, self.window_days + self.days_ahead)
        if not bool(torch.isfinite(self.maps).all()):
            raise NonFiniteError(
                f"the reduced-gravity model left the finite numbers with {self.model.steps_per_day} steps a day; "
                "give more"
            )
        return found.point

    def days_of(self, control: Tensor, days: int) -> Tensor:
        """Maps (days + 1, row, column) [m] of the slow field; days beyond the window forget and hear no news."""
        noise = control.view(-1, self.model.box.rows, self.model.box.columns).to(self.model.dtype)
        news = self.factor * self.model.forward(noise)
        psi, states = news[0], [news[0]]
        for day in range(1, days + 1):
            psi = self.kept * self.model.day(psi)
            if day < len(news):
                psi = psi + np.sqrt(1.0 - self.kept**2) * news[day]
            states.append(psi)
        return self.model.inverse(torch.stack(states)) / self.model.per_metre

    def cost(self, control: Tensor) -> tuple[Tensor, Tensor]:
        """Values (1,) and gradients of controls (1, numbers)."""
        control = control.detach().requires_grad_(True)
        off = self.sampler(self.days_of(control, self.window_days)) - self.missed
        white = torch.linalg.solve_triangular(self._root, off[:, None], upper=False)
        value = 0.5 * control.square().sum() + 0.5 * white.square().sum()
        (gradient,) = torch.autograd.grad(value, control)
        return value.detach().view(1), gradient

    def predict(self, points: Observations) -> Array:
        """Sea level [m] at points of the window and the days after it."""
        sampler = Sampler.of(self.model, self.start, self.window_days + self.days_ahead, points)
        left = (self.missed - self.sampler(self.maps[: self.window_days + 1])).numpy()
        places = positions_km(points.longitude, points.latitude)
        cross = self.fast.between(places, points.time, self.places, self.used.time)
        return self.mean + sampler(self.maps).numpy() + cross @ cho_solve(self.root, left)


def divided(covariance: Covariance) -> tuple[Component, Covariance, float]:
    """The slowest component, a covariance of the others without noise, and the variance of the noise."""
    slowest = max(covariance.components, key=lambda part: part.time_days)
    others = tuple(part for part in covariance.components if part is not slowest)
    return slowest, replace(covariance, components=others, noise_variance=0.0), covariance.noise_variance


def colour(model: ReducedGravity, covariance: Covariance, slow: Component) -> tuple[Tensor, float]:
    """The factor (row, wave) that makes white noise on the grid a field of psi, and the variance [m²] it carries."""
    box = model.box
    y, x = (np.minimum(np.arange(n), n - np.arange(n)) * box.cell_km for n in (box.rows, box.columns))
    around = slow.variance * kernel(covariance.space_kernel, np.hypot(y[:, None], x) / slow.length_km)
    power = np.maximum(np.fft.rfft2(around).real, 0.0) * model.kept
    carried = float(np.fft.irfft2(power, s=around.shape)[0, 0])
    return torch.as_tensor(np.sqrt(power) * model.per_metre, dtype=model.dtype), carried


def _cubic(place: Array) -> tuple[NDArray[np.int64], Array]:
    """Four neighbours (n, 4) on an axis of unit spacing and their weights, exact for quadratics."""
    first = np.floor(place).astype(np.int64)
    t = place - first
    weights = [-0.5 * t + t**2 - 0.5 * t**3, 1 - 2.5 * t**2 + 1.5 * t**3, 0.5 * t + 2 * t**2 - 1.5 * t**3]
    weights.append(-0.5 * t**2 + 0.5 * t**3)
    return first[:, None] + np.arange(-1, 3), np.stack(weights, -1)
