"""Shares of dynamics and trend, from products of changes whose best combination is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.forecasts.combination import combination
from dino.inference.hindcasts import Hindcasts

LEADS = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)


def products_of(shares, noise: float = 0.0, alike: float = 0.0) -> torch.Tensor:
    """(1, 3, 3) products of what happened, the dynamics and the trend, of unit mean square, when `shares` are best."""
    square = np.array([[1.0, alike], [alike, 1.0]])
    right = square @ shares
    happened = shares @ right + noise
    return torch.as_tensor(np.block([[np.array([[happened]]), right[None]], [right[:, None], square]]))[None]


def found(products, count=(500.0, 500.0, 500.0), predicted=1.0, changed=(1.0, 1.0, 1.0)) -> Hindcasts:
    if products.dim() == 3:
        products = products.expand(3, -1, -1, -1)
    return Hindcasts(
        leads=LEADS,
        count=torch.tensor(count, dtype=torch.float64),
        products=products,
        predicted=torch.full((3, 1), predicted, dtype=torch.float64),
        changed=torch.tensor(changed, dtype=torch.float64)[:, None],
        trend=torch.zeros(1, 2, dtype=torch.float64),
    )


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.3, 0.5), (0.0, 0.9), (1.4, 0.2), (0.0, 0.0)])
def test_many_hindcasts_tell_the_best_shares(shares):
    made = combination(found(products_of(np.array(shares), noise=0.04)), LEADS)
    np.testing.assert_allclose(made.dynamics[:, 0], shares[0], atol=0.02)
    np.testing.assert_allclose(made.trend[:, 0], shares[1], atol=0.02)
    np.testing.assert_allclose(made.spread[:, 0], 0.2, rtol=0.1)


def test_few_hindcasts_move_the_shares_a_little_and_the_next_lead_goes_on_from_there():
    products = products_of(np.array([0.0, 1.0]), noise=0.1)
    made = combination(found(products, count=(2.0, 1.0, 0.0)), LEADS)
    first, second, third = made.dynamics[:, 0].tolist()
    assert 1.0 > first > second > 0.0
    assert third == second
    assert (made.trend[2] == made.trend[1]).all()


def test_what_gains_nothing_changes_nothing():
    """The best shares are better by a thousandth of what they leave: by chance, for all that is known."""
    made = combination(found(products_of(np.array([0.97, 0.0]), noise=1.0), count=(5.0, 4.0, 2.0)), LEADS)
    np.testing.assert_allclose(made.dynamics, 1.0, atol=1e-3)
    np.testing.assert_allclose(made.trend, 0.0, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=9, max_size=9), st.integers(1, 40))
def test_shares_are_not_negative_and_no_worse_in_their_own_hindcasts(numbers, count):
    root = torch.tensor(numbers, dtype=torch.float64).reshape(3, 3) + 0.1 * torch.eye(3, dtype=torch.float64)
    products = (root @ root.T)[None]
    made = combination(found(products, count=(float(count),) * 3), LEADS)
    for dynamics, trend in zip(made.dynamics[:, 0].tolist(), made.trend[:, 0].tolist(), strict=True):
        assert min(dynamics, trend) >= 0
        left = torch.tensor([1.0, -dynamics, -trend], dtype=torch.float64)
        alone = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
        assert left @ products[0] @ left <= (alone @ products[0] @ alone) * (1 + 1e-9) + 0.05


def test_changes_alike_are_shared_without_great_numbers():
    made = combination(found(products_of(np.array([0.5, 0.5]), noise=0.01, alike=1.0 - 1e-9)), LEADS)
    assert (made.dynamics + made.trend - 1.0).abs().max() < 0.05
    assert made.dynamics.max() <= 1.0


def test_charts_without_maps_are_left_to_the_dynamics():
    made = combination(found(torch.zeros(3, 1, 3, 3, dtype=torch.float64), changed=(0.0, 0.0, 0.0)), LEADS)
    for part, value in zip(made, (1.0, 0.0, 1.0), strict=True):
        assert (part == value).all()


def test_between_leads_it_is_linear_and_beyond_them_constant():
    products = torch.stack([products_of(np.array([a, 0.0]), noise=0.1) for a in (1.0, 0.8, 0.2)])
    made = combination(found(products), torch.tensor([0.0, 0.5, 1.0, 3.0, 4.0, 9.0], dtype=torch.float64))
    now, half, one, three, four, nine = made.dynamics[:, 0].tolist()
    two = combination(found(products), torch.tensor([2.0], dtype=torch.float64)).dynamics.item()
    assert now == half == one
    assert nine == four
    assert three == pytest.approx(0.5 * (two + four))


def test_errors_that_no_hindcast_tells_grow_as_changes_do():
    """Training expects the same variance at all leads, the maps change four times as much at the last."""
    products = products_of(np.array([1.0, 0.0]), noise=0.25)
    made = combination(found(products, count=(500.0, 500.0, 0.0), changed=(1.0, 1.0, 4.0)), LEADS)
    np.testing.assert_allclose(made.spread[:, 0], [0.5, 0.5, 1.0], rtol=0.01)


def test_a_sea_that_stood_still_is_held_still():
    """What happened is nothing at all: the dynamics moved, and how wide intervals should be is not known."""
    still = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)[None]
    made = combination(found(still, changed=(0.0, 0.0, 0.0)), LEADS)
    assert (made.dynamics < 0.01).all()
    assert (made.spread == 1.0).all()
