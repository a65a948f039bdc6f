"""Inference: from observations to Gaussian codes and states."""

from .encode import encode, encode_frames, solves_at_once

__all__ = ["encode", "encode_frames", "solves_at_once"]
