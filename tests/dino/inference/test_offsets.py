"""Offsets of sources beside the state: against conditioning written out with correlated errors."""

import pytest
import torch
from torch import Tensor

from dino.inference.filter import Filter
from dino.inference.observed import Rows
from dino.inference.offsets import Beside, Joint, Layout, Offset, WithoutOffsets
from dino.inference.window import SharedPropagators, assimilate_window
from dino.numerics.gaussian import Gaussian

CODE, STATE, SOURCES, ROWS = 3, 5, 2, 12
NODES = torch.tensor([0.0, 0.5, 1.5], dtype=torch.float64)
VARIANCE = torch.tensor([0.5, 2.0], dtype=torch.float64)


@pytest.fixture
def problem(randomly):
    matrix, root = 0.2 * randomly(STATE, STATE), randomly(STATE, STATE)
    prior = Gaussian(randomly(STATE), root @ root.T + 0.1 * torch.eye(STATE))
    node, fraction = torch.arange(ROWS) % 2, (torch.arange(ROWS) % 3 == 0).double()
    zero = torch.zeros(ROWS, dtype=torch.float64)
    rows = Rows(randomly(ROWS, CODE), randomly(ROWS), 0.1 + randomly(ROWS).abs(), node, fraction, zero,
                torch.zeros(ROWS, 2, dtype=torch.float64), torch.zeros(ROWS, dtype=torch.long))  # fmt: skip
    return matrix, prior, rows, torch.arange(ROWS) // 4 % SOURCES


def by_hand(matrix: Tensor, prior: Gaussian, rows: Rows, group: Tensor) -> tuple[Gaussian, Gaussian]:
    """State at the end, and offsets, given all rows: offsets are errors that the rows of a source share."""
    flows = torch.stack([torch.linalg.matrix_exp(matrix * t) for t in NODES])
    design = torch.einsum("rc,rcs->rs", rows.operator, flows[rows.node + rows.fraction.long(), :CODE])
    share = torch.nn.functional.one_hot(group, SOURCES).double()
    error = torch.diag(rows.variance) + share @ torch.diag(VARIANCE) @ share.T
    inverse = torch.linalg.inv(design @ prior.covariance @ design.T + error)
    surprise = rows.innovation - design @ prior.mean
    gain = prior.covariance @ design.T @ inverse
    start, covariance = prior.mean + gain @ surprise, prior.covariance - gain @ design @ prior.covariance
    pull = torch.diag(VARIANCE) @ share.T @ inverse
    offsets = Gaussian(pull @ surprise, torch.diag(VARIANCE) - pull @ share @ torch.diag(VARIANCE))
    return Gaussian(flows[-1] @ start, flows[-1] @ covariance @ flows[-1].T), offsets


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("method", ["window", "filter"])
def test_state_and_offsets_are_those_of_the_dense_solution(problem, method, shared):
    matrix, prior, rows, group = problem
    layout = Layout(CODE, STATE, SOURCES)
    joint = Joint((), prior.mean[None], prior.covariance[None]).with_sources(
        [Offset("a", 0, 0.0), Offset("b", 1, 0.0)], VARIANCE[None]
    )
    start = layout.augmented(Gaussian(joint.mean[0], joint.covariance[0]))
    right = lambda time, state: state @ matrix.T  # noqa: E731
    right = Beside(SharedPropagators(right) if shared else right, layout)
    common = (right, start, layout.rows(rows, group), NODES, CODE + SOURCES)
    noise = layout.noise(torch.zeros(STATE, STATE, dtype=torch.float64))
    if method == "window":
        made = WithoutOffsets(assimilate_window(*common, 3, step=0.125), layout)
    else:
        made = WithoutOffsets(Filter(*common, noise, step=0.125), layout)
    state, offsets = by_hand(matrix, prior, rows, group)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(made.end.mean, state.mean, **close)
    torch.testing.assert_close(made.end.covariance, state.covariance, **close)
    torch.testing.assert_close(made.mean[-1], state.mean, **close)
    torch.testing.assert_close(made.covariance[-1], state.covariance, **close)
    torch.testing.assert_close(made.joint.mean[STATE:], offsets.mean, **close)
    torch.testing.assert_close(made.joint.covariance[STATE:, STATE:], offsets.covariance, **close)


def test_the_augmented_right_hand_side_moves_the_state_alone(problem, randomly):
    matrix = problem[0]
    layout = Layout(CODE, STATE, SOURCES)
    state, offsets = randomly(STATE), randomly(SOURCES)
    whole = layout.augmented(Gaussian(torch.cat([state, offsets]), torch.eye(STATE + SOURCES))).mean
    assert whole.tolist() == [*state[:CODE].tolist(), *offsets.tolist(), *state[CODE:].tolist()]
    moved = Beside(lambda time, s: s @ matrix.T, layout)(NODES[0], whole)
    torch.testing.assert_close(moved[layout.state], matrix @ state)
    assert (moved[CODE : CODE + SOURCES] == 0).all()


def test_sources_come_and_go(problem):
    _, prior, _, _ = problem
    joint = Joint((), prior.mean[None], prior.covariance[None])
    first = joint.with_sources([Offset("a", 0, 1.0)], VARIANCE[None])
    both = first.with_sources([Offset("a", 0, 5.0), Offset("b", 1, 5.0)], VARIANCE[None])
    assert both.offsets == (Offset("a", 0, 5.0), Offset("b", 1, 5.0))
    assert both.state_size == STATE
    torch.testing.assert_close(both.covariance[0].diagonal()[STATE:], VARIANCE)
    assert first.with_sources([Offset("b", 1, 5.0)], VARIANCE[None]).without_sources(2.0).offsets == (
        Offset("b", 1, 5.0),
    )
    torch.testing.assert_close(both.without_sources().covariance, joint.covariance)
