"""One plan for all sizes: what eager code asks for once it has come back with a second size."""

import io
from contextlib import redirect_stderr

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime import plans
from ingot.runtime.plans import stats

rng = np.random.default_rng(0)
table = rng.standard_normal((40, 3)).astype(np.float32)


def written(t):
    x = ingot.zeros(2, 40, 3)
    x[:, t] = float(t)
    return x


def normal(*shape):
    ingot.manual_seed(0)
    return ingot.randn(*shape)


# name: (what is computed for n, what NumPy says, the sizes)
LINES = {
    "zeros": (lambda n: ingot.zeros(n, 3), lambda n: np.zeros((n, 3)), range(20)),
    "full": (lambda n: ingot.full((n,), n), lambda n: np.full(n, n), range(20)),
    "arange": (lambda n: ingot.arange(n), np.arange, range(20)),
    "eye": (lambda n: ingot.eye(n), np.eye, range(20)),
    "convert": (lambda n: ingot.tensor(table[:n]).double(), lambda n: table[:n].astype(np.float64), range(20)),
    "row": (lambda n: ingot.tensor(table)[n], lambda n: table[n], range(40)),
    "head": (lambda n: ingot.tensor(table)[:n], lambda n: table[:n], range(40)),
    "step": (lambda n: ingot.tensor(table)[n::2], lambda n: table[n::2], range(39)),
    "transpose": (lambda n: ingot.tensor(table[:n]).T.contiguous(), lambda n: table[:n].T, range(20)),
    "flatten": (lambda n: ingot.tensor(table[:n]).reshape(-1), lambda n: table[:n].reshape(-1), range(20)),
    "rows": (lambda n: ingot.tensor(table[: 4 * n]).reshape(n, 4, 3).sum(1), lambda n: table[: 4 * n].reshape(n, 4, 3).sum(1), range(10)),
    "mean": (lambda n: ingot.tensor(table[:n]).mean(0), lambda n: table[:n].mean(0), range(1, 20)),
    "var": (lambda n: ingot.tensor(table[:n]).var(0), lambda n: table[:n].var(0, ddof=1), range(2, 20)),
    "cat": (lambda n: ingot.cat([ingot.tensor(table[:n]), ingot.ones(2, 3)]), lambda n: np.append(table[:n], np.ones((2, 3)), 0), range(9)),
    "gram": (lambda n: ingot.tensor(table[:n]) @ ingot.tensor(table[:n]).T, lambda n: table[:n] @ table[:n].T, range(20)),
    "take": (lambda n: ingot.tensor(table)[ingot.arange(n)], lambda n: table[:n], range(20)),
    "sort": (lambda n: ingot.tensor(table[:n]).sort(0)[0], lambda n: np.sort(table[:n], 0), range(1, 20)),
    "cumsum": (lambda n: ingot.tensor(table[:n]).cumsum(0), lambda n: table[:n].cumsum(0), range(20)),
    "where": (lambda n: ingot.where(ingot.arange(n) > 3, 1, 0), lambda n: (np.arange(n) > 3).astype(int), range(20)),
    "outer": (lambda n: ingot.arange(n)[:, None] * ingot.arange(n + 1), lambda n: np.arange(n)[:, None] * np.arange(n + 1), range(20)),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_line_over_many_sizes_asks_for_few_plans(name):
    line, expected, sizes = LINES[name]
    plans.clear()
    before = stats["plans"]
    for n in sizes:
        np.testing.assert_allclose(line(n).numpy(), expected(n), rtol=1e-5, atol=1e-5)
    assert stats["plans"] - before <= 4, stats  # some lines are two flushes


def test_writing_at_a_moving_place():
    plans.clear()
    before = stats["plans"]
    for t in range(40):
        expected = np.zeros((2, 40, 3))
        expected[:, t] = t
        np.testing.assert_array_equal(written(t).numpy(), expected)
    assert stats["plans"] - before <= 4


def test_random_numbers_are_those_of_a_plan_of_their_own():
    shapes = [(n, m) for n in (0, 1, 2, 5) for m in (1, 3, 7)]
    plans.clear()
    before = stats["plans"]
    drawn = [normal(*s).numpy().copy() for s in shapes]
    assert stats["plans"] - before <= 3
    for s, x in zip(shapes, drawn):
        plans.clear()
        np.testing.assert_array_equal(normal(*s).numpy(), x)


def test_sizes_that_were_equal_by_chance():
    def f(a, b):
        return (ingot.ones(a, 2).sum(), ingot.ones(b, 2) * 2)

    plans.clear()
    for a, b in ((3, 3), (5, 5), (5, 3), (2, 9), (7, 1), (0, 4)):
        s, y = f(a, b)
        assert s.item() == 2 * a and y.numpy().shape == (b, 2) and (y.numpy() == 2).all()


def test_what_is_broadcast_at_some_sizes():
    plans.clear()
    before = stats["plans"]
    for n, m in ((3, 3), (1, 5), (7, 7), (1, 2), (9, 9), (4, 1), (6, 1), (2, 2)):
        x, y = np.arange(n, dtype=np.float32), np.arange(m, dtype=np.float32)
        np.testing.assert_array_equal((ingot.tensor(x) + ingot.tensor(y)).numpy(), x + y)
    assert stats["plans"] - before <= 6


def test_numbers_that_follow_from_sizes_are_passed():
    plans.clear()
    before = stats["plans"]
    for n in range(1, 30):
        x = rng.standard_normal((n, 3)).astype(np.float32)
        assert ingot.tensor(x).mean().item() == pytest.approx(float(x.mean()), rel=1e-5, abs=1e-6)
    assert stats["plans"] - before == 2


def test_a_static_attribute_is_another_structure():
    x = ingot.tensor(table)
    plans.clear()
    np.testing.assert_allclose(x.sum(0).numpy(), table.sum(0), rtol=1e-5)
    np.testing.assert_allclose(x.sum(1).numpy(), table.sum(1), rtol=1e-5)
    assert stats["plans"] and len(plans._FAMILIES) == 2


def test_training_over_many_lengths():
    ingot.manual_seed(0)
    model = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    optimizer = ingot.optim.SGD(model.parameters(), lr=0.1)
    lengths = (5, 6, 1, 9, 2, 12)
    inputs = [rng.standard_normal((2, n, 16)).astype(np.float32) for n in lengths]

    def losses(forget):
        state = {k: v.clone() for k, v in model.state_dict().items()}
        found = []
        for x in inputs:
            if forget:
                plans.clear()
            loss = model(ingot.tensor(x)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        model.load_state_dict(state)
        return found

    plans.clear()
    losses(False)
    before = stats["plans"]
    one = losses(False)
    assert stats["plans"] == before
    np.testing.assert_allclose(one, losses(True), rtol=1e-4)


def test_an_index_out_of_range_is_named_with_any_plan():
    def pick(n, i):
        return ingot.tensor(table[:n])[ingot.tensor([i])].numpy()

    plans.clear()
    for n in (3, 5, 7):
        np.testing.assert_array_equal(pick(n, n - 1), table[n - 1 : n])
    with pytest.raises(IndexError, match="index 7 is out of range for axis 0 of extent 7"):
        pick(7, 7)
    with pytest.raises(IndexError, match="index 9 is out of range for axis 0 of extent 8"):
        pick(8, 9)


def test_the_log_says_what_became_symbolic(monkeypatch):
    plans.clear()
    monkeypatch.setenv("INGOT_LOG", "recompiles")
    with redirect_stderr(io.StringIO()) as said:
        for n in (3, 4, 5):
            ingot.ones(n).sum().item()
    text = said.getvalue()
    assert text.count("ingot:recompiles") == 1 and "now one graph for all, with s0" in text and "ingot.ones(n).sum()" in text


def test_tables_are_bounded(monkeypatch):
    plans.clear()
    monkeypatch.setattr(plans, "_PLANS_LIMIT", 8)
    monkeypatch.setattr(plans, "_FAMILIES_LIMIT", 4)
    for n in range(20):
        assert ingot.zeros(n).tolist() == [0] * n
        x = ingot.ones(2)
        for _ in range(n % 7):
            x = x + 1
        x.tolist()
    assert len(plans._PLANS) <= 8 and len(plans._FAMILIES) <= 4
    assert plans._held == sum(len(k[0]) for k in plans._PLANS)


@pytest.mark.compiled
def test_slices_of_random_sizes_at_random_places():
    rng = np.random.default_rng(7)
    for _ in range(250):
        shape = tuple(int(n) for n in rng.integers(0, 6, rng.integers(1, 4)))
        axis = int(rng.integers(0, len(shape)))
        start, stop = sorted(int(n) for n in rng.integers(0, shape[axis] + 1, 2))
        array = rng.standard_normal(shape).astype(np.float32)
        at = tuple(slice(start, stop) if i == axis else slice(None) for i in range(len(shape)))
        np.testing.assert_array_equal(ingot.tensor(array)[at].clone().numpy(), array[at], err_msg=f"{shape}[{axis}: {start}:{stop}]")


def test_complex_numbers_that_differ():
    """They stand in the code: what comes back with another one is another graph."""
    for f, base in ((ingot.log10, 10), (ingot.log2, 2)):
        for n in (2, 3, 4):
            x = ingot.full((n,), 1 + 2j).requires_grad_()
            y = f(x)
            y.detach().numpy()
            g = ingot.autograd.grad(y, x, ingot.full((n,), 2 + 1j))[0]
            np.testing.assert_allclose(g.numpy(), np.full(n, 1j / np.log(base)), atol=1e-6)


def test_lists_of_any_length_are_joined_by_the_code_of_their_pieces():
    def joined(n):
        items = [ingot.tensor(np.full(3, i, np.float32)) for i in range(n)]
        a, b = ingot.stack(items, 1), ingot.cat(items)
        np.testing.assert_array_equal(a.numpy(), np.stack([t.numpy() for t in items], 1))
        np.testing.assert_array_equal(b.numpy(), np.concatenate([t.numpy() for t in items]))

    for n in (255, 254, 381):
        joined(n)
    before = plans.stats["plans"]
    for n in (9, 33, 100, 129, 200, 255, 300):
        joined(n)
    assert plans.stats["plans"] == before


def test_a_backward_runs_in_the_parts_that_its_forward_ran_in():
    w = ingot.linspace(0.1, 0.8, 4).requires_grad_()

    def episode(n):
        kept = []
        for i in range(n):
            y = (w * (i + 1.0)).tanh().sum()
            y.item()
            kept.append(y)
        w.grad = None
        (ingot.stack(kept) * 2).sum().backward()
        v = w.detach().numpy()
        want = sum(2 * (i + 1) * (1 - np.tanh(v * (i + 1)) ** 2) for i in range(n))
        np.testing.assert_allclose(w.grad.numpy(), want, rtol=1e-4)

    for n in (255, 127, 254, 253):
        episode(n)
    before = plans.stats["plans"]
    for n in (20, 31, 64, 90, 130):
        episode(n)
    assert plans.stats["plans"] == before
