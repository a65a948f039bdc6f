"""The first frame, held still."""

from torch import Tensor

from .base import Task
from .interpolation import Interpolation


class Persistence:
    """The first frame, interpolated where not all of the grid is kept, for every later frame."""

    name = "persistence"

    def fit(self, task: Task) -> None:
        """Find interpolation weights; nothing is learned."""
        self.interpolation = Interpolation(task.coordinates, task.kept)

    def forecast(self, first: Tensor, frames: int) -> Tensor:
        """Whole-grid frames (sequence, frame, point, channel)."""
        return self.interpolation(first).unsqueeze(1).expand(-1, frames, -1, -1)
