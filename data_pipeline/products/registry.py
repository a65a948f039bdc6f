"""The products that are recognised by content, and what their variables hold where a file forgets to say."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import xarray as xr

from data_pipeline.errors import UnknownProductError
from data_pipeline.products import altimetry, ghrsst, long_table, nasa_ssh, roms, slstr, swot
from data_pipeline.products.flags import ALL, OWN, Rule

GRID = "grid"
POINTS = "points"
ANY = "any"
Adapt = Callable[[xr.Dataset, list[str]], xr.Dataset]
_SEA_LEVEL: dict[str, str] = dict.fromkeys(
    ("adt", "sla", "adt_unfiltered", "sla_unfiltered", "sla_filtered", "mdt", "lwe"), "m"
)
_NEMO = {"sossheig": "m", "zos": "m", "tos": "degC", "sosstsst": "degC", "thetao": "degC", "so": "1e-3"}
_CURRENTS: dict[str, str] = dict.fromkeys(("uo", "vo", "ugos", "vgos"), "m s-1")


def _as_it_is(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    return ds


@dataclass(frozen=True)
class Product:
    """A product: its family, how a file of it is recognised, and what its variables (by lower-case name) hold.

    A file is recognised by any of `variables` or by `pattern` in its title, source, summary or file name.

    units : where the file gives none
    channels : where standard names mislead; "" for what is no channel
    flags : what is dropped; without rules of its own, what the file's flags declare bad
    adapt : arithmetic of the product, lazy, on the open file; adds to the notes
    seconds_after : the variable with the seconds of each value after `time`
    errors : the variable with the standard deviation of a channel
    """

    name: str
    family: str
    pattern: str = ""
    variables: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    flags: tuple[Rule, ...] = (ALL,)
    adapt: Adapt = _as_it_is
    seconds_after: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    def matches(self, ds: xr.Dataset, family: str, file_name: str) -> bool:
        """Whether an open file of `family` is of this product."""
        if family != self.family and self.family != ANY:
            return False
        text = " ".join([file_name, *(str(ds.attrs.get(name, "")) for name in ("title", "source", "summary"))])
        held = {str(name).lower() for name in ds.variables}
        return bool(self.pattern and re.search(self.pattern, text, re.IGNORECASE)) or bool(held & set(self.variables))


_PRODUCTS = (
    Product(
        "swot-l3",
        POINTS,
        r"SWOT.*KaRIn.*L3|SWOT_L3_LR_SSH",
        channels=swot.LEVEL3_CHANNELS,
        flags=(*swot.LEVEL3_FLAGS, OWN),
        adapt=swot.adapt_level3,
    ),
    Product(
        "swot-l2",
        POINTS,
        r"SWOT_L2_LR_SSH",
        ("ssha_karin", "ssha_karin_2", "ssh_karin_filt"),
        units=dict.fromkeys(swot.LEVEL2_CHANNELS, "m"),
        channels=swot.LEVEL2_CHANNELS,
        flags=(*swot.LEVEL2_FLAGS, OWN),
        adapt=swot.adapt_level2,
    ),
    Product(
        "nasa-ssh",
        POINTS,
        r"NASA-?SSH",
        ("nasa_flag", "median_filter_flag"),
        nasa_ssh.UNITS,
        nasa_ssh.CHANNELS,
        (*nasa_ssh.FLAGS, OWN),
        nasa_ssh.adapt,
    ),
    Product(
        "altimetry-l2",
        POINTS,
        variables=("range_ku", "range_ocean", "range_ocean_01_ku"),
        units={"ssha": "m", "ssha_01_ku": "m"},
        channels={"ssha": "sla", "ssha_01_ku": "sla"},
        flags=(*altimetry.LEVEL2_FLAGS, OWN),
        adapt=altimetry.with_topography,
    ),
    Product(
        "copernicus-l3",
        POINTS,
        r"along.?track.*L3",
        ("sla_filtered", "sla_unfiltered"),
        _SEA_LEVEL,
        adapt=altimetry.with_topography,
    ),
    Product(
        "ghrsst",
        ANY,
        r"GHRSST|\bOSTIA\b",
        ("sst_dtime", "sses_bias", "analysed_sst"),
        dict.fromkeys(("sea_surface_temperature", "analysed_sst"), "kelvin"),
        flags=(*ghrsst.FLAGS, OWN),
        adapt=ghrsst.adapt,
        seconds_after="sst_dtime",
        errors={"sst": "sses_standard_deviation"},
    ),
    Product("slstr", GRID, r"\bSLSTR\b", channels=slstr.CHANNELS, adapt=slstr.adapt),
    Product("duacs-l4", GRID, r"DUACS.*(gridded|L4)", ("ugos", "err_sla", "ugosa"), {**_SEA_LEVEL, **_CURRENTS}),
    Product("glo12", GRID, r"GLO12|GLORYS12|Global Ocean Physics Analysis", units={**_NEMO, **_CURRENTS}),
    Product("ersst", GRID, r"ERSST", units={"sst": "degC", "ssta": "degC"}),
    Product(
        "oisst",
        GRID,
        r"OISST|Optimum Interpolation SST",
        units={"sst": "degC", "anom": "degC"},
        channels={"sst": "sst", "anom": "sst_anomaly"},
    ),
    Product(
        "globcurrent",
        GRID,
        r"GlobCurrent",
        ("eastward_eulerian_current_velocity",),
        dict.fromkeys(("eastward_eulerian_current_velocity", "northward_eulerian_current_velocity"), "m s-1"),
    ),
    Product("enatl60", GRID, r"eNATL60", units=_NEMO),
    Product("nemo", GRID, r"\bNEMO\b", ("nav_lon", "sossheig"), _NEMO),
    Product(
        "roms",
        GRID,
        r"\bROMS\b",
        ("s_rho", "lon_rho"),
        {"zeta": "m", "temp": "degC", "salt": "1e-3", "u": "m s-1", "v": "m s-1"},
        {"temp": "temperature", "salt": "salinity", "zeta": "ssh"},
        (*roms.FLAGS, OWN),
        roms.adapt,
    ),
    Product("alongtrack-text", POINTS, units={"adt": "m"}),
    Product(
        "long-table",
        POINTS,
        units={**_SEA_LEVEL, **long_table.UNITS},
        channels=long_table.CHANNELS,
        adapt=altimetry.with_topography,
    ),
    Product("cf-grid", GRID),
    Product("cf-points", POINTS),
    Product("text", POINTS),
)
PRODUCTS: dict[str, Product] = {product.name: product for product in _PRODUCTS}


GENERIC = {GRID: PRODUCTS["cf-grid"], POINTS: PRODUCTS["cf-points"]}


def named_product(name: str) -> Product:
    """The product called `name`, or the generic one of the family called so; UnknownProductError when there is none."""
    name = name.lower().replace("_", "-")
    if name in GENERIC:
        return GENERIC[name]
    if name not in PRODUCTS:
        raise UnknownProductError(
            f"there is no product {name!r}; choose one of {', '.join(PRODUCTS)} or let it be detected"
        )
    return PRODUCTS[name]


def recognise(ds: xr.Dataset, family: str, file_name: str) -> Product:
    """The product an open NetCDF file belongs to, of the family at hand, or the generic product of its family."""
    found = (product for product in _PRODUCTS if product.matches(ds, family, file_name))
    return replace(next(found, GENERIC[family]), family=family)
