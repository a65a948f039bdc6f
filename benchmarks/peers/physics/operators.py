"""Operator inference with the package `opinf`: polynomial operators on principal components by least squares.

`Opinf` is affine parametric operator inference (McQuarrie, Khodabakhshi & Willcox 2023, arXiv 2110.07653): operators
are known functions of the parameters times unknown matrices, and one regression serves all environments. It is GIVEN
the parameters, in training and of the environment it forecasts. `OpinfAlone` is given nothing and fits the prompt
alone.
"""

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import make_interp_spline

from ..base import UnsuitableTaskError
from .base import Arrays, places
from .reduction import Reduction

SPLINE_ENDS = 2  # frames at either end whose derivatives are not used
KINDS = ("Constant", "Linear", "Quadratic", "Cubic")


@dataclass(frozen=True)
class OpinfSettings:
    """One candidate of operator inference.

    affine : for each kind of operator in `KINDS` that the model has, the parameters that multiply its matrices; "1"
    is the matrix that all environments share
    ridge : of all entries; difference : of `opinf.ddt`, "quintic" for splines, or "discrete" for a map from frame to
    frame
    offset : (channel,) taken off before the components, the mean if absent
    """

    affine: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"Linear": ("1",), "Quadratic": ("1",)})
    rank: int = 16
    ridge: float = 1e-4
    difference: str = "ord6"
    offset: tuple[float, ...] | None = None


class Quintic:
    """Splines of order five through (rank, frame), as `opinf.ddt.InterpDerivativeEstimator` wants them."""

    def __init__(self, times: np.ndarray, states: np.ndarray, axis: int = -1) -> None:
        self.spline = make_interp_spline(times, states, min(5, len(times) - 1), axis=axis)

    def __call__(self, times: np.ndarray, order: int = 0) -> np.ndarray:
        """The derivative of an order at times."""
        return self.spline(times, order)


def package() -> Any:
    """The package `opinf`; raises UnsuitableTaskError where it is not installed."""
    try:
        # Not an import statement: type checkers must pass where the extra is not installed.
        return importlib.import_module("opinf")
    except ImportError as error:
        raise UnsuitableTaskError(
            f"operator inference needs the package opinf ({error}); "
            "install the extra: pip install -c constraints.txt '.[benchmarks]'"
        ) from error


class _Operators:
    """Codes, their changes and forecasts, with one polynomial model for each environment."""

    def __init__(self, settings: OpinfSettings) -> None:
        self.settings, self.opinf = settings, package()

    def _reduce(self, arrays: Arrays) -> np.ndarray:
        """Learn the components; codes (trajectory, time, rank) of what they were learned from."""
        self.interval, self.shape = arrays.interval, arrays.values.shape[2:]
        self.reduction = Reduction.of(arrays.values, self.settings.rank, self.settings.offset)
        return self.reduction.encode(arrays.values)

    def _changes(self, codes: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """States and what the model has to give for them, (rank, frame) of each trajectory."""
        columns = [np.ascontiguousarray(each.T) for each in codes]
        if self.settings.difference == "discrete":
            return [each[:, :-1] for each in columns], [each[:, 1:] for each in columns]
        frames = np.arange(codes.shape[1]) * 1.0  # time runs in frames: operators of one size for all systems
        if self.settings.difference == "quintic":
            # Splines are least sure of their derivatives at their ends.
            within = frames[SPLINE_ENDS:-SPLINE_ENDS]
            estimator = self.opinf.ddt.InterpDerivativeEstimator(frames, Quintic, within)
        else:
            estimator = self.opinf.ddt.UniformFiniteDifferencer(frames, self.settings.difference)
        pairs = [estimator.estimate(each) for each in columns]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def _model(self, parametric: bool, operators: list[Any]) -> Any:
        kind = "DiscreteModel" if self.settings.difference == "discrete" else "ContinuousModel"
        make = getattr(self.opinf.models, ("Parametric" if parametric else "") + kind)
        return make(operators, solver=self.opinf.lstsq.L2Solver(self.settings.ridge))

    def _roll(self, model: Any, states: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Codes (trajectory, step, rank) of a model without parameters; not a number from where it fails."""
        made = np.full((len(states), len(steps), states.shape[1]), np.nan)
        for number, state in enumerate(states):
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                if self.settings.difference == "discrete":
                    path = model.predict(state, int(steps[-1]) + 1)[:, steps]
                else:
                    path = model.predict(state, np.r_[0.0, steps], rtol=1e-6, atol=1e-9, events=_left)[:, 1:]
            made[number, : path.shape[1]] = path.T
        return made

    def _forecast(self, models: Callable[[int], Any], place: np.ndarray, arrays: Arrays, times: np.ndarray):
        steps = np.rint((times - arrays.times[-1]) / self.interval).astype(int)
        codes = self.reduction.encode(arrays.values[:, -1])
        made = np.empty((len(codes), len(steps), codes.shape[1]))
        for number in np.unique(place):
            mine = place == number
            made[mine] = self._roll(models(int(number)), codes[mine], steps)
        return self.reduction.decode(made, self.shape)


def _left(time: float, state: np.ndarray, inputs: object = None) -> float:
    """Ends the integration of a forecast that has left every scale of the data."""
    return 1e4 - float(np.abs(state).max())


_left.terminal = True  # pyright: ignore[reportFunctionMemberAccess]


class Opinf(_Operators):
    """Affine parametric operator inference."""

    name = "opinf"
    told = "parameters"

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """One ridge regression over all training environments."""
        arrays = Arrays.of(train)
        states, wanted = self._changes(self._reduce(arrays))
        operators = [
            getattr(self.opinf.operators, f"Affine{kind}Operator")(_coefficients(arrays.names, names), len(names))
            for kind, names in self.settings.affine.items()
        ]
        self.model = self._model(True, operators)
        self.model.fit(list(arrays.parameters), states, wanted)

    def adapt(self, prompt: xr.Dataset) -> None:
        """Look the parameters up; the trajectories are not used."""
        arrays = Arrays.of(prompt)
        self.numbers = arrays.numbers
        self.parameters = np.stack([arrays.parameters[arrays.place == n][0] for n in range(len(arrays.numbers))])

    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """See `PhysicsPeer`; not a number from where a forecast has left every scale of the data."""
        place = places(self.numbers, initial["environment"].values)
        return self._forecast(
            lambda number: self.model.evaluate(self.parameters[number]), place, Arrays.of(initial), times
        )


class OpinfAlone(_Operators):
    """Operator inference on the prompt of each environment alone; training gives the components and the settings."""

    name = "opinf_alone"
    told = "nothing"

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """The components of the training fields."""
        self._reduce(Arrays.of(train))

    def adapt(self, prompt: xr.Dataset) -> None:
        """A ridge regression for every environment."""
        arrays = Arrays.of(prompt)
        self.numbers, self.models = arrays.numbers, []
        codes = self.reduction.encode(arrays.values)
        for number in range(len(arrays.numbers)):
            kinds = self.settings.affine
            model = self._model(False, [getattr(self.opinf.operators, f"{kind}Operator")() for kind in kinds])
            states, wanted = self._changes(codes[arrays.place == number])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # fewer frames than entries: the ridge decides, as it should
                model.fit(np.concatenate(states, 1), np.concatenate(wanted, 1))
            self.models.append(model)

    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """See `PhysicsPeer`; not a number from where a forecast has left every scale of the data."""
        place = places(self.numbers, initial["environment"].values)
        return self._forecast(self.models.__getitem__, place, Arrays.of(initial), times)


def _coefficients(known: tuple[str, ...], names: tuple[str, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """The function from all parameters of an environment to those of `names`; "1" is one."""
    positions = [None if name == "1" else known.index(name) for name in names]
    return lambda parameters: np.array([1.0 if at is None else parameters[at] for at in positions])
