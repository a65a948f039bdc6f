import numpy as np
from scipy.integrate import solve_ivp

from data_pipeline.simulators import glycolysis
from data_pipeline.simulators.glycolysis import GlycolysisConfig, simulate


def published(s, k1, half):
    """The right-hand side, term by term as CoDA's table has it."""
    r = k1 * s[0] * s[5] / (1 + (s[5] / half) ** 4)
    return [
        2.5 - r,
        2 * r - 6 * s[1] * (1 - s[4]) - 12 * s[1] * s[4],
        6 * s[1] * (1 - s[4]) - 16 * s[2] * (4 - s[5]),
        16 * s[2] * (4 - s[5]) - 100 * s[3] * s[4] - 13 * (s[3] - s[6]),
        6 * s[1] * (1 - s[4]) - 100 * s[3] * s[4] - 12 * s[1] * s[4],
        -2 * r + 2 * 16 * s[2] * (4 - s[5]) - 1.28 * s[5],
        0.1 * 13 * (s[3] - s[6]) - 1.8 * s[6],
    ]


def test_trajectories_are_those_of_another_integrator():
    ds = simulate(GlycolysisConfig.preset("coda", "train"))
    assert dict(ds.sizes) == {"trajectory": 288, "time": 20}
    for row in (0, 100, 287):
        one = ds.isel(trajectory=row)
        values = np.stack([one[name] for name in GlycolysisConfig.CHANNELS])
        k1, half = float(one["parameter_k1"]), float(one["parameter_half"])
        other = solve_ivp(
            lambda _, s, k1=k1, half=half: published(s, k1, half),
            (0, 1),
            values[:, 0],
            "Radau",
            one["time"].values,
            rtol=1e-10,
            atol=1e-12,
        )
        np.testing.assert_allclose(values, other.y, atol=1e-7)


def test_presets_have_the_published_sizes_and_boxes():
    ds = simulate(GlycolysisConfig.preset("coda", "adaptation-test"))
    assert len(np.unique(ds["environment"])) == 4
    assert ds.sizes["trajectory"] == 128
    for name, low, high in zip(GlycolysisConfig.CHANNELS, glycolysis.LOWEST, glycolysis.HIGHEST, strict=True):
        assert ((ds[name][:, 0] >= low) & (ds[name][:, 0] <= high)).all()
