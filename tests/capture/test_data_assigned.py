"""`.data` that compiled functions assign: the tensor shows other memory from then on, as in eager code."""

import numpy as np
import pytest

import ingot
from ingot import nn


def fresh():
    p = nn.Parameter(ingot.tensor([1.0, 2.0]))

    def f(x):
        p.data = p.data * 0.5 + x
        return p * 2

    return f, lambda: [p], lambda i: (ingot.ones(2) * i,)


def restored():
    """As adversarial training does: climb, then back to what was."""
    layer = nn.Linear(2, 2)
    with ingot.no_grad():
        layer.weight.copy_(ingot.eye(2))
        layer.bias.zero_()
    optimizer, backup = ingot.optim.SGD(layer.parameters(), 0.1, momentum=0.9), {}

    def f(x):
        layer(x).square().sum().backward()
        for name, p in layer.named_parameters():
            backup[name] = p.data.clone()
            p.data.add_(0.1 * p.grad / p.grad.norm())
        loss = layer(x).square().sum()
        loss.backward()
        for name, p in layer.named_parameters():
            p.data = backup[name]
        backup.clear()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return f, lambda: list(layer.parameters()), lambda i: (ingot.ones(3, 2) * (i + 1),)


def swapped():
    p, q = nn.Parameter(ingot.tensor([1.0, 2.0])), nn.Parameter(ingot.tensor([3.0, 4.0]))

    def f(x):
        p.data, q.data = q.data, p.data
        with ingot.no_grad():
            p.add_(x)
        return p - q

    return f, lambda: [p, q], lambda i: (ingot.ones(2) * i,)


def shared():
    p, s = nn.Parameter(ingot.tensor([1.0, 2.0])), ingot.tensor([5.0, 6.0])

    def f(x):
        p.data = s
        with ingot.no_grad():
            p.add_(x)
        return p * 1

    return f, lambda: [p, s], lambda i: (ingot.ones(2) * i,)


def written_before_and_after():
    p = nn.Parameter(ingot.tensor([1.0, 2.0]))
    before = p.data

    def f(x):
        with ingot.no_grad():
            p.mul_(2)
        p.data = p.data + x
        with ingot.no_grad():
            p.mul_(3)
        return p * 1

    return f, lambda: [p, before], lambda i: (ingot.ones(2) * i,)


def argument():
    a = ingot.ones(2, requires_grad=True)
    before = a.data

    def f(t, x):
        t.data = t.data * 2 + x
        return (t * t).sum(), t

    return f, lambda: [a, before], lambda i: (a, ingot.ones(2) * i)


def arguments_swapped():
    a = [ingot.ones(2), ingot.zeros(2)]

    def f(t, u):
        old = t.data
        t.data, u.data = u.data + 1, t.data
        return old, t

    return f, lambda: a, lambda i: tuple(a)


def kept():
    p, keep = nn.Parameter(ingot.tensor([1.0, 2.0])), {}

    def f(x):
        keep["old"] = p.data
        p.data = p.data + x
        keep["old"].mul_(2)
        return keep["old"] * 1

    return f, lambda: [p, keep["old"]], lambda i: (ingot.ones(2) * i,)


def turned():
    p = nn.Parameter(ingot.tensor([[1.0, 2.0], [3.0, 4.0]]))

    def f(x):
        p.data = p.data.t()
        with ingot.no_grad():
            p[0].add_(x)
        return p * 1

    return f, lambda: [p], lambda i: (ingot.ones(2) * i,)


def of_the_call():
    def f(x):
        d = ingot.zeros_like(x).requires_grad_()
        for _ in range(3):
            ((x + d) ** 2).sum().backward()
            d.data = (d + 0.1 * d.grad.sign()).clamp(-0.25, 0.25)
            d.grad.zero_()
        return d.detach()

    return f, lambda: [], lambda i: (ingot.ones(2) * i,)


def history_of_what_was():
    p = nn.Parameter(ingot.tensor([1.0, 2.0]))

    def f(x):
        y = (p * p * x).sum()
        p.data = p.data + 1
        y.backward()
        g, p.grad = p.grad, None
        return y.detach(), g

    return f, lambda: [p], lambda i: (ingot.ones(2) * i,)


CASES = [
    fresh, restored, swapped, shared, written_before_and_after, argument, arguments_swapped, kept, turned, of_the_call, history_of_what_was,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_equals_eager(case):
    seen = []
    for compiled in (False, True):
        f, state, arguments = case()
        g = ingot.compile(f) if compiled else f
        seen.append([])
        for i in range(5):
            result = g(*arguments(i))
            results = result if isinstance(result, tuple) else (result,)
            seen[-1] += [x.detach().numpy().copy() for x in (*results, *state())]
    for i, (a, b) in enumerate(zip(*seen)):
        np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=str(i))
    assert g.stats["traces"] <= (2 if case in (shared, kept) else 1)


def test_memory_that_is_shared_meanwhile():
    p, q = nn.Parameter(ingot.tensor([1.0, 2.0])), ingot.zeros(2)

    @ingot.compile
    def f():
        with ingot.no_grad():
            p.mul_(2)
        p.data = p.data + q
        return q * 1

    assert f().tolist() == [0, 0] and p.tolist() == [2, 4]
    p.data = q  # what the function writes to is what it reads now
    q.add_(1)
    assert f().tolist() == [2, 2] and p.tolist() == [4, 4] and q.tolist() == [2, 2]
    assert f().tolist() == [2, 2] and p.tolist() == [10, 10]


def test_another_kind_of_data_is_refused():
    p = nn.Parameter(ingot.ones(2))

    @ingot.compile
    def f():
        p.data = ingot.zeros(3)

    with pytest.raises(ingot.CaptureError, match=r"assigns .data of f32\[3\] where f32\[2\] was"):
        f()
    assert p.tolist() == [1, 1]


@pytest.mark.parametrize("change", [
    lambda b: b.t_(), lambda b: b.transpose_(0, 1), lambda b: b.unsqueeze_(0), lambda b: b.as_strided_((2, 2), (1, 2)),
    lambda b: setattr(b, "data", b.data.t()), lambda b: b.set_(ingot.arange(9.0, 13.0).reshape(2, 2)), lambda b: b.resize_(1, 2),
])  # fmt: skip
def test_captured_tensors_that_show_something_else_meanwhile(change):
    b = ingot.arange(4.0).reshape(2, 2).clone()
    f = ingot.compile(lambda: b * ingot.tensor([1.0, 2.0]))
    f()
    change(b)
    assert f().tolist() == (b * ingot.tensor([1.0, 2.0])).tolist()


def test_a_captured_leaf_that_forgets_its_history():
    p = nn.Parameter(ingot.ones(2))
    f = ingot.compile(lambda: p * 2)
    assert f().requires_grad
    p.detach_()
    assert not f().requires_grad and not p.requires_grad


def test_detached_tensors_are_no_views():
    x, y = ingot.ones(2), ingot.ones(2, requires_grad=True)
    for t in (x.detach(), x.data, x[:1].detach(), (y * 1).detach(), nn.Parameter(x)):
        assert not t._is_view() and t._base is None and not t.detach_().requires_grad
    for v in (x[:1], y[:1], x.detach()[:1]):
        assert v._is_view() and v._base is not None
        with pytest.raises(RuntimeError, match="detach views in-place"):
            v.detach_()
    assert y.requires_grad


def test_data_given_to_and_fro_stays_short():
    p, q = nn.Parameter(ingot.ones(2)), nn.Parameter(ingot.zeros(2))
    for _ in range(9):
        p.data, q.data = q.data, p.data
    assert len(p._steps) == len(q._steps) == 1 and p.tolist() == [0, 0]


def test_what_shares_the_memory_that_was_given():
    def make():
        class Held:
            t = ingot.ones(2)

        p, q, held = nn.Parameter(ingot.zeros(2)), nn.Parameter(ingot.zeros(2)), Held()

        def f(x):
            p.data = (x * 2).detach()
            held.t = p.data
            q.data = held.t.data
            return q.data

        return f, lambda: [p, q, held.t]

    seen = []
    for compiled in (False, True):
        f, state = make()
        g = ingot.compile(f) if compiled else f
        results = []
        for i in range(3):
            results.append(g(ingot.ones(2) * i))
            with ingot.no_grad():
                state()[i].add_(10)  # the others and the result follow
            results += [t.detach().clone() for t in state()]
        seen.append([r.tolist() for r in results])
    assert seen[0] == seen[1] and seen[0][:4] == [[10, 10]] * 4
