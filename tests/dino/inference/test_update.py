"""The batched measurement update against the textbook formula, both of its ways, and the minimum of its cost."""

import math

import pytest
import torch
from problems import numbers, positive
from torch import Tensor

from dino.errors import NonFiniteError
from dino.inference import update as update_module
from dino.inference.robust import huber_cost
from dino.inference.update import Rows, update

CHARTS, SEEN, REST = 4, 5, 3
STATE = SEEN + REST
TIGHT = {"rtol": 1e-9, "atol": 1e-10}


def make_rows(count: int, padded: int = 0, size: float = 1.0) -> Rows:
    """Rows of every chart, the last `padded` of all charts but the first being padding."""
    operator, innovation = numbers(CHARTS, count, SEEN, seed=1), size * numbers(CHARTS, count, seed=2)
    precision = 0.2 + numbers(CHARTS, count, seed=3).abs()
    for part in (operator, innovation, precision):
        part[1:, count - padded :] = 0.0
    return Rows(operator, innovation, precision)


def textbook(mean: Tensor, covariance: Tensor, rows: Rows, chart: int) -> tuple[Tensor, ...]:
    """Mean, covariance, information and pull of one chart, with its true rows alone."""
    true = rows.precision[chart] > 0
    h = torch.cat([rows.operator[chart, true], torch.zeros(int(true.sum()), REST).double()], dim=1)
    inverse = torch.linalg.inv(h @ covariance[chart] @ h.T + torch.diag(1 / rows.precision[chart, true]))
    gain, d = covariance[chart] @ h.T @ inverse, rows.innovation[chart, true]
    after = covariance[chart] - gain @ h @ covariance[chart]
    return mean[chart] + gain @ d, after, (h.T @ inverse @ h)[:SEEN, :SEEN], (h.T @ inverse @ d)[:SEEN]


@pytest.mark.parametrize(("count", "padded"), [(1, 0), (2, 1), (5, 2), (6, 0), (6, 5), (23, 4)])
@pytest.mark.parametrize("smooth", [False, True])
def test_the_update_is_that_of_the_book(count, padded, smooth):
    """With fewer and with more rows than seen entries, with and without padding."""
    mean, covariance, rows = numbers(CHARTS, STATE, seed=4), positive(CHARTS, STATE, seed=5), make_rows(count, padded)
    made = update(mean, covariance, rows, smooth=smooth)
    for chart in range(CHARTS):
        after, spread, information, pull = textbook(mean, covariance, rows, chart)
        torch.testing.assert_close(made.mean[chart], after, **TIGHT)
        torch.testing.assert_close(made.covariance[chart], spread, **TIGHT)
        if smooth:
            torch.testing.assert_close(made.information[chart], information, **TIGHT)
            torch.testing.assert_close(made.pull[chart], pull, **TIGHT)
    torch.testing.assert_close(made.covariance, made.covariance.mT, rtol=0, atol=1e-14)
    assert (made.weight == 1).all()
    assert (made.information is None) != smooth


@pytest.mark.parametrize("count", [2, 5, 12])
def test_innovations_and_information_agree(count):
    mean, covariance, rows = numbers(CHARTS, STATE, seed=4), positive(CHARTS, STATE, seed=5), make_rows(count, 1)
    weight = torch.rand(CHARTS, count, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    one, other = (way(covariance, rows) for way in (update_module._ByInnovations, update_module._ByInformation))
    spread = (rows.operator @ covariance[:, :SEEN, :SEEN] @ rows.operator.mT).diagonal(dim1=1, dim2=2)
    for way in (one, other):
        torch.testing.assert_close(way.spread(), spread, **TIGHT)
    torch.testing.assert_close(one.misfit(weight), other.misfit(weight), **TIGHT)
    made = [way.conditioned(mean, covariance, weight, True) for way in (one, other)]
    for mine, theirs in zip(*made, strict=True):
        torch.testing.assert_close(mine, theirs, **TIGHT)
    # What is left of the innovations is what the conditioned state leaves.
    change = (made[0].mean - mean)[:, :SEEN, None]
    torch.testing.assert_close(one.misfit(weight), rows.innovation - (rows.operator @ change).squeeze(-1), **TIGHT)


def test_rows_of_nothing_but_padding_change_nothing():
    mean, covariance = numbers(CHARTS, STATE), positive(CHARTS, STATE, seed=5)
    for count in (2, 9):
        rows = Rows(*(torch.zeros(CHARTS, count, *more).double() for more in ((SEEN,), (), ())))
        made = update(mean, covariance, rows, bound=2.0, smooth=True)
        torch.testing.assert_close(made.mean, mean, **TIGHT)
        torch.testing.assert_close(made.covariance, covariance, **TIGHT)
        assert not made.information.any()
        assert not made.pull.any()


def test_in_single_precision_a_sharp_row_leaves_a_covariance():
    """Errors of a thousandth of the spread, many times over: what is left stays positive and is right."""
    mean, covariance, rows = numbers(CHARTS, STATE), positive(CHARTS, STATE, seed=5), make_rows(40)
    rows = rows._replace(precision=1e6 * rows.precision)
    exact = update(mean, covariance, rows)
    made = update(mean.float(), covariance.float(), Rows(*(part.float() for part in rows)))
    assert torch.linalg.eigvalsh(made.covariance.double()).min() > -1e-6
    torch.testing.assert_close(made.mean.double(), exact.mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(made.covariance.double(), exact.covariance, rtol=0, atol=1e-4)


def minimum(covariance: Tensor, rows: Rows, chart: int, bound: float, about=None) -> Tensor:
    """The change of a chart's seen part at the minimum of Huber's cost, by a descent that knows nothing of weights."""
    precision = torch.linalg.inv(covariance[chart, :SEEN, :SEEN])
    change = torch.zeros(SEEN, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([change], max_iter=3000, tolerance_grad=1e-11, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        missed = rows.innovation[chart] - rows.operator[chart] @ change if about is None else about(change, chart)
        scaled = missed * rows.precision[chart].sqrt()
        cost = 0.5 * scaled.square() if bound == math.inf else huber_cost(scaled, bound)
        cost = 0.5 * change @ precision @ change + cost.sum()
        cost.backward()
        return cost

    search.step(closure)
    return change.detach()


@pytest.mark.parametrize("count", [4, 40])
def test_with_a_bound_the_update_minimises_hubers_cost(count):
    mean, covariance, rows = numbers(CHARTS, STATE), positive(CHARTS, STATE, seed=5), make_rows(count, 1)
    rows.innovation[:, ::5] += 20.0 * (rows.precision[:, ::5] > 0)
    made = update(mean, covariance, rows, bound=1.5)
    for chart in range(CHARTS):
        change = minimum(covariance, rows, chart, 1.5)
        torch.testing.assert_close((made.mean - mean)[chart, :SEEN], change, rtol=0, atol=5e-3)
        misfit = (rows.innovation[chart] - rows.operator[chart] @ change) * rows.precision[chart].sqrt()
        expected = (1.5 / misfit.abs()).clamp_max(1.0)
        torch.testing.assert_close(made.weight[chart], expected, rtol=0, atol=5e-3)
        # The rest follows the seen part as the covariance says, and is as sure as the weighed rows make it.
        follow = covariance[chart, SEEN:, :SEEN] @ torch.linalg.inv(covariance[chart, :SEEN, :SEEN]) @ change
        torch.testing.assert_close((made.mean - mean)[chart, SEEN:], follow, rtol=0, atol=5e-3)
        _, spread, *_ = textbook(mean, covariance, rows.weighed(made.weight), chart)
        torch.testing.assert_close(made.covariance[chart], spread, **TIGHT)
    if count > SEEN:  # fewer rows than entries may bend the state to an outlier
        assert (made.weight[:, 0] < 0.5).all()
    plain = update(mean, covariance, rows)
    assert (plain.mean - made.mean).abs().max() > 0.3


@pytest.mark.parametrize("count", [4, 20])
@pytest.mark.parametrize("affine", [True, False])
def test_weights_of_a_batch_are_those_of_each_chart_alone(count, affine):
    mean, covariance, rows = numbers(CHARTS, STATE), positive(CHARTS, STATE, seed=5), make_rows(count)
    rows.innovation[1:, ::4] += torch.tensor([1.0, 5.0, 30.0])[:, None]  # one settles at once, others later
    bent = None if affine else Bent(rows)
    made = update(mean, covariance, rows if bent is None else bent(torch.zeros(CHARTS, SEEN).double()), 1.0, bent)
    for chart in range(CHARTS):
        here = slice(chart, chart + 1)
        own = Rows(*(part[here] for part in rows))
        single = None if affine else Bent(own)
        first = own if single is None else single(torch.zeros(1, SEEN).double())
        one = update(mean[here], covariance[here], first, 1.0, single)
        torch.testing.assert_close(one.weight[0], made.weight[chart], rtol=0, atol=1e-9)
        torch.testing.assert_close(one.mean[0], made.mean[chart], rtol=0, atol=1e-9)
        torch.testing.assert_close(one.covariance[0], made.covariance[chart], rtol=0, atol=1e-9)


class Bent:
    """Rows that see h(x) + 0.4 sin(h(x)): what `about` makes of them, and their exact misfits."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __call__(self, change: Tensor) -> Rows:
        plain = (self.rows.operator @ change.unsqueeze(-1)).squeeze(-1)
        slope = 1 + 0.4 * plain.cos()
        operator = slope.unsqueeze(-1) * self.rows.operator
        # Linear about the change: innovation - operator @ change is the misfit there.
        missed = self.rows.innovation - plain - 0.4 * plain.sin()
        return Rows(operator, missed + slope * plain, self.rows.precision)

    def missed(self, change: Tensor, chart: int) -> Tensor:
        plain = self.rows.operator[chart] @ change
        return self.rows.innovation[chart] - plain - 0.4 * plain.sin()


@pytest.mark.parametrize("count", [4, 20])
@pytest.mark.parametrize("bound", [math.inf, 1.5])
def test_rows_that_are_not_affine_are_linearised_about_the_minimum(count, bound):
    mean, covariance, rows = numbers(CHARTS, STATE), 0.3 * positive(CHARTS, STATE, seed=5), make_rows(count, 1, 0.5)
    rows.innovation[:, ::5] += 5.0 * (bound < math.inf) * (rows.precision[:, ::5] > 0)
    bent = Bent(rows)
    made = update(mean, covariance, bent(torch.zeros(CHARTS, SEEN).double()), bound, bent, smooth=True)
    for chart in range(CHARTS):
        change = minimum(covariance, rows, chart, bound, bent.missed)
        torch.testing.assert_close((made.mean - mean)[chart, :SEEN], change, rtol=0, atol=5e-3)
        there = bent((made.mean - mean)[:, :SEEN]).weighed(made.weight)
        _, spread, information, _ = textbook(mean, covariance, there, chart)
        torch.testing.assert_close(made.covariance[chart], spread, rtol=0, atol=5e-3)
        torch.testing.assert_close(made.information[chart], information, rtol=0, atol=2e-2)


def test_what_is_not_finite_is_refused():
    mean, covariance, rows = numbers(CHARTS, STATE), positive(CHARTS, STATE, seed=5), make_rows(4)
    rows.innovation[2, 1] = math.inf
    bent = Bent(rows)
    with pytest.raises(NonFiniteError):
        update(mean, covariance, bent(torch.zeros(CHARTS, SEEN).double()), math.inf, bent)
