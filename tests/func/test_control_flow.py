"""cond, while_loop, scan, map and associative_scan: against Python's own, eager and compiled, under transforms, and their errors."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import ingot
from ingot import func

close = ingot.testing.assert_close


def numbers(*shape, seed=0):
    return ingot.tensor(np.random.default_rng(seed).standard_normal(shape))


W = numbers(3, seed=9)


def recurrence(x):
    def step(c, row):
        h, k = c
        h = (h * W + row).tanh()
        return (h, k + 1), {"h": h * 2, "k": k}

    (h, k), ys = ingot.scan(step, (x[0] * 0, ingot.tensor(0)), x)
    return h + ys["h"].sum(0) * ys["k"].sum()


def recurrence_plainly(x):
    h, total, count = x[0] * 0, x[0] * 0, 0
    for k in range(x.shape[0]):
        h = (h * W + x[k]).tanh()
        total, count = total + h * 2, count + k
    return h + total * count


@pytest.mark.compiled
def test_scan():
    x = numbers(4, 3)
    close(recurrence(x), recurrence_plainly(x))
    close(ingot.compile(recurrence)(x), recurrence_plainly(x))
    for t in (func.jacrev, func.jacfwd):
        close(t(recurrence)(x), t(recurrence_plainly)(x))
    close(func.hessian(lambda x: recurrence(x).sum())(x), func.hessian(lambda x: recurrence_plainly(x).sum())(x))
    batch = numbers(2, 4, 3)
    close(func.vmap(recurrence)(batch), ingot.stack([recurrence_plainly(b) for b in batch]))
    c, y = ingot.scan(lambda c, x: (c + x, c), ingot.zeros(2), ingot.arange(6.0).reshape(2, 3), dim=1, reverse=True)
    assert c.tolist() == [3.0, 12.0] and y.tolist() == [[3.0, 2.0, 0.0], [9.0, 5.0, 0.0]]
    c, y = ingot.scan(lambda c, x: (c + x, c), ingot.ones(2), ingot.zeros(0, 2))
    assert c.tolist() == [1.0, 1.0] and y.shape == (0, 2)
    w = numbers(3).requires_grad_()
    c, _ = ingot.scan(lambda c, r: (c * w + r, c), w * 0, x)
    c.sum().backward()
    v = w.detach().requires_grad_()
    d = v * 0
    for r in x:
        d = d * v + r
    d.sum().backward()
    close(w.grad, v.grad)


def test_map_and_its_gradients():
    x, w = numbers(4, 3), numbers(3, seed=1)

    def f(x, w):
        return ingot.map(lambda r, w: {"s": (r * w).sin(), "t": r.sum() * W}, x, w)

    found = f(x, w)
    close(found["s"], (x * w).sin())
    close(found["t"], x.sum(1, keepdim=True) * W)
    close(func.grad(lambda x: f(x, w)["s"].sum())(x), (x * w).cos() * w)
    close(func.jvp(lambda w: f(x, w)["s"], (w,), (w,))[1], (x * w).cos() * x * w)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 33])
def test_associative_scan(n):
    x = numbers(2, n)
    close(ingot.associative_scan(lambda a, b: a + b, x, 1), x.cumsum(1))
    close(ingot.associative_scan(lambda a, b: a * b, x, -1, reverse=True), x.flip(1).cumprod(1).flip(1))
    m = numbers(n, 2, 2)
    products = ingot.associative_scan(lambda a, b: a @ b, m, 0, combine_mode="generic")
    so_far = ingot.eye(2, dtype=ingot.float64)
    for k in range(n):
        so_far = so_far @ m[k]
        close(products[k], so_far)
    if n:
        def linear(a, b):
            return {"g": a["g"] * b["g"], "h": b["g"] * a["h"] + b["h"]}

        g, h = numbers(n, 3), numbers(n, 3, seed=2)
        y = ingot.associative_scan(linear, {"g": g, "h": h}, 0)["h"]
        state = g[0] * 0
        for k in range(n):
            state = g[k] * state + h[k]
            close(y[k], state)
        close(func.grad(lambda g: ingot.associative_scan(linear, {"g": g, "h": h}, 0)["h"].sum())(g)[0] * 0, g[0] * 0)


def test_gradients_inside_of_bodies():
    x = numbers(4)

    def descend(x):
        def step(c, _):
            return c - 0.1 * func.grad(lambda c: ((c - x) ** 2).sum() + c.sin().sum())(c), c.sum()

        return ingot.scan(step, x * 0, ingot.zeros(5))[0]

    c = x * 0
    for _ in range(5):
        c = c - 0.1 * (2 * (c - x) + c.cos())
    close(descend(x), c)
    assert func.jacrev(descend)(x).shape == (4, 4)
    close(func.jacrev(descend)(x), func.jacfwd(descend)(x))

    def stopped(c, r):
        with ingot.no_grad():
            k = c * r
        return c * r.detach() + k, c

    g = func.grad(lambda r: ingot.scan(stopped, ingot.ones((), dtype=r.dtype), r)[0])(x)
    close(g, x * 0)


def test_equal_bodies_are_compiled_once():
    from ingot.runtime import plans

    x = ingot.zeros(3)

    def run():
        return ingot.scan(lambda c, r: (c * 1.5 + r, c), ingot.zeros(()), x)[0].item()

    run()
    run()
    before = plans.stats["plans"]
    for _ in range(3):
        run()
    assert plans.stats["plans"] == before


@pytest.mark.compiled
def test_cond():
    def f(x, scale=2):
        return ingot.cond(x.sum() > 0, lambda t, k: {"y": t["x"].sqrt() * k}, lambda t, k: {"y": t["x"] * W}, ({"x": x}, scale))["y"]

    x = numbers(3).abs()
    compiled = ingot.compile(f)
    for v in (x, -x):
        wanted = v.sqrt() * 2 if v is x else v * W
        close(f(v), wanted)
        close(compiled(v), wanted)
        close(ingot.compile(func.grad(lambda v: f(v).sum()))(v), 1 / v.sqrt() if v is x else W)
        close(ingot.compile(lambda v: func.jvp(f, (v,), (v,))[1])(v), v.sqrt() if v is x else v * W)
    both = ingot.stack([x, -x])
    close(func.vmap(f)(both), ingot.stack([f(x), f(-x)]))
    close(func.vmap(func.grad(lambda v: f(v).sum()))(both), ingot.stack([1 / x.sqrt(), W]))
    close(func.hessian(lambda v: f(v).sum())(x), ingot.diag(-0.5 * x**-1.5))
    assert ingot.cond(True, lambda: 1, lambda: 2) == 1  # Python's if
    same = ingot.compile(lambda x: func.vmap(lambda r, flag: ingot.cond(flag, lambda: r * 2, lambda: W), (0, None))(x, x.sum() > 0))
    close(same(both.abs()), both.abs() * 2)
    close(same(-both.abs()), ingot.stack([W, W]))


def test_a_branch_that_is_not_taken_does_not_run():
    x = numbers(4)

    def at(i):
        return ingot.cond(i < 4, lambda: x[i], lambda: ingot.zeros((), dtype=x.dtype))

    compiled = ingot.compile(at)
    assert compiled(ingot.tensor(9)).item() == 0.0
    close(compiled(ingot.tensor(2)), x[2])
    close(func.vmap(at)(ingot.tensor([1, 7, 3])), ingot.stack([x[1], x[1] * 0, x[3]]))
    with pytest.raises(IndexError, match="cond: index out of range for dimension of size 4"):
        ingot.compile(lambda i: ingot.cond(i > 4, lambda: x[i], lambda: x[0]))(ingot.tensor(9))


@pytest.mark.compiled
def test_training_through_a_branch():
    w = numbers(2).requires_grad_()

    @ingot.compile
    def step(x):
        w.grad = None
        y = ingot.cond(x.sum() > 0, lambda: (w * x).sum(), lambda: (w * w * x).sum())
        y.backward()
        return y

    for x in (numbers(2).abs(), -numbers(2).abs()):
        step(x)
        close(w.grad, x if x[0] > 0 else 2 * w.detach() * x)


@pytest.mark.compiled
def test_random_numbers_in_bodies():
    ingot.manual_seed(3)

    def draws(x):
        return ingot.map(lambda r: r + ingot.rand(2), x)

    def differ(*tensors):
        return len({round(v, 6) for t in tensors for v in t.flatten().tolist()}) == sum(t.numel() for t in tensors)

    x, compiled = ingot.zeros(3, 2), ingot.compile(draws)
    made = draws(x), draws(x), compiled(x), compiled(x)
    assert differ(*made) and all(0 <= v < 1 for t in made for v in t.flatten().tolist())
    ingot.manual_seed(3)
    assert draws(x).tolist() == made[0].tolist()
    within = ingot.map(lambda r: ingot.map(lambda q: q + ingot.rand(()), r), x)
    assert differ(within, ingot.scan(lambda c, r: (c, ingot.rand(2)), x[0], x)[1])
    grow = ingot.while_loop(lambda n, x: n < 4, lambda n, x: (n + 1, ingot.cat([x[1:], ingot.rand(1)])), (ingot.tensor(0), ingot.zeros(4)))
    assert differ(grow[1]) and (grow[1] > 0).all()
    start = (ingot.tensor(0),)
    steps = [ingot.while_loop(lambda n: ingot.rand(()) < 0.8, lambda n: (n + 1,), start, max_steps=20)[0].item() for _ in range(9)]
    assert len(set(steps)) > 2 and max(steps) <= 20
    taken = ingot.compile(lambda x: ingot.cond(x.sum() > 0, lambda: ingot.rand(2), lambda: -ingot.rand(2)))
    assert differ(taken(ingot.ones(1)), taken(ingot.ones(1)), taken(-ingot.ones(1)))
    for mode in ("different", "same"):
        rows = func.vmap(draws, randomness=mode)(ingot.zeros(4, 3, 2))
        assert differ(rows) if mode == "different" else differ(rows[0]) and bool((rows == rows[0]).all())
    with pytest.raises(RuntimeError, match="randomness error mode"):
        func.vmap(draws)(ingot.zeros(4, 3, 2))
    w = ingot.ones(2, requires_grad=True)
    y = ingot.map(lambda r: w * ingot.rand(2), x)
    y.sum().backward()
    close(w.grad, y.detach().sum(0))


def root(a, **bound):
    start = (a, a * 0 + 1)
    return ingot.while_loop(lambda x, d: d.abs() > 1e-9, lambda x, d: ((x + a / x) / 2, (a / x - x) / 2), start, **bound)[0]


@pytest.mark.compiled
def test_while_loop():
    a = numbers(4).abs() + 1
    wanted = a.sqrt()
    close(ingot.stack([root(x) for x in a]), wanted)
    close(func.vmap(root)(a), wanted)
    close(ingot.compile(func.vmap(root))(a), wanted)
    close(func.jvp(func.vmap(root), (a,), (a,))[1], wanted / 2)
    close(func.vmap(func.jacfwd(root))(a), 0.5 / wanted)
    close(func.vmap(func.grad(lambda x: root(x, max_steps=30)))(a), 0.5 / wanted)
    close(func.grad(func.grad(lambda x: root(x, max_steps=12)))(a[0]), -0.25 * a[0] ** -1.5)
    close(func.jvp(func.grad(lambda x: root(x, max_steps=12)), (a[0],), (a[0] * 0 + 1,))[1], -0.25 * a[0] ** -1.5)
    leaf = a[:1].clone().requires_grad_()
    with pytest.raises(RuntimeError, match="max_steps=n"):
        root(leaf[0]).backward()
    n, parts = ingot.while_loop(lambda n, p: n < 3, lambda n, p: [n + 1, {"v": p["v"] * W}], (ingot.tensor(0), {"v": W}))
    assert n.item() == 3
    close(parts["v"], W**4)
    assert ingot.while_loop(lambda n: n < 0, lambda n: (n + 1,), [ingot.tensor(5)])[0].item() == 5
    assert ingot.while_loop(lambda n: n > 0, lambda n: (n + 1,), [ingot.tensor(5)], max_steps=7)[0].item() == 12
    empty = ingot.while_loop(lambda n, e: n < 2, lambda n, e: (n + 1, e * 2), (ingot.tensor(0), ingot.zeros(0, 3)))
    assert empty[0].item() == 2 and empty[1].shape == (0, 3)


def test_a_sample_that_has_ended_does_not_fail():
    x = numbers(4)

    def sum_to(n):
        return ingot.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, s + x[i]), (n * 0, ingot.zeros((), dtype=x.dtype)))[1]

    close(func.vmap(sum_to)(ingot.tensor([0, 2, 4])), ingot.stack([x[:0].sum(), x[:2].sum(), x.sum()]))
    with pytest.raises(IndexError, match="out of range"):
        sum_to(ingot.tensor(6)).item()


@pytest.mark.parametrize("call, message", [
    (lambda x: ingot.cond(x.sum() > 0, lambda: x, lambda: x.double().long()), "same shapes and dtypes, got f32.3. and i64.3."),
    (lambda x: ingot.cond(x.sum() > 0, lambda: (x, x), lambda: x), "the same structure"),
    (lambda x: ingot.cond(x > 0, lambda: x, lambda: x), "bool tensor of one element, got ingot.bool of shape .3."),
    (lambda x: ingot.cond(x.sum(), lambda: x, lambda: x), "bool tensor of one element"),
    (lambda x: ingot.cond(1, lambda: x, lambda: x), "a bool or a tensor, got int"),
    (lambda x: ingot.cond(x.sum() > 0, lambda y: y, lambda y: y, x), "operands to be a tuple or a list"),
    (lambda x: ingot.while_loop(lambda x: x.sum() > 0, lambda x: (x.double(),), (x,)), "f32.3. came in, and f64.3. was returned"),
    (lambda x: ingot.while_loop(lambda x: x > 0, lambda x: (x,), (x,)), "cond_fn to return a bool tensor of one element"),
    (lambda x: ingot.while_loop(lambda x: x.sum() > 0, lambda x: x, (x,)), "body_fn to return a tuple"),
    (lambda x: ingot.while_loop(lambda x: x.sum() > 0, lambda x: (x, x), (x,)), "the structure of carried_inputs"),
    (lambda x: ingot.while_loop(lambda: True, lambda: (), ()), "at least one tensor"),
    (lambda x: ingot.while_loop(lambda x: x.sum() > 0, lambda x: (x.mul_(2),), (x,)), "writes in place"),
])  # fmt: skip
def test_what_branches_and_loops_refuse(call, message):
    with pytest.raises(RuntimeError, match=message):
        ingot.compile(call)(ingot.ones(3))


def test_errors():
    x = ingot.ones(3)
    with pytest.raises(RuntimeError, match="a carry of the shapes and dtypes of init: f32.3. came in, and f64.3. was returned"):
        ingot.scan(lambda c, r: (c.double(), c), x, ingot.zeros(2))
    with pytest.raises(RuntimeError, match=r"must return \(carry, y\)"):
        ingot.scan(lambda c, r: c, x, ingot.zeros(2))
    with pytest.raises(RuntimeError, match="same extent"):
        ingot.scan(lambda c, r: (c, c), x, (ingot.zeros(2), ingot.zeros(3)))
    with pytest.raises(RuntimeError, match="writes in place"):
        ingot.map(lambda r: r.mul_(2), ingot.ones(2, 2))
    with pytest.raises(RuntimeError, match="must return what it takes"):
        ingot.associative_scan(lambda a, b: (a + b).sum(), ingot.ones(4, 2), 0)
    assert x.tolist() == [1.0, 1.0, 1.0]

    class Twice(ingot.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="custom Function Twice"):
        ingot.map(Twice.apply, ingot.ones(2, 2))


@pytest.mark.compiled
def test_branches_and_loops_of_any_size():
    f = ingot.compile(lambda x: ingot.cond(x.sum() > 0, lambda: x.cumsum(0), lambda: -x))
    g = ingot.compile(lambda x: ingot.while_loop(lambda n, y: n < 3, lambda n, y: (n + 1, y * 2 + x), (ingot.tensor(0), x))[1])
    for n in (3, 4, 5, 7):
        x = ingot.ones(n)
        assert f(x).tolist() == [float(i + 1) for i in range(n)] and f(-x).tolist() == [1.0] * n
        assert g(x).tolist() == [15.0] * n
        assert ingot.while_loop(lambda y: y.max() < 50, lambda y: (y * 2,), (x,))[0].tolist() == [64.0] * n


@pytest.mark.compiled
def test_an_artifact_with_a_branch(tmp_path):
    a, b = ingot.nn.Linear(3, 3), ingot.nn.Linear(3, 3)

    class Choice(ingot.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = a, b

        def forward(self, x):
            return ingot.cond(x.mean() > 0, lambda x: self.a(x), lambda x: self.b(x).relu(), (x,))

    ingot.export(Choice(), (ingot.ones(2, 3),), tmp_path / "choice.ingot")
    run = ingot.load(tmp_path / "choice.ingot")
    for x in (ingot.ones(2, 3), -ingot.ones(2, 3)):
        close(ingot.tensor(np.asarray(run(x))), Choice()(x).detach())


@pytest.mark.parametrize(
    "step",
    [
        lambda y, a: 0.5 * (y + ingot.linalg.solve(y, a)),
        lambda y, a: ingot.linalg.cholesky(a + y @ y.mT * 0.01) * 0.5 + y * 0.3,
        lambda y, a: ingot.linalg.qr(y + a)[1] * 0.1 + y,
        lambda y, a: y * 0.5 + ingot.linalg.eigvalsh(y + y.mT).sum() * 0.01,
    ],
)
def test_linear_algebra_within_a_loop(step):
    """Its gradients are those of the loop written out."""
    start = np.random.default_rng(0).normal(size=(3, 3)) + 3 * np.eye(3)
    a, found = ingot.tensor(start @ start.T), []
    for looped in (True, False):
        x = ingot.tensor(start).requires_grad_()
        y = ingot.scan(lambda c, _: (step(c, a), c.sum()), x, ingot.zeros(2))[0] if looped else step(step(x, a), a)
        (y * y).sum().backward()
        found.append((y.detach().numpy(), x.grad.numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-9)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-7)


def test_bodies_let_go_of_what_they_read():
    """So that the trace around needs no collector to find that nothing of it is kept."""
    seen = []

    def looped(x):
        twice = x * 2
        out = ingot.while_loop(lambda i, c: i < 2, lambda i, c: (i + 1, c + twice), (ingot.tensor(0), x))[1]
        seen.append(weakref.ref(twice))
        return out

    gc.disable()
    try:
        looped(ingot.ones(3)).numpy()
        assert seen[0]() is None
    finally:
        gc.enable()
