"""The products that are recognised by content, and what their variables hold where a file forgets to say."""

import re
from dataclasses import dataclass, field

import xarray as xr

from data_pipeline.errors import UnknownProductError

GRID = "grid"
POINTS = "points"
_SEA_LEVEL: dict[str, str] = dict.fromkeys(
    ("adt", "sla", "adt_unfiltered", "sla_unfiltered", "sla_filtered", "mdt", "lwe"), "m"
)
_NEMO = {"sossheig": "m", "zos": "m", "tos": "degC", "sosstsst": "degC", "thetao": "degC", "so": "1e-3"}
_CURRENTS: dict[str, str] = dict.fromkeys(("uo", "vo", "ugos", "vgos"), "m s-1")


@dataclass(frozen=True)
class Product:
    """A product: its family, how a file of it is recognised, and the units of its variables (by lower-case name).

    A file is recognised by any of `variables` or by `pattern` in its title, source, summary or file name.
    """

    name: str
    family: str
    pattern: str = ""
    variables: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)

    def matches(self, ds: xr.Dataset, family: str, file_name: str) -> bool:
        """Whether an open file of `family` is of this product."""
        if family != self.family:
            return False
        text = " ".join([file_name, *(str(ds.attrs.get(name, "")) for name in ("title", "source", "summary"))])
        held = {str(name).lower() for name in ds.variables}
        return bool(self.pattern and re.search(self.pattern, text, re.IGNORECASE)) or bool(held & set(self.variables))


_PRODUCTS = (
    Product("copernicus-l3", POINTS, r"along.?track.*L3", ("sla_filtered", "sla_unfiltered"), _SEA_LEVEL),
    Product("duacs-l4", GRID, r"DUACS.*(gridded|L4)", ("ugos", "err_sla", "ugosa"), {**_SEA_LEVEL, **_CURRENTS}),
    Product("glo12", GRID, r"GLO12|GLORYS12|Global Ocean Physics Analysis", units={**_NEMO, **_CURRENTS}),
    Product("ersst", GRID, r"ERSST", units={"sst": "degC", "ssta": "degC"}),
    Product(
        "globcurrent",
        GRID,
        r"GlobCurrent",
        ("eastward_eulerian_current_velocity",),
        dict.fromkeys(("eastward_eulerian_current_velocity", "northward_eulerian_current_velocity"), "m s-1"),
    ),
    Product("enatl60", GRID, r"eNATL60", units=_NEMO),
    Product("nemo", GRID, r"\bNEMO\b", ("nav_lon", "sossheig"), _NEMO),
    Product("roms", GRID, r"\bROMS\b", ("s_rho",), {"zeta": "m"}),
    Product("alongtrack-text", POINTS, units={"adt": "m"}),
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
    """The product an open NetCDF file belongs to, or the generic product of its family."""
    found = (product for product in _PRODUCTS if product.matches(ds, family, file_name))
    return next(found, GENERIC[family])
