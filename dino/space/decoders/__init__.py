"""Decoders: from a code and coordinates to field values."""

from .base import Basis, Decoder, at_points, bases, common_form, decode, fields, relinearised, values_at_points
from .fourier import FourierDecoder
from .siren import SirenDecoder
from .trend import TrendDecoder

__all__ = [
    "Basis",
    "Decoder",
    "FourierDecoder",
    "SirenDecoder",
    "TrendDecoder",
    "at_points",
    "bases",
    "common_form",
    "decode",
    "fields",
    "relinearised",
    "values_at_points",
]
