"""The forms of contractions, summed up element by element, against the ops' references."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ingot.ir.builder import op_graph
from ingot.ir.facts import Contraction
from ingot.ir.loop import index as ix
from ingot.ir.op import OPS
from ingot.ir.ops.form import Form, form_of
from ingot.ir.ops.samples import cases, types_of

CONTRACTIONS = sorted(n for n, op in OPS.items() if isinstance(op.lowering, Contraction))


def points(extents: tuple[int, ...]):
    return (tuple(map(ix.const, p)) for p in product(*map(range, extents)))


def numbers(point) -> tuple[int, ...]:
    return tuple(int(ix.evaluate(i, {})) for i in point)


def among_zeros(f: Form, x: np.ndarray) -> np.ndarray:
    """What the form reads A from."""
    if f.zeros is None:
        return x
    out = np.zeros(f.left_shape, x.dtype)
    lead = x.ndim - len(f.zeros.extent)
    for at in np.ndindex(*x.shape):
        to = [lo + i * gap for lo, i, gap in zip(f.zeros.low, at[lead:], f.zeros.gap)]
        if all(0 <= i < e for i, e in zip(to, f.zeros.extent)):
            out[(*at[:lead], *to)] = x[at]
    return out


def summed(f: Form, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    padded = among_zeros(f, x)
    for q in points(f.batch):
        for m in points(f.m):
            for n in points(f.n):
                to = f.out(q, m, n)
                assert [numbers(p) for p in f.loops(to, {})] == [numbers(p) for p in (q, m, n)]
                out[numbers(to)] += sum(padded[numbers(f.at_left(q, m, k))] * y[numbers(f.at_right(q, k, n))] for k in points(f.k))


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_a_form_means_what_the_reference_computes(name: str) -> None:
    floats = [(arrays, attrs) for arrays, attrs in cases(OPS[name], np.random.default_rng(0)) if arrays[0].dtype == np.float32]
    assert floats
    for arrays, attrs in floats:
        (node,) = op_graph(OPS[name], attrs, types_of(arrays)).nodes
        f = form_of(node)
        out = np.zeros(node.outputs[0].type.shape)
        summed(f, *arrays, out)
        np.testing.assert_allclose(out, OPS[name].ref(*arrays, *attrs), rtol=1e-5, atol=1e-5)
        assert f.order == () or sorted(f.order) == list(range(len(f.k)))


def flat(point, shape: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(numbers(point), shape))


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_contiguous_operands_lie_together_along_the_last_dim_of_k(name: str) -> None:
    seen = set()
    for arrays, attrs in cases(OPS[name], np.random.default_rng(0)):
        (node,) = op_graph(OPS[name], attrs, types_of(arrays)).nodes
        f = form_of(node)
        if f.zeros is not None or not f.k or f.k[-1] < 2 or 0 in (*f.batch, *f.m, *f.n, *f.k):
            assert not (f.contiguous and f.zeros)
            continue
        left, right = f.left.type.shape, f.right.type.shape
        steps = set()
        for q, m, n, k in product(points(f.batch), points(f.m), points(f.n), points((*f.k[:-1], f.k[-1] - 1))):
            after = (*k[:-1], ix.add(k[-1], ix.const(1)))
            steps.add(flat(f.at_left(q, m, after), left) - flat(f.at_left(q, m, k), left))
            steps.add(flat(f.at_right(q, after, n), right) - flat(f.at_right(q, k, n), right))
        assert f.contiguous == (steps == {1})
        seen.add(f.contiguous)
    if name == "dot":
        assert seen == {True, False}
