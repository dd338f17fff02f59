"""Random programs of cond, while_loop and scan within each other, against plain Python: eager and compiled, gradients, batches."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

import ingot
from ingot import func

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
close = ingot.testing.assert_close


class Plain:
    """What the programs mean."""

    @staticmethod
    def cond(flag, true, false, operands):
        return (true if flag.item() else false)(*operands)

    @staticmethod
    def loop(test, step, carried, bound):
        n = 0
        while n < bound and test(*carried).item():
            carried, n = step(*carried), n + 1
        return carried

    @staticmethod
    def scan(step, init, xs):
        ys = []
        for k in range(xs.shape[0]):
            init, y = step(init, xs[k])
            ys.append(y)
        return init, ingot.stack(ys)


class Recorded:
    """The same by Ingot's functions. `bounded`: loops have a bound that gradients need."""

    def __init__(self, bounded):
        self.bounded = bounded

    @staticmethod
    def cond(flag, true, false, operands):
        return ingot.cond(flag, true, false, operands)

    def loop(self, test, step, carried, bound):
        if self.bounded:
            return ingot.while_loop(test, step, carried, max_steps=bound)
        zero = ingot.tensor(0)
        made = ingot.while_loop(
            lambda n, *c: test(*c) & (n < bound), lambda n, *c: (n + 1, *step(*c)), (zero, *carried)
        )
        return made[1:]

    @staticmethod
    def scan(step, init, xs):
        return ingot.scan(step, init, xs)


def program(rng, depth):
    """A tree of nested statements."""
    kind = rng.choice(["wave", "mix", "count", "outer"]) if depth == 0 else rng.choice(["cond", "loop", "scan", "chain", "wave", "mix"])
    if kind == "cond":
        return kind, rng.choice("nx"), rng.uniform(-1, 1), program(rng, depth - 1), program(rng, depth - 1)
    if kind == "loop":
        return kind, rng.randrange(4), rng.uniform(-1, 1), program(rng, depth - 1)
    if kind == "scan":
        return kind, program(rng, depth - 1)
    if kind == "chain":
        return kind, program(rng, depth - 1), program(rng, depth - 1)
    return kind, rng.uniform(-1, 1)


def run(p, flow, w, x, n):
    """(x, n) after the statements of `p`: x of three floats, n an integer; w is read from around."""
    kind = p[0]
    if kind == "wave":
        return (x * 1.5 + p[1]).sin(), n
    if kind == "mix":
        return x.flip(0) * w + p[1], n + 1
    if kind == "count":
        return x + n * p[1] / 8, n * 2
    if kind == "outer":
        return x * 0.5 + w, n - 1
    if kind == "chain":
        return run(p[2], flow, w, *run(p[1], flow, w, x, n))
    if kind == "cond":
        flag = x.sum() > p[2] if p[1] == "x" else n % 2 == 0
        return flow.cond(flag, lambda x, n: run(p[3], flow, w, x, n), lambda x, n: run(p[4], flow, w, x, n), (x, n))
    if kind == "loop":
        made = flow.loop(lambda x, n: x[0] < p[2] + 0.5, lambda x, n: run(p[3], flow, w, x, n), (x, n), p[1])
        return tuple(made)

    def step(c, row):
        x, n = run(p[1], flow, w, c[0] + row, c[1])
        return (x, n), x * n

    (x, n), ys = flow.scan(step, (x, n), ingot.stack([w, w * 0.5]))
    return x + ys.sum(0) / 16, n


def check(seed):
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    p = program(rng, 3)
    w, n = ingot.tensor(draw.standard_normal(3)), ingot.tensor(int(draw.integers(-3, 4)))
    xs = ingot.tensor(draw.standard_normal((3, 3)))
    plain = [run(p, Plain, w, x, n) for x in xs]
    flow, bounded = Recorded(bounded=False), Recorded(bounded=True)
    compiled = ingot.compile(lambda x, w, n: run(p, flow, w, x, n))
    for x, wanted in zip(xs, plain):
        close(compiled(x, w, n), wanted)
    close(run(p, flow, w, xs[0], n), plain[0])
    close(func.vmap(lambda x: run(p, flow, w, x, n)[0])(xs), ingot.stack([y for y, _ in plain]))

    def gradients(flow, x):
        return func.grad(lambda x, w: run(p, flow, w, x, n)[0].sum(), (0, 1))(x, w)

    wanted = gradients(Plain, xs[0])
    close(gradients(bounded, xs[0]), wanted)
    close(ingot.compile(lambda x: gradients(bounded, x))(xs[0]), wanted)
    pushed = func.jvp(lambda x: run(p, flow, w, x, n)[0].sum(), (xs[0],), (ingot.ones_like(xs[0]),))[1]
    close(pushed, wanted[0].sum())


@pytest.mark.compiled
def test_nested_control_flow(long):
    for seed in range(SEED, SEED + (400 if long else 10)):
        print(f"seed {seed}")
        check(seed)
