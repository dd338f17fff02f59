"""Every row of the simplifier's table, alone, against the interpreter, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.dtypes import DType, by_name
from ingot.ir.graph import Graph, Value
from ingot.ir.op import OPS
from ingot.ir.passes.dce import dce
from ingot.ir.passes.pattern import Just, Rule, Splat, Var
from ingot.ir.passes.rules import RULES
from ingot.ir.passes.simplify import Simplifier, _index
from ingot.ir.types import tensor_type
from ingot.ir.verify import verify


def instance(rule: Rule, dtype: DType) -> Graph:
    """The rule's pattern as a graph: an input per Var, constants for Splats."""
    b = Builder("row")
    inputs: dict[str, Value] = {}

    def attribute(want):
        if type(want) is Just:
            return want.value
        value = rule.attrs[want]
        if want in "de":  # dtypes
            return dtype if value is None else by_name(value)
        return value

    def make(p, is_mask: bool = False) -> Value:
        if isinstance(p, Var):
            if p.name not in inputs:
                d = by_name("bool") if p.name == "c" else dtype
                inputs[p.name] = b.input(tensor_type(d, rule.shapes.get(p.name, (2, 3))), p.name)
            return inputs[p.name]
        if isinstance(p, Splat):
            return b.constant(p.value, by_name("bool") if is_mask else dtype)
        args = tuple(make(a, p.op == "select" and i == 0) for i, a in enumerate(p.args))
        op = OPS[p.op]
        return b.emit(op, args, op.attr_tuple({k: attribute(v) for k, v in p.attrs.items()}))[0]

    return b.freeze((make(rule.pattern),))


SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 2.5, -3.5, 1e-40, 65504.0]


def arrays(graph: Graph, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    out = []
    for t in graph.in_types:
        if t.dtype.kind == "b":
            a = rng.integers(0, 2, t.shape)
        elif t.dtype.kind == "f":
            a = np.where(rng.random(t.shape) < 0.5, rng.choice(SPECIAL, t.shape), rng.standard_normal(t.shape))
        else:
            info = np.iinfo(t.dtype.numpy)
            a = rng.integers(info.min, info.max, t.shape, endpoint=True, dtype=t.dtype.numpy)
        with np.errstate(all="ignore"):
            out.append(np.asarray(a).astype(t.dtype.numpy))
    return out


def assert_same_bits(got: np.ndarray, want: np.ndarray) -> None:
    assert got.dtype == want.dtype and got.shape == want.shape
    g, w = np.ascontiguousarray(got), np.ascontiguousarray(want)
    bits = f"u{g.dtype.itemsize}"
    same = g.view(bits) == w.view(bits)
    if g.dtype.kind not in "biu":
        same |= np.isnan(g) & np.isnan(w)
    assert same.all(), f"{g} is not {w}"


def work(graph: Graph) -> int:
    """Nodes that compute; those that only say where values stand are free."""
    return sum(n.op.name not in ("constant", "broadcast", "reshape") for n in graph.nodes)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_row(rule):
    for name in rule.dtypes:
        before = instance(rule, by_name(name))
        verify(before)
        s = Simplifier(before, _index((rule,)))
        after = dce(s.run())
        verify(after)
        assert s.fired[rule.name] >= 1, f"the row does not apply to its own example:\n{before}"
        assert work(after) <= work(before)
        for seed in range(5):
            data = arrays(before, seed)
            for got, want in zip(interpret.run(after, data), interpret.run(before, data)):
                assert_same_bits(got, want)


def test_names_are_unique():
    assert len({r.name for r in RULES}) == len(RULES)
