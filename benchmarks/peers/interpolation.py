"""From kept points to the whole grid."""

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from torch import Tensor


class Interpolation:
    """Values at kept points carried to every point of the grid, linearly in the values.

    Radial basis functions of the distance between decoder coordinates: these are unit circles on a periodic box and
    unit vectors on the sphere, so that no seam is met. The same weights serve all frames and are found once.
    """

    def __init__(self, coordinates: Tensor, kept: Tensor) -> None:
        self.kept = kept
        self.weights: Tensor | None = None
        if bool(kept.all()):
            return
        places = coordinates.double().numpy()
        known = places[kept.numpy()]
        # Of scipy's kernels without a length to tune, the best on turbulence but for the quintic, which wants a
        # quadratic polynomial: on circles and spheres that is not unique.
        weights = RBFInterpolator(known, np.eye(len(known)), kernel="cubic", degree=1)(places)
        self.weights = torch.as_tensor(weights, dtype=torch.float32)

    def __call__(self, values: Tensor) -> Tensor:
        """(..., kept point, channel) to (..., point, channel)."""
        return values if self.weights is None else self.weights @ values
