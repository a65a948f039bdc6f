"""Errors of the interferometer: the tables' standard deviations and spectra, and the geometry of each component."""

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError
from scipy.signal import welch

from data_pipeline.errors import ConfigError, MissingFileError, SchemaError, UnknownProductError
from data_pipeline.observing.instruments import TrackInstrument
from data_pipeline.observing.karin import KarinDraw, KarinErrors, sensitivity
from data_pipeline.observing.missions import MISSIONS

ACROSS = np.concatenate([-np.arange(60.0, 9, -2), np.arange(10.0, 61, 2)])
ALTITUDE_KM = 890.6
COLUMNS = ("rollPSD", "gyroPSD", "phasePSD", "dilationPSD", "timingPSD")


@pytest.fixture
def noise(tmp_path):
    """A table whose noise is the distance in cm, more by a tenth for every metre of waves."""
    across, height = np.arange(5.0, 66, 5), np.arange(0.0, 9)
    std = 0.01 * across * (1 + 0.1 * height[:, None])
    path = tmp_path / "noise.nc"
    xr.Dataset({"cross_track": ("x_ac", across), "SWH": ("z", height), "height_sdt": (("z", "x_ac"), std)}).to_netcdf(
        path
    )
    return path


@pytest.fixture
def spectrum(tmp_path):
    frequency = np.geomspace(1e-6, 1, 300)
    columns = {name: ("nfreq", (k + 1) / (1 + (500 * frequency) ** 2)) for k, name in enumerate(COLUMNS)}
    path = tmp_path / "spectrum.nc"
    xr.Dataset({"spatial_frequency": ("nfreq", frequency), **columns}).to_netcdf(path)
    return path


def draw(config, lines, spacing=2.0, across=ACROSS, seed=0):
    """Drawn errors, each (line, pixel)."""
    drawn = KarinDraw(config, ALTITUDE_KM, spacing, seed, 0).draw(
        np.repeat(np.arange(lines), len(across)), np.tile(across, lines), np.random.default_rng(seed)
    )
    return [column.reshape(lines, -1) for column in (drawn.error, drawn.std, drawn.correlated_std)]


@pytest.mark.parametrize("height", [0.0, 2.0, 3.5])
def test_noise_follows_the_table_by_wave_height_distance_and_area(noise, height):
    error, std, correlated = draw(KarinErrors(noise=noise, wave_height_m=height), 4000)
    wanted = 0.01 * np.abs(ACROSS) * (1 + 0.1 * height) / 2  # pixels of 2 km have four times the area of the table's
    np.testing.assert_allclose(std[0], wanted, rtol=1e-6)
    np.testing.assert_allclose(error.std(0), wanted, rtol=0.06)
    assert not correlated.any()
    # White: neither neighbours in line nor across agree.
    standard = error / std
    assert abs((standard[1:] * standard[:-1]).mean()) < 0.01
    assert abs((standard[:, 1:] * standard[:, :-1]).mean()) < 0.01


def test_declared_and_drawn_errors_agree_pixel_by_pixel(noise, spectrum):
    config = KarinErrors(noise=noise, spectrum=spectrum, longest_km=500)
    error, std, correlated = draw(config, 60_000)
    np.testing.assert_allclose(error.std(0), std[0], rtol=0.06)
    only, _, same = draw(KarinErrors(spectrum=spectrum, longest_km=500), 60_000)
    np.testing.assert_allclose(only.std(0), correlated[0], rtol=0.06)
    np.testing.assert_array_equal(correlated, same)
    np.testing.assert_allclose(std**2, correlated**2 + (0.006 * np.abs(ACROSS)) ** 2)


@pytest.mark.parametrize(
    ("component", "level"), [("roll", 1 + 2), ("phase", 3), ("baseline", 4), ("timing", 5)], ids=lambda x: str(x)
)
def test_each_component_has_the_spectrum_of_its_columns(spectrum, component, level):
    config = KarinErrors(spectrum=spectrum, components=(component,), longest_km=500)
    error, _, _ = draw(config, 2**17, across=np.array([-40.0, 40.0]))
    factor = sensitivity(component, np.array([40.0]), ALTITUDE_KM)[0]
    for pixel in range(2):
        waves, density = welch(error[:, pixel] / factor, 0.5, nperseg=2**11, window=("kaiser", 14))
        for low, high in ((1 / 450, 1 / 100), (1 / 100, 1 / 20), (1 / 20, 1 / 4.4)):
            band = (waves >= low) & (waves < high)
            assert density[band].sum() == pytest.approx((level / (1 + (500 * waves[band]) ** 2)).sum(), rel=0.1)


def test_components_vary_across_the_swath_as_geometry_has_it(spectrum):
    across = np.array([-60.0, -20.0, 20.0, 60.0])
    ratios = {"roll": (3, -1, -3), "baseline": (9, 1, 9)}
    for component, (far, opposite, far_opposite) in ratios.items():
        error, _, _ = draw(KarinErrors(spectrum=spectrum, components=(component,)), 200, across=across)
        np.testing.assert_allclose(error[:, 0], far * error[:, 1], rtol=1e-9)
        np.testing.assert_allclose(error[:, 2], opposite * error[:, 1], rtol=1e-9)
        np.testing.assert_allclose(error[:, 3], far_opposite * error[:, 1], rtol=1e-9)
    for component, far in (("phase", 3), ("timing", 1)):
        error, _, _ = draw(
            KarinErrors(spectrum=spectrum, components=(component,), longest_km=500), 50_000, across=across
        )
        np.testing.assert_allclose(error[:, 0], far * error[:, 1], rtol=1e-9)
        np.testing.assert_allclose(error[:, 3], far * error[:, 2], rtol=1e-9)
        assert abs(np.corrcoef(error[:, 1], error[:, 2])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("component", "metres"),
    [
        ("roll", 0.3316),  # 1.1398 * 4.848e-6 rad * 60 km
        ("phase", 0.1593),  # 1.1398 * 0.017453 rad / (749.3 per m * 10 m) * 60 km
        ("baseline", -0.000461),  # 1.1398 * 1e-6 m / 10 m * (60 km)^2 / 890.6 km
        ("timing", 0.000150),  # half of a picosecond of light
    ],
)
def test_sensitivities_are_those_worked_out_by_hand(component, metres):
    assert sensitivity(component, np.array([60.0]), ALTITUDE_KM)[0] == pytest.approx(metres, rel=2e-3)


def test_the_real_tables_give_errors_of_centimetres(real_data):
    folder = real_data / "orbits"
    config = KarinErrors(noise=folder / "karin_noise_v2.nc", spectrum=folder / "error_spectrum.nc")
    table = xr.open_dataset(folder / "karin_noise_v2.nc")
    column = int(np.abs(table.cross_track.values - 40).argmin())
    wanted = table.height_sdt.values[4, column] / 2
    assert config.noise_std(table.cross_track.values[[column]], 2.0)[0] == pytest.approx(wanted, rel=1e-5)
    draws = KarinDraw(config, ALTITUDE_KM, 2.0, 0, 0)
    _, std, correlated = draw(config, 1)
    assert 0.02 < std.min() < std.max() < 0.12
    assert (correlated < std).all()
    frequency, densities = config.spectra
    used = (frequency > 1 / 20_000) & (frequency < 1 / 4)
    for component, signals in draws.signals.items():
        variance = np.trapezoid(densities[component][used], frequency[used])
        assert signals[0].std == pytest.approx(np.sqrt(variance), rel=0.05), component


def test_distances_and_waves_beyond_the_table_are_refused(noise):
    with pytest.raises(ConfigError, match="cross-track distance of 70"):
        KarinErrors(noise=noise).noise_std(np.array([20.0, -70.0]), 2)
    with pytest.raises(ConfigError, match="wave_height_m of 9"):
        KarinErrors(noise=noise, wave_height_m=9).noise_std(np.array([20.0]), 2)


def spoil(path, change):
    table = xr.load_dataset(path)
    change(table).to_netcdf(path.with_name("bad.nc"))
    return path.with_name("bad.nc")


NOISE_FAULTS = {
    "no variable 'height_sdt'": lambda ds: ds.drop_vars("height_sdt"),
    "no table of KaRIn noise": lambda ds: ds.isel(z=slice(None, None, -1)),
    "no table of KaRIn noise.*": lambda ds: ds.assign(height_sdt=-ds.height_sdt),
}
SPECTRUM_FAULTS = {
    "no variable 'gyroPSD'": lambda ds: ds.drop_vars("gyroPSD"),
    "no table of spectra": lambda ds: ds.isel(nfreq=slice(None, None, -1)),
    "no table of spectra.*": lambda ds: ds.assign(rollPSD=ds.rollPSD * np.nan),
}


@pytest.mark.parametrize("message", NOISE_FAULTS)
def test_tables_of_noise_that_are_none_are_refused(noise, message):
    with pytest.raises(SchemaError, match=message):
        KarinErrors(noise=spoil(noise, NOISE_FAULTS[message])).noise_table  # noqa: B018


@pytest.mark.parametrize("message", SPECTRUM_FAULTS)
def test_tables_of_spectra_that_are_none_are_refused(spectrum, message):
    with pytest.raises(SchemaError, match=message):
        KarinErrors(spectrum=spoil(spectrum, SPECTRUM_FAULTS[message])).spectra  # noqa: B018


def test_files_that_are_absent_or_foreign_are_named(tmp_path):
    with pytest.raises(MissingFileError, match="none"):
        KarinErrors(noise=tmp_path / "none.nc").noise_table  # noqa: B018
    (tmp_path / "a.nc").write_bytes(b"\x00\x01")
    with pytest.raises(UnknownProductError, match="neither NetCDF nor"):
        KarinErrors(spectrum=tmp_path / "a.nc").spectra  # noqa: B018


def test_a_nadir_altimeter_has_no_such_errors():
    with pytest.raises(ValidationError, match="nadir instrument"):
        TrackInstrument(name="a", kind="nadir", orbit=MISSIONS["jason"].orbit, karin=KarinErrors())
