"""Laws of the transforms: what holds between them, whatever the function."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from ingot import func, nn

F = nn.functional


def numbers(*shape, seed=0):
    return ingot.tensor(np.random.default_rng(seed).standard_normal(shape))


def pairwise(x):
    return (x.unsqueeze(0) - x.unsqueeze(1)).tanh().sum(1) * x.exp()


def attended(x):
    return ingot.softmax(ingot.outer(x, x.sin()), -1) @ x


FUNCTIONS = [pairwise, attended, lambda x: ingot.cumprod(x, 0), lambda x: x.sort()[0] * x, lambda x: F.gelu(x) * x[[2, 0, 1, 1]]]


@pytest.mark.parametrize("f", FUNCTIONS)
def test_vmap_is_a_loop(f):
    x = numbers(3, 4)
    for transformed in (f, func.jacrev(f), func.jacfwd(f), lambda x: func.jvp(f, (x,), (x.cos(),))[1]):
        ingot.testing.assert_close(func.vmap(transformed)(x), ingot.stack([transformed(r) for r in x]))
    ingot.testing.assert_close(func.vmap(f, in_dims=1, out_dims=1)(x.t()), func.vmap(f)(x).t())
    ingot.testing.assert_close(func.vmap(f, chunk_size=2)(x), func.vmap(f)(x))


@pytest.mark.parametrize("f", FUNCTIONS)
def test_tangents_and_cotangents_are_dual(f):
    x, t, c = (numbers(4, seed=k) for k in range(3))
    y, back = func.vjp(f, x)
    value, pushed = func.jvp(f, (x,), (t,))
    ingot.testing.assert_close(value, y)
    ingot.testing.assert_close((pushed * c).sum(), (back(c)[0] * t).sum())
    value, push = func.linearize(f, x)
    ingot.testing.assert_close(value, y)
    for _ in range(2):
        ingot.testing.assert_close(push(t), pushed)
    ingot.testing.assert_close(func.jacrev(f)(x), func.jacfwd(f)(x))


@pytest.mark.parametrize("f", FUNCTIONS)
def test_a_hessian_is_symmetric(f):
    x = numbers(4)

    def total(x):
        return (f(x) ** 2).sum()

    h = func.hessian(total)(x)
    ingot.testing.assert_close(h, h.t())
    ingot.testing.assert_close(h, func.jacrev(func.jacrev(total))(x))
    ingot.testing.assert_close(h, func.jacrev(func.jacfwd(total))(x))
    ingot.testing.assert_close(h @ x, func.jvp(func.grad(total), (x,), (x,))[1])


@pytest.mark.compiled
def test_inside_of_compiled_functions_and_around_them():
    x = numbers(3, 4)

    def f(x):
        return (attended(x) * x).sum()

    @ingot.compile
    def inside(x):
        return func.vmap(func.grad(f))(x), func.hessian(f)(x[0])

    compiled = ingot.compile(f)
    for _ in range(2):
        g, h = inside(x)
        ingot.testing.assert_close(g, ingot.stack([func.grad(f)(r) for r in x]))
        ingot.testing.assert_close(h, func.hessian(f)(x[0]))
        ingot.testing.assert_close(func.vmap(func.grad(compiled))(x), g)
        ingot.testing.assert_close(func.hessian(compiled)(x[0]), h)


def test_nested_structures():
    def f(a, b):
        return {"y": a["u"] * b[0], "z": (a["v"].sum(), b[1] * 2)}, "not differentiated"

    a, b = {"u": numbers(2), "v": numbers(3)}, [numbers(2), numbers(1)]
    y, back, aux = func.vjp(f, a, b, has_aux=True)
    assert aux == "not differentiated"
    ga, gb = back({"y": ingot.ones(2, dtype=ingot.float64), "z": (ingot.ones((), dtype=ingot.float64), y["z"][1] * 0)})
    ingot.testing.assert_close(ga["u"], b[0])
    ingot.testing.assert_close(ga["v"], ingot.ones(3, dtype=ingot.float64))
    ingot.testing.assert_close(gb[0], a["u"])
    jac, aux = func.jacrev(f, argnums=(0, 1), has_aux=True)(a, b)
    fwd, _ = func.jacfwd(f, argnums=(0, 1), has_aux=True)(a, b)
    assert jac["z"][0][0]["v"].shape == (3,) and jac["y"][1][0].shape == (2, 2) and aux == "not differentiated"
    ingot.testing.assert_close(jac["y"][0]["u"], fwd["y"][0]["u"])
    ingot.testing.assert_close(jac["z"][1][1][1], fwd["z"][1][1][1])
    out = func.vmap(lambda a, b: {"s": a["u"] + b[0]}, in_dims=({"u": 0, "v": None}, [None, None]))(a, [numbers(), numbers(1)])
    assert out["s"].shape == (2,)


def test_arguments_that_are_written_in_place():
    x, before = numbers(3, 2), numbers(3, 2)
    y = func.vmap(lambda r: r.mul_(2).sum())(x)
    ingot.testing.assert_close(x, before * 2)
    ingot.testing.assert_close(y, (before * 2).sum(1))
    shared, seen = ingot.zeros(2), ingot.zeros(3)

    def count(r):
        shared.add_(1)
        shared[0] = 5
        return r + shared

    ingot.testing.assert_close(func.vmap(count)(ingot.zeros(3, 2)), ingot.tensor([[5.0, 1.0]] * 3))
    assert shared.tolist() == [5.0, 1.0]
    with pytest.raises(RuntimeError, match="written in place with values that differ"):
        func.vmap(lambda r: seen.add_(r))(x[:, 0].float())
    assert seen.tolist() == [0.0, 0.0, 0.0]

    def inner(r):
        made = ingot.zeros(2, dtype=r.dtype)
        made[0] = r.sum()
        made += r
        return made

    ingot.testing.assert_close(func.vmap(inner)(x), ingot.stack([inner(r) for r in x]))


def test_random_numbers():
    x = ingot.zeros(4)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        func.vmap(lambda v: v + ingot.rand(()))(x)
    same = func.vmap(lambda v: v + ingot.rand(3), randomness="same")(x)
    assert (same == same[0]).all() and same[0, 0] != same[0, 1]
    other = func.vmap(lambda v: v + ingot.randn(3), randomness="different")(x)
    assert len(set(other.reshape(-1).tolist())) == 12
    ingot.manual_seed(3)
    a = func.vmap(lambda v: F.dropout(v, 0.5), randomness="different")(ingot.ones(5, 50))
    ingot.manual_seed(3)
    b = func.vmap(lambda v: F.dropout(v, 0.5), randomness="different")(ingot.ones(5, 50))
    assert a.tolist() == b.tolist() and 0.3 < (a > 0).float().mean().item() < 0.7 and a[0].tolist() != a[1].tolist()
    values = func.vmap(lambda k: ingot.randint(0, 1000, (2,)), randomness="different")(x)
    assert len(set(values.reshape(-1).tolist())) > 5
    half = ingot.full((3,), 0.5)
    for draw in (lambda v: v + ingot.rand(3), lambda v: F.dropout(v + half, 0.5), lambda v: ingot.bernoulli(v + half)):
        for mode in ("same", "different"):
            ingot.manual_seed(3)
            plain = func.vmap(draw, randomness=mode)(x)
            ingot.manual_seed(3)
            assert ingot.compile(lambda x, draw=draw, mode=mode: func.vmap(draw, randomness=mode)(x))(x).tolist() == plain.tolist()
    tangent = func.jvp(lambda v: F.dropout(v, 0.5), (ingot.ones(50),), (ingot.ones(50),))
    assert tangent[0].tolist() == tangent[1].tolist()


def test_histories_outside_go_on():
    w = numbers(3).requires_grad_()
    x = numbers(2, 3)

    def loss(x):
        return (x * w).sin().sum()

    for made in (func.grad(loss)(x), func.vmap(func.grad(loss))(x), func.jvp(loss, (x,), (x,))[1], func.vmap(loss)(x)):
        assert made.requires_grad
        (g,) = ingot.autograd.grad(made.sum(), w)
        assert g.abs().sum() > 0
    with ingot.no_grad():
        for made in (func.grad(loss)(x), func.vmap(func.grad(loss))(x), func.jvp(loss, (x,), (x,))[1], func.vmap(loss)(x)):
            assert not made.requires_grad
    free = x.detach()
    assert not func.grad(lambda x: x.sin().sum())(free).requires_grad
    assert not func.vjp(lambda x: x.sin(), free)[0].requires_grad

    def stopped(x):
        with ingot.no_grad():
            c = x * x
        return (c * x).sum()

    ingot.testing.assert_close(func.grad(stopped)(x), x * x)
    ingot.testing.assert_close(func.grad(lambda x: func.vmap(stopped)(x).sum())(x), x * x)


def test_values_inside():
    x = numbers(3, 2)
    assert func.jvp(lambda v: v * 2 if v.sum().item() > -1e9 else v, (x,), (x,))[1].tolist() == (x * 2).tolist()
    assert func.grad(lambda v: (v * 2 if bool((v > -1e9).all()) else v).sum())(x).tolist() == [[2.0, 2.0]] * 3
    for look in (lambda r: r[0].item(), lambda r: bool(r[0]), lambda r: r[0].numpy()):
        with pytest.raises(RuntimeError, match="differs between samples"):
            func.vmap(look)(x)
    assert func.vmap(lambda r: r * ingot.tensor(3.0, dtype=ingot.float64).item())(x).tolist() == (x * 3).tolist()


def test_an_ensemble_and_gradients_of_samples():
    models = [nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)) for _ in range(3)]
    params, buffers = func.stack_module_state(models)
    x = ingot.randn(5, 4)

    def call(p, b, x):
        return func.functional_call(models[0], (p, b), (x,))

    out = func.vmap(call, in_dims=(0, 0, None))(params, buffers, x)
    ingot.testing.assert_close(out, ingot.stack([m(x) for m in models]))
    out.sum().backward()
    for k, m in enumerate(models):
        m(x).sum().backward()
        for name, p in m.named_parameters():
            ingot.testing.assert_close(params[name].grad[k], p.grad)
    own = {n: p.detach() for n, p in models[0].named_parameters()}

    def loss(p, x, y):
        return F.cross_entropy(func.functional_call(models[0], p, (x.unsqueeze(0),)), y.unsqueeze(0))

    y = ingot.randint(0, 2, (5,))
    each = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(own, x, y)
    for i in range(5):
        one = func.grad(loss)(own, x[i], y[i])
        for name in own:
            ingot.testing.assert_close(each[name][i], one[name])


def test_empty_batches_and_empty_samples():
    for shape in ((0, 3), (3, 0), (0, 0)):
        x = ingot.zeros(shape)
        assert func.vmap(lambda r: (r.sin() * 2).sum())(x).shape == shape[:1]
        assert func.vmap(func.grad(lambda r: (r.sin() * 2).sum()))(x).shape == shape
    assert func.jacrev(lambda x: x * 2)(ingot.zeros(0)).shape == (0, 0)
    assert func.jacfwd(lambda x: x[:0])(ingot.zeros(2)).shape == (0, 2)
