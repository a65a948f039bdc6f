"""The moment of an analysis, told as a datetime in milliseconds, is that moment still."""

import numpy as np
import pytest
import xarray as xr

from dino.data.observations import datetime_of
from dino.errors import ObservationError

AT = xr.Dataset(coords={"longitude": [2.0, 8.0], "latitude": [32.0, 38.0]})
MILLISECOND = 1 / 86_400_000


@pytest.mark.parametrize("rest", [-0.49, -0.01, 0.0, 0.01, 0.49])
def test_a_forecast_at_the_moment_of_the_analysis_in_milliseconds(make_twin, rest):
    """Seconds of an observation have more digits than datetimes have: rounding them up or down goes nowhere."""
    twin = make_twin()
    forecaster = twin.forecaster(window_days=4.0, node_days=1.0)
    end = twin.start + 4.0 + (round(0.3 / MILLISECOND) + rest) * MILLISECOND
    analysis = forecaster.analyse_observations(twin.observed(200, 4.0), end, 4.0)
    told = datetime_of(analysis.time)
    made = forecaster.forecast(analysis, [told], AT)
    exact, _ = forecaster.predict(analysis, np.array([analysis.time]), np.array([2.0]), np.array([32.0]))
    np.testing.assert_allclose(made["adt"].values[0, 0, 0], exact[0, 0, 0], rtol=1e-6)
    nothing = twin.table(twin.observed(30, 1.0))
    assert forecaster.update(analysis, nothing, told).time == pytest.approx(analysis.time, abs=MILLISECOND)


def test_a_millisecond_before_is_before(make_twin):
    twin = make_twin()
    forecaster = twin.forecaster(window_days=4.0, node_days=1.0)
    analysis = forecaster.analyse_observations(twin.observed(200, 4.0), twin.start + 4.0, 4.0)
    before = datetime_of(analysis.time) - np.timedelta64(2, "ms")
    with pytest.raises(ObservationError, match="before the analysis"):
        forecaster.forecast(analysis, [before], AT)
    with pytest.raises(ObservationError, match="cannot go back"):
        forecaster.update(analysis, twin.table(twin.observed(30, 1.0)), before)
