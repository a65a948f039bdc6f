"""dino itself behind the peers' interface."""

import numpy as np
import xarray as xr

import dino
from dino.physics import Adapted

from .base import Arrays


class Dino:
    """Primitives with a Gaussian prior over environments; told nothing but its candidates, which the settings list."""

    name = "dino"
    told = "nothing"

    def __init__(self, config: dino.PhysicsConfig, iterations: int = 6) -> None:
        self.config, self.iterations = config, iterations

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """Learn the family; validation trajectories are not used."""
        self.physics = dino.fit(train, self.config)

    def adapt(self, prompt: xr.Dataset) -> None:
        """The posterior of every environment."""
        self.adapted: Adapted = self.physics.adapt(prompt, self.iterations)

    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """See `PhysicsPeer`."""
        return Arrays.of(self.adapted.forecast(initial, times)).values
