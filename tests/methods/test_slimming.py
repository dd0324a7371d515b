"""Which heads and neurons may be taken out: by their effect on the output, tried on plain matrices."""

import pytest
import torch

from biasmask.methods.slimming import kept_units, rows_of_heads, whole_heads, whole_neurons


def test_value_rows_or_output_columns_make_a_head_whole():
    rows = torch.tensor([1, 1, 1, 0, 0, 0, 1, 0], dtype=torch.bool)
    columns = torch.tensor([0, 0, 0, 1, 1, 1, 0, 1], dtype=torch.bool)
    assert whole_heads(rows, columns, 4).tolist() == [True, False, True, False]
    assert whole_heads(rows, columns, 8).all()


def attention(x, query, key, value, output, kept):
    """Attention of the heads of two rows each whose rows are kept, without scaling or bias."""
    parts = []
    for rows in kept.split(2):
        weights = (x @ query[rows].T @ (x @ key[rows].T).T).softmax(-1)
        parts.append(weights @ x @ value[rows].T)
    return torch.cat(parts, 1) @ output[:, kept].T


def test_a_whole_head_adds_nothing_but_one_of_a_masked_query_does():
    generator = torch.Generator().manual_seed(0)
    x, query, key, value, output = (torch.randn(6, 6, generator=generator) for _ in range(5))
    middle, all_rows, others = torch.tensor([2, 3]), torch.arange(6), rows_of_heads(torch.tensor([0, 2]), 2)
    no_value, no_query = value.index_fill(0, middle, 0), query.index_fill(0, middle, 0)
    assert whole_heads((no_value == 0).all(1), (output == 0).all(0), 3).tolist() == [False, True, False]
    without = attention(x, query, key, value, output, others)
    torch.testing.assert_close(attention(x, query, key, no_value, output, all_rows), without)
    assert (attention(x, no_query, key, value, output, all_rows) - without).abs().max() > 0.1


def test_neurons_are_whole_by_column_or_by_row_where_zero_stays_zero():
    rows, columns = torch.tensor([True, False, True, False]), torch.tensor([False, True, True, False])
    assert whole_neurons(rows, columns).tolist() == [True, True, True, False]
    assert whole_neurons(rows, columns, zero_stays_zero=False).tolist() == [False, True, True, False]


def test_one_unit_always_stays():
    assert kept_units(torch.tensor([False, True, False])).tolist() == [0, 2]
    assert kept_units(torch.ones(3, dtype=torch.bool)).tolist() == [0]


def test_lengths_that_dont_fit():
    with pytest.raises(ValueError, match="divided by 3 heads"):
        whole_heads(torch.zeros(4), torch.zeros(4), 3)
    with pytest.raises(ValueError, match="same length"):
        whole_heads(torch.zeros(4), torch.zeros(6), 2)
    with pytest.raises(ValueError, match="vectors of the same length"):
        whole_neurons(torch.zeros(4), torch.zeros(3))
