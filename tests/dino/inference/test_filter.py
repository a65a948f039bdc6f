"""The filter and its smoother: against one joint Gaussian of all states, and against the window."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dino.inference.filter import Filter
from dino.inference.observed import Rows
from dino.inference.window import assimilate_window
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import SirenDecoder

CODE, STATE = 3, 5
NODES = torch.tensor([0.0, 0.5, 1.5, 2.0], dtype=torch.float64)
STEP = 0.125


@pytest.fixture
def matrix(randomly):
    return 0.2 * randomly(STATE, STATE)


@pytest.fixture
def prior(randomly):
    root = randomly(STATE, STATE)
    return Gaussian(randomly(STATE), root @ root.T + 0.1 * torch.eye(STATE))


@pytest.fixture
def rows(randomly):
    """On nodes: 0 twice, 1 once (as the end of an interval), none at 2, and the last one three times."""
    node, fraction = torch.tensor([0, 0, 0, 2, 2, 2]), torch.tensor([0, 0, 1, 1, 1, 1], dtype=torch.float64)
    return Rows(
        operator=randomly(6, CODE),
        innovation=randomly(6),
        variance=0.1 + randomly(6).abs(),
        node=node,
        fraction=fraction,
        offset=torch.zeros(6, dtype=torch.float64),
        coordinates=torch.zeros(6, 2, dtype=torch.float64),
        channel=torch.zeros(6, dtype=torch.long),
    )


def by_hand(prior: Gaussian, rows: Rows, matrix: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Smoothed means (node, state) and covariances from the joint Gaussian of the states of all nodes."""
    count = len(NODES)
    mean, covariance = [prior.mean], torch.zeros(count, count, STATE, STATE, dtype=torch.float64)
    covariance[0, 0] = prior.covariance
    for k, elapsed in enumerate(NODES.diff(), start=1):
        flow = torch.linalg.matrix_exp(matrix * elapsed)
        mean.append(flow @ mean[-1])
        for j in range(k):
            covariance[k, j] = flow @ covariance[k - 1, j]
            covariance[j, k] = covariance[k, j].T
        covariance[k, k] = flow @ covariance[k - 1, k - 1] @ flow.T + noise * elapsed
    joint = covariance.permute(0, 2, 1, 3).reshape(count * STATE, count * STATE)
    design = torch.zeros(len(rows), count, STATE, dtype=torch.float64)
    design[torch.arange(len(rows)), rows.node + rows.fraction.long(), :CODE] = rows.operator
    design = design.flatten(1)
    stacked = torch.cat(mean)
    gain = joint @ design.T @ torch.linalg.inv(design @ joint @ design.T + torch.diag(rows.variance))
    after = stacked + gain @ (rows.innovation - design @ stacked)
    smoothed = (joint - gain @ design @ joint).reshape(count, STATE, count, STATE)
    return after.reshape(count, STATE), torch.stack([smoothed[k, :, k] for k in range(count)])


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_filter_is_conditioning_of_all_states(matrix, prior, rows, noise, randomly):
    process = torch.diag(noise * (0.1 + randomly(STATE).abs()))
    made = Filter(lambda t, s: s @ matrix.T, prior, rows, NODES, CODE, process, step=STEP)
    mean, covariance = by_hand(prior, rows, matrix, process)
    torch.testing.assert_close(made.mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.covariance, covariance, rtol=1e-4, atol=1e-5)


def test_without_process_noise_the_filter_is_the_window(matrix, prior, rows):
    common = (lambda t, s: s @ matrix.T, prior, rows, NODES, CODE)
    filtered = Filter(*common, torch.zeros(STATE, dtype=torch.float64), step=STEP)
    window = assimilate_window(*common, iterations=3, step=STEP)
    torch.testing.assert_close(filtered.mean, window.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(filtered.covariance, window.covariance, rtol=1e-4, atol=1e-5)


def test_process_noise_widens_the_analysis_and_forgets_old_observations(matrix, prior, rows):
    old = rows.select(slice(2))
    traces, moves = [], []
    still = torch.linalg.matrix_exp(matrix * NODES[-1]) @ prior.mean
    for noise in (0.0, 0.1, 1.0):
        process = noise * torch.eye(STATE, dtype=torch.float64)
        made = Filter(lambda t, s: s @ matrix.T, prior, rows, NODES, CODE, process, step=STEP)
        traces.append(float(made.end.covariance.trace()))
        early = Filter(lambda t, s: s @ matrix.T, prior, old, NODES, CODE, process, step=STEP)
        moves.append(float((early.end.mean - still).norm()))
    assert traces == sorted(traces)
    # What the first node says reaches the last one whole: noise in between widens the error, it does not pull back.
    assert moves == pytest.approx([moves[0]] * 3, rel=1e-6)


def test_a_single_node_without_observations_is_the_prior(prior, rows, matrix):
    none = rows.select(slice(0))
    made = Filter(lambda t, s: s @ matrix.T, prior, none, NODES[:1], CODE, torch.ones(STATE))
    torch.testing.assert_close(made.mean[0], prior.mean)
    torch.testing.assert_close(made.covariance[0], prior.covariance)


def test_filter_of_one_node_with_a_sine_decoder_is_the_window_of_one_node(matrix, rows, randomly):
    """The iterated update and the window minimise the same cost; a linear update would not find its minimum."""
    torch.manual_seed(1)
    decoder = SirenDecoder(2, CODE, hidden=8, layers=1, w0_first=3.0).double().requires_grad_(False)
    place = torch.rand(6, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    rows = replace(rows, coordinates=place, decoder=decoder, node=0 * rows.node, fraction=0 * rows.fraction)
    rows = rows.about(torch.zeros(6, CODE, dtype=torch.float64))
    prior = Gaussian(0.1 * randomly(STATE), 0.3 * torch.eye(STATE, dtype=torch.float64))
    right = lambda time, state: state @ matrix.T  # noqa: E731
    noise = torch.zeros(STATE, STATE, dtype=torch.float64)
    end = Filter(right, prior, rows, NODES[:1], CODE, noise).end
    window = assimilate_window(right, prior, rows, NODES[:1], CODE, iterations=50)
    torch.testing.assert_close(end.mean, window.end.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(end.covariance, window.end.covariance, atol=1e-2, rtol=0)
    once = Filter(right, prior, replace(rows, decoder=None), NODES[:1], CODE, noise).end
    assert (once.mean - window.end.mean).abs().max() > 0.02
