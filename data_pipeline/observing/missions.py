"""Missions by name: the orbits of altimeters as flown or as published, and what each of them sees.

Facts and where they are published:

swot, swot-calval       AVISO+, "SWOT orbit": science and fast-sampling orbit characteristics
jason, sentinel-6       AVISO+ and ESA, reference orbit of TOPEX/Poseidon, Jason-1, -2, -3 and Sentinel-6
jason-interleaved       AVISO+: the same orbit, tracks midway between those of the reference orbit
sentinel-3a, -3b        ESA Sentinel-3 user guide: 14 + 7/27 revolutions a day; B flies 140 degrees from A
saral                   Radar Altimetry Tutorial (altimetry.info): 501 revolutions in 35 days, on the ground track of
                        Envisat; DORIS mail 1027: reference height 800 km; inclination of ERS-1's same orbit (TU Delft)
cryosat-2               DGFI-TUM OpenADB: 5344 revolutions in 369 days of the node, semi-major axis 7095.35 km
hy-2b                   ILRS: inclination, height of 971 km, 14-day cycle; its 193 revolutions were not found published,
                        and AVISO+ gives 963 km for the same cycle of HY-2A

Published heights mean different things: above the radius at the equator (SWOT, CryoSat-2), or nominal and mean heights
above the ellipsoid (Sentinel-3, SARAL, HY-2B), which are 7 to 19 km more than the orbit's own.

The longitude of the first node is zero except where satellites of one orbit share it between them: the phases of
different missions are free, and a track as flown comes with its ephemeris file.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from data_pipeline.observing.orbits import EphemerisOrbit, RepeatOrbit


@dataclass(frozen=True)
class Mission:
    """An orbit, the height it is published with [km], and the view of the instrument."""

    orbit: RepeatOrbit
    published_altitude_km: float
    view: Literal["nadir", "swath"] = "nadir"


_JASON = RepeatOrbit(inclination_degrees=66.04, cycle_days=9.9156, revolutions=127)
_SENTINEL_3 = RepeatOrbit(inclination_degrees=98.65, cycle_days=27, revolutions=385)

MISSIONS: dict[str, Mission] = {
    "swot": Mission(RepeatOrbit(inclination_degrees=77.6, cycle_days=20.86455, revolutions=292), 890.6, "swath"),
    "swot-calval": Mission(RepeatOrbit(inclination_degrees=77.6, cycle_days=0.99349, revolutions=14), 857.2, "swath"),
    "jason": Mission(_JASON, 1336),
    "sentinel-6": Mission(_JASON, 1336),
    "jason-interleaved": Mission(_JASON.model_copy(update={"node_longitude": 0.5 * 360 / 127}), 1336),
    "sentinel-3a": Mission(_SENTINEL_3, 814.5),
    "sentinel-3b": Mission(_SENTINEL_3.model_copy(update={"phase_degrees": 140.0}), 814.5),
    "saral": Mission(RepeatOrbit(inclination_degrees=98.55, cycle_days=35, revolutions=501), 800),
    "cryosat-2": Mission(RepeatOrbit(inclination_degrees=92.03, cycle_days=368.2396, revolutions=5344), 717.2),
    "hy-2b": Mission(RepeatOrbit(inclination_degrees=99.35, cycle_days=14, revolutions=193), 971),
}


def _mission_orbit(value: Any) -> Any:
    """The orbit of a mission given by name; anything else unchanged."""
    if not isinstance(value, str):
        return value
    if value not in MISSIONS:
        raise ValueError(f"unknown mission {value!r}; known: {', '.join(MISSIONS)}")
    return MISSIONS[value].orbit


OrbitConfig = Annotated[
    Annotated[RepeatOrbit | EphemerisOrbit, Field(discriminator="type")],
    BeforeValidator(_mission_orbit),
]
