"""The channels a store can hold: canonical names and units, the names products use, and what is physically possible."""

from collections.abc import Iterable
from dataclasses import dataclass

from data_pipeline.errors import UnitsError

KELVIN_AT_0_CELSIUS = 273.15


@dataclass(frozen=True)
class Channel:
    """One quantity of a store.

    `standard_names` and `names` (lower case, preferred first) are what products call it; `valid_range` is in
    `units` and bounds what an ocean can hold, so that anything outside is a fill value or an error.
    """

    name: str
    units: str
    standard_name: str
    long_name: str
    valid_range: tuple[float, float]
    standard_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    is_difference: bool = False

    @property
    def attrs(self) -> dict[str, str]:
        """CF attributes of a variable of this channel."""
        return {"standard_name": self.standard_name, "long_name": self.long_name, "units": self.units}


_GEOID = "sea_surface_height_above_geoid"
_ANOMALY = "sea_surface_height_above_mean_sea_level"

_CHANNELS = (
    Channel(
        "adt",
        "m",
        _GEOID,
        "absolute dynamic topography",
        (-5.0, 5.0),
        (_GEOID, "sea_surface_height_above_geopotential_datum"),
        ("adt", "adt_unfiltered", "adt_filtered", "madt"),
    ),
    Channel(
        "ssh",
        "m",
        _GEOID,
        "sea surface height",
        (-10.0, 10.0),
        (_GEOID, "sea_surface_elevation", "sea_surface_height", "sea_surface_height_above_reference_ellipsoid"),
        ("ssh", "zos", "sossheig", "zeta", "ssh_karin_filt"),
    ),
    Channel(
        "sla",
        "m",
        _ANOMALY,
        "sea level anomaly",
        (-5.0, 5.0),
        (_ANOMALY, "sea_surface_height_above_sea_level", "sea_surface_height_above_mean_sea_surface"),
        (
            *("sla", "sla_unfiltered", "sla_filtered", "ssha", "ssha_unfiltered", "ssha_filtered", "ssha_noiseless"),
            *("ssha_karin_2", "ssha_karin", "ssha_01_ku"),
        ),
    ),
    Channel(
        "sst",
        "degC",
        "sea_surface_temperature",
        "sea surface temperature",
        (-3.0, 45.0),
        (
            "sea_surface_temperature",
            "sea_surface_skin_temperature",
            "sea_surface_subskin_temperature",
            "sea_surface_foundation_temperature",
        ),
        ("sst", "tos", "sea_surface_temperature", "analysed_sst", "sosstsst"),
    ),
    Channel(
        "sst_anomaly",
        "degC",
        "sea_surface_temperature_anomaly",
        "sea surface temperature anomaly",
        (-20.0, 20.0),
        ("sea_surface_temperature_anomaly", "surface_temperature_anomaly"),
        ("sst_anomaly", "sst_anom", "ssta"),
        is_difference=True,
    ),
    Channel(
        "u",
        "m s-1",
        "eastward_sea_water_velocity",
        "eastward current",
        (-10.0, 10.0),
        ("eastward_sea_water_velocity", "surface_eastward_sea_water_velocity"),
        ("u", "uo", "eastward_eulerian_current_velocity"),
    ),
    Channel(
        "v",
        "m s-1",
        "northward_sea_water_velocity",
        "northward current",
        (-10.0, 10.0),
        ("northward_sea_water_velocity", "surface_northward_sea_water_velocity"),
        ("v", "vo", "northward_eulerian_current_velocity"),
    ),
    Channel(
        "ugos",
        "m s-1",
        "surface_geostrophic_eastward_sea_water_velocity",
        "eastward geostrophic current",
        (-10.0, 10.0),
        ("surface_geostrophic_eastward_sea_water_velocity",),
        ("ugos",),
    ),
    Channel(
        "vgos",
        "m s-1",
        "surface_geostrophic_northward_sea_water_velocity",
        "northward geostrophic current",
        (-10.0, 10.0),
        ("surface_geostrophic_northward_sea_water_velocity",),
        ("vgos",),
    ),
    Channel(
        "temperature",
        "degC",
        "sea_water_potential_temperature",
        "potential temperature nearest to the surface",
        (-3.0, 45.0),
        ("sea_water_potential_temperature", "sea_water_temperature"),
        ("temperature", "thetao", "votemper"),
    ),
    Channel(
        "salinity",
        "1e-3",
        "sea_water_salinity",
        "salinity nearest to the surface",
        (0.0, 50.0),
        ("sea_water_salinity", "sea_water_practical_salinity", "sea_surface_salinity"),
        ("salinity", "so", "sos", "sss", "vosaline"),
    ),
)

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in _CHANNELS}

# Accepted spellings of each canonical unit with (scale, offset): canonical = value * scale + offset.
_UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "m": {
        **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), (1.0, 0.0)),
        **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), (1e-2, 0.0)),
        **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), (1e-3, 0.0)),
    },
    "degC": {
        **dict.fromkeys(
            ("degc", "deg_c", "degree_c", "degrees_c", "degree_celsius", "degrees_celsius", "celsius", "°c", "c"),
            (1.0, 0.0),
        ),
        **dict.fromkeys(
            ("k", "kelvin", "kelvins", "degk", "deg_k", "degree_k", "degrees_k"), (1.0, -KELVIN_AT_0_CELSIUS)
        ),
    },
    "m s-1": {
        **dict.fromkeys(("m_s-1", "m/s", "m.s-1", "m_s^-1", "m*s-1", "m_s**-1", "ms-1"), (1.0, 0.0)),
        **dict.fromkeys(
            ("meter_second-1", "meters/second", "meter/second", "meter_s-1", "meters_second-1"), (1.0, 0.0)
        ),
        **dict.fromkeys(("cm_s-1", "cm/s", "cm.s-1", "cm_s^-1"), (1e-2, 0.0)),
    },
    "1e-3": {
        **dict.fromkeys(
            ("1e-3", "0.001", "1e-03", "psu", "pss", "g_kg-1", "g/kg", "practical_salinity_unit"), (1.0, 0.0)
        ),
    },
}


def in_registry_order(names: Iterable[str]) -> list[str]:
    """Names of variables, the channels first and as the registry has them, others by the alphabet."""
    known = list(CHANNELS)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def unit_conversion(channel: Channel, units: str, variable: str) -> tuple[float, float]:
    """(scale, offset) that takes values in `units` to the channel's units; UnitsError when `units` is of another
    quantity.

    A difference (an anomaly) keeps its zero: a kelvin of anomaly is a degree Celsius of anomaly.
    """
    accepted = _UNITS[channel.units]
    key = "_".join(units.lower().split())
    if key not in accepted:
        raise UnitsError(
            f"variable {variable!r} has units {units!r} where {channel.name!r} is wanted in {channel.units!r} or "
            f"a unit that converts to it; correct the file or say what it is, --units {channel.name}={channel.units!r}"
        )
    scale, offset = accepted[key]
    return scale, 0.0 if channel.is_difference else offset


def match_channel(name: str, standard_name: str | None) -> Channel | None:
    """The channel that a variable holds, by standard name first and by name second; None when it is none of them.

    Some standard names serve several channels (a model's sea level and a mapped topography both are heights above
    the geoid): there the name decides, and without a known name the first channel. A standard name of another
    quantity is never overruled.
    """
    name = name.lower()
    if standard_name:
        candidates = [channel for channel in _CHANNELS if standard_name.lower() in channel.standard_names]
        named = [channel for channel in candidates if name in channel.names]
        return (named or candidates or [None])[0]
    return next((channel for channel in _CHANNELS if name in channel.names), None)
