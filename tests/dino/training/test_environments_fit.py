"""What environments have in common, learned: the parameters that vary, sizes for frames far apart, refusals."""

import numpy as np
import pytest
import torch

import dino
from data_pipeline.simulators.lotka_volterra import LotkaVolterraConfig, simulate
from dino.errors import ConfigError

CANDIDATES = [
    f"{target}: {term}" for target in ("prey", "predators") for term in ("prey", "predators", "prey*predators")
]
VARYING = {"prey: prey*predators": "parameter_beta", "predators: prey*predators": "parameter_delta"}


@pytest.fixture(scope="module")
def learned():
    train = simulate(LotkaVolterraConfig.preset("coda", "train", trajectories=2))
    return train, dino.fit(train, dino.PhysicsConfig(candidates=CANDIDATES))


def test_the_two_parameters_that_vary_are_found(learned):
    """All other directions hardly vary, and the coefficients are those of the simulation, signs included."""
    train, physics = learned
    prior = physics.prior()
    varies = {text for text in physics.terms if float(prior["std"].sel(term=text)) > 0.05}
    assert varies == set(VARYING)
    strength = torch.linalg.svdvals(physics.family.prior.root)
    assert float(strength[1]) > 0.1
    assert len(strength) == 2 or float(strength[2]) < 1e-2 * float(strength[1])
    made = physics.adapt(train).coefficients()["mean"]
    for (text, parameter), sign in zip(VARYING.items(), (-1, 1), strict=True):
        truth = train[parameter].values[::2]
        np.testing.assert_allclose(made.sel(term=text), sign * truth, rtol=1e-3)
    np.testing.assert_allclose(made.sel(term="prey: prey"), 0.5, rtol=1e-3)


def test_a_new_environment_is_read_from_one_trajectory(learned):
    _, physics = learned
    new = simulate(LotkaVolterraConfig.preset("coda", "adaptation"))
    adapted = physics.adapt(new, iterations=12)
    made = adapted.coefficients()["mean"]
    for (text, parameter), sign in zip(VARYING.items(), (-1, 1), strict=True):
        truth = new[parameter].values[np.unique(new["environment"].values, return_index=True)[1]]
        np.testing.assert_allclose(made.sel(term=text), sign * truth, rtol=1e-3)
    assert adapted.known.all()


def test_one_seed_one_result(learned):
    train, physics = learned
    again = dino.fit(train, dino.PhysicsConfig(candidates=CANDIDATES))
    torch.testing.assert_close(physics.family.prior.mean, again.family.prior.mean, rtol=1e-6, atol=1e-9)


def test_sizes_of_terms_that_are_no_candidates_are_told(learned):
    train, _ = learned
    with pytest.raises(ConfigError, match=r"sizes name u: w; the candidates are prey: prey, .*give one"):
        dino.fit(train, dino.PhysicsConfig(candidates=CANDIDATES, sizes={"u: w": 1.0}))
