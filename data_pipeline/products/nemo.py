"""NEMO's own output: a grid whose positions are no positions where land was cut out of the computation."""

import numpy as np

# The north fold and the columns that close the globe repeat a position twice, where they cross four times.
_MOST_CELLS_OF_A_POSITION = 4


def removed_land(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Cells (y, x) whose position stands for land that was removed: the same one (0, -1, ...) in many cells."""
    pairs = longitude.ravel() + 1j * latitude.ravel()
    _, which, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    return (counts[which] > _MOST_CELLS_OF_A_POSITION).reshape(longitude.shape)
