"""The shipped land mask at places that everybody knows, on the seams of the globe, and against real maps."""

import time
from importlib import resources

import numpy as np
import pytest
import xarray as xr

from dino.errors import DomainError
from dino.space.land import cells_per_degree, is_land, land_fraction

LAND = {
    "Paris": (2.35, 48.86),
    "Sahara": (10.0, 23.0),
    "Congo": (23.0, -2.0),
    "Kansas": (-98.0, 38.5),
    "Amazon": (-62.0, -5.0),
    "Patagonia": (-69.0, -45.0),
    "Siberia": (100.0, 62.0),
    "Tibet": (88.0, 32.0),
    "Deccan": (77.0, 17.0),
    "Alice Springs": (133.88, -23.7),
    "New Zealand": (171.0, -43.5),
    "Iceland": (-18.5, 64.8),
    "Greenland": (-40.0, 72.0),
    "Sicily": (14.2, 37.5),
    "Cyprus": (33.2, 35.0),
    "Crete": (24.9, 35.2),
    "Crimea": (34.3, 45.3),
    "Marie Byrd Land": (-120.0, -79.0),
    "South Pole": (0.0, -90.0),
    "Lake Victoria, a lake is land": (33.0, -1.0),
    "Lake Superior": (-87.0, 47.7),
    "Chukotka, west of 180": (179.3, 67.5),
    "Chukotka, east of 180": (-179.3, 67.5),
    "Wrangel Island, on 180": (180.0, 71.1),
    "Taveuni, on 180": (180.0, -16.85),
}
WATER = {
    "Atlantic": (-40.0, 30.0),
    "Gulf of Guinea": (0.0, 0.0),
    "Pacific, west of 180": (179.9, 30.0),
    "Pacific, on 180": (180.0, 30.0),
    "Pacific, east of 180": (-179.9, 30.0),
    "Indian Ocean": (80.0, -20.0),
    "Southern Ocean": (90.0, -55.0),
    "North Pole": (0.0, 90.0),
    "Gulf of Mexico": (-90.0, 25.0),
    "Hudson Bay": (-86.0, 60.0),
    "Baltic": (19.5, 57.8),
    "Adriatic": (15.5, 43.0),
    "Tyrrhenian": (12.0, 40.0),
    "Levantine": (30.0, 33.5),
    "Aegean": (25.3, 38.5),
    "Sea of Marmara": (28.2, 40.75),
    "Black Sea": (35.0, 43.0),
    "Sea of Azov": (36.6, 46.0),
    "Caspian Sea, water in Natural Earth": (51.0, 41.0),
    "Red Sea": (38.0, 20.0),
    "Persian Gulf": (51.5, 27.0),
    "Sea of Japan": (135.0, 40.0),
    "Java Sea": (111.0, -5.0),
    "Drake Passage": (-62.0, -58.5),
    "Ross ice shelf, water in Natural Earth": (180.0, -80.0),
    "Strait of Gibraltar": (-5.5, 35.95),
    "Bass Strait": (145.5, -39.8),
}


@pytest.mark.parametrize(("places", "expected"), [(LAND, True), (WATER, False)], ids=["land", "water"])
def test_known_places(places, expected):
    longitude, latitude = np.array(list(places.values())).T
    wrong = [name for name, found in zip(places, is_land(longitude, latitude), strict=True) if found != expected]
    assert not wrong


def test_the_file_fits_half_a_megabyte():
    assert resources.files("dino.space").joinpath("land.npz").stat().st_size <= 500_000


def test_longitudes_of_any_convention():
    longitude, latitude = np.array([*LAND.values(), *WATER.values()]).T
    expected = is_land(longitude, latitude)
    for turns in (-360.0, 360.0, 720.0):
        assert np.array_equal(is_land(longitude + turns, latitude), expected)
    nearly = np.nextafter([180.0, -180.0, 540.0], -np.inf)
    assert not is_land(nearly, 30.0).any()
    assert is_land(nearly, 71.1).all()


def test_rows_at_the_poles_are_of_one_kind():
    longitude = np.linspace(-180.0, 180.0, 721)
    assert is_land(longitude, -90.0).all()
    assert not is_land(longitude, 90.0).any()


def test_the_closing_line_of_antarctica_leaves_no_seam():
    """Rows between the pole and the coast are land on both sides of 180 degrees and at Greenwich."""
    latitude = np.linspace(-90.0, -86.0, 200)[:, None]
    assert is_land(np.array([-180.0, -179.999, 179.999, -0.001, 0.0]), latitude).all()


def test_arguments_are_broadcast_and_scalars_are_taken():
    assert is_land(2.35, 48.86).shape == ()
    assert is_land(np.zeros(3), np.zeros((2, 1))).shape == (2, 3)
    assert is_land([], []).shape == (0,)
    assert is_land(np.float32(2.35), np.float32(48.86))


def test_a_point_without_a_position_is_not_on_land():
    assert not is_land([np.nan, 2.35, np.inf, np.nan], [48.86, np.nan, 48.86, np.nan]).any()
    assert np.array_equal(is_land([np.nan, 2.35], [48.86, 48.86]), [False, True])


@pytest.mark.parametrize("latitude", [90.1, -91.0])
def test_latitudes_beyond_a_pole_are_refused(latitude):
    with pytest.raises(DomainError, match="beyond a pole"):
        is_land([0.0, 0.0], [0.0, latitude])


def test_shares_of_boxes():
    assert land_fraction(-180.0, 180.0, -90.0, 90.0) == pytest.approx(0.288, abs=0.003)  # the Earth's is 0.29
    assert land_fraction(5.0, 15.0, 20.0, 30.0) == 1.0
    assert land_fraction(170.0, -170.0, 30.0, 40.0) == 0.0
    assert land_fraction(170.0, 190.0, 30.0, 40.0) == 0.0
    assert 0.2 < land_fraction(-5.0, 36.0, 30.0, 46.0) < 0.8
    assert land_fraction(177.0, -178.0, 66.0, 69.0) == pytest.approx(land_fraction(177.0, 182.0, 66.0, 69.0))
    for south, north in ((10.0, 10.0), (20.0, 10.0), (-95.0, 0.0)):
        with pytest.raises(DomainError, match="give south < north"):
            land_fraction(0.0, 10.0, south, north)


def test_small_boxes_have_a_share():
    assert land_fraction(2.3, 2.3001, 48.8, 48.8001) == 1.0
    size = 1.0 / cells_per_degree()
    assert land_fraction(-40.0, -40.0 + size / 10, 30.0, 30.0 + size / 10) == 0.0


def test_a_million_points_take_well_under_a_second():
    """The aim is 0.1 s on an idle core; processor time leaves other processes out, and the slack slow machines in."""
    random = np.random.default_rng(0)
    longitude, latitude = random.uniform(-180, 180, 10**6), random.uniform(-90, 90, 10**6)
    is_land(0.0, 0.0)
    began = time.process_time()
    is_land(longitude, latitude)
    assert time.process_time() - began < 0.5


def empty_and_mask(path):
    """Cells without a value at any time, cells of land, and positions, each (latitude, longitude)."""
    with xr.open_dataset(path) as dataset:
        field = dataset["sla" if "sla" in dataset else "adt"].transpose("time", "latitude", "longitude")
        longitude, latitude = np.meshgrid(dataset["longitude"].values, dataset["latitude"].values)
        return field.isnull().all("time").values, is_land(longitude, latitude), longitude, latitude


def test_global_maps_agree_where_no_ice_is(real_data):
    empty, land, longitude, latitude = empty_and_mask(real_data / "grids" / "duacs_l4_global_sla_2014-01.nc")
    caspian = (longitude % 360 > 46) & (longitude % 360 < 55.5) & (latitude > 36) & (latitude < 48)
    warm = (np.abs(latitude) < 60) & ~caspian
    assert (empty == land)[warm].mean() > 0.98
    assert (land & ~empty)[warm].sum() / (~empty)[warm].sum() < 0.02


def test_mediterranean_maps_agree_outside_the_black_sea(real_data):
    empty, land, longitude, latitude = empty_and_mask(real_data / "grids" / "duacs_l4_med_adt_2005-04-01_2005-06-09.nc")
    compared = ~((longitude > 26.5) & (latitude > 40.3))
    assert (empty == land)[compared].mean() > 0.95
