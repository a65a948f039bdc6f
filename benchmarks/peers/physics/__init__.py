"""Other methods on the protocols of many physics: CoDA's one-shot adaptation and TTG's compositions."""

from .base import PhysicsPeer
from .settings import PEERS, make

__all__ = ["PEERS", "PhysicsPeer", "make"]
