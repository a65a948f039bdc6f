"""Groups side by side: every row once, groups whole or cut, little padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.numerics.groups import Batch, batches

GROUPS = st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 13, 900]), max_size=120)
MOST = st.integers(1, 40)


def made(group: list[int], most: int, split: bool = False) -> tuple[torch.Tensor, list[Batch]]:
    numbers = torch.tensor(group, dtype=torch.long)
    return numbers, list(batches(numbers, most, split))


@settings(deadline=None)
@given(GROUPS, MOST, st.booleans())
def test_every_row_comes_once_under_its_group(group, most, split):
    numbers, found = made(group, most, split)
    rows = torch.cat([batch.row[batch.known] for batch in found] or [torch.zeros(0, dtype=torch.long)])
    assert rows.sort().values.tolist() == list(range(len(group)))
    for batch in found:
        assert batch.group.shape == batch.row.shape[:1]
        assert batch.known.shape == batch.row.shape
        # Padding too repeats a row of its own group, so that whatever is looked up by it exists.
        assert (numbers[batch.row] == batch.group[:, None]).all()


@settings(deadline=None)
@given(GROUPS, MOST)
def test_a_group_is_in_one_piece_and_its_rows_in_order(group, most):
    numbers, found = made(group, most)
    pieces = [(int(g), row[known]) for b in found for g, row, known in zip(b.group, b.row, b.known, strict=True)]
    assert sorted(g for g, _ in pieces) == sorted(set(group))
    for which, rows in pieces:
        assert rows.tolist() == torch.nonzero(numbers == which).squeeze(-1).tolist()


@settings(deadline=None)
@given(GROUPS, MOST)
def test_split_groups_come_in_pieces_of_no_more_than_asked(group, most):
    numbers, found = made(group, most, split=True)
    pieces: dict[int, list[torch.Tensor]] = {}
    for batch in found:
        for which, row, known in zip(batch.group, batch.row, batch.known, strict=True):
            assert 1 <= int(known.sum()) <= most
            pieces.setdefault(int(which), []).append(row[known])
    for which, parts in pieces.items():
        count = int((numbers == which).sum())
        assert len(parts) == -(-count // most)
        assert torch.cat(parts).sort().values.tolist() == torch.nonzero(numbers == which).squeeze(-1).tolist()


@settings(deadline=None)
@given(GROUPS, MOST, st.booleans())
def test_memory_and_padding_are_bounded(group, most, split):
    _, found = made(group, most, split)
    for batch in found:
        places, wide = batch.row.numel(), batch.row.shape[1]
        assert places <= max(most, wide)  # beyond `most` only for one group that is larger itself
        assert not split or places <= most
        assert int(batch.known.sum()) * 2 >= places
        assert (batch.known.sum(1) * 2 >= wide).all()
        assert int(batch.known.sum(1).max()) == wide  # no column is padding alone


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=20, unique=True), st.integers(1, 4))
def test_groups_of_one_size_are_one_batch(numbers, size):
    _, found = made(numbers * size, 10**6)
    assert len(found) == 1
    assert found[0].known.all()


def test_nothing_makes_no_batch():
    assert list(batches(torch.zeros(0, dtype=torch.long), 5)) == []


@pytest.mark.parametrize("split", [False, True])
def test_a_sum_over_groups_is_the_sum_of_their_rows(split):
    """The use that they are made for: what padding adds is weighed with nothing."""
    generator = torch.Generator().manual_seed(2)
    group = torch.randint(0, 30, (2000,), generator=generator).square()
    values = torch.randn(2000, generator=generator, dtype=torch.float64)
    total = torch.zeros(1000, dtype=torch.float64)
    for batch in batches(group, 128, split):
        total.index_add_(0, batch.group, (values[batch.row] * batch.known).sum(1))
    torch.testing.assert_close(total, torch.zeros_like(total).index_add_(0, group, values))
