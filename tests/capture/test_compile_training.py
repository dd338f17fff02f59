"""ingot.compile: training, whole steps and compiled modules in uncompiled loops."""


import numpy as np
import pytest

import ingot
from ingot import nn
from tests.support.small_net import close, data, net

F = nn.functional


OPTIMIZERS = [
    lambda p: ingot.optim.SGD(p, lr=0.1),
    lambda p: ingot.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    lambda p: ingot.optim.Adam(p, lr=0.05),
    lambda p: ingot.optim.AdamW(p, lr=0.05, amsgrad=True),
    lambda p: ingot.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_training_step_is_the_eager_one(make):
    def setup():
        model = net()
        opt = make(model.parameters())

        def step(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return loss

        return model, opt, step

    m1, o1, s1 = setup()
    m2, o2, s2 = setup()
    c = ingot.compile(s1)
    schedule = [ingot.optim.lr_scheduler.StepLR(o, 2, 0.5) for o in (o1, o2)]
    for i in range(6):
        x, y = data(6, i)
        a, b = c(x, y), s2(x, y)
        close(a.detach(), b.detach())
        for s in schedule:
            s.step()
        for p, q in zip(m1.parameters(), m2.parameters()):
            close(p.detach(), q.detach(), 1e-5)
            close(p.grad, q.grad, 1e-5)
    assert c.stats == {"calls": 6, "traces": 1, "recompiles": 0}
    with pytest.raises(RuntimeError, match="second time"):
        a.backward()


def test_gradients_that_accumulate_over_calls():
    model, other = net(), net()

    def make(m):
        def f(x, y):
            loss = F.cross_entropy(m(x), y)
            loss.backward()
            return loss

        return f

    c, e = ingot.compile(make(model)), make(other)
    for i in range(3):
        x, y = data(6, i)
        c(x, y), e(x, y)
        for p, q in zip(model.parameters(), other.parameters()):
            close(p.grad, q.grad, 1e-5)
    assert c.stats["traces"] == 2  # without gradients, and with


def test_gradient_clipping_inside():
    model, other = net(), net()

    def make(m):
        opt = ingot.optim.SGD(m.parameters(), lr=1.0)

        def f(x, y):
            opt.zero_grad()
            F.cross_entropy(m(x), y).backward()
            norm = nn.utils.clip_grad_norm_(m.parameters(), 0.1)
            opt.step()
            return norm

        return f

    c, e = ingot.compile(make(model)), make(other)
    for i in range(3):
        close(c(*data(6, i)), e(*data(6, i)), 1e-5)


def test_a_compiled_module_in_an_uncompiled_loop():
    model, other = net(), net()
    c = ingot.compile(model)
    assert isinstance(c, nn.Module) and list(c.state_dict()) == list(model.state_dict())
    for i in range(3):
        x, y = data(6, i)
        x.requires_grad_()
        x2 = x.detach().clone().requires_grad_()
        a, b = F.cross_entropy(c(x), y), F.cross_entropy(other(x2), y)
        a.backward()
        b.backward()
        close(a.detach(), b.detach())
        close(x.grad, x2.grad)
        for p, q in zip(model.parameters(), other.parameters()):
            close(p.grad, q.grad)
            p.grad = q.grad = None
    assert c.stats["traces"] == 1
    with ingot.no_grad():
        assert not c(x).requires_grad
    assert c(x).grad_fn.name() == "SequentialBackward"


def test_gradients_through_a_compiled_function_with_dropout():
    drop = nn.Dropout(0.5)
    c = ingot.compile(lambda x: (drop(x) * x).sum())
    x = ingot.ones(32, requires_grad=True)
    y = c(x)
    y.backward()
    kept = x.grad.numpy() != 0
    assert y.item() == 2.0 * kept.sum()  # backward used the mask of forward
    close(x.grad.numpy()[kept], 4.0)


def test_several_results_hooks_and_detach():
    def f(x, w):
        h = x * w
        return h.sum(), (h.detach() * w).sum(), h > 0

    c = ingot.compile(f)
    grads = []
    for fn in (f, c):
        x, w = ingot.arange(3.0).requires_grad_(), ingot.ones(3).requires_grad_()
        w.register_hook(lambda g: g * 2)
        a, b, flag = fn(x, w)
        assert not flag.requires_grad
        (a + 3 * b).backward()
        grads.append((x.grad.tolist(), w.grad.tolist()))
    assert grads[0] == grads[1]
    x, w = ingot.arange(3.0).requires_grad_(), ingot.ones(3).requires_grad_()
    c(x, w)[1].backward()
    assert x.grad is None or x.grad.tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="differentiated twice"):
        ingot.autograd.grad(c(x, w)[0], x, create_graph=True)


class Reversed(ingot.autograd.Function):
    """The identity, whose gradient has the other sign."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return -g


def test_one_value_with_two_histories():
    f = ingot.compile(lambda x, w: (lambda h: (h, Reversed.apply(h), h.detach().requires_grad_()))(x * w))
    for _ in range(3):
        w, grads = ingot.ones(2, requires_grad=True), []
        h, r, leaf = f(ingot.full((2,), 3.0), w)
        for t in (h, r, h * 2 + r):
            w.grad = None
            t.sum().backward(retain_graph=True)
            grads.append(w.grad.tolist())
        assert grads == [[3, 3], [-3, -3], [3, 3]] and leaf.is_leaf and leaf.requires_grad

    def given(x, w):  # the gradient of x is the value of h, without its history
        h = w * 2
        x.clone().backward(h)
        return h, x.grad

    for fn in (given, ingot.compile(given)):
        x, w = ingot.ones(2, requires_grad=True), ingot.ones(2, requires_grad=True)
        h, g = fn(x, w)
        assert h.requires_grad and not g.requires_grad and g is x.grad and g.tolist() == [2, 2]


def test_gradients_taken_inside():
    @ingot.compile
    def f(x):
        x = x.detach().requires_grad_()
        (g,) = ingot.autograd.grad((x**3).sum(), x, create_graph=True)
        (h,) = ingot.autograd.grad(g.sum(), x)
        return g.detach(), h

    g, h = f(ingot.tensor([1.0, 2.0]))
    assert g.tolist() == [3, 12] and h.tolist() == [6, 12]


def test_nested_compiled_functions_are_inlined():
    inner = ingot.compile(lambda x: x * 2)
    outer = ingot.compile(lambda x: inner(x) + 1)
    assert outer(ingot.ones(2)).tolist() == [3, 3]
    assert inner.stats["calls"] == 0


@pytest.mark.compiled
def test_machine_code_trains_like_the_interpreter():
    model, other = net(), net()

    def make(m):
        opt = ingot.optim.AdamW(m.parameters(), lr=0.05)

        def f(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(m(x), y)
            loss.backward()
            opt.step()
            return loss

        return f

    c, e = ingot.compile(make(model)), make(other)
    first = None
    for _ in range(10):
        x, y = data(6, 0)
        a, b = c(x, y).item(), e(x, y).item()
        assert abs(a - b) < 1e-4
        first = first or a
    assert a < first


@pytest.mark.compiled
def test_saved_values_survive_in_place_steps():
    model = net()
    opt = ingot.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)

    @ingot.compile
    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    forward = ingot.compile(model)
    x, y = data()
    for _ in range(3):
        before = [p.detach().clone() for p in model.parameters()]
        kept = [b.numpy().copy() for b in before]
        out = forward(x)
        step(x, y)
        assert all(np.array_equal(b.numpy(), k) for b, k in zip(before, kept))
        assert not any(np.array_equal(p.detach().numpy(), k) for p, k in zip(model.parameters(), kept))
        for p in model.parameters():
            p.grad = None
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):  # as eager
            out.sum().backward()


def test_a_gradient_penalty_inside_a_step():
    model, other = net(), net()

    def make(m):
        opt = ingot.optim.SGD(m.parameters(), lr=0.1)

        def f(x):
            opt.zero_grad()
            x = x.detach().requires_grad_()
            y = m(x).sum()
            (g,) = ingot.autograd.grad(y, x, create_graph=True)
            loss = (g * g).sum() + y
            loss.backward()
            opt.step()
            return loss, x.grad

        return f

    c, e = ingot.compile(make(model)), make(other)
    for i in range(3):
        x, _ = data(6, i)
        for a, b in zip(c(x), e(x)):
            close(a.detach(), b, 1e-5) if not b.requires_grad else close(a.detach(), b.detach(), 1e-5)
    assert c.stats["traces"] == 1


def test_averaged_parameters_with_a_run_time_weight():
    model = net()
    average = [p.detach().clone() for p in model.parameters()]

    @ingot.compile
    def update(w):
        with ingot.no_grad():
            for a, p in zip(average, model.parameters()):
                a.lerp_(p, w)

    with ingot.no_grad():
        for p in model.parameters():
            p.mul_(3)
    want = [a.numpy() * 0.5 + p.detach().numpy() * 0.5 for a, p in zip(average, model.parameters())]
    update(0.5)
    for a, w in zip(average, want):
        close(a, w)
    update(1.0)
    for a, p in zip(average, model.parameters()):
        close(a, p.detach())
    assert update.stats["traces"] == 1
