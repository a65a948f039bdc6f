import numpy as np
import pytest
from scipy.integrate import solve_ivp

from data_pipeline.simulators.lotka_volterra import LotkaVolterraConfig, simulate


def test_what_the_equations_keep_is_kept():
    ds = simulate(LotkaVolterraConfig.preset("coda", "test"))
    x, y = ds["prey"], ds["predators"]
    p = {name: ds[f"parameter_{name}"] for name in ("alpha", "beta", "gamma", "delta")}
    kept = p["delta"] * x - p["gamma"] * np.log(x) + p["beta"] * y - p["alpha"] * np.log(y)
    np.testing.assert_allclose(kept, kept.isel(time=slice(0, 1)).values.repeat(20, 1), rtol=1e-9)


def test_one_trajectory_is_that_of_another_integrator():
    ds = simulate(LotkaVolterraConfig.preset("coda", "adaptation-test")).isel(trajectory=70)
    b, d = float(ds["parameter_beta"]), float(ds["parameter_delta"])

    def slope(_, s):
        return [0.5 * s[0] - b * s[0] * s[1], d * s[0] * s[1] - 0.5 * s[1]]

    start = [float(ds["prey"][0]), float(ds["predators"][0])]
    other = solve_ivp(slope, (0, 9.5), start, "Radau", ds["time"].values, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.stack([ds["prey"], ds["predators"]]), other.y, atol=1e-8)


@pytest.mark.parametrize(
    ("preset", "environments", "trajectories"),
    [
        (("coda", "train"), 9, 36),
        (("coda", "test"), 9, 288),
        (("coda", "adaptation"), 4, 4),
        (("coda", "adaptation-test"), 4, 128),
        (("leads", "train"), 10, 10),
        (("leads", "test"), 10, 320),
    ],
)
def test_presets_have_the_published_sizes(preset, environments, trajectories):
    ds = simulate(LotkaVolterraConfig.preset(*preset))
    assert dict(ds.sizes) == {"trajectory": trajectories, "time": 20}
    assert len(np.unique(ds["environment"])) == environments
    assert ds["time"].values[-1] == 9.5


def test_trajectory_i_starts_as_published():
    ds = simulate(LotkaVolterraConfig.preset("coda", "train"))
    np.testing.assert_array_equal(
        ds["prey"][:4, 0], [1 + np.random.RandomState(i).random_sample(2)[0] for i in range(4)]
    )
