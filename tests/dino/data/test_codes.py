"""Codes as training data: what a change of code is worth, and parts of them."""

import numpy as np
import pytest
import torch

from dino.data import codes as module
from dino.data.codes import MOST_LEADS, CodeSeries, field_square, gather_steps
from dino.data.series import Series

SERIES, TIMES, CODE = 5, 7, 3


def a_series(count: int = SERIES, times: int = TIMES) -> Series:
    """Where the codes come from: context and share are all that is taken of it."""
    ones = torch.ones(count, 2, 1)
    context = torch.arange(count * 4.0).view(count, 4)
    return Series(torch.rand(2, 2), ones, torch.zeros(count, times, 2, 1), np.arange(float(times)), context, share=0.3)


def some_codes(randomly, metrics: int, count: int = SERIES, times: int = TIMES) -> CodeSeries:
    codes, factor = randomly(count, times, CODE), randomly(metrics, CODE, CODE)
    return CodeSeries.of(codes, factor @ factor.mT, randomly(count, times, 6), a_series(count, times))


def test_a_form_in_codes_is_the_square_of_the_field(randomly):
    modes, difference = randomly(SERIES, 40, CODE), randomly(SERIES, TIMES, CODE)
    field = torch.einsum("spk,stk->stp", modes, difference)
    metric = modes.mT @ modes / 40
    torch.testing.assert_close(field_square(difference, metric), field.square().mean(-1))
    alike = torch.einsum("pk,stk->stp", modes[0], difference).square().mean(-1)
    torch.testing.assert_close(field_square(difference, metric[:1]), alike)


@pytest.mark.parametrize("metrics", [1, SERIES])
def test_persistence_is_the_mean_square_change_of_the_field(randomly, metrics, monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 2)  # blocks of series are only a matter of memory
    made = some_codes(randomly, metrics)
    assert made.persistence.shape == (TIMES - 1,)
    for lead in range(1, TIMES):
        squares = [
            (made.codes[s, t + lead] - made.codes[s, t]) @ made.metric[s % metrics] @ (
                made.codes[s, t + lead] - made.codes[s, t]
            )
            for s in range(SERIES)
            for t in range(TIMES - lead)
        ]  # fmt: skip
        torch.testing.assert_close(made.persistence[lead - 1], torch.stack(squares).mean())


def test_no_more_leads_than_are_asked_for(randomly):
    assert len(some_codes(randomly, 1, count=2, times=60).persistence) == MOST_LEADS - 1
    assert some_codes(randomly, 1, times=1).persistence.tolist() == [1.0]


@pytest.mark.parametrize("metrics", [1, SERIES])
def test_parts_keep_the_weights_of_leads(randomly, metrics):
    made, which = some_codes(randomly, metrics), torch.tensor([3, 0])
    part = made.subset(which).frames(slice(2, 5))
    assert torch.equal(part.codes, made.codes[which][:, 2:5])
    assert torch.equal(part.unresolved, made.unresolved[which][:, 2:5])
    assert torch.equal(part.context, made.context[which])
    assert torch.equal(part.metric, made.metric if metrics == 1 else made.metric[which])
    assert torch.equal(part.persistence, made.persistence)
    assert part.share == made.share == 0.3


def test_steps_are_gathered_about_their_start(randomly):
    values, series, start = randomly(4, 9, 2), torch.tensor([3, 1, 1]), torch.tensor([4, 2, 6])
    made = gather_steps(values, series, start, range(-2, 3))
    for row, (s, t) in enumerate(zip(series.tolist(), start.tolist(), strict=True)):
        assert torch.equal(made[row], values[s, t - 2 : t + 3])
