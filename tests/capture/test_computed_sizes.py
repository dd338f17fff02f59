"""Sizes that a compiled function computes: nonzero, boolean indices, unique and their like, against the same function run eagerly."""

import random

import numpy as np
import pytest

import ingot
from ingot import nn

F = nn.functional
X = ingot.tensor(np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32))
NONE, ALL = -ingot.ones(5, 7), ingot.ones(5, 7)


def same(want, got):
    if isinstance(want, (tuple, list)):
        assert len(want) == len(got)
        for w, g in zip(want, got):
            same(w, g)
    elif isinstance(want, ingot.Tensor):
        assert want.dtype is got.dtype and want.shape == got.shape
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)
    else:
        assert want == got


def check(f, *calls):
    """Each call, twice, gives what it gives without compiling; errors are the same."""
    compiled = ingot.compile(f)
    for args in calls + calls:
        try:
            want = f(*args)
        except Exception as error:
            with pytest.raises(type(error), match=str(error)[:20]):
                compiled(*args)
        else:
            same(want, compiled(*args))
    return compiled


def two_levels(x):
    y = x[x > 0]
    return y[y > y.mean()]


def gradient(x):
    x = x.detach().requires_grad_()
    (x[x > 0] ** 2).sum().backward()
    return x.grad


def assigned(x):
    y = x.clone()
    y[x > 0] = y[x > 0] * 2
    y[x < -1] += 3
    y[x > 1] = 0
    return y


def experts(x):
    out, gate = ingot.zeros_like(x), x[:, :3].argmax(1)
    for i in range(3):
        (rows,) = ingot.where(gate == i)
        out.index_add_(0, rows, x[rows] * (i + 1))
    return out


PROGRAMS = {
    "elements": lambda x: x[x > 0],
    "rows": lambda x: x[x.sum(1) > 0] @ ingot.ones(7, 2),
    "columns of a slice": lambda x: x[1:, x.sum(0) > 0],
    "mask and index": lambda x: x[x.sum(1) > 0, 2],
    "nonzero": lambda x: (x > 0).nonzero(),
    "as tuple": lambda x: ingot.nonzero(x > 0, as_tuple=True),
    "of no dims": lambda x: (ingot.nonzero(x[0, 0] > 0), ingot.nonzero(x[0, 0] > 0, as_tuple=True)),
    "where": lambda x: ingot.where(x > 0)[0],
    "masked_select": lambda x: ingot.masked_select(x * 2, x[0] > 0),
    "static": lambda x: ingot.nonzero_static(x > 0, size=4),
    "the number": lambda x: (len(x[x > 0]), x[x > 0].sum() / x[x > 0].numel(), ingot.zeros(x[x > 0].shape[0], 3)),
    "a branch on it": lambda x: x[x > 0].max() if len(x[x > 0]) else x.min(),
    "both": lambda x: ingot.cat([x[x > 0], x[x <= 0]]),
    "same": lambda x: x[x > 0] + x[x > 0],
    "outer": lambda x: x[x > 0][:, None] * x[x > 0],
    "in order": lambda x: x[x > 0].sort().values.cumsum(0).flip(0),
    "statistics": lambda x: (x[x > 0].mean(), x[x > 0].std(), x[x > 0].any()),
    "distinct": lambda x: ingot.unique(x.round(), return_inverse=True, return_counts=True),
    "neighbours": lambda x: ingot.unique_consecutive(x.round(), return_inverse=True, return_counts=True),
    "slices": lambda x: ingot.unique_consecutive((x > 0).long(), dim=1, return_counts=True),
    "repeated": lambda x: ingot.repeat_interleave(x, (x[:, 0] > 0).long() * 2, dim=0),
    "repeated as often": lambda x: ingot.repeat_interleave(x, (x[0, :1] > 0).long() * 2, dim=0),
    "refused": lambda x: ingot.repeat_interleave((x[0] > 0).long() - 1),
    "counted": lambda x: (ingot.bincount((x[:, 0] > 0).long() * 3, minlength=2), ingot.bincount((x[0] > -9).long(), x[0])),
    "two levels": two_levels, "gradient": gradient, "assigned": assigned, "experts": experts,
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_eager(name):
    f = check(PROGRAMS[name], (X,), (NONE,), (ALL,), (-X,))
    assert f.stats["traces"] <= 3


def test_sizes_of_arguments_vary_as_well():
    f = check(lambda x: x[x.sum(1) > 0].sum(0), (X,), (X[:3],), (X[:2],), (ingot.cat([X, NONE]),))
    assert f.stats["traces"] == 2


def test_sizes_that_are_equal_have_the_bounds_of_their_trace():
    def f(x, k):
        y = x[:, 0].clone()
        y[x[:, 0] > 0.3] = y[x[:, 0] > 0.3] * 2
        return y, ingot.repeat_interleave(k, k % 3)

    check(f, *[(X[:n], ingot.arange(n)) for n in (5, 3, 0, 1)])


def test_a_backward_outside():
    f = ingot.compile(lambda x: x[x > 0] * 3)
    for values in (X, NONE, ALL):
        x = values.clone().requires_grad_()
        (f(x) ** 2).sum().backward()
        same(18 * values.clamp(min=0), x.grad)


def test_a_training_step_with_a_masked_loss():
    def trained(compiled):
        ingot.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = ingot.optim.Adam(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x)[y >= 0], y[y >= 0])
            loss.backward()
            optimizer.step()
            return loss

        run_step = ingot.compile(step) if compiled else step
        losses = [run_step(ingot.randn(n, 4), ingot.randint(-1, 3, (n,))).item() for n in (6, 7, 8, 6)]
        return losses, [p.detach() for p in model.state_dict().values()]

    same(*map(trained, (False, True)))


def test_random_numbers_are_those_of_an_eager_run():
    def f(x):
        keep = ingot.rand(5) > 0.5
        y = F.dropout(x[keep])
        return (y if len(y) > 2 else y * 2), ingot.rand(2)

    def drawn(g):
        ingot.manual_seed(3)
        return [g(X) for _ in range(6)], ingot.rand(1)

    same(drawn(f), drawn(ingot.compile(f)))


def test_nothing_is_written_where_the_trace_does_not_serve():
    seen = ingot.zeros(())

    @ingot.compile
    def f(x):
        y = x[x > 0]
        seen.add_(1)
        return y.sum() if len(y) > 3 else y

    for k, x in enumerate((ALL, NONE, X, NONE), 1):
        f(x)
        assert seen.item() == k
    assert f.stats["recompiles"] == 1 and "what values decide is not as it was" in next(iter(f.recompiles))


def test_what_needs_the_plain_number_is_refused_with_its_line():
    with pytest.raises(ingot.CaptureError, match=r"(?s)how many elements.*range\(len"):
        ingot.compile(lambda x: [x[i] for i in range(len(x[x > 0]))])(X)
    with pytest.raises(RuntimeError, match="has sizes that it computes"):
        ingot.export(PROGRAMS["elements"], (X,), "never.ingot")



def test_joining_and_softmax_do_not_ask_how_many_there_are():
    f = check(lambda x: ingot.cat([x[x > 0], x[x <= 0]]), (X,), (NONE,), (ALL,))
    g = check(lambda x: (x[x[:, 0] > 0].softmax(-1), x[x[:, 0] > 0].log_softmax(1)), (X,), (NONE,), (ALL,))
    assert f.stats["traces"] == g.stats["traces"] == 1


class Program:
    """Random steps on rows, of which some are chosen by their values."""

    def __init__(self, seed):
        self.seed, self.steps = seed, random.Random(seed).randrange(3, 8)

    def __call__(self, x):
        r = random.Random(self.seed)
        values = [x]
        for _ in range(self.steps):
            v = r.choice(values)
            kind = r.randrange(9)
            if kind <= 2:
                v = v[v[:, r.randrange(4)] > r.choice((0.0, 0.5, -9.0, 9.0))]
            elif kind == 3:
                v = v.flip(0).tanh()
            elif kind == 4:
                v = v.cumsum(0) * 0.5
            elif kind == 5:
                v = v @ ingot.arange(16.0).reshape(4, 4) * 0.1
            elif kind == 6:
                v = ingot.cat([v, r.choice(values)])
            elif kind == 7:
                v = v.softmax(-1)
            else:
                v = v - v.sum(0, keepdim=True) * len(v)
            values.append(v)
        return values[-1], sum(v.sum() for v in values), [len(v) for v in values]


COMPILED = [pytest.param(seed, marks=pytest.mark.compiled, id=f"{seed}, compiled") for seed in range(716, 720)]


@pytest.mark.parametrize("seed", [*range(700, 712), *COMPILED])
def test_random_programs(seed):
    program, numbers = Program(seed), np.random.default_rng(seed)
    compiled = ingot.compile(lambda x: program(x))
    for n in (5, 7, 0, 2, 1, 11):
        x = ingot.tensor(numbers.standard_normal((n, 4)).astype(np.float32))
        want, got = program(x), compiled(x)
        assert want[2] == got[2], f"seed {seed}, {n} rows"
        for w, g in zip(want[:2], got[:2]):
            assert w.shape == g.shape, f"seed {seed}, {n} rows"
            scale = np.abs(w.numpy()).max(initial=1.0)
            np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-4, atol=1e-5 * scale, err_msg=f"seed {seed}, {n} rows")


def test_numbers_that_are_returned_and_kept():
    class Counting(nn.Module):
        def forward(self, x):
            y = x[x > 0]
            self.n = len(y)
            return y, y.shape, (y.shape, {"twice": 2 * len(y)})

    module, kept, seen = Counting(), {}, []

    def f(x):
        y = x[x > 0]
        kept["n"] = len(y)
        seen.append(len(y))
        return y

    compiled, g = ingot.compile(module), ingot.compile(f)
    for x in (X, NONE, ALL):
        n = int((x > 0).sum())
        assert compiled(x)[1:] == ((n,), ((n,), {"twice": 2 * n})) and module.n == n
        g(x)
        assert kept == {"n": n} and seen[-1] == n
    assert type(module.n) is int and len(seen) == 3
