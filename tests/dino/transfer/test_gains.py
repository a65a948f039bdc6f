"""Every strategy on an ocean that differs from the model in just what the strategy is for: it must gain, and find it.

Model and ocean are twins, exact in closed form; the ocean's is changed before it is observed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dino.config import TransferConfig
from dino.data.codes import CodeSeries
from dino.model.checkpoint import load_model, save_model
from dino.transfer import STRATEGIES, Task, strategy
from dino.transfer.plan import cut, held_out_misfit
from dino.transfer.statistics import ENERGY

CODE = 6


def more_energy(twin) -> None:
    twin.state = 3.0 * twin.state


def other_mean(twin) -> None:
    """Codes about three standard deviations of the model's population, and closer together."""
    twin.state = 0.3 * twin.state
    shift = 3.0 * torch.tensor([1.0, -1.0] * 3, dtype=torch.float64) * twin.latent.code_variance.sqrt()
    twin.latent.decoder.change_codes(torch.eye(CODE, dtype=torch.float64), shift)


@dataclass(frozen=True)
class Case:
    """An ocean by what it changes of a twin, how it is seen, and settings.

    damp, slow : the decay of tendencies, and their size, in model and ocean alike
    """

    change: Callable
    points: int = 600
    days: float = 24.0
    error: float = 0.01
    damp: float = 0.0
    slow: float = 1.0
    settings: dict = field(default_factory=dict)


ELSEWHERE = Case(other_mean, 240, 96.0, 0.03, damp=0.15, slow=0.1, settings={"stride_days": 4, "steps": 20})
CASES = {
    "pace": Case(more_energy),
    "optimal-transport": ELSEWHERE,
    "adversarial": ELSEWHERE,
}


def twin_of(make_twin, case: Case):
    """A twin with the case's tendencies, and statistics that are all there to be moved."""
    twin = make_twin(CODE)
    latent = twin.latent
    latent.dynamics.damp(case.damp)
    twin.state[CODE:] *= case.slow
    latent.state_covariance[CODE:, CODE:] *= case.slow**2
    latent.code_variance.copy_(latent.state_covariance.diagonal()[:CODE])
    for name in ("process_noise", "lead_error", "unresolved_error", "unresolved_variance"):
        tensor = getattr(latent, name)
        tensor.copy_(1e-6 * (torch.eye(len(tensor)) if name == "process_noise" else torch.ones_like(tensor)))
    longer_steps = latent.spec.dynamics.model_copy(update={"step_days": 1.0})
    latent.spec = latent.spec.model_copy(update={"dynamics": longer_steps})
    return twin


def simulations(twin) -> list[CodeSeries]:
    """Codes of four seas of the simulation, whose linear parts differ in two directions."""
    latent, generator = twin.latent, torch.Generator().manual_seed(0)
    before, made = latent.dynamics.linear.detach().clone(), []
    with torch.no_grad():
        for band, sign in ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)):
            latent.dynamics.linear[0, band] += 0.07 * sign
            start = torch.randn(20, 2 * CODE, generator=generator, dtype=torch.float64)
            start = start * latent.state_covariance.diagonal().sqrt()
            codes = latent.dynamics.codes(latent.integrate(start, torch.arange(12.0).double())).movedim(0, 1)
            metric, nothing = torch.eye(CODE, dtype=torch.float64)[None], torch.zeros(20, 12, 1, dtype=torch.float64)
            made.append(CodeSeries(codes.contiguous(), metric, nothing, nothing[:, 0, :0], torch.ones(1), 1.0))
            latent.dynamics.linear.copy_(before)
    return made


def run(make_twin, name: str, case: Case, twin=None):
    """Model, ocean and the model as it was before a strategy, and what this told."""
    truth, blank, twin = (twin_of(make_twin, case), twin_of(make_twin, case), twin or twin_of(make_twin, case))
    with torch.no_grad():
        case.change(truth)
        observations = truth.observed(case.points, case.days, error=case.error)
    settings = {"rounds": 2, "steps": 30, "window_days": 4, "horizon_days": 4}
    settings = TransferConfig.model_validate(settings | case.settings)
    forecaster = twin.forecaster(window_days=4, node_days=0.5)
    task = Task(forecaster, observations, settings, seed=3, simulated=lambda: simulations(twin))
    plan = cut(observations, settings, forecaster.assimilation)
    before = {key: tensor.clone() for key, tensor in twin.latent.state_dict().items()}
    twin.latent.requires_grad_(True)
    told = strategy(name)(task, lambda *step: None)
    again = held_out_misfit(forecaster, observations, plan, before["unresolved_variance"]).mean
    return SimpleNamespace(name=name, twin=twin, truth=truth, blank=blank, told=told, before=before, again=again)


@pytest.fixture(scope="module", params=CASES)
def done(request, make_twin):
    return run(make_twin, request.param, CASES[request.param])


def test_every_strategy_has_an_ocean():
    assert set(CASES) == set(STRATEGIES) - {
        "none",
        "statistics",
        "modulation",
        "numbers",
    }  # which have files of their own


def test_it_gains_and_its_weights_are_those_that_gained(done):
    told = done.told
    assert told.kept
    assert told.after in told.rounds[1:]
    assert told.after < 0.9 * told.before
    assert done.again == pytest.approx(told.after, rel=1e-6)


def moved(done) -> set[str]:
    """Names of what is not what it was."""
    now = done.twin.latent.state_dict()
    assert now.keys() == done.before.keys()
    return {key for key, value in now.items() if not torch.equal(value, done.before[key])}


CLAIMS = {
    "pace": set(ENERGY),
    "optimal-transport": {"decoder.shift", "decoder.shift_bias"},
    "adversarial": {"decoder.shift", "decoder.shift_bias"},
}


def test_it_moves_what_it_claims_to_move_and_nothing_else(done):
    assert moved(done) == CLAIMS[done.name]


def off(done, tell: Callable) -> float:
    """How far the adapted model is from the truth in some respect, over how far the model was that it began with."""
    return float((tell(done.twin) - tell(done.truth)).norm() / (tell(done.blank) - tell(done.truth)).norm())


@torch.no_grad()
def test_it_finds_what_is_different(done):
    axis = np.linspace(0.5, 9.5, 12)
    place = tuple(part.ravel() for part in np.meshgrid(axis, 30.0 + axis))
    if done.name == "pace":
        grown = done.twin.latent.state_covariance.diagonal() / done.blank.latent.state_covariance.diagonal()
        assert float(grown.log().mean().exp()) == pytest.approx(9.0, rel=0.5)
    else:
        left_over = {"optimal-transport": 0.2, "adversarial": 0.75}[done.name]
        assert off(done, lambda twin: twin.basis(*place).offset) < left_over


def test_it_comes_back_as_it_was_saved(done, tmp_path):
    save_model(done.twin.latent, done.twin.ocean, tmp_path)
    latent, _ = load_model(tmp_path)
    now = done.twin.latent.state_dict()
    assert latent.spec == done.twin.latent.spec
    assert latent.state_dict().keys() == now.keys()
    assert all(torch.equal(value, now[key].float()) for key, value in latent.state_dict().items())


def test_all_weights_can_be_trained_on(done):
    weights = list(done.twin.latent.decoder.parameters()) + list(done.twin.latent.dynamics.parameters())
    assert all(parameter.requires_grad for parameter in weights)


def test_the_same_seed_gives_the_same_weights(make_twin):
    name = "adversarial"
    case = replace(CASES[name], settings=CASES[name].settings | {"rounds": 1})
    one, two = (run(make_twin, name, case) for _ in range(2))
    assert one.told == two.told
    assert one.told.kept
    states = one.twin.latent.state_dict(), two.twin.latent.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
