"""Rows as a flat list of tokens and back."""

import pytest
import torch
from torch.autograd import gradcheck

from repo_exp.models.layout import Gather, Layout, Scatter

# two rows of five columns; two are shared, and the second row ends with one token of padding
TOKENS = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 6, 7, 0]])
REAL = torch.tensor([[True] * 5, [True] * 4 + [False]])


def test_the_flat_list_has_the_shared_tokens_once_and_no_padding() -> None:
    assert Layout(2, 5, shared=2, real_BT=REAL).flatten(TOKENS).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert Layout(2, 5, real_BT=REAL).flatten(TOKENS).tolist() == [1, 2, 3, 4, 5, 1, 2, 6, 7]
    assert Layout(2, 5).flatten(TOKENS).tolist() == TOKENS.flatten().tolist()


@pytest.mark.parametrize("shared", [0, 2])
def test_every_token_is_found_at_its_index(shared) -> None:
    layout = Layout(2, 5, shared=shared, real_BT=REAL)
    row, column = REAL.nonzero(as_tuple=True)
    assert torch.equal(layout.flatten(TOKENS)[layout.index_of(row, column)], TOKENS[row, column])


@pytest.mark.parametrize("shared", [0, 2])
def test_rows_come_back_with_zeros_for_padding(shared) -> None:
    layout = Layout(2, 5, shared=shared, real_BT=REAL)
    flat = layout.flatten(TOKENS)[:, None].float()
    assert torch.equal(layout.unflatten(flat)[..., 0], TOKENS.float())
    own = layout.to_rows(flat[shared:])
    assert own.shape == (2, 5 - shared, 1) and own[1, -1] == 0
    assert torch.equal(layout.from_rows(own.flatten(0, 1)), flat[shared:])


def test_little_padding_is_computed_rather_than_moved() -> None:
    """One token of padding in 40 is 2.5 %: below the share from which moving tokens pays."""
    real = torch.ones(4, 10, dtype=torch.bool)
    real[3, 9] = False
    assert Layout(4, 10, real_BT=real).index_M is None
    real[3, 8] = False
    assert Layout(4, 10, real_BT=real).index_M is not None


def test_scatter_and_gather_are_each_others_gradient() -> None:
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    index = torch.tensor([4, 0, 2])
    y = Scatter.apply(x, index, 5)
    assert torch.equal(y[index], x) and y[[1, 3]].eq(0).all()
    assert torch.equal(Gather.apply(y, index), x)
    assert gradcheck(lambda x: Scatter.apply(x, index, 5), (x,))
    assert gradcheck(lambda y: Gather.apply(y, index), (y.detach().requires_grad_(),))
