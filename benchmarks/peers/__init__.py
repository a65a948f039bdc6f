"""Other methods that forecast the same fields in the same wall time, for DINo's experiments (arXiv 2209.14855).

Every peer learns from the first frames of training sequences at the kept points, sees frame 0 of a test sequence and
forecasts the frames after it on the whole grid.
"""

from .base import Budget, Peer, Task, UnsuitableTaskError, one_cycle
from .dino_recipe import DinoRecipe
from .fno import FourierNeuralOperator
from .loading import Experiment, experiment_from_stores
from .persistence import Persistence
from .pod import PodDmd, PodOde
from .scoring import score

PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (Persistence, PodDmd, PodOde, FourierNeuralOperator, DinoRecipe)
}

__all__ = [
    "PEERS",
    "Budget",
    "DinoRecipe",
    "Experiment",
    "FourierNeuralOperator",
    "Peer",
    "Persistence",
    "PodDmd",
    "PodOde",
    "Task",
    "UnsuitableTaskError",
    "experiment_from_stores",
    "one_cycle",
    "score",
]
