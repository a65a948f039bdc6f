"""Dynamic mode decomposition with control (Proctor, Brunton & Kutz 2016): the linear baseline.

The next frame's code is a matrix times this frame's, plus a matrix times the inputs, by ridge regression on principal
components. Inputs are a constant and, for `DmdControl`, the parameters of the environment; `DmdAlone` fits the prompt
of each environment and has the constant alone.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from .base import Arrays, places
from .reduction import Reduction


@dataclass(frozen=True)
class DmdSettings:
    """One candidate: components and ridge over the mean square of the regressors."""

    rank: int = 16
    ridge: float = 1e-6


def linear_map(codes: np.ndarray, inputs: np.ndarray, ridge: float) -> np.ndarray:
    """(rank, rank + input) of codes (trajectory, time, rank) and inputs (trajectory, input).

    The ridge holds the map to persistence, which is what a frame close to the next one is nearest to.
    """
    now = np.concatenate([codes[:, :-1], np.repeat(inputs[:, None], codes.shape[1] - 1, 1)], 2)
    regressors = now.reshape(-1, now.shape[2])
    change = (codes[:, 1:] - codes[:, :-1]).reshape(len(regressors), -1)
    gram = regressors.T @ regressors
    size = ridge * max(np.trace(gram) / len(gram), 1e-12)
    made = np.linalg.solve(gram + size * np.eye(len(gram)), regressors.T @ change).T
    made[:, : codes.shape[2]] += np.eye(codes.shape[2])
    return made


class DmdControl:
    """One linear map for all environments, whose parameters are its inputs."""

    name = "dmd_control"
    told = "parameters"

    def __init__(self, settings: DmdSettings) -> None:
        self.settings = settings

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """Principal components and the ridge regression."""
        arrays = Arrays.of(train)
        self.interval, self.shape = arrays.interval, arrays.values.shape[2:]
        self.reduction = Reduction.of(arrays.values, self.settings.rank, None)
        self.middle, self.width = arrays.parameters.mean(0), np.maximum(arrays.parameters.std(0), 1e-12)
        self._learn(arrays)

    def _learn(self, arrays: Arrays) -> None:
        codes = self.reduction.encode(arrays.values)
        self.map = linear_map(codes, self._inputs(arrays.parameters), self.settings.ridge)

    def _inputs(self, parameters: np.ndarray) -> np.ndarray:
        """(trajectory, input): one and the scaled parameters."""
        return np.concatenate([np.ones((len(parameters), 1)), (parameters - self.middle) / self.width], 1)

    def adapt(self, prompt: xr.Dataset) -> None:
        """Look the parameters up; the trajectories are not used."""
        arrays = Arrays.of(prompt)
        self.numbers = arrays.numbers
        self.maps = np.repeat(self.map[None], len(self.numbers), 0)
        parameters = np.stack([arrays.parameters[arrays.place == n][0] for n in range(len(self.numbers))])
        self.inputs = self._inputs(parameters)

    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """See `PhysicsPeer`."""
        arrays = Arrays.of(initial)
        place = places(self.numbers, initial["environment"].values)
        steps = np.rint((times - arrays.times[-1]) / self.interval).astype(int)
        state, path = self.reduction.encode(arrays.values[:, -1]), []
        with np.errstate(all="ignore"):
            for _ in range(int(steps.max())):
                regressors = np.concatenate([state, self.inputs[place]], 1)
                state = np.einsum("tij,tj->ti", self.maps[place], regressors)
                path.append(state)
        return self.reduction.decode(np.stack(path, 1)[:, steps - 1], self.shape)


class DmdAlone(DmdControl):
    """A linear map of each environment's prompt; training gives the components and the settings."""

    name = "dmd_alone"
    told = "nothing"

    def _learn(self, arrays: Arrays) -> None:
        pass  # training gives the components alone

    def adapt(self, prompt: xr.Dataset) -> None:
        """A ridge regression for every environment."""
        arrays = Arrays.of(prompt)
        self.numbers = arrays.numbers
        codes = self.reduction.encode(arrays.values)
        self.inputs = np.ones((len(self.numbers), 1))
        self.maps = np.stack(
            [
                linear_map(part, np.ones((len(part), 1)), self.settings.ridge)
                for part in (codes[arrays.place == number] for number in range(len(self.numbers)))
            ]
        )
