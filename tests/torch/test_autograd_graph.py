"""forward_ad, autograd.graph and batched gradients beside torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot

BOTH = (torch, ingot)


def close(*runs):
    theirs, mine = (run() for run in runs)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a.tolist()), np.asarray(b.tolist()), rtol=1e-6)


def both(run):
    close(*(lambda m=m: run(m) for m in BOTH))


def test_dual_tensors():
    def run(m):
        fwd = m.autograd.forward_ad
        x, t = m.tensor([1.0, 2.0, 3.0]), m.tensor([1.0, 0.0, 2.0])
        w = m.tensor([2.0, 2.0, 2.0], requires_grad=True)
        with fwd.dual_level():
            d = fwd.make_dual(x, t)
            y = (d * d * w).sin() * d
            value, tangent = fwd.unpack_dual(y)
            assert fwd.unpack_dual(x).tangent is None
            (mixed,) = m.autograd.grad(tangent.sum(), w)
            left = d * 3
        assert fwd.unpack_dual(left).tangent is None
        return value, tangent, mixed, left, left + 1

    both(run)
    fwd = ingot.autograd.forward_ad
    with pytest.raises(RuntimeError, match="no level exists"):
        fwd.make_dual(ingot.ones(2), ingot.ones(2))
    with fwd.dual_level():
        with pytest.raises(RuntimeError, match="Expected tangent"):
            fwd.make_dual(ingot.ones(2), ingot.ones(3))
        with pytest.raises(ValueError, match="floating point"):
            fwd.make_dual(ingot.ones(2).long(), ingot.ones(2).long())
        with pytest.raises(RuntimeError, match="Nested"), fwd.dual_level():
            pass
    assert ingot.ones(2).sum().item() == 2.0


def test_batched_gradients():
    def run(m):
        x = m.tensor([1.0, 2.0, 3.0], requires_grad=True)
        w = m.tensor([2.0, 0.5, 1.0], requires_grad=True)
        y = (x * w).sin().cumsum(0)
        a, b = m.autograd.grad(y, (x, w), m.eye(3), is_grads_batched=True, retain_graph=True)
        (c,) = m.autograd.grad(y, x, m.eye(3) * 2, is_grads_batched=True, create_graph=True)
        (d,) = m.autograd.grad(c.sum(), w)
        return a, b, c, d

    both(run)


def test_saved_tensors_hooks():
    def run(m):
        seen = []

        def pack(t):
            seen.append(tuple(t.shape))
            return t * 2

        x = m.tensor([1.0, 2.0], requires_grad=True)
        with m.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            y = x.exp()
        y.sum().backward()
        assert seen == [(2,)]
        with m.autograd.graph.save_on_cpu():
            z = x.sin()
        (g,) = m.autograd.grad(z.sum(), x)
        return x.grad, g

    both(run)
    with ingot.autograd.graph.disable_saved_tensors_hooks("none of these"):
        with pytest.raises(RuntimeError, match="none of these"), ingot.autograd.graph.save_on_cpu():
            pass


def test_edges_versions_and_hooks():
    def run(m):
        g = m.autograd.graph
        x = m.tensor([1.0, 2.0], requires_grad=True)
        y = x * x
        edge = g.get_gradient_edge(y)
        z = y.sin()
        (a,) = m.autograd.grad(z.sum(), edge, retain_graph=True)
        calls = []
        w = m.tensor([3.0, 4.0], requires_grad=True)
        unused = m.tensor([1.0], requires_grad=True)
        handle = g.register_multi_grad_hook((x, w, unused), lambda gs: calls.append([None if v is None else v.tolist() for v in gs]))
        once = g.register_multi_grad_hook((x, w), lambda v: calls.append("any"), mode="any")
        for _ in range(2):
            (x * w).sum().backward()
        handle.remove()
        once.remove()
        (x * w).sum().backward()
        assert len(calls) == 4 and calls[0 if calls[0] != "any" else 1] == [[3.0, 4.0], [1.0, 2.0], None]
        with g.allow_mutation_on_saved_tensors():
            p = x * 2
            q = (p * p).sum()
            p.add_(1)
            (b,) = m.autograd.grad(q, x)
        return a, b

    both(run)
    x = ingot.ones(2, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    ingot.autograd.graph.increment_version(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


@pytest.mark.parametrize("T", [ingot, torch])
def test_hooks_of_nodes_before_and_after(T):
    seen = []
    x = T.ones(2, requires_grad=True)
    y = x * 2
    handle = y.grad_fn.register_prehook(lambda grads: seen.append(len(grads)))
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 10,))
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append(outputs[0].tolist()))
    y.sum().backward()
    handle.remove()
    assert seen == [1, [10, 10]] and x.grad.tolist() == [20, 20]
