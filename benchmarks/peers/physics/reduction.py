"""Principal components of fields of several channels, for the peers that work on few numbers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reduction:
    """Codes (..., rank) of values (..., channel, [y,] [x]).

    offset : (channel, 1, ...) taken off first, the mean or a state that is known to rest; spread : (channel, 1, ...)
    basis : (channel * points, rank), orthonormal; systems without space keep their channels as codes
    """

    offset: np.ndarray
    spread: np.ndarray
    basis: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, rank: int, offset: tuple[float, ...] | None) -> "Reduction":
        """The first components of values (trajectory, time, channel, ...), about their mean where no offset comes."""
        shape = (-1, *[1] * (values.ndim - 3))
        axes = (0, 1, *range(3, values.ndim))
        taken = (values.mean(axes) if offset is None else np.asarray(offset)).reshape(shape)
        if values.ndim == 3:
            return cls(taken, np.ones_like(taken), np.eye(values.shape[2]))
        spread = np.maximum(values.std(axes).reshape(shape), 1e-12)
        snapshots = ((values - taken) / spread).reshape(values.shape[0] * values.shape[1], -1)
        # The smaller of the two Gram matrices has the same leading components.
        if len(snapshots) < snapshots.shape[1]:
            basis = np.linalg.svd(snapshots, full_matrices=False)[2][:rank].T
        else:
            basis = np.linalg.eigh(snapshots.T @ snapshots)[1][:, ::-1][:, :rank]
        # Codes of variance near one, by one number for all, so that one ridge fits all ranks and systems.
        size = np.sqrt(np.square(snapshots @ basis).mean(0).max())
        return cls(taken, spread * size, basis)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Codes (..., rank)."""
        lead = values.ndim - self.offset.ndim
        return ((values - self.offset) / self.spread).reshape(*values.shape[:lead], -1) @ self.basis

    def decode(self, codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Values (..., *shape) with shape (channel, [y,] [x])."""
        return (codes @ self.basis.T).reshape(*codes.shape[:-1], *shape) * self.spread + self.offset
