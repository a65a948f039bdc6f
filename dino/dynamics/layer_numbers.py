"""The numbers of two layers of flow and of what they carry: their names, units and signs."""

from collections.abc import Sequence
from typing import NamedTuple

LAYERS = 2


class LayerNumbers(NamedTuple):
    """The numbers of the equations.

    upper, lower : stretching F_1, F_2 [1/km²]; flow : U [km/day]; beta [1/(km day)]; drag : r [1/day];
    viscosity : damping of the largest wave that the grid keeps [1/day]
    """

    upper: float
    lower: float
    flow: float
    beta: float
    drag: float
    viscosity: float


class TracerNumbers(NamedTuple):
    """The numbers of a tracer in the upper layer.

    gradient : large-scale gradient, northward [unit of the channel/km]; relaxation : return to the mean [1/day];
    mixing : diffusivity [km²/day]
    """

    gradient: float
    relaxation: float
    mixing: float


SIGNED = ("flow", "beta", "gradient")  # may have any sign; the others are positive


class OceanNumbers(NamedTuple):
    """All numbers of the equations: of the layers, and of every tracer."""

    layers: LayerNumbers
    tracers: tuple[TracerNumbers, ...] = ()

    @classmethod
    def of(cls, values: Sequence[float]) -> "OceanNumbers":
        """From a flat list, in order of `names_of`."""
        first, size = len(LayerNumbers._fields), len(TracerNumbers._fields)
        rest = [TracerNumbers(*values[start : start + size]) for start in range(first, len(values), size)]
        return cls(LayerNumbers(*values[:first]), tuple(rest))


def names_of(tracers: int) -> tuple[str, ...]:
    """Names of the numbers of two layers with so many tracers."""
    return (*LayerNumbers._fields, *(TracerNumbers._fields * tracers))
