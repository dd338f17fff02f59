"""Recordings at fresh sizes whose types were foretold: right, whatever comes, and without asking the rules."""

from types import SimpleNamespace

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot._tensor import composites
from ingot.ir import size
from ingot.runtime import forecast, plans, tape
from ingot.runtime.recorder import here
from tests.support.sized_programs import SizedProgram

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def anew():
    plans.clear()
    composites.clear()
    tape._SIGNATURES.clear()


def given(*shape):
    return ingot.tensor(rng.standard_normal(shape).astype(np.float32))


def check_signatures():
    """Each signature that is known is what the op's rule says."""
    for s in tape._SIGNATURES.values():
        assert s.op.infer(s.in_types, *s.attrs) == s.out_types, (s.op, s.attrs, s.in_types)


def asked(monkeypatch, run):
    """The ops whose rules are asked while something runs."""
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(tape, "infer", lambda op, types, attrs: found.append(op.name) or op.infer(types, *attrs))
        run()
    return found


def encoder():
    ingot.manual_seed(0)
    return nn.TransformerEncoderLayer(12, 2, 20, dropout=0.0, batch_first=True).eval()


def test_a_fresh_size_asks_no_rule_and_looks_for_no_structure(monkeypatch):
    model = encoder()
    with ingot.no_grad():
        for n in (25, 26, 28):
            model(given(1, n, 12)).numpy()
        x = given(1, 31, 12)
        expected = model(x).numpy()
        monkeypatch.setattr(plans, "_of_structure", lambda *a: pytest.fail("the plan was not foretold"))
        assert asked(monkeypatch, lambda: model(given(1, 33, 12)).numpy()) == []
        np.testing.assert_array_equal(model(x).numpy(), expected)
    check_signatures()


def test_sizes_that_functions_are_given(monkeypatch):
    def f(n):
        return (ingot.arange(n).float() * 2).reshape(n, 1).expand(n, 3).cumsum(0)[-1]

    for n in (4, 6, 7):
        f(n).numpy()
    asked_for = asked(monkeypatch, lambda: np.testing.assert_array_equal(f(12).numpy(), np.full(3, 12 * 11.0)))
    assert len(asked_for) <= 1, asked_for  # that of the op that says what the size is
    check_signatures()


def test_programs_that_begin_alike():
    def f(x, k):
        y = x.reshape(-1, 2).T.exp()
        for _ in range(k):
            y = (y @ y.T) if k > 1 else y.sum(0)
        return y.numpy()

    for n in (2, 4, 6, 8, 10, 12, 14, 16, 18, 20):
        x = given(n)
        for k in (0, 1, 2):
            y = np.exp(x.numpy().reshape(-1, 2).T)
            for _ in range(k):
                y = (y @ y.T) if k > 1 else y.sum(0)
            np.testing.assert_allclose(f(x, k), y, rtol=1e-4)
    check_signatures()


def test_what_is_foretold_wrongly_again_and_again_is_foretold_no_more():
    def f(x, k):
        y = x * 2
        for _ in range(k):
            y = y + 1
        return y.sum().item()

    for n in (3, 4, 5):
        f(given(n), 0)
    (made,) = {f for beside in forecast._BY_START.values() for f in beside}
    for n in range(10, 20):
        x = given(n)
        assert f(x, n) == pytest.approx((x.numpy() * 2 + n).sum(), rel=1e-4)
    assert made.credit == 0 and not any(made in beside for beside in forecast._BY_START.values())
    check_signatures()


def test_another_rank_at_the_same_place():
    for shape in ((3, 4), (5, 4), (7, 4), (3,), (8, 4), (2, 3, 4), (9, 4), (11,)):
        x = given(*shape)
        np.testing.assert_allclose((x + 1).softmax(-1).sum().numpy(), np.prod(shape[:-1]), rtol=1e-5)
    check_signatures()


def test_shape_errors_come_as_ever():
    w = given(4, 2)
    for n in (3, 5, 6, 9):
        (given(n, 4) @ w).relu().numpy()
    with pytest.raises(size.ShapeError, match="cannot be multiplied"):
        (given(11, 5) @ w).relu().numpy()


def test_gradients_at_fresh_sizes():
    w = given(4, 2).requires_grad_()
    for n in (3, 5, 6, 9, 12):
        x = given(n, 4)
        w.grad = None
        (x @ w).softmax(0).square().sum().backward()
        y = x.numpy() @ w.detach().numpy()
        p = np.exp(y - y.max(0)) / np.exp(y - y.max(0)).sum(0)
        g = 2 * p
        np.testing.assert_allclose(w.grad.numpy(), x.numpy().T @ (p * (g - (g * p).sum(0))), rtol=1e-3, atol=1e-5)
    check_signatures()


@pytest.mark.parametrize("seed", range(200, 215))
def test_random_programs(seed):
    program = SizedProgram(seed)
    for n, m in ((3, 5), (7, 2), (2, 3), (5, 11), (1, 4), (13, 7), (0, 3), (2, 17), (23, 31)):
        for k, (x, y) in enumerate(zip(program.run({"n": n, "m": m}, True), program.run({"n": n, "m": m}, False))):
            assert x.shape == y.shape, f"seed {seed}, {n, m}, step {k}\n{program}"
            scale = np.abs(y).max(initial=1.0, where=np.isfinite(y))
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5 * scale, err_msg=f"seed {seed}, {n, m}, step {k}\n{program}")
    check_signatures()


@pytest.mark.parametrize("leaf", ["text", 2.5, True, None], ids=str)
def test_a_recording_that_has_other_things_where_sizes_were(monkeypatch, leaf):
    """It is not for this forecast, and not filled in."""
    fake = SimpleNamespace(last=None, values=lambda rec, arrays: (leaf,) if 1 <= leaf else None, plant=lambda *a: pytest.fail("filled in"))
    monkeypatch.setitem(forecast._BY_START, (0, "op"), [fake])
    assert not forecast.foretold(SimpleNamespace(nodes=[]), "op", [])


def test_composites_that_are_others_at_other_sizes():
    """Where the last window ends behind the image, it is padded by another composite."""
    for n in (6, 7, 8, 9, 10):
        x = ingot.ones(2, 3, n, n, requires_grad=True)
        assert nn.functional.max_pool2d(x, 3, 2, 1).sum().item() == 6 * ((n - 1) // 2 + 1) ** 2
        assert nn.functional.max_pool2d(x, 3, 2, 0, ceil_mode=True).sum().item() == 6 * (-(-(n - 3) // 2) + 1) ** 2
    check_signatures()


def test_a_composite_that_what_is_pending_runs_before():
    rec = here.recorder
    for n in (55, 56, 57, 58):
        y = given(n) + 1
        rec.limit = 1  # as after the construction of a Module
        assert y.softmax(0).sum().item() == pytest.approx(1, rel=1e-5)
    check_signatures()
