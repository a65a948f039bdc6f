"""Decoders: from a code and coordinates to field values."""

from .base import Basis, Decoder
from .fourier import FourierDecoder

__all__ = ["Basis", "Decoder", "FourierDecoder"]
