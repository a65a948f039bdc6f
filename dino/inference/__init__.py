"""Inference: from observations to Gaussian codes and states."""

from .encode import encode
from .gaussian import Gaussian

__all__ = ["Gaussian", "encode"]
