"""Keys and values where they were written, for the rows that are left."""

import torch

from repo_exp.models.cache import Cache


def keys(rows: int, columns: int, start: float = 0.0) -> torch.Tensor:
    """(B, 1, T, 1) with a number of its own for each row and column: 10 row + column."""
    return start + 10.0 * torch.arange(rows)[:, None, None, None] + torch.arange(columns)[None, None, :, None]


def cache(rows: int = 2, columns: int = 4) -> Cache:
    return Cache(1, (rows, 1, columns, 1), dtype=torch.float32, device=torch.device("cpu"))


def test_tokens_are_written_behind_those_that_are_there() -> None:
    made = cache()
    k, v = made.put(0, keys(2, 2), -keys(2, 2))
    assert torch.equal(k, keys(2, 2)) and torch.equal(v, -keys(2, 2))
    made.advance(2)
    k, _ = made.put(0, keys(2, 2, start=2.0), keys(2, 2))
    assert torch.equal(k, keys(2, 4)) and made.filled == 2, "every layer writes before the columns are counted"


def test_a_single_token_gets_the_whole_room_without_a_copy() -> None:
    made = cache()
    k, _ = made.put(0, keys(2, 1) + 1, keys(2, 1))
    assert k.shape[2] == 4 and k[:, 0, 0, 0].tolist() == [1, 11]
    made.advance(1)
    again, _ = made.put(0, keys(2, 1) + 2, keys(2, 1))
    assert again.data_ptr() == k.data_ptr() and again[:, 0, :, 0].tolist() == [[1, 2, 0, 0], [11, 12, 0, 0]]


def test_room_grows_and_keeps_what_is_there() -> None:
    made = cache(columns=1)
    made.put(0, keys(2, 1), keys(2, 1))
    made.advance(1)
    made.grow(2)
    assert made.columns == 3
    k, _ = made.put(0, keys(2, 2, start=1.0), keys(2, 2))
    assert torch.equal(k, keys(2, 3))


def test_rows_are_kept_in_the_order_that_is_asked_for_and_more_than_once() -> None:
    made = cache()
    made.put(0, keys(2, 1), keys(2, 1))
    made.advance(1)
    made.select(torch.tensor([1, 1, 0]))
    k, v = made.put(0, keys(3, 2) + 100, keys(3, 2))
    assert k[:, 0, :, 0].tolist() == [[10, 100, 101], [10, 110, 111], [0, 120, 121]]
    assert v.shape == k.shape


def test_a_view_of_some_rows_writes_into_the_whole() -> None:
    made = cache(rows=3)
    view = made.view(slice(1, 3))
    view.put(0, keys(2, 2) + 5, keys(2, 2))
    view.advance(2)
    assert made.filled == 0, "the whole counts for itself"
    assert made._keys[0][:, 0, 0, 0].tolist() == [0, 5, 15]


def test_a_shared_prefix_is_copied_into_every_row_or_kept_once() -> None:
    prefix = cache(rows=1, columns=2)
    prefix.put(0, keys(1, 2) + 7, keys(1, 2))
    prefix.advance(2)
    copied, kept = cache(), cache()
    copied.copy_from(prefix)
    assert copied.filled == 2 and copied._keys[0][:, 0, :2, 0].tolist() == [[7, 8], [7, 8]]
    assert copied.shared_prefix(0) is None
    kept.set_shared_prefix(prefix)
    assert kept.filled == 0 and kept.shared_prefix(0)[0][0, 0, :, 0].tolist() == [7, 8]
    kept.select(torch.tensor([1]))
    assert kept.shared_prefix(0)[0].shape[0] == 1 and kept.view(slice(0, 1)).shared_prefix(0) is not None
