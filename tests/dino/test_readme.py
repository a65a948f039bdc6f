"""README: its blocks run as they stand, in an empty folder, from the wheel; its links and the docs' lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.wheels import ROOT, built_wheel, called, programs_of

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NOT_RUN = ("pip install", "make ")  # installation, and what wants the checkout
DAYS, PASSES = 7, 3
MADE = ("jason", "sentinel")


def blocks() -> list[tuple[str, str]]:
    """(language, text) of the blocks of code that a reader runs once the package is installed."""
    return [(kind, text) for kind, text in BLOCK.findall(README.read_text()) if not text.startswith(NOT_RUN)]


def sea_level(longitude: np.ndarray, latitude: np.ndarray, day: np.ndarray) -> np.ndarray:
    """A made-up sea [m]: eddies that go west at six kilometres a day."""
    x, y = (longitude + 60.0) * np.cos(np.deg2rad(38.0)) + 0.054 * day, latitude - 38.0
    return 0.2 * np.sin(2.1 * x) * np.cos(1.7 * y) + 0.12 * np.cos(1.3 * x + 1.1 * y + 0.4)


def overflight(rng: np.random.Generator, mission: int, day: int) -> xr.Dataset:
    """Passes of a day over 66 to 50 W, 34 to 42 N, a point a second, as along-track products have them."""
    columns: dict[str, list[np.ndarray]] = {"time": [], "longitude": [], "latitude": [], "sla": []}
    for number in range(PASSES):
        latitude = np.linspace(34.0, 42.0, 130)[:: 1 if number % 2 else -1]
        crossing = -64.0 + 5.0 * number + 0.53 * day + 0.9 * mission
        longitude = crossing + (0.35 if number % 2 else -0.35) * (latitude - 38.0)
        time = day + 0.25 * number + 0.03 * mission + np.arange(130) / 86400.0
        level = sea_level(longitude, latitude, time) + 0.02 * rng.normal(size=130)
        for name, values in zip(columns, (time, longitude, latitude, level), strict=True):
            columns[name].append(values)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    coords = {
        "time": ("time", joined["time"], {"units": "days since 2022-01-01"}),
        "longitude": ("time", joined["longitude"], {"units": "degrees_east"}),
        "latitude": ("time", joined["latitude"], {"units": "degrees_north"}),
    }
    described = {"units": "m", "standard_name": "sea_surface_height_above_sea_level"}
    return xr.Dataset({"sla_unfiltered": ("time", joined["sla"], described)}, coords=coords)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Empty but for `my_tracks`: a week of two missions."""
    made, rng = tmp_path_factory.mktemp("somewhere"), np.random.default_rng(5)
    (made / "my_tracks").mkdir()
    for number, mission in enumerate(MADE):
        for day in range(DAYS):
            overflight(rng, number, day).to_netcdf(made / "my_tracks" / f"{mission}_2022-01-0{day + 1}.nc")
    return made


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    wheel = built_wheel(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel"))
    return programs_of(wheel, tmp_path_factory.mktemp("installed") / "venv")


def test_the_readme_is_one_page_with_blocks_to_run():
    assert len(README.read_text().splitlines()) < 150
    kinds = [kind for kind, _ in blocks()]
    assert kinds == ["sh", "python"]
    assert not re.search(
        r"^    \S", BLOCK.sub("", README.read_text()), re.MULTILINE
    )  # an indented block would not be run


def test_the_made_up_tracks_are_read(folder):
    from data_pipeline import ingest

    seen = ingest(str(folder / "my_tracks" / "*.nc"))
    assert seen.sizes["obs"] == len(MADE) * DAYS * PASSES * 130
    assert sum("jason" in name for name in seen["source_name"].values) == DAYS


@pytest.mark.slow
def test_every_block_runs_in_an_empty_folder(programs, folder):
    around = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "DINO_CACHE": str(folder / "cache"),
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    for kind, text in blocks():
        start = {"sh": ("/bin/bash", "-e"), "python": (programs / "python",)}[kind]
        done = called(*start, "-c", text, folder=folder, **around)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        assert not re.search(r"\bnan\b", done.stdout), done.stdout
    with xr.open_dataset(folder / "week.nc") as made:
        assert {"sla", "sla_std"} <= set(made.data_vars)
        assert made.attrs["credit"].startswith("Generated using E.U. Copernicus Marine Service Information")
        assert np.isfinite(made["sla"]).any()
    assert (folder / "week.png").stat().st_size > 10_000


def test_every_page_is_named_in_the_readme():
    linked = {link.partition("#")[0] for link in LINK.findall(README.read_text())}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} in {page.name}"
        assert not anchor or anchor in anchors(target), f"{link} in {page.name}"
