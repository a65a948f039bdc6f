"""Inference: from observations to Gaussian codes and states."""

from ..numerics.gaussian import Gaussian
from .encode import encode
from .gauss_newton import encode_frames

__all__ = ["Gaussian", "encode", "encode_frames"]
