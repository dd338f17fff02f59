"""ingot.compile: arguments, results and effects are those of the eager function, or it refuses with a clear word."""


import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.capture import CaptureError, LeakedTensorError
from ingot.runtime.recorder import here
from tests.support.small_net import close, data, net

F = nn.functional


# ---- arguments and results


def test_structures_in_and_out():
    @ingot.compile
    def f(pair, table, scale=2, *, flag=True):
        a, b = pair
        return {"sum": a + b * scale, "rest": [table["x"].exp(), None, "text", flag, 7]}

    x, y = ingot.ones(2), ingot.arange(2.0)
    for _ in range(2):
        out = f((x, y), {"x": y}, flag=False)
        assert out["sum"].tolist() == [1, 3] and out["rest"][1:] == [None, "text", False, 7]
        close(out["rest"][0], np.exp([0, 1]))
    assert f.stats == {"calls": 2, "traces": 1, "recompiles": 0}
    assert f([x, y], {"x": y})["sum"].tolist() == [1, 3]
    assert f.stats["recompiles"] == 1


def test_shapes_and_dtypes_are_part_of_the_signature():
    f = ingot.compile(lambda x: x * 2)
    for x in (ingot.ones(2), ingot.ones(3), ingot.ones(2, dtype=ingot.float64), ingot.ones(2), ingot.ones(3)):
        assert f(x).shape == x.shape and f(x).dtype is x.dtype
    assert f.stats["traces"] == 3


def test_floats_are_run_time_numbers_and_ints_are_static():
    f = ingot.compile(lambda x, a: x * a + a)
    x = ingot.ones(2, dtype=ingot.float64)
    for a in (0.1, 0.2, 1e300):
        assert f(x, a).tolist() == [a + a] * 2
    assert f.stats["traces"] == 1
    assert f(x, 3).tolist() == [6, 6] and f(x, 4).tolist() == [8, 8]
    assert f.stats["traces"] == 3
    h = f(ingot.ones(2, dtype=ingot.float16), 0.5)
    assert h.dtype is ingot.float16
    i = f(ingot.ones(2, dtype=ingot.int32), 0.5)
    assert i.dtype is ingot.float32
    g = ingot.compile(lambda x, p: x if p > 0.5 else -x, static=("p",))
    assert g(x, 0.7).tolist() == [1, 1] and g(x, 0.2).tolist() == [-1, -1]
    with pytest.raises(ValueError, match="no parameter"):
        ingot.compile(lambda x: x, static=("q",))


def test_run_time_numbers_promote_like_python_numbers():
    def f(x, a):
        return x + a * 2, (a + 1) * x, -a * x

    c = ingot.compile(f)
    for d in (ingot.float64, ingot.float32, ingot.bfloat16, ingot.int64):
        x = ingot.ones(2, dtype=d)
        for got, want in zip(c(x, 0.1), f(x, 0.1)):
            assert got.dtype is want.dtype and got.tolist() == want.tolist()


def test_unsupported_things():
    with pytest.raises(TypeError):
        ingot.compile(3)
    with pytest.raises(TypeError, match="generators"):

        @ingot.compile
        def gen():
            yield 1

    f = ingot.compile(lambda x: x)
    with pytest.raises(TypeError, match="from_numpy"):
        f(np.ones(2))
    with pytest.raises(ValueError, match="mode"):
        ingot.compile(lambda x: x, mode="fast")


def test_views_and_aliases_of_results():
    def f(x):
        y = x * 2
        return x, y, y[1:], x.t()

    c = ingot.compile(f)
    for _ in range(2):
        x = ingot.arange(6.0).reshape(2, 3)
        a, y, tail, t = c(x)
        assert a is x
        tail.zero_()
        assert y.tolist() == [[0, 2, 4], [0, 0, 0]]
        x.fill_(1)
        assert t.tolist() == [[1, 1]] * 3


def test_view_arguments():
    c = ingot.compile(lambda x: x + 1)
    x = ingot.arange(6.0).reshape(2, 3)
    assert c(x[1]).tolist() == [4, 5, 6] and c(x[:, 0]).tolist() == [1, 4]
    x.zero_()
    assert c(x[1]).tolist() == [1, 1, 1]


# ---- effects


def test_arguments_changed_in_place():
    def f(x, y):
        x.add_(y)
        x[0] = 7
        return x * 2

    c = ingot.compile(f)
    base = ingot.zeros(2, 3)
    for i in range(3):
        x, e = ingot.full((3,), float(i)), ingot.full((3,), float(i))
        assert c(x, x.clone() + 1).tolist() == f(e, e.clone() + 1).tolist()
        assert x.tolist() == e.tolist() and x._version >= 1
        c(base[1], ingot.ones(3))
    assert base.tolist() == [[0, 0, 0], [7, 3, 3]]


def test_arguments_that_share_memory():
    def f(x, y):
        x.add_(1)
        return y * 2

    c = ingot.compile(f)
    a, b = ingot.zeros(3), ingot.zeros(3)
    assert c(a, b).tolist() == [0, 0, 0]
    assert c(a, a).tolist() == [4, 4, 4]
    base = ingot.zeros(4)
    assert c(base[1:], base[:3]).tolist() == [0, 2, 2]
    assert base.tolist() == [0, 1, 1, 1]
    assert c(b, a).tolist() == [4, 4, 4] and c.stats["traces"] == 3


def test_captured_tensors_by_reference():
    w = ingot.ones(3)
    state = ingot.zeros(3)

    @ingot.compile
    def f(x):
        state.add_(x * w)
        return state + 0

    x = ingot.arange(3.0)
    assert f(x).tolist() == [0, 1, 2]
    w.fill_(10)
    assert f(x).tolist() == [0, 11, 22] and state.tolist() == [0, 11, 22]
    view = state[1:]
    state.zero_()
    f(x)
    assert view.tolist() == [10, 20] and f.stats["traces"] == 1
    n = w.numpy()  # exposed: NumPy's writes are seen at each call
    n[:] = 1
    assert f(x).tolist() == [0, 11, 22]
    m = state.numpy()
    f(x)
    assert m.tolist() == [0, 12, 24]


def test_a_gradient_is_put_where_there_was_no_place_for_one():
    x = ingot.ones(2)

    @ingot.compile
    def f(y):
        x.grad = y * 2

    for i in range(3):
        f(ingot.full((2,), float(i)))
        assert x.grad.tolist() == [2 * i] * 2
        x.grad = None

    @ingot.compile
    def g(y):
        y.grad = y * 3

    for _ in range(3):
        g(x)
        assert x.grad.tolist() == [3, 3]
        x.grad = None


def test_a_tensor_from_outside_cannot_become_a_view_of_itself():
    w = ingot.arange(6.0).reshape(2, 3)
    with pytest.raises(CaptureError, match=r"(?s)turn a tensor from outside into a view in place.*w.t_\(\).*without the underscore"):
        ingot.compile(lambda x: w.t_() + x)(ingot.ones(1))
    assert w.shape == (2, 3)
    assert ingot.compile(lambda x: (x * w).t_())(ingot.ones(1)).shape == (3, 2)


def test_random_numbers_are_fresh_and_follow_the_seed():
    drop = nn.Dropout(0.5)

    def f(x):
        return drop(x) + ingot.rand(8) * 0

    c = ingot.compile(f)
    x = ingot.ones(8)
    ingot.manual_seed(3)
    eager = [f(x).tolist() for _ in range(3)]
    ingot.manual_seed(3)
    compiled = [c(x).tolist() for _ in range(3)]
    assert eager == compiled and eager[0] != eager[1]
    assert c.stats["traces"] == 1


def test_batch_norm_buffers():
    def make():
        ingot.manual_seed(0)
        return nn.BatchNorm1d(4)

    a, b = make(), make()
    c = ingot.compile(a)
    for i in range(3):
        x, _ = data(8, i)
        close(c(x).detach(), b(x).detach())
    close(a.running_mean, b.running_mean)
    assert a.num_batches_tracked.item() == 3 and c.stats["traces"] == 1


def test_attributes_assigned_tensors():
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("h", ingot.zeros(2))
            self.last = None

        def forward(self, x):
            self.h = self.h * 0.5 + x
            self.last = x * 2
            return self.h + 0

    m, e = Cell(), Cell()
    c = ingot.compile(m)
    for i in range(4):
        x = ingot.full((2,), float(i))
        assert c(x).tolist() == e(x).tolist()
        assert m.h.tolist() == e.h.tolist() and m.last.tolist() == e.last.tolist()
    assert c.stats["traces"] <= 2


def test_leaks_are_refused():
    kept, items = set(), [ingot.ones(1)]

    @ingot.compile
    def f(x):
        kept.add(x * 2)
        return x

    with pytest.raises(LeakedTensorError, match="kept after it"):
        f(ingot.ones(2))
    kept.clear()

    @ingot.compile
    def g(x):
        items.append(x * 2)
        return x + items[0]

    with pytest.raises(LeakedTensorError, match="adds tensors to a list that it also looks at"):
        g(ingot.ones(2))
    assert len(items) == 1 and ingot.ones(2).tolist() == [1, 1]


def test_branches_on_values_are_refused_with_the_line():
    w = ingot.ones(2)

    @ingot.compile
    def f(x):
        w.add_(1)
        if x.sum() > 0:
            return x
        return -x

    with pytest.raises(CaptureError, match=r"(?s)test_compile.py:\d+.*x.sum\(\) > 0.*ingot.where"):
        f(ingot.ones(2))
    assert w.tolist() == [1, 1]  # nothing happened
    for bad in (lambda x: x[0].item() > 0, lambda x: x.tolist(), lambda x: bool(x.sum()), lambda x: x.numpy(), lambda x: f"{x[0].item()}"):
        with pytest.raises(CaptureError):
            ingot.compile(bad)(ingot.ones(2))


def test_an_error_inside_leaves_everything_as_it_was():
    w = ingot.ones(2)
    model = net()

    @ingot.compile
    def f(x, bad):
        w.mul_(5)
        if bad:
            raise KeyError("mine")
        return x * w

    with pytest.raises(KeyError, match="mine"):
        f(ingot.ones(2), True)
    assert w.tolist() == [1, 1]
    assert f(ingot.ones(2), False).tolist() == [5, 5]
    assert not here.recorder.tracing
    del model


def test_a_failed_check_writes_nothing():
    w = ingot.zeros(3)

    @ingot.compile
    def f(i):
        w.add_(1)
        return w[i]

    assert f(ingot.tensor([1])).tolist() == [1]
    with pytest.raises(IndexError):
        f(ingot.tensor([9]))
    assert w.tolist() == [1, 1, 1]
    assert f(ingot.tensor([2])).tolist() == [2]


@pytest.mark.compiled
def test_writing_in_place_touches_nobody_else():
    w = ingot.arange(4.0)
    w.tolist()

    @ingot.compile
    def f(x):
        w.mul_(2).add_(x)
        return w.sum()

    x = ingot.ones(4)
    want = np.arange(4.0)
    for i in range(8):
        old = want.copy()
        copy, pending, tape = w.clone(), w + 1, None
        view = w[1:]
        if i % 2:
            leaf = ingot.ones(4, requires_grad=True)
            tape = (leaf * w).sum()
        if i >= 4:
            copy, pending = None, None
        if i == 6:
            shown = w.numpy()
        total = f(x)
        want = want * 2 + 1
        assert w.tolist() == want.tolist() and view.tolist() == want[1:].tolist() and total.item() == want.sum()
        if i < 4:
            assert copy.tolist() == old.tolist() and pending.tolist() == (old + 1).tolist()
        if tape is not None:
            with pytest.raises(RuntimeError, match="modified by an inplace"):
                tape.backward()
        if i >= 6:
            assert shown.tolist() == want.tolist()
    assert w._version == 8


@pytest.mark.compiled
def test_every_way_of_a_call_writes_in_place():
    w, total = ingot.zeros(1000), ingot.zeros(())
    w.tolist()

    @ingot.compile
    def f(x):
        w.add_(x)
        return w.sum() + total

    x = ingot.ones(1000)
    at = w.data_ptr()
    for i in range(5):
        assert f(x).item() == 1000 * (i + 1) and w.data_ptr() == at


def test_arguments_that_share_memory_with_captured_tensors():
    w, e = ingot.zeros(3), ingot.zeros(3)

    def make(w):
        def f(x):
            w.add_(1)
            return x * 2, w + 0

        return f

    c, f = ingot.compile(make(w)), make(e)
    other = ingot.ones(3)
    for x, y in ((other, other), (w, e), (w[1:], e[1:]), (other, other), (w, e), (w.view(3), e.view(3))):
        for got, want in zip(c(x), f(y)):
            assert got.tolist() == want.tolist()
    assert w.tolist() == e.tolist() == [6, 6, 6]


def test_arguments_of_torch_compile():
    x = ingot.ones(2)
    for options in (
        {"fullgraph": True}, {"dynamic": False}, {"dynamic": True}, {"backend": "inductor"}, {"mode": "reduce-overhead"},
        {"mode": "max-autotune"},
    ):  # fmt: skip
        f = ingot.compile(lambda x: x * 2, **options)
        assert f(x).tolist() == [2, 2] and f.stats["traces"] == 1
        assert ingot.compile(**options)(lambda x: x * 2)(x).tolist() == [2, 2]
    g = lambda x: x * 2  # noqa: E731
    assert ingot.compile(g, disable=True) is g
    with pytest.raises(ValueError, match="no backend 'aot_eager'"):
        ingot.compile(g, backend="aot_eager")
    with pytest.raises(ValueError, match="no options"):
        ingot.compile(g, options={"triton.cudagraphs": True})
    with pytest.raises(ValueError, match="mode is None or 'frozen'"):
        ingot.compile(g, mode="fast")
