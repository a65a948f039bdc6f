"""Longitudes and latitudes in any unit that CF and UDUNITS know: converted to degrees east and north, or refused."""

import re
from typing import Any, Literal

import numpy as np

from data_pipeline.errors import UnitsError

Role = Literal["longitude", "latitude"]
CANONICAL: dict[str, str] = {"longitude": "degrees_east", "latitude": "degrees_north"}
# Degrees in one unit. Plain minutes and seconds are times, and plain numbers are no angles.
_ANGLES: tuple[tuple[str, float], ...] = (
    (r"(?:decimal{gap})?degrees?|degs?|(?:arc|angular){gap}deg(?:ree)?s?|[°º˚]", 1.0),
    (r"radians?|rads?", 180.0 / np.pi),
    (r"(?:arc|angular){gap}min(?:ute)?s?|['′]", 1.0 / 60.0),
    (r"(?:arc|angular){gap}sec(?:ond)?s?|[\"″]", 1.0 / 3600.0),
    (r"grade?s?|gons?", 0.9),
    (r"circles?|turns?|revolutions?", 360.0),
)
_GAP = r"[\s_.-]*"
_NUMBER = r"(?:([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[\s*.]*)?"
_PREFIX = rf"(?:(micro|milli){_GAP})?"
# One small s at the end is a plural, a capital one is the south.
_TOWARDS = rf"(?:{_GAP}(north|south|east|west|[NSEW])|{_GAP}([new])|[\s_.-]+(s))?"
_FORMS = tuple(
    (re.compile(f"{_NUMBER}{_PREFIX}(?:{name.format(gap=_GAP)}){_TOWARDS}"), factor) for name, factor in _ANGLES
)
_SCALES = {None: 1.0, "milli": 1e-3, "micro": 1e-6}
_DIRECTIONS = {
    "e": ("longitude", 1.0),
    "w": ("longitude", -1.0),
    "n": ("latitude", 1.0),
    "s": ("latitude", -1.0),
}


def degrees(values: Any, units: str, role: Role, where: str) -> tuple[Any, str]:
    """(values in degrees east or north as float64, note on what was converted or "").

    values: numpy or dask array of longitudes or latitudes, as `role` says, in `units`; without units they are
    degrees. A sign is turned for degrees west or south. Raises `UnitsError`, which names `where`, for units that
    are no angle, such as metres, or that point along the other axis.
    """
    values = values.astype(np.float64)
    units = str(units if units is not None else "").strip()
    if not units:
        return values, ""
    factor = _factor(units, role)
    if factor is None:
        raise UnitsError(
            f"the {role} of {where!r} has units {units!r} where {CANONICAL[role]!r} is wanted or another angle that "
            f"converts to it; correct the file, or say what it holds with --units {role}={CANONICAL[role]}"
        )
    if factor == 1.0:
        return values, ""
    return values * factor, f"{role}: {units} converted to {CANONICAL[role]}"


def _factor(units: str, role: Role) -> float | None:
    """Degrees east or north in one of `units`; None when these are no longitude or latitude."""
    text = units.lower() if units.isupper() else units[:-1].lower() + units[-1]
    for form, factor in _FORMS:
        found = form.fullmatch(text)
        if found is None:
            continue
        number, prefix, *towards = found.groups()
        along, sign = _DIRECTIONS.get(next(filter(None, towards), "").lower()[:1], (role, 1.0))
        scaled = factor * sign * float(number or 1.0) * _SCALES[prefix]
        return scaled if along == role and np.isfinite(scaled) and scaled else None
    return None
