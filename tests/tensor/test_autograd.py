"""The tape: accumulation, hooks, versions, in-place, double backward, custom functions."""

import functools

import numpy as np
import pytest

import ingot
from ingot.autograd import Function, grad, gradcheck, gradgradcheck
from ingot.autograd.functional import hessian, hvp, jacobian, jvp, vjp


def leaf(*values):
    return ingot.tensor(list(values), requires_grad=True)


def double(*shape, seed=0):
    return ingot.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def test_gradients_accumulate():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    g = x.grad
    (x * 3).sum().backward()
    assert x.grad is g and g.tolist() == [5, 7]
    x.grad = None
    (x * x * x).sum().backward()
    assert x.grad.tolist() == [3, 12] and g.tolist() == [5, 7]


def test_a_value_used_twice_and_dead_branches():
    x = leaf(2.0)
    y = x * x
    z = y + y * x
    unused = ingot.exp(y)
    z.sum().backward()
    assert x.grad.item() == 2 * 2 + 3 * 4
    del unused


def test_requires_grad_and_leaves():
    x = leaf(1.0)
    y = x * 2
    assert x.is_leaf and not y.is_leaf and y.requires_grad and x.grad_fn is None
    assert y.grad_fn.name() == "MulBackward0" and y.grad_fn.next_functions[0][0].name() == "AccumulateGrad"
    assert y.grad_fn.next_functions[0][0].variable is x
    assert not y.detach().requires_grad and not (x > 0).requires_grad
    with pytest.raises(RuntimeError, match="leaf variables"):
        y.requires_grad_(False)
    with pytest.raises(RuntimeError, match="floating point"):
        ingot.tensor([1]).requires_grad_()
    assert not ingot.ones(2).requires_grad
    x.requires_grad_(False)
    assert not (x * 2).requires_grad


def test_grad_modes():
    x = leaf(1.0)
    with ingot.no_grad():
        assert not (x * 2).requires_grad
        with ingot.enable_grad():
            assert (x * 2).requires_grad
    with ingot.inference_mode():
        assert not (x * 2).requires_grad and ingot.is_inference_mode_enabled()
    assert (x * 2).requires_grad and not ingot.is_inference_mode_enabled()

    @ingot.no_grad()
    def f():
        return x * 2

    @ingot.no_grad
    def g():
        return x * 2

    @ingot.no_grad()
    def gen():
        yield ingot.is_grad_enabled()
        yield ingot.is_grad_enabled()

    assert not f().requires_grad and not g().requires_grad
    for inside in gen():
        assert inside is False and ingot.is_grad_enabled()
    with ingot.set_grad_enabled(False):
        assert not ingot.is_grad_enabled()
    assert ingot.is_grad_enabled()
    ingot.set_grad_enabled(False)
    assert not ingot.is_grad_enabled()
    ingot.set_grad_enabled(True)


def test_backward_errors():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        ingot.ones(1).backward()
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    with pytest.raises(RuntimeError, match="shape"):
        (x * 2).backward(ingot.ones(3))
    (x * 2).backward(ingot.ones(2, dtype=ingot.float64))  # is converted
    assert x.grad.dtype is ingot.float32


def test_backward_with_inputs_leaves_others_alone():
    a, b = leaf(2.0), leaf(3.0)
    (a * b).sum().backward(inputs=[a])
    assert a.grad.item() == 3 and b.grad is None


def test_grad_function():
    a, b, c = leaf(2.0), leaf(3.0), leaf(1.0)
    y = a * b
    ga, gb = grad(y.sum(), (a, b), retain_graph=True)
    assert (ga.item(), gb.item(), a.grad) == (3, 2, None)
    with pytest.raises(RuntimeError, match="allow_unused"):
        grad(y.sum(), c, retain_graph=True)
    assert grad(y.sum(), (a, c), allow_unused=True, retain_graph=True)[1] is None
    assert grad(y.sum(), (a, c), materialize_grads=True, retain_graph=True)[1].item() == 0
    (gy,) = grad((y * y).sum(), y)
    assert gy.item() == 12  # with respect to a value on the way


def test_double_backward():
    x = leaf(2.0)
    (g,) = grad((x**3).sum(), x, create_graph=True)
    assert g.item() == 12
    (gg,) = grad(g.sum(), x, create_graph=True)
    (ggg,) = grad(gg.sum(), x)
    assert (gg.item(), ggg.item()) == (12, 6)
    (x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad


@pytest.mark.parametrize("fn", [ingot.tanh, ingot.exp, ingot.sigmoid, lambda x: ingot.softmax(x, -1), lambda x: ingot.logsumexp(x, 0)])
def test_second_derivatives(fn):
    x = double(2, 3)
    assert gradcheck(fn, x) and gradgradcheck(fn, x)


def test_views_and_in_place_have_gradients():
    def f(x):
        y = x * 1.5
        y[0] = y[1] * 2
        y.t()[1].mul_(x[0, 0])
        v = y[:, ::2]
        v.add_(x[:, 1:].sum())
        return y.exp()

    x = double(2, 3)
    assert gradcheck(f, x) and gradgradcheck(f, x)


def test_in_place_history():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    v = y[1:]
    v.mul_(5)
    assert y.tolist() == [2, 20, 30] and y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2, 10, 10]
    z = ingot.zeros(3)
    z[0] = leaf(4.0).sum()
    assert z.requires_grad  # writing a value that requires gradients
    w = leaf(1.0) * 2
    w.zero_()
    assert w.requires_grad and not w.is_leaf


def test_leaves_refuse_in_place():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        x[0:1].add_(1)
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 3
    with ingot.no_grad():
        x.add_(1)
        x[0] = 5
    x.data.mul_(2)
    assert x.tolist() == [10, 6] and x.is_leaf and x.requires_grad
    x.detach().zero_()
    assert x.tolist() == [0, 0]


def test_saved_tensors_must_not_change():
    x = leaf(1.0, 2.0)
    a = x * 2
    y = (a * a).sum()
    a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    w = leaf(3.0)
    y = (w * w).sum()
    with ingot.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation.*version 1; expected version 0"):
        y.backward()
    b = x * 2
    e = b.exp()
    e.add_(1)  # exp saves its result
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        e.sum().backward()
    c = x * 2
    s = c + 1  # add saves nothing
    c.add_(1)
    s.sum().backward()
    w2 = leaf(3.0)
    y = (w2 * w2).sum()
    w2.data.add_(1)  # not counted
    y.backward()
    assert w2.grad.item() == 6
    base = x * 2
    y = (base[1:] * base[1:]).sum()
    base[0] = 0  # shares memory with what was saved
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.backward()


def test_hooks():
    x = leaf(1.0, 2.0)
    seen = []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    h = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    post = []
    x.register_post_accumulate_grad_hook(lambda t: post.append(t.grad.tolist()))
    y.sum().backward()
    assert seen == [[1, 1]] and x.grad.tolist() == [21, 21] and post == [[21, 21]]
    h.remove()
    x.grad = None
    y = x * 2
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        ingot.ones(1).register_hook(print)
    z = x * 3
    z.grad_fn.register_hook(lambda gin, gout: (gin[0] * 2,) + gin[1:])
    (g,) = grad(z.sum(), x)
    assert g.tolist() == [7, 7]


def test_retain_grad():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    (y * 3).sum().backward(retain_graph=True)
    assert y.grad.item() == 3 and y.retains_grad
    first = y.grad
    (y * y).sum().backward(retain_graph=True)  # it is added up, as a leaf's
    assert y.grad.item() == 7 and first.item() == 3
    y.grad = None
    (y * 2).sum().backward()
    assert y.grad.item() == 2
    assert (x * 2).grad is None


def test_custom_functions():
    class Cube(Function):
        @staticmethod
        def forward(ctx, x, n):
            ctx.save_for_backward(x)
            ctx.n = n
            return x**3 * n

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False)
            return 3 * x * x * ctx.n * g, None

    x = double(3)
    assert gradcheck(lambda t: Cube.apply(t, 2), x) and gradgradcheck(lambda t: Cube.apply(t, 2), x)
    assert Cube.apply(x, 2).grad_fn.name() == "CubeBackward"

    class Exp(Function):  # saves its output, and has a second one without gradients
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            flag = x > 0
            ctx.save_for_backward(y)
            ctx.mark_non_differentiable(flag)
            return y, flag

        @staticmethod
        def backward(ctx, g, _):
            (y,) = ctx.saved_tensors
            return y * g

    y, flag = Exp.apply(x)
    assert y.requires_grad and not flag.requires_grad
    assert gradcheck(lambda t: Exp.apply(t)[0], x) and gradgradcheck(lambda t: Exp.apply(t)[0], x)

    class Wrong(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        Wrong.apply(x, x).sum().backward()


def test_once_differentiable():
    from ingot.autograd.function import once_differentiable

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g

    x = leaf(3.0)
    (g,) = grad((Square.apply(x) * x).sum(), x, create_graph=True)
    assert g.item() == 27
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_gradcheck_finds_a_wrong_gradient():
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    x = double(2)
    assert not gradcheck(Bad.apply, x, raise_exception=False)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(Bad.apply, x)
    with pytest.raises(ValueError):
        gradcheck(ingot.exp, ingot.ones(2))


def test_functional():
    x = ingot.tensor([1.0, 2.0, 3.0])
    assert jacobian(lambda t: t * t, x).tolist() == [[2, 0, 0], [0, 4, 0], [0, 0, 6]]
    assert hessian(lambda t: (t**3).sum(), x).tolist() == [[6, 0, 0], [0, 12, 0], [0, 0, 18]]
    v = ingot.tensor([1.0, 0.5, 0.0])
    assert vjp(lambda t: t * t, x, v)[1].tolist() == [2, 2, 0]
    assert jvp(lambda t: t * t, x, v)[1].tolist() == [2, 2, 0]
    assert hvp(lambda t: (t**3).sum(), x, v)[1].tolist() == [6, 6, 0]
    a, b = jacobian(lambda s, t: s * t, (x, x + 1))
    assert a.shape == (3, 3) and b[1, 1].item() == 2


def test_anomaly_mode_names_the_step():
    x = leaf(-1.0)
    with ingot.autograd.detect_anomaly():
        y = ingot.sqrt(x).sum()
        with pytest.raises(RuntimeError, match="SqrtBackward0.*nan"):
            y.backward()


def test_detach_in_place():
    x = leaf(2.0)
    y = x * 3
    y.detach_()
    assert y.is_leaf and not y.requires_grad
    y.requires_grad_()
    (y * y).sum().backward()
    assert y.grad.item() == 12 and x.grad is None
    with pytest.raises(RuntimeError, match="views"):
        x[0:1].detach_()


def test_gradients_that_are_zero():
    x = leaf(1.5, -0.5)
    x.floor().sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_leaves_get_their_gradients_in_one_order_wherever_they_are_in_memory():
    orders = []
    for seed in range(4):
        made = np.random.default_rng(seed).permutation(8)
        leaves = {}
        for i in made:
            leaves[i] = ingot.ones(1, requires_grad=True)
        order = []
        for i, leaf in leaves.items():
            leaf.register_post_accumulate_grad_hook(functools.partial(lambda to, i, t: to.append(i), order, i))
        sum(leaves[i] * 2 for i in range(8)).sum().backward()
        orders.append(order)
    assert len(set(map(tuple, orders))) == 1 and sorted(orders[0]) == list(range(8))
