"""Peers of many physics on toys whose answer is known, and what they may not see."""

import numpy as np
import pytest
import torch

from benchmarks.peers.base import UnsuitableTaskError
from benchmarks.peers.physics import PEERS, make
from benchmarks.peers.physics.base import Arrays, Scale
from benchmarks.peers.physics.coda import Coda, CodaSettings
from benchmarks.peers.physics.dmd import DmdAlone, DmdControl, DmdSettings
from benchmarks.peers.physics.fields import ContextField
from benchmarks.peers.physics.fno import FnoSettings, FourierForecaster
from benchmarks.peers.physics.protocols import (
    PROTOCOLS,
    lotka_volterra_protocol,
    relative_errors,
    run,
    square_errors,
    without_parameters,
)
from benchmarks.peers.physics.reduction import Reduction
from benchmarks.peers.physics.tuned import CAP, Trial, Tuned, capped_error
from data_pipeline.layout.trajectories import parameter_names, trajectories_dataset

TIMES = np.arange(12) * 0.1


def decays(rates, trajectories=3, seed=0):
    """u' = -rate u, v' = -2 v with the rate of each environment."""
    random = np.random.default_rng(seed)
    environment = np.repeat(np.arange(len(rates)), trajectories)
    rate = np.asarray(rates)[environment]
    start = random.uniform(0.5, 1.5, (2, len(rate), 1))
    channels = {"u": start[0] * np.exp(-rate[:, None] * TIMES), "v": start[1] * np.exp(-2 * TIMES[None])}
    return trajectories_dataset(channels, TIMES, environment=environment, parameters={"rate": rate})


def waves(speeds, trajectories=2, seed=0):
    """Sines that travel along a line of 16 points."""
    random = np.random.default_rng(seed)
    environment = np.repeat(np.arange(len(speeds)), trajectories)
    speed, phase = np.asarray(speeds)[environment], random.uniform(0, 6, len(environment))
    x = 2 * np.pi * np.arange(16) / 16
    values = np.sin(x - speed[:, None, None] * TIMES[:, None] + phase[:, None, None])
    return trajectories_dataset(
        {"u": values}, TIMES, lengths=(2 * np.pi,), environment=environment, parameters={"speed": speed}
    )


def relative(peer, train, validation, prompt, test, start=0):
    """The error of forecasts from frame `start` of a test dataset, over its values."""
    peer.fit(train, validation)
    peer.adapt(prompt)
    truth = Arrays.of(test.isel(time=slice(start + 1, None)))
    made = peer.forecast(test.isel(time=[start]), truth.times)
    assert made.shape == truth.values.shape
    return np.linalg.norm(made - truth.values) / np.linalg.norm(truth.values)


def test_affine_operator_inference_finds_the_exact_family():
    pytest.importorskip("opinf")
    from benchmarks.peers.physics.operators import Opinf, OpinfSettings

    settings = OpinfSettings({"Linear": ("1", "rate")}, ridge=1e-10, offset=(0.0, 0.0))
    train, new = decays([0.5, 1.0, 2.0]), decays([1.4], seed=1)
    peer = Opinf(settings)
    assert relative(peer, train, train, new, new) < 1e-5
    one, rate = peer.model.operators[0].entries
    np.testing.assert_allclose(one, [[0, 0], [0, -0.2]], atol=1e-4)  # of time in frames
    np.testing.assert_allclose(rate, [[-0.1, 0], [0, 0]], atol=1e-4)


@pytest.mark.parametrize("difference", ["ord6", "quintic", "discrete"])
def test_operator_inference_on_a_prompt_alone(difference):
    pytest.importorskip("opinf")
    from benchmarks.peers.physics.operators import OpinfAlone, OpinfSettings

    settings = OpinfSettings({"Linear": ("1",)}, ridge=1e-8, difference=difference, offset=(0.0, 0.0))
    train, new = without_parameters(decays([0.5])), without_parameters(decays([1.4], seed=1))
    assert relative(OpinfAlone(settings), train, train, new.isel(trajectory=[0]), new) < 1e-3


def test_a_forecast_that_blows_up_is_not_a_number_from_there():
    pytest.importorskip("opinf")
    from benchmarks.peers.physics.operators import OpinfAlone, OpinfSettings

    values = 1 / (1.2 - TIMES)  # u' = u^2, which is infinite at 1.2
    prompt = trajectories_dataset({"u": values[None]}, TIMES)
    peer = OpinfAlone(OpinfSettings({"Quadratic": ("1",)}, ridge=1e-10, offset=(0.0,)))
    peer.fit(prompt, prompt)
    peer.adapt(prompt)
    made = peer.forecast(prompt.isel(time=[0]), np.array([0.3, 5.0]))
    assert np.isfinite(made[0, 0]).all()
    assert np.isnan(made[0, 1]).all()


def test_linear_map_with_inputs_is_exact_where_parameters_add():
    random = np.random.default_rng(0)
    values, force = np.empty((6, 12, 2)), np.repeat([0.0, 1.0, 2.0], 2)
    values[:, 0] = random.normal(size=(6, 2))
    for frame in range(11):
        values[:, frame + 1] = values[:, frame] @ np.array([[0.9, 0.1], [-0.2, 0.8]]).T + force[:, None] * [0.3, -0.1]
    ds = trajectories_dataset(
        {"u": values[..., 0], "v": values[..., 1]},
        TIMES,
        environment=np.repeat([0, 1, 2], 2),
        parameters={"force": force},
    )
    assert relative(DmdControl(DmdSettings(ridge=1e-13)), ds, ds, ds, ds) < 1e-6
    assert relative(DmdControl(DmdSettings(ridge=1e-13)), ds.drop_vars("parameter_force"), ds, ds, ds) > 0.05


def test_linear_map_of_a_prompt_alone_is_exact_for_a_wave():
    new = waves([1.7], trajectories=3, seed=1)
    peer = DmdAlone(DmdSettings(rank=2, ridge=1e-12))
    assert relative(peer, waves([1.0, 2.0]), new, new.isel(trajectory=[0]), new) < 1e-6


def test_context_moves_every_environment_by_itself():
    field = ContextField(channels=2, dimensions=1, hidden=4)

    contexts, states = torch.randn(3, 2), torch.randn(3, 5, 2, 16)
    together = field.change(field.weights(contexts), states)
    for number in range(3):
        one = slice(number, number + 1)
        torch.testing.assert_close(field.change(field.weights(contexts[one]), states[one]), together[one])
    shifted = field.change(field.weights(contexts), states.roll(3, -1))
    torch.testing.assert_close(shifted, together.roll(3, -1), rtol=1e-4, atol=1e-5)


def test_coda_adapts_its_context_to_a_new_environment():
    settings = CodaSettings(seconds=3.0, hidden=16, longest=4, horizon=11, rate=1e-2, adaptation_steps=60)
    train, held, new = decays([0.5, 1.0, 2.0, 3.0]), decays([0.5, 1.0, 2.0, 3.0], seed=2), decays([1.5], seed=1)
    peer = Coda(settings)
    assert relative(peer, train, held, new.isel(trajectory=[0]), new) < 0.1
    adapted = peer.contexts.clone()
    assert float(adapted.abs().max()) > 0
    peer.contexts = adapted * 0  # the mean environment is worse
    truth = Arrays.of(new)
    errors = []
    for contexts in (adapted, adapted * 0):
        peer.contexts = contexts
        errors.append(np.abs(peer.forecast(new.isel(time=[0]), TIMES[1:]) - truth.values[:, 1:]).mean())
    assert errors[0] < errors[1]


@pytest.mark.parametrize(("history", "told"), [(4, "nothing"), (1, "parameters")])
def test_fourier_neural_operator_continues_waves(history, told):
    pytest.importorskip("neuralop")
    settings = FnoSettings(3.0, history=history, bundle=2, modes=2, width=8, layers=2, rate=1e-2, horizon=6)
    train, new = waves([1.0, 1.5, 2.0], trajectories=4), waves([1.2, 1.8], seed=1)
    peer = FourierForecaster(settings)
    assert peer.told == told
    prompt = new.isel(time=slice(0, 4))
    still = np.linalg.norm(new["u"].values[:, 4:] - new["u"].values[:, 3:4]) / np.linalg.norm(new["u"].values[:, 4:])
    assert relative(peer, train, train, prompt, new, start=3) < still / 2
    if history > 1:
        with pytest.raises(UnsuitableTaskError, match="last 4 frames"):
            peer.forecast(new.isel(time=[0]), TIMES[4:])


def test_operator_refuses_a_system_without_space():
    with pytest.raises(UnsuitableTaskError, match="no space"):
        FourierForecaster(FnoSettings(1.0)).fit(decays([1.0]), decays([1.0]))


def test_components_give_back_what_they_span():
    values = Arrays.of(waves([1.0, 2.0])).values
    reduction = Reduction.of(values, 2, (0.0,))
    np.testing.assert_allclose(reduction.decode(reduction.encode(values), (1, 16)), values, atol=1e-10)
    assert np.isclose(np.square(reduction.encode(values)).mean((0, 1)).max(), 1.0)


def test_scale_goes_and_comes_back():
    values = Arrays.of(decays([1.0, 2.0])).values
    scale = Scale.of(values)
    np.testing.assert_allclose(scale.back(scale.forward(values)), values, rtol=1e-5, atol=1e-6)


class Guess:
    """Forecasts a constant."""

    name, told = "guess", "nothing"

    def __init__(self, value):
        self.settings = None
        self.value = value

    def fit(self, train, validation):
        assert not parameter_names(train)

    def adapt(self, prompt):
        assert not parameter_names(prompt)

    def forecast(self, initial, times):
        assert initial.sizes["time"] == 1
        return np.full((initial.sizes["trajectory"], len(times), 2), self.value)


def test_the_candidate_of_the_least_validation_error_is_kept():
    ds = without_parameters(decays([1.0]))
    peer = Tuned([lambda value=value: Guess(value) for value in (5.0, 0.6, np.nan)], Trial())
    with pytest.raises(UnsuitableTaskError, match="not been fitted"):
        peer.adapt(ds)
    peer.fit(ds, ds)
    assert peer.chosen.value == 0.6
    assert (peer.forecast(ds.isel(time=[0]), TIMES[1:3]) == 0.6).all()


def test_trial_of_prompts_starts_where_they_end():
    ds = decays([1.0, 2.0])
    prompt, initial, truth = Trial(frames=4, horizon=5).split(ds, ds)
    assert prompt.sizes["time"] == 4
    assert initial["time"].values == TIMES[3]
    np.testing.assert_array_equal(truth["time"].values, TIMES[4:9])
    assert len(np.unique(prompt["environment"])) == ds.sizes["trajectory"]


def test_scores():
    truth = np.ones((2, 100, 1, 4))
    made = truth.copy()
    made[0] += 0.1
    made[1, 60:] = np.nan
    scores = relative_errors(made, truth)
    assert scores["nrmse_50"] == 0.05
    assert scores["nrmse_100"] is None
    assert square_errors(made[:1], truth[:1]) == {"mse": 0.01}
    assert np.isclose(capped_error(made, truth), (0.1 + CAP) / 2)


def test_validation_shares_no_trajectory_with_training_or_test():
    protocol = lotka_volterra_protocol(most=2)
    validation = Arrays.of(protocol.validation).values[:, 0]
    cases = protocol.cases.values()
    for other in (protocol.train, *(case.initial for case in cases), *(case.prompt for case in cases)):
        assert np.abs(validation[:, None] - Arrays.of(other).values[:, 0]).sum(-1).min() > 0


def test_a_peer_that_is_told_nothing_sees_no_parameters_and_no_truth():
    scores = run(Guess(1.0), lotka_volterra_protocol(most=2))
    assert scores["adaptation"]["mse"] > 0
    assert scores["told"] == "nothing"


def test_every_peer_has_settings_for_every_system():
    for system in PROTOCOLS:
        for name in PEERS:
            try:
                assert make(name, system, 1.0).told in ("parameters", "nothing")
            except UnsuitableTaskError as error:
                assert "install the extra" in str(error)  # noqa: PT017
    with pytest.raises(UnsuitableTaskError, match="no peer"):
        make("none", "combined", 1.0)


def test_dino_behind_the_interface_beats_a_millionth_on_prey():
    protocol = lotka_volterra_protocol(most=2)
    assert run(make("dino", "lotka_volterra", 1.0), protocol)["adaptation"]["mse"] < 1e-6
