"""Inference: from observations to Gaussian codes and states."""

from .encode import encode
from .gauss_newton import encode_frames
from .gaussian import Gaussian

__all__ = ["Gaussian", "encode", "encode_frames"]
