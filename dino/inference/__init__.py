"""Inference: from observations to Gaussian codes and states."""

from .encode import encode, encode_frames

__all__ = ["encode", "encode_frames"]
