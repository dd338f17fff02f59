"""Nested tensors against torch's jagged ones: rows, padding, functions, layers, gradients, attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot

ROWS = [np.random.default_rng(i).normal(size=(n, 4)).astype(np.float32) for i, n in enumerate((3, 1, 0, 2))]


def nested(m, grad: bool = False, rows=None):
    t = m.nested.nested_tensor([m.tensor(r) for r in (rows or ROWS)], layout=m.jagged)
    return t.requires_grad_() if grad else t


CASES = [
    "t + t", "t * 2", "2 - t", "t / 2", "t.relu()", "t.exp()", "-t", "t.sin().abs()", "t > 0", "t.softmax(-1)", "t.sum(-1)", "t.double()",
    "t @ w", "m.nn.functional.linear(t, w)", "t.unflatten(-1, [2, 2]).flatten(2, 3)",
]  # fmt: skip


@pytest.mark.parametrize("expr", CASES)
def test_functions(expr: str) -> None:
    w = np.random.default_rng(9).normal(size=(4, 4)).astype(np.float32)
    mine, theirs = (eval(expr, {"m": m, "t": nested(m), "w": m.tensor(w)}) for m in (ingot, torch))
    np.testing.assert_array_equal(mine.offsets().numpy(), theirs.offsets().numpy())
    np.testing.assert_allclose(mine.values().numpy(), theirs.values().numpy(), rtol=1e-5, atol=1e-6)


def test_rows_and_padding() -> None:
    t, u = nested(ingot), nested(torch)
    np.testing.assert_array_equal(t.to_padded_tensor(-1.0).numpy(), u.to_padded_tensor(-1.0).numpy())
    strided = torch.nested.nested_tensor([torch.tensor(r) for r in ROWS])
    got = ingot.nested.to_padded_tensor(t, 0.5, (5, 6, 7)).numpy()
    np.testing.assert_array_equal(got, torch.nested.to_padded_tensor(strided, 0.5, (5, 6, 7)).numpy())
    for mine, theirs in zip(t.unbind(), u.unbind()):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert t.is_nested and t.size(0) == 4 and t.size(-1) == 4 and t.dim() == 3 and len(t) == 4 and t.lengths().tolist() == [3, 1, 0, 2]
    values = ingot.arange(6.0)
    j = ingot.nested.nested_tensor_from_jagged(values, lengths=ingot.tensor([2, 4]))
    assert j.offsets().tolist() == [0, 2, 6] and j.tolist() == [[0, 1], [2, 3, 4, 5]]
    assert ingot.nested.narrow(ingot.arange(6).reshape(2, 3), 1, 0, ingot.tensor([1, 3])).tolist() == [[0], [3, 4, 5]]
    x = ingot.tensor([[1, 0, 2], [0, 0, 3]])
    assert ingot.nested.masked_select(x, x > 0).tolist() == [[1, 2], [3]]
    assert repr(ingot.nested.nested_tensor([[1.0], [2.0, 3.0]])) == repr(torch.nested.nested_tensor([[1.0], [2.0, 3.0]]))


def test_sums_of_rows_and_gradients() -> None:
    t = nested(ingot, True)
    np.testing.assert_allclose(t.sum(1).detach().numpy(), [r.sum(0) for r in ROWS], rtol=1e-5, atol=1e-6)
    (ingot.nn.Linear(4, 2)(t).relu().to_padded_tensor(0.0) ** 2).sum().backward()
    assert t.grad.offsets().tolist() == [0, 3, 4, 4, 6]
    leaves = [ingot.tensor(r, requires_grad=True) for r in ROWS]
    (ingot.nested.as_nested_tensor(leaves) ** 2).values().sum().backward()
    for leaf, r in zip(leaves, ROWS):
        np.testing.assert_allclose(leaf.grad.numpy(), 2 * r, rtol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_that_of_each_row(causal: bool) -> None:
    rows = [r for r in ROWS if len(r)]

    def heads(m, t):
        return t.unflatten(-1, [2, 2]).transpose(1, 2)

    q = heads(ingot, nested(ingot, rows=rows))
    out = ingot.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=causal).transpose(1, 2).flatten(2)
    for got, r in zip(out.unbind(), rows):
        h = torch.tensor(r).unflatten(-1, [2, 2]).transpose(0, 1)
        want = torch.nn.functional.scaled_dot_product_attention(h, h, h, is_causal=causal).transpose(0, 1).flatten(1)
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


def test_errors() -> None:
    t = nested(ingot)
    for call, message in (
        (lambda: t.size(1), "length"), (lambda: t.size(), "shape"), (lambda: t + nested(ingot, rows=ROWS[:2]), "same lengths"),
        (lambda: t.softmax(1), "ragged"), (lambda: ingot.nested.nested_tensor([ingot.ones(2, 3), ingot.ones(2, 4)]), "first dim"),
        (lambda: ingot.nested.nested_tensor_from_jagged(ingot.ones(3)), "At least one"),
        (lambda: ingot.nested.nested_tensor_from_jagged(ingot.ones(3), ingot.tensor([0, 2])), "rise"),
        (lambda: t.to_padded_tensor(0.0, (1, 1, 1)), "less"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=message):
            call()
