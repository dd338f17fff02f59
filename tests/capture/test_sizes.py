"""Sizes under ingot.compile: a dim that comes with a second size is a symbol from then on, and what Python reads of it remembers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ingot
from ingot import nn
from tests.support.small_net import close

F = nn.functional
LENGTHS = (5, 7, 11, 3, 2, 1, 13)


def rows(n, *rest):
    return ingot.tensor(np.random.default_rng(n).standard_normal((n, *rest)).astype(np.float32))


def same(f, *calls, traces):
    """Compiled and eager agree on all calls, and no more is traced than said."""
    c = ingot.compile(f)
    for args in calls:
        want, got = f(*args), c(*args)
        if isinstance(want, ingot.Tensor):
            assert got.shape == want.shape and all(type(n) is int for n in got.shape)
            close(got, want.detach().numpy())
        else:
            assert got == want and type(got) is type(want)
    assert c.stats["traces"] == traces, dict(c.recompiles)
    return c


def over(*rest):
    return [(rows(n, *rest),) for n in LENGTHS]


# ---- without being asked


def test_the_second_size_makes_a_symbol_and_the_third_compiles_nothing():
    c = same(lambda x: (x * 2).sum(-1), *over(3), traces=2)
    assert dict(c.recompiles) == {"x.shape[0] is 7, it was 5: run-time size from now on": 1}


def test_static_code_goes_on_to_serve_the_first_size():
    f = ingot.compile(lambda x: x * 2)
    for n in (5, 7, 5, 7, 5, 9, 5):
        assert f(ingot.ones(n)).tolist() == [2] * n
    assert f.stats == {"calls": 7, "traces": 2, "recompiles": 1}


def test_dims_that_were_always_equal_share_a_symbol_and_part_when_they_differ():
    f = ingot.compile(lambda x, y: ingot.cat([x, y]).sum(0))
    for n, m in ((2, 2), (3, 3), (5, 5), (5, 4), (6, 2)):
        close(f(rows(n, 3), rows(m, 3)), (rows(n, 3).sum(0) + rows(m, 3).sum(0)).numpy())
    assert f.stats["traces"] == 3
    assert any("and not x.shape[0]" in r or "y.shape[0]" in r for r in f.recompiles)


def test_an_empty_input_is_its_own_case():
    same(lambda x: x.sum(0), *over(3), (ingot.zeros(0, 3),), (rows(17, 3),), traces=3)


def test_what_fits_a_larger_function_fits_all_lengths():
    same(lambda x: F.softmax(x, 0) @ x.T, *over(4), traces=2)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    same(layer, *[(rows(2 * n, 8).reshape(2, n, 8),) for n in LENGTHS], traces=2)
    lstm = nn.LSTM(4, 3).eval()
    same(lambda x: lstm(x)[0], *[(rows(2 * n, 4).reshape(n, 2, 4),) for n in LENGTHS], traces=2)


# ---- what Python reads


pe = rows(16, 4)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * x.shape[0],
        lambda x: x * len(x),
        lambda x: x.sum() / x.numel(),
        lambda x: x.mean(0) - x.var(0, unbiased=False),
        lambda x: x.view(x.size(0) * 2, -1),
        lambda x: ingot.zeros(x.shape[0], 4) + x.reshape(-1, 4),
        lambda x: x + ingot.arange(x.size(0))[:, None],
        lambda x: x + pe[: x.size(0)],
        lambda x: x * (ingot.arange(x.shape[0])[None] < ingot.tensor([[1], [3]])).sum(0)[:, None],
        lambda x: x @ x.T + ingot.full((len(x), len(x)), -1.0).triu(1),
        lambda x: x.unsqueeze(1).expand(-1, x.shape[0], -1),
        lambda x: x.clone().mul_(2)[:, 1:].add_(1),
        lambda x: x.stride(0) * x,
        lambda x: F.pad(x, (0, 0, 0, 16 - x.shape[0])),
        lambda x: x[-1] + x[x.shape[0] // 2],
        lambda x: x * x.shape[0] ** -0.5 + 1 / len(x),
        lambda x: x.shape[0] * 2 + 1,
        lambda x: x.shape[0] / 4,
        lambda x: (x.shape, {"rows": x.numel() // 4})[1]["rows"],
        lambda x: F.interpolate(x[None], scale_factor=2) if x.ndim == 4 else x,
    ],
)
def test_sizes_keep_their_expressions(f):
    same(f, *over(4), traces=2)


def test_a_comparison_is_a_guard():
    c = same(lambda x: x * 2 if x.shape[0] > 4 else -x, *over(3), traces=3)
    assert any("5 <= x.shape[0] does not hold" in r for r in c.recompiles)
    same(lambda x: -x if x.shape[0] % 2 else x, *over(3), traces=3)


def test_a_relation_between_arguments_is_a_guard():
    f = ingot.compile(lambda x, y: x + y)
    for n, m in ((2, 3), (4, 6), (5, 1), (5, 5), (7, 7), (1, 6)):
        if n != m and 1 not in (n, m):
            with pytest.raises(RuntimeError, match="broadcast"):
                f(ingot.ones(n), ingot.ones(m))
        else:
            assert f(ingot.ones(n), ingot.ones(m)).tolist() == [2] * max(n, m)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: sum((x[i] for i in range(x.shape[0])), ingot.zeros(3)),
        lambda x: x * {5: 2.0}.get(x.shape[0], 1.0),
        lambda x: x * len(f"{x.shape[0]:>3}"),
        lambda x: x * len([0] * x.shape[0]),
        lambda x: ingot.stack(x.unbind(0)),
        lambda x: x * [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14][x.shape[0]],
    ],
)
def test_a_number_that_python_needs_is_a_constant(f, capsys, monkeypatch):
    monkeypatch.setenv("INGOT_LOG", "recompiles")
    same(f, *over(3), traces=len(LENGTHS))
    assert "x.shape[0] is 7 for good: " in capsys.readouterr().err


def test_only_the_dim_that_is_needed_is_a_constant():
    def f(x):
        return sum((x[:, i] for i in range(x.shape[1])), ingot.zeros(x.shape[0]))

    same(f, *[(rows(n, m),) for n, m in ((2, 3), (4, 5), (6, 5), (7, 5), (8, 3), (9, 3))], traces=3)


# ---- gradients, state, views


def test_training_steps_at_any_batch_size():
    def net():
        ingot.manual_seed(0)
        m = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        return m, ingot.optim.Adam(m.parameters(), lr=0.01)

    def stepper(m, o):
        def step(x, y):
            o.zero_grad()
            loss = F.cross_entropy(m(x), y)
            loss.backward()
            o.step()
            return loss

        return step

    a, b = net(), net()
    eager, compiled = stepper(*a), ingot.compile(stepper(*b))
    for n in LENGTHS:
        x, y = rows(n, 4), ingot.arange(n) % 3
        close(compiled(x, y), eager(x, y).detach().numpy())
    for p, q in zip(a[0].parameters(), b[0].parameters()):
        close(q, p.detach().numpy())
    assert compiled.stats["traces"] <= 3


def test_a_backward_by_the_caller():
    m = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    c = ingot.compile(m)
    for n in LENGTHS:
        grads = []
        for f in (m, c):
            x = rows(n, 4).requires_grad_()
            m.zero_grad()
            (f(x) ** 2).mean().backward()
            grads.append([x.grad, *(p.grad.clone() for p in m.parameters())])
        for a, b in zip(*grads):
            assert a.shape == b.shape
            close(b, a.numpy())
    assert c.stats["traces"] == 2


def test_views_and_writes_in_place():
    def f(x):
        x[1:] += 1
        first, rest = x[:1], x[1:]
        return first, rest.t(), rest

    c = ingot.compile(f)
    for n in (4, 6, 9, 5):
        a, b = ingot.ones(n, 2), ingot.ones(n, 2)
        want, got = f(a), c(b)
        assert b.tolist() == a.tolist()
        for p, q in zip(want, got):
            assert q.tolist() == p.tolist() and q.stride() == p.stride()
        got[2][0] = 7  # the results are views of the argument, whatever its size
        assert b[1].tolist() == [7, 7] and got[1][0, 0].item() == 7
    assert c.stats["traces"] == 2


def test_random_numbers_go_on_where_any_size_has_left_them():
    def f(x):
        return ingot.rand(x.shape[0]) + ingot.rand(2) [0] + F.dropout(x, 0.5)

    c = ingot.compile(f)
    for g in (f, c):
        ingot.manual_seed(3)
        g.results = [g(ingot.ones(n)).tolist() for n in (5, 7, 11, 4)]
    assert f.results == c.results and c.stats["traces"] == 2


def test_attributes_that_hold_sizes_are_plain_ints():
    class Net(nn.Module):
        seen = 0

        def forward(self, x):
            self.rows = x.shape[0] + 1
            return x * 2

    m = Net()
    m.rows = 0
    c = ingot.compile(m)
    for n in (5, 7, 9, 3):
        c(ingot.ones(n))
        assert m.rows == n + 1 and type(m.rows) is int


def test_errors_are_the_eager_ones():
    f = ingot.compile(lambda x, y: x @ y)
    for n in (2, 3, 4):
        f(ingot.ones(n, 5), ingot.ones(5, n))
    with pytest.raises(RuntimeError, match="4"):
        f(ingot.ones(3, 4), ingot.ones(5, 3))
    g = ingot.compile(lambda x, i: x[i])
    for n in (2, 3, 4):
        assert g(ingot.arange(n), ingot.tensor([1])).tolist() == [1]
    with pytest.raises(IndexError, match="out of range|out of bounds"):
        g(ingot.arange(5), ingot.tensor([5]))


# ---- numbers


def test_an_int_that_comes_with_a_second_value_is_a_run_time_number():
    x = rows(16, 3)
    same(lambda x, n: x * n + n, *[(x, n) for n in (5, 7, 0, 3, 100)], traces=2)
    same(lambda x, n: x[:n], *[(x, n) for n in (5, 7, 1, 16)], traces=2)
    same(lambda x, n: ingot.zeros(n, 3) + x[:1], *[(x, n) for n in (5, 7, 1, 16)], traces=2)
    same(lambda x, n: (x * 2 if n % 2 == 0 else x), *[(x, n) for n in range(8)], traces=3)
    same(lambda x, n: x.sum(n), *[(x, n) for n in (0, 1, 0, 1)], traces=2)
    same(lambda x, n: x * n, *[(x, n) for n in (3, -3, 5, -8)], traces=4)


def test_true_and_one_are_different():
    f = ingot.compile(lambda x, n: x + n)
    x = ingot.ones(2, dtype=ingot.bool)
    for n, dtype in ((1, ingot.int64), (2, ingot.int64), (True, ingot.bool), (3, ingot.int64), (1, ingot.int64), (2.5, ingot.float32)):
        assert f(x, n).dtype is dtype


class Annealed(nn.Module):
    def __init__(self):
        super().__init__()
        self.temperature = 1.0

    def forward(self, x):
        return (x / self.temperature).softmax(-1)


def test_an_annealed_attribute_is_two_compilations():
    m = Annealed()
    c = ingot.compile(m)
    for i in range(20):
        m.temperature = 0.9**i
        close(c(rows(3, 4)), m(rows(3, 4)).numpy())
    assert c.stats["traces"] == 2 and m.temperature == 0.9**19


def test_a_counter_that_the_function_moves_is_two_compilations():
    class Counting(nn.Module):
        seen = 0

        def forward(self, x):
            self.seen += 1
            return x * self.seen

    m = Counting()
    m.seen = 0
    c = ingot.compile(m)
    for i in range(1, 7):
        assert c(ingot.ones(2)).tolist() == [i, i] and m.seen == i and type(m.seen) is int
    m.seen = 40
    assert c(ingot.ones(2)).tolist() == [41, 41]
    m.seen = 0.5  # another type: another program
    assert c(ingot.ones(2)).tolist() == [1.5, 1.5] and m.seen == 1.5
    assert c.stats["traces"] == 3


SCALE = 1.0


def test_globals_closures_and_objects(monkeypatch):
    class Schedule:
        step, warm = 0, 3

    s, k = Schedule(), 2
    s.step = 0

    def f(x):
        rate = 0.5 * s.step / s.warm if s.step < s.warm else 0.5
        return x * rate + SCALE, k + 1, s.step * 2.0

    c = ingot.compile(f)
    for i in range(8):
        s.step, k = i, i
        monkeypatch.setitem(globals(), "SCALE", i / 4)
        (a, *rest), (b, *others) = f(rows(3)), c(rows(3))
        close(b, a.numpy())
        assert rest == others and [type(x) for x in rest] == [type(x) for x in others]
    assert c.stats["traces"] == 3, dict(c.recompiles)  # and one more when the warm-up ends


def test_numbers_are_never_stale():
    s = Annealed()
    c = ingot.compile(lambda x: x * s.temperature if s.temperature > 0 else x - s.temperature)
    x = rows(3)
    for t in (1.0, 2.0, -1.0, 3.0, 0.0, -0.0, float("inf"), 2, 2.5, True, None, 4.0):
        s.temperature = t
        if t is None:
            with pytest.raises(TypeError):
                c(x)
            continue
        want = c.__wrapped__(x)
        got = c(x)
        assert got.dtype is want.dtype
        close(got, want.numpy())


def test_a_number_that_python_needs_is_a_constant_outside_too():
    s = Annealed()
    c = ingot.compile(lambda x: x * {1.0: 2}.get(s.temperature, 3))
    for t in (1.0, 2.0, 1.0, 5.0):
        s.temperature = t
        assert c(ingot.ones(2)).tolist() == [2 if t == 1 else 3] * 2


def test_a_function_that_is_compiled_again_and_again_warns_once():
    c = ingot.compile(lambda x: sum(x[i] for i in range(x.shape[0])))
    with pytest.warns(UserWarning, match=r"compiled 8 times.*x.shape\[0\] is 3 for good: .*plain int.*test_sizes.py") as found:
        for n in range(2, 14):
            c(ingot.ones(n))
    assert len(found) == 1 and found[0].filename == __file__


def test_a_dim_that_only_a_guard_keeps_from_being_negative():
    def f(x, y):
        d = x.shape[0] - y.shape[0]
        return ingot.zeros(d, 2) + x[y.shape[0] :] * d

    c = same(f, *[(rows(n, 2), rows(m, 2)) for n, m in ((5, 2), (7, 3), (9, 8), (4, 1), (13, 2))], traces=2)
    (entry,) = [e for es in c._entries.values() for e in es if e.call.traced.fit is not None]
    assert [s.bounds_text for s in entry.call.traced.graph.symbols] == ["k0", "1 <= s1"]


def test_channels_are_shuffled_at_every_size():
    c = ingot.compile(lambda x: ingot.nn.functional.channel_shuffle(x, 2), dynamic=True)
    for shape in ((1, 4, 3, 4), (2, 6, 5, 2), (3, 8, 1, 1)):
        x = ingot.tensor(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
        close(c(x), ingot.nn.functional.channel_shuffle(x, 2).numpy())


def test_eigenvalues_at_every_size():
    c = ingot.compile(lambda x: ingot.linalg.eigvals(x).abs().sum(), dynamic=True)
    for n in (3, 1, 5):
        x = ingot.tensor(np.random.default_rng(n).standard_normal((n, n)))
        np.testing.assert_allclose(c(x).item(), np.abs(np.linalg.eigvals(x.numpy())).sum())


def test_shapes_that_are_returned_are_those_of_the_call():
    f = ingot.compile(lambda x: (x * 2, x.shape, [x.size()], {"s": x.shape}))
    for n in (3, 5, 7, 9):
        got = f(ingot.ones(n))
        assert got[1:] == ((n,), [(n,)], {"s": (n,)}) and isinstance(got[1], ingot.Size) and type(got[1][0]) is int


def test_numbers_in_what_is_not_taken_apart_are_refused():
    class Holder:
        def __init__(self, n):
            self.n = n

    for make in (Holder, lambda n: slice(0, n)):
        f = ingot.compile(lambda x, make=make: (x * 2, make(x.shape[0])), dynamic=True)
        with pytest.raises(ingot.CaptureError, match="holds a size"):
            f(ingot.ones(3))


def test_shapes_that_are_kept_are_those_of_the_call():
    kept = {}

    class Keeping(nn.Module):
        def forward(self, x):
            self.shape, self.pair, self.sizes = x.shape, (x.shape, 1), [x.shape[0]]
            kept["shape"], kept["more"] = x.shape, ({"n": x.shape[0]},)
            return x * 2

    module = Keeping()
    f = ingot.compile(module)
    for n in (3, 5, 7, 9, 7, 5):
        f(ingot.ones(n))
        assert (module.shape, module.pair, module.sizes) == ((n,), ((n,), 1), [n])
        assert kept == {"shape": (n,), "more": ({"n": n},)} and type(module.shape[0]) is int


def test_numbers_kept_where_calls_do_not_write_are_refused_when_they_are_another_calls():
    local = threading.local()

    def f(x):
        local.n, local.half = x.shape[0], x.shape[0] / 2
        return x * 2

    f = ingot.compile(f)
    for n in (3, 4):  # that of the first call, and that of the one that is traced for all
        f(ingot.ones(n))
        assert (int(local.n), float(local.half)) == (n, n / 2)
    f(ingot.ones(5))
    for number in (local.n, local.half):
        for use in (lambda n: n + 1, int, str, bool, lambda n: n > 2, lambda n: ingot.ones(3) * n, lambda n: ingot.full((2,), n)):
            with pytest.raises(ingot.CaptureError, match="later calls would find that of the first"):
                use(number)
    for use in (ingot.zeros, lambda n: ingot.ones(8)[:n], lambda n: ingot.ones(n, 2), range):
        with pytest.raises(ingot.CaptureError, match="later calls would find that of the first"):
            use(local.n)


def test_numbers_are_refused_to_other_threads_while_a_function_is_traced():
    def f(x):
        n, found = x.shape[0], []
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(lambda: n + 1).result())
        return x * found[0]

    with pytest.raises(ingot.CaptureError, match="another thread"):
        ingot.compile(f, dynamic=True)(ingot.ones(3))


def test_numbers_in_the_error_of_a_function_are_those_of_the_call():
    def f(x):
        raise ValueError("bad", x.shape[0], x.shape[0] / 2)

    f = ingot.compile(f)
    for n in (3, 4, 5):
        with pytest.raises(ValueError, match=r"\('bad', (\d), \d\.") as e:
            f(ingot.ones(n))
        assert (e.value.args[1] + 0, float(e.value.args[2])) == (n, n / 2)


def test_attributes_of_classes_and_functions_that_are_assigned_are_those_of_the_call():
    class Base:
        pair = None

    class Cls(Base):
        n = text = 0

    def f(x):
        Cls.n, Cls.text = x.shape[0], "set"
        Base.pair = (x.shape, x + 1)
        f.n = x.shape[0] * 2
        return x * 2

    g = ingot.compile(f)
    for n in (3, 4, 5, 6, 4):
        Cls.text = 0
        g(ingot.ones(n))
        assert (Cls.n, Cls.text, f.n, Base.pair[0]) == (n, "set", 2 * n, (n,)) and type(Cls.n) is int
        assert Base.pair[1].tolist() == [2.0] * n
