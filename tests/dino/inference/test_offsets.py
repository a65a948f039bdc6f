"""Offsets of sources beside the state: against conditioning written out with correlated errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import CODE, STATE, correlated, error_covariance, make_latent, make_problem, matrix_of, numbers, positive
from torch import Tensor

from dino.inference.filter import Problem, filtered
from dino.inference.offsets import Layout, Offset, StateAndOffsets
from dino.inference.window import minimised
from dino.numerics.gaussian import Gaussian

SOURCES, COUNTS = 2, (12, 0, 5)
NODES = np.array([0.0, 0.5, 1.5])
VARIANCE = torch.tensor([[0.5, 2.0], [1.0, 0.1], [0.3, 0.7]], dtype=torch.float64)  # (chart, channel)


def states() -> StateAndOffsets:
    """Charts' states without offsets."""
    return StateAndOffsets((), numbers(3, STATE, seed=1), positive(3, STATE, seed=2))


def by_hand(problem: Problem, chart: int) -> tuple[Gaussian, Gaussian]:
    """State at the end, and offsets, given all rows: offsets are errors that the rows of a source share."""
    matrix, prior, rows = matrix_of(problem.latent), states(), problem.rows
    mean, covariance = prior.mean[chart], prior.covariance[chart]
    mine = rows.chart == chart
    flows = torch.stack([torch.linalg.matrix_exp(matrix * t) for t in NODES])
    operator, value = rows.form.operator[mine], (rows.value - rows.form.offset)[mine]
    design = torch.einsum("rc,rcs->rs", operator, flows[(rows.node + rows.fraction.long())[mine], :CODE])
    share, variance = torch.nn.functional.one_hot(problem.group[mine], SOURCES).double(), torch.diag(VARIANCE[chart])
    error = error_covariance(rows.select(mine)) + share @ variance @ share.T
    inverse = torch.linalg.inv(design @ covariance @ design.T + error)
    surprise = value - design @ mean
    gain, pull = covariance @ design.T @ inverse, variance @ share.T @ inverse
    start, spread = mean + gain @ surprise, covariance - gain @ design @ covariance
    end = Gaussian(flows[-1] @ start, flows[-1] @ spread @ flows[-1].T)
    return end, Gaussian(pull @ surprise, variance - pull @ share @ variance)


@pytest.mark.parametrize("dynamics", ["modes", "coupled"])
@pytest.mark.parametrize("method", [minimised, filtered])
def test_state_and_offsets_are_those_of_the_dense_solution(dynamics, method):
    problem = make_problem(make_latent(dynamics), COUNTS, NODES, SOURCES, at_nodes=True)
    joint = states().with_sources([Offset("a", 0, 0.0), Offset("b", 1, 0.0)], VARIANCE)
    prior = problem.layout.augmented(Gaussian(joint.mean, joint.covariance))
    problem = Problem(**(vars(problem) | {"prior": prior}))
    made = method(problem)
    end = problem.layout.parted(made.end)
    for chart in range(3):
        state, offsets = by_hand(problem, chart)
        close = {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(end.mean[chart, :STATE], state.mean, **close)
        torch.testing.assert_close(end.covariance[chart, :STATE, :STATE], state.covariance, **close)
        torch.testing.assert_close(end.mean[chart, STATE:], offsets.mean, **close)
        torch.testing.assert_close(end.covariance[chart, STATE:, STATE:], offsets.covariance, **close)
        torch.testing.assert_close(made.trajectory.mean[-1, chart], state.mean, **close)
    # A chart without observations knows of its sources what was known before.
    torch.testing.assert_close(end.mean[1, STATE:], torch.zeros(SOURCES, dtype=torch.float64))
    torch.testing.assert_close(end.covariance[1, STATE:, STATE:], torch.diag(VARIANCE[1]))


@pytest.mark.parametrize("offsets", [0, 1, 3])
def test_the_augmented_order_is_code_offsets_rest_and_back(offsets):
    layout = Layout(CODE, STATE, offsets)
    mean = torch.arange(2.0 * (STATE + offsets)).view(2, -1).double()
    plain = Gaussian(mean, positive(2, STATE + offsets))
    augmented = layout.augmented(plain)
    order = [*range(CODE), *range(STATE, STATE + offsets), *range(CODE, STATE)]
    assert augmented.mean.tolist() == mean[:, order].tolist()
    assert torch.equal(augmented.covariance, plain.covariance[:, order][:, :, order])
    back = layout.parted(augmented)
    assert torch.equal(back.mean, plain.mean)
    assert torch.equal(back.covariance, plain.covariance)
    assert torch.equal(augmented.mean[:, layout.state], mean[:, :STATE])
    assert layout.seen == CODE + offsets
    matrix = numbers(STATE, STATE)
    whole = layout.of_state(matrix, 7.0)
    assert torch.equal(whole[layout.state][:, layout.state], matrix)
    rest = whole.clone()
    rest[layout.state[:, None], layout.state] = 0.0
    expected = torch.zeros(STATE + offsets).double()
    expected[CODE : CODE + offsets] = 7.0
    assert torch.equal(rest, torch.diag(expected))


def test_a_row_sees_the_offset_of_its_source():
    rows = numbers(4, CODE)
    made = Layout(CODE, STATE, SOURCES).operator(rows, torch.tensor([0, 1, 1, 0]))
    assert torch.equal(made[:, :CODE], rows)
    assert made[:, CODE:].tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]


def test_a_whitened_row_sees_as_much_of_an_offset_as_is_left_of_it():
    rows, unit = numbers(3, CODE), torch.tensor([1.0, 0.25, -0.5], dtype=torch.float64)
    made = Layout(CODE, STATE, SOURCES).operator(rows, torch.tensor([0, 1, 1]), unit)
    assert torch.equal(made[:, :CODE], rows)
    assert made[:, CODE:].tolist() == [[1, 0], [0, 0.25], [0, -0.5]]


@pytest.mark.parametrize("method", [minimised, filtered])
def test_offsets_beside_errors_that_rows_share(method):
    """Against the dense solution, a constant offset of a source being one more error that all of its rows share."""
    problem = correlated(make_problem(make_latent("modes"), COUNTS, NODES, SOURCES, at_nodes=True))
    joint = states().with_sources([Offset("a", 0, 0.0), Offset("b", 1, 0.0)], VARIANCE)
    problem = replace(problem, prior=problem.layout.augmented(Gaussian(joint.mean, joint.covariance)))
    end = problem.layout.parted(method(problem).end)
    for chart in range(3):
        state, offsets = by_hand(problem, chart)
        close = {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(end.mean[chart, :STATE], state.mean, **close)
        torch.testing.assert_close(end.mean[chart, STATE:], offsets.mean, **close)
        torch.testing.assert_close(end.covariance[chart, STATE:, STATE:], offsets.covariance, **close)


def test_sources_come_and_go():
    joint = states()
    first = joint.with_sources([Offset("a", 0, 1.0)], VARIANCE)
    both = first.with_sources([Offset("a", 0, 5.0), Offset("b", 1, 5.0)], VARIANCE)
    assert both.offsets == (Offset("a", 0, 5.0), Offset("b", 1, 5.0))
    assert both.state_size == STATE
    torch.testing.assert_close(both.covariance.diagonal(dim1=1, dim2=2)[:, STATE:], VARIANCE)
    torch.testing.assert_close(both.mean[:, STATE:], torch.zeros(3, 2, dtype=torch.float64))
    assert first.with_sources([Offset("b", 1, 5.0)], VARIANCE).without_sources(2.0).offsets == (Offset("b", 1, 5.0),)
    torch.testing.assert_close(both.without_sources().covariance, joint.covariance)
    torch.testing.assert_close(both.without_sources().mean, joint.mean)
    assert both.without_sources(0.0) is both


def test_what_is_known_of_a_source_stays_and_a_channel_has_an_offset_of_its_own() -> None:
    """Of a joint Gaussian whose state and offsets are correlated."""
    known = (Offset("a", 0, 1.0), Offset("b", 0, 4.0))
    joint = StateAndOffsets(known, numbers(3, STATE + 2, seed=3), positive(3, STATE + 2, seed=4))
    more = joint.with_sources([Offset("a", 1, 6.0), Offset("b", 0, 6.0)], VARIANCE)
    assert more.offsets == (Offset("a", 0, 1.0), Offset("b", 0, 6.0), Offset("a", 1, 6.0))
    torch.testing.assert_close(more.mean[:, : STATE + 2], joint.mean)
    torch.testing.assert_close(more.covariance[:, : STATE + 2, : STATE + 2], joint.covariance)
    torch.testing.assert_close(more.covariance[:, -1, -1], VARIANCE[:, 1])
    left = more.without_sources(5.0)
    keep: list[int] | Tensor = [*range(STATE), STATE + 1, STATE + 2]
    assert left.offsets == more.offsets[1:]
    torch.testing.assert_close(left.mean, more.mean[:, keep])
    torch.testing.assert_close(left.covariance, more.covariance[:, keep][:, :, keep])
