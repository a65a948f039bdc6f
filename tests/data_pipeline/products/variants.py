"""Variants of one true data set as somebody else would have written it, for `test_variants`.

A variant is a function that writes a file into a folder, and whether it must be read ("read"), may be refused
("either") or must be refused ("refused"). What is read must be the truth.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import xarray as xr

DAYS = np.datetime64("2005-03-01", "ns") + np.arange(4) * np.timedelta64(1, "D")
LONGITUDE, LATITUDE = np.array([-6.0, -2.0, 2.0, 6.0, 10.0]), np.array([30.0, 34.0, 38.0])
ADT = np.round(np.random.default_rng(0).normal(0, 0.1, (4, 3, 5)), 3)  # whole millimetres, which every packing holds
ADT[0, 0, 0] = np.nan
DIMS = ("time", "latitude", "longitude")


@dataclass(frozen=True)
class Variant:
    """A file that is written by `write(folder)`, and what may become of it."""

    name: str
    write: Callable[[Path], Path]
    outcome: str = "read"


@dataclass(frozen=True)
class Grid:
    """How a NetCDF file of maps is written; coordinates are (stored values, attributes)."""

    names: tuple[str, str, str] = DIMS
    order: tuple[int, ...] = (0, 1, 2)
    flipped: tuple[int, ...] = ()
    time: tuple[np.ndarray, dict[str, Any]] = field(
        default_factory=lambda: (days_since("1950-01-01"), {"units": "days since 1950-01-01", "standard_name": "time"})
    )
    latitude: tuple[np.ndarray, dict[str, Any]] = (LATITUDE, {"units": "degrees_north"})
    longitude: tuple[np.ndarray, dict[str, Any]] = (LONGITUDE, {"units": "degrees_east"})
    channel: str = "adt"
    attrs: dict[str, Any] = field(default_factory=lambda: {"units": "m"})
    factor: float = 1.0
    dtype: str = "f8"
    packing: dict[str, Any] = field(default_factory=dict)
    fill: Any = None
    format: str = "NETCDF4"
    depth: bool = False

    def write(self, folder: Path) -> Path:
        path = folder / "maps.nc"
        with netCDF4.Dataset(path, "w", format=self.format) as file:
            columns = (self.time, self.latitude, self.longitude)
            for axis, (name, (values, attrs)) in enumerate(zip(self.names, columns, strict=True)):
                file.createDimension(name, len(values))
                held = file.createVariable(name, "f8", (name,))
                held[:] = values[::-1] if axis in self.flipped else values
                held.setncatts(attrs)
            dims = [self.names[axis] for axis in self.order]
            if self.depth:
                file.createDimension("depth", 1)
                dims.insert(1, "depth")
            held = file.createVariable(self.channel, self.dtype, dims, fill_value=self.fill)
            held.set_auto_maskandscale(False)
            held.setncatts({**self.attrs, **self.packing})
            values = np.flip(ADT, self.flipped) if self.flipped else ADT
            values = np.transpose(values * self.factor, self.order)
            values = values[:, None] if self.depth else values
            held[:] = self._stored(values)
        return path

    def _stored(self, values: np.ndarray) -> np.ndarray:
        missing = self.fill if self.fill is not None else self.packing.get("missing_value", np.nan)
        stored = (values - self.packing.get("add_offset", 0.0)) / self.packing.get("scale_factor", 1.0)
        if self.dtype[0] in "iu":
            return np.where(np.isnan(stored), missing, np.round(stored)).astype(self.dtype)
        return np.where(np.isnan(stored), missing, stored).astype(self.dtype)


def days_since(reference: str, unit: str = "D") -> np.ndarray:
    """The true times as numbers since a reference."""
    return (DAYS - np.datetime64(reference, "ns")) / np.timedelta64(1, unit)


def variants() -> Iterator[Variant]:
    """All of them."""
    grids = itertools.chain(_axes(), _positions(), _units(), _times(), _calendars(), _packings(), _formats(), _names())
    for name, grid, outcome in grids:
        yield Variant(name, grid.write, outcome)
    yield from _texts()
    for zarr_format in (2, 3):
        for grid in ("plain", "packed", "turned"):
            yield Variant(f"zarr {zarr_format} {grid}", partial(_zarr, grid, zarr_format), "refused")


def _zarr(kind: str, zarr_format: int, folder: Path) -> Path:
    """A store of zarr, which ingestion refuses and Python reads."""
    packing = {"scale_factor": 1e-3, "add_offset": 0.0}
    grid = {
        "plain": Grid(),
        "packed": Grid(dtype="i2", packing=packing, fill=-32768),
        "turned": Grid(order=(2, 0, 1), flipped=(1,), longitude=(LONGITUDE % 360, {"units": "degrees_east"})),
    }[kind]
    with xr.open_dataset(grid.write(folder)) as ds:
        ds.load().to_zarr(folder / "maps.zarr", zarr_format=zarr_format, consolidated=zarr_format == 2)
    return folder / "maps.zarr"


Row = tuple[str, Grid, str]


def _axes() -> Iterator[Row]:
    for order in itertools.permutations(range(3)):
        for count in range(4):
            for flipped in itertools.combinations(range(3), count):
                yield f"axes {order} flipped {flipped}", Grid(order=order, flipped=flipped), "read"
    for order in itertools.permutations(range(3)):
        yield f"axes {order} with a depth", Grid(order=order, depth=True), "read"


def _positions() -> Iterator[Row]:
    turned = np.array([2, 3, 4, 0, 1])
    for units in (
        "degrees_east",
        "degree_east",
        "degree_E",
        "degrees_E",
        "degreeE",
        "degreesE",
        "degrees",
        "degree",
        "deg",
    ):
        yield f"longitude in {units}", Grid(longitude=(LONGITUDE, {"units": units})), "read"
    for units in ("degrees_north", "degree_north", "degree_N", "degreesN", "degree"):
        yield f"latitude in {units}", Grid(latitude=(LATITUDE, {"units": units})), "read"
    for name, values, units in (
        ("0 to 360", LONGITUDE % 360, "degrees_east"),
        ("to 720", LONGITUDE + 360, "degrees_east"),
        ("from -360", LONGITUDE - 360, "degrees_east"),
        ("west", -LONGITUDE, "degrees_west"),
        ("west to 360", -LONGITUDE % 360, "degree_W"),
        ("radians", np.deg2rad(LONGITUDE), "radian"),
        ("rad", np.deg2rad(LONGITUDE % 360), "rad"),
        ("minutes", LONGITUDE * 60, "arcminute"),
        ("seconds", LONGITUDE * 3600, "arcsec"),
        ("gon", LONGITUDE / 0.9, "gon"),
    ):
        yield f"longitude {name}", Grid(longitude=(values, {"units": units})), "read"
    for name, values, units in (
        ("south", -LATITUDE, "degrees_south"),
        ("radians", np.deg2rad(LATITUDE), "radians"),
        ("minutes", LATITUDE * 60, "arc_minutes"),
    ):
        yield f"latitude {name}", Grid(latitude=(values, {"units": units})), "read"
    for units in ("km", "m", "meters", "degrees_north", "furlong"):
        yield f"longitude in {units} is none", Grid(longitude=(LONGITUDE, {"units": units})), "refused"
    for units in ("kilometers", "degrees_east", "1e-3 km"):
        yield f"latitude in {units} is none", Grid(latitude=(LATITUDE, {"units": units})), "refused"
    assert len(turned) == 5


def _units() -> Iterator[Row]:
    for units, factor in (
        ("m", 1), ("M", 1), ("meter", 1), ("meters", 1), ("metre", 1), ("Metres", 1), (" m ", 1), ("cm", 100),
        ("centimeters", 100), ("CM", 100), ("mm", 1000), ("millimetre", 1000),
    ):  # fmt: skip
        yield f"units {units!r}", Grid(attrs={"units": units}, factor=factor), "read"
    for units in ("", "kg", "degC", "1", "m s-1", "unknown"):
        yield f"units {units!r} are none", Grid(attrs={"units": units}), "refused"
    yield "no units at all", Grid(attrs={"long_name": "topography"}), "refused"


def _times() -> Iterator[Row]:
    def timed(values: np.ndarray, units: str, **more: Any) -> Grid:
        return Grid(time=(values, {"units": units, "standard_name": "time", **more}))

    for unit, word in (("D", "days"), ("h", "hours"), ("m", "minutes"), ("s", "seconds"), ("ms", "milliseconds")):
        for reference in (
            "1950-01-01",
            "1970-01-01 00:00:00",
            "2000-1-1",
            "1900-01-01T00:00:00Z",
            "1992-01-01 00:00:0.0",
        ):
            known = np.datetime64({"2000-1-1": "2000-01-01"}.get(reference, reference[:10]), "ns")
            yield f"{word} since {reference}", timed(days_since(str(known), unit), f"{word} since {reference}"), "read"
    for word in ("Days", "day", "d", "hour", "hrs", "secs", "s", "min"):
        unit = {"D": "D", "d": "D", "h": "h", "s": "s", "m": "m"}[word[0]]
        grid = timed(days_since("1981-01-01", unit), f"{word} since 1981-01-01 00:00:00")
        yield f"{word} since 1981", grid, "either"
    offset = days_since("2000-01-01", "h") + 2
    yield "a zone", timed(offset, "hours since 2000-01-01 00:00:00 +02:00"), "either"
    for units in (
        "days",
        "seconds",
        "hours",
        "1",
        "",
        "days after 1950-01-01",
        "days since yesterday",
        "days since 2005-02-30",
    ):
        yield f"time in {units!r}", timed(days_since("1970-01-01"), units), "refused"
    yield "year one", timed(days_since("1950-01-01"), "days since 0001-01-01"), "refused"
    yield "year 2300", timed(days_since("1950-01-01"), "days since 2300-01-01"), "refused"
    yield "months", timed(np.arange(4.0) + 662.0, "months since 1950-01-01"), "either"


def _calendars() -> Iterator[Row]:
    dates = [str(day)[:10].split("-") for day in DAYS]
    for calendar in (
        "standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "all_leap", "366_day", "360_day", "julian",
    ):  # fmt: skip
        for units in ("days since 1950-01-01", "hours since 1998-06-01", "seconds since 2004-02-01"):
            if calendar == "julian":  # of which a date is thirteen days later than that of the same name
                real = [cftime.datetime(*map(int, date), calendar="standard") for date in dates]
                written = [moment.change_calendar("julian") for moment in real]
            else:
                written = [cftime.datetime(*map(int, date), calendar=calendar) for date in dates]
            values = np.array(cftime.date2num(written, units, calendar), float)
            grid = Grid(time=(values, {"units": units, "calendar": calendar, "standard_name": "time"}))
            yield f"{calendar} in {units}", grid, "read"
    held = days_since("1950-01-01"), {"units": "days since 1950-01-01", "calendar": "lunar", "standard_name": "time"}
    yield "a calendar that is none", Grid(time=held), "refused"


def _packings() -> Iterator[Row]:
    for dtype in ("f4", "f8"):
        yield f"{dtype} with NaN", Grid(dtype=dtype), "read"
        for fill in (1e20, -9999.0, 9.969209968386869e36):
            yield f"{dtype} filled with {fill:g}", Grid(dtype=dtype, fill=fill), "read"
            yield (
                f"{dtype} missing {fill:g}",
                Grid(dtype=dtype, packing={"missing_value": np.array(fill, dtype)}),
                "read",
            )
    for dtype, scale in (("i2", 1e-3), ("i4", 1e-3), ("i4", 1e-4), ("i2", 1e-4)):
        for offset in (0.0, 0.5):
            lowest = int(np.iinfo(dtype).min)
            packing = {"scale_factor": scale, "add_offset": offset}
            yield f"{dtype} by {scale} and {offset}", Grid(dtype=dtype, packing=packing, fill=lowest), "read"
            undeclared = packing | {"missing_value": np.array(lowest, dtype)}
            yield f"{dtype} by {scale} and {offset} missing", Grid(dtype=dtype, packing=undeclared), "read"
    packing = {"scale_factor": 0.1}
    yield (
        "millimetres in cm packed",
        Grid(dtype="i2", packing=packing, fill=-32767, attrs={"units": "cm"}, factor=100.0),
        "read",
    )


def _formats() -> Iterator[Row]:
    for name in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4_CLASSIC", "NETCDF4"):
        yield f"format {name}", Grid(format=name), "read"
        packing = {"scale_factor": 1e-3, "add_offset": 0.0}
        yield f"format {name} packed", Grid(format=name, dtype="i2", packing=packing, fill=-32768), "read"


def _names() -> Iterator[Row]:
    for names in (
        ("time", "lat", "lon"),
        ("time_counter", "nav_lat", "nav_lon"),
        ("t", "Latitude", "Longitude"),
        ("time", "LAT", "LON"),
    ):
        yield f"names {names}", Grid(names=names), "either" if names[0] == "t" else "read"
    plain = Grid(names=("when", "y", "x"))
    described = replace(
        plain,
        time=(plain.time[0], plain.time[1] | {"axis": "T"}),
        latitude=(LATITUDE, {"units": "degrees_north", "standard_name": "latitude"}),
        longitude=(LONGITUDE, {"units": "degrees_east", "standard_name": "longitude"}),
    )
    yield "names by standard names", described, "read"
    for name, standard in (
        ("madt", ""),
        ("h", "sea_surface_height_above_geoid"),
        ("adt", "sea_surface_height_above_geoid"),
    ):
        attrs = {"units": "m"} | ({"standard_name": standard} if standard else {})
        yield f"channel {name} {standard}", Grid(channel=name, attrs=attrs), "read"
    yield "channel of another quantity", Grid(attrs={"units": "m", "standard_name": "depth"}), "refused"


def _texts() -> Iterator[Variant]:
    """Tables of the same cells, wide and long."""
    for separator in (",", ";", " ", "\t"):
        for order in itertools.permutations(("longitude", "latitude", "time", "adt")):
            if order[0] in ("longitude", "time"):
                units = {"adt": "adt[m]"} if separator != " " else {}  # the others state none, and are refused
                titles = dict(zip(order, order, strict=True)) | units
                yield _table(f"table by {separator!r} {order}", separator, order, titles)
    plain = ("longitude", "latitude", "time", "adt")
    for title in ("adt [m]", "ADT (m)", "adt [cm]"):
        factor = 100.0 if "cm" in title else 1.0
        yield _table(
            f"table of {title}",
            ",",
            plain,
            {"longitude": "Lon", "latitude": "LAT", "time": "Date", "adt": title},
            factor,
        )
    named = {"longitude": "lon [degrees_east]", "latitude": "lat [degrees_north]", "time": "time", "adt": "adt [m]"}
    for clock in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y%m%d", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S+00:00"):
        yield _table(f"table with times {clock}", ",", plain, named, clock=clock, outcome="either")
    west = named | {"longitude": "lon [degrees_west]"}
    yield _table("table to the west", ",", plain, west, west=True, outcome="either")
    days = named | {"time": "time [days since 1950-01-01]"}
    yield _table("table with days", ",", plain, days, clock="days")
    seconds = named | {"time": "time [seconds]"}
    yield _table("table with seconds of nothing", ",", plain, seconds, clock="days", outcome="refused")
    yield Variant("long table", _long_table, "either")


def _table(
    name: str, separator: str, order: tuple[str, ...], titles: dict[str, str], factor: float = 1.0,
    clock: str = "%Y-%m-%dT%H:%M:%SZ", west: bool = False, outcome: str = "read",
) -> Variant:  # fmt: skip
    def write(folder: Path) -> Path:
        path = folder / "table.csv"
        lines = [separator.join(titles[column] for column in order)]
        for day, row, column in np.ndindex(ADT.shape):
            moment = DAYS[day].astype("datetime64[s]").item()
            value = ADT[day, row, column] * factor
            cells = {
                "longitude": f"{-LONGITUDE[column] if west else LONGITUDE[column]:.4f}",
                "latitude": f"{LATITUDE[row]:.4f}",
                "time": f"{days_since('1950-01-01')[day]:.6f}" if clock == "days" else moment.strftime(clock),
                "adt": "nan" if np.isnan(value) else f"{value:.6f}",
            }
            lines.append(separator.join(cells[column] for column in order))
        path.write_text("\n".join(lines) + "\n")
        return path

    if separator == " " and (" " in clock or any(" " in title for title in titles.values())):
        outcome = "either"
    if "adt" in titles and "[" not in titles["adt"] and "(" not in titles["adt"]:
        outcome = "refused"  # a table that states no units
    return Variant(name, write, outcome)


def _long_table(folder: Path) -> Path:
    """One value a row with the variable's name, as the toolbox of Copernicus Marine writes tables."""
    path = folder / "long.csv"
    lines = ["variable,platform_id,platform_type,time,longitude,latitude,depth,value,value_qc"]
    for day, row, column in np.ndindex(ADT.shape):
        value = ADT[day, row, column]
        if np.isfinite(value):
            place = f"{str(DAYS[day])[:19]}Z,{LONGITUDE[column]},{LATITUDE[row]},0.0"
            lines += [f"ADT,one,SD,{place},{value:.6f},1", f"TEMP,one,SD,{place},17.5,1"]
    path.write_text("\n".join(lines) + "\n")
    return path
