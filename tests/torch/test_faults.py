"""What once differed from torch: special values, shared bits, and what is left after a failure."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import ingot

BOTH = (torch, ingot)


def bits(t) -> bytes:
    return t.detach().numpy().tobytes()


def test_relu_keeps_the_sign_of_zero():
    points = [-0.0, 0.0, math.nan, -1.0, 2.0, math.inf, -math.inf]
    seen = []
    for m in BOTH:
        x = m.tensor(points, requires_grad=True)
        y = m.relu(x)
        y.sum().backward()
        seen.append((bits(y[:2]), y.tolist()[3:], x.grad.tolist()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("p", [math.inf, -math.inf, 0, 1, 2, 3])
@pytest.mark.parametrize("points", [[1.0, math.nan, -3.0], [math.inf, 1.0, -math.inf], [0.0, 0.0, 0.0], [-2.0, 2.0, 1.0]])
def test_norm_and_its_gradient_at_special_values(p, points):
    seen = []
    for m in BOTH:
        x = m.tensor(points, dtype=m.float64, requires_grad=True)
        y = x.norm(p)
        if y.requires_grad:
            y.backward()
        seen.append((y.item(), [0.0] * 3 if x.grad is None else x.grad.tolist()))
    np.testing.assert_allclose(seen[1][0], seen[0][0])
    np.testing.assert_allclose(seen[1][1], seen[0][1])


def test_hardsigmoid_at_special_values():
    seen = []
    for m in BOTH:
        x = m.tensor([math.nan, -3.0, 3.0, 0.0, math.inf, -math.inf], requires_grad=True)
        y = m.nn.functional.hardsigmoid(x)
        y.sum().backward()
        seen.append([y.tolist(), x.grad.tolist()])
    np.testing.assert_allclose(*seen, rtol=1e-6)


@pytest.mark.parametrize("n", [255, 256, 300])
def test_means_of_more_values_than_the_dtype_counts(n):
    x, i, src = ingot.zeros(2, dtype=ingot.uint8), ingot.zeros(n, dtype=ingot.int64), ingot.zeros(n, dtype=ingot.uint8)
    src[0] = 200
    assert x.index_reduce(0, i, src, "mean", include_self=False).tolist() == [200 // n, 0]
    half = ingot.zeros(1, dtype=ingot.bfloat16)
    ones = ingot.ones(n, dtype=ingot.bfloat16)
    assert half.scatter_reduce(0, i, ones, "mean", include_self=False).tolist() == [1.0]


def test_view_of_another_dtype_shares_memory():
    for m in BOTH:
        x = m.zeros(2, 4)
        v, w = x.view(m.int32), x.view(m.float64)
        v[0, 0] = 0x3F800000
        assert x[0, 0].item() == 1.0 and v.data_ptr() == x.data_ptr()
        w[1, 1] = 1.0
        assert x[1, 3].item() == 1.875 and w.shape == (2, 2) and w.stride() == (2, 1)
        x[0, 1] = 1.875
        assert w[0, 0].item() == 1.0 + 0x3F800000 * 2.0**-52 and x.view(m.uint8).shape == (2, 16)
        part = m.arange(8)[2:6].view(m.int16)
        assert part.tolist() == [2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0] and part.storage_offset() == 8


def test_view_of_another_dtype_refuses_what_strides_cannot_say():
    for make in (
        lambda m: m.zeros(3).view(m.float64),
        lambda m: m.zeros(4, 2).t().view(m.float64),
        lambda m: m.tensor(1.0).view(m.float64),
        lambda m: m.zeros(5)[1:].view(m.float64),
        lambda m: m.zeros(4, 3)[:, :2].view(m.float64),
    ):
        messages = []
        for m in BOTH:
            with pytest.raises(RuntimeError) as error:
                make(m)
            messages.append(str(error.value).split(" to view")[0])
        assert messages[0] == messages[1]


def test_as_strided_is_a_view():
    seen = []
    for m in BOTH:
        x = m.arange(9.0, requires_grad=True)
        y = x * 1
        v = y.as_strided((2, 2), (3, 1), 1)
        v[0, 0] = 99
        y[4] = -1
        (v * v).sum().backward()
        seen.append((y.tolist(), v.tolist(), v.stride(), v.storage_offset(), x.grad.tolist()))
    assert seen[0] == seen[1]
    memory = np.arange(6.0)
    ingot.from_numpy(memory).as_strided((3, 2), (1, 3))[1, 1] = 50
    assert memory.tolist() == [0, 1, 2, 3, 50, 5]


def test_a_first_step_that_fails_leaves_no_state(monkeypatch):
    from ingot.optim.rule_optimizer import RuleOptimizer

    w, v = (ingot.nn.Parameter(ingot.ones(2)) for _ in range(2))
    w.grad, v.grad = ingot.ones(2), ingot.ones(2)
    optimizer = ingot.optim.SGD([w, v], lr=0.1, momentum=0.9, dampening=0.5)
    update = RuleOptimizer._update_one

    def fails(self, p, *rest):
        if p is v:
            raise RuntimeError("no")
        return update(self, p, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RuleOptimizer, "_update_one", fails)
        with pytest.raises(RuntimeError, match="no"):
            optimizer.step()
    assert w.tolist() == [1.0, 1.0] and not optimizer.state
    optimizer.step()
    assert w.tolist() == v.tolist() == pytest.approx([0.9, 0.9])


def test_clamp_sends_gradients_where_torch_does():
    points = np.array(list(itertools.product([math.nan, -1.0, 0.0, 1.0, math.inf], repeat=3)), np.float32)
    seen = []
    for m in BOTH:
        x, low, high = (m.tensor(points[:, i].copy(), requires_grad=True) for i in range(3))
        y = m.clamp(x, low, high)
        y.sum().backward()
        seen.append([t.tolist() for t in (y, x.grad, low.grad, high.grad)])
    np.testing.assert_array_equal(*seen)


RARE = {
    "an integer to write to": "m.cumsum(x, 0, out=m.empty(3, dtype=m.int64)), m.cumprod(x, 0, out=m.empty(3, dtype=m.uint8)), "
    "m.sum(x, 0, out=m.empty((), dtype=m.int64)), m.prod(x, 0, out=m.empty((), dtype=m.int32))",
    "a bool to write to": "m.isin(x, x[:2], out=m.empty(3, dtype=m.bool)), m.sum(x, 0, out=m.empty((), dtype=m.bool))",
    "no channels": "m.nn.functional.batch_norm(x[:0], x[:0], x[:0]), m.nn.functional.batch_norm(x[:0], None, None, training=True)",
    "no points": "m.histogramdd(x[:0].reshape(0, 2), bins=[2, 3]), m.histogramdd(x[:0].reshape(0, 1), bins=[2], density=True)",
    "no coordinates": "m.histogramdd(x.reshape(3, 1)[:, :0], bins=[]), m.histogramdd(x.reshape(3, 1)[:, :0], bins=[], density=True)",
    "a complex number": "m.logsumexp(m.complex(x[0], 4 * x[0]), 0)",
    "running sums of complex exponentials": "m.logcumsumexp(m.complex(x, -x), 0)",
}


@pytest.mark.parametrize("name", RARE)
def test_rare_arguments(name):
    mine, theirs = (eval(RARE[name], {"m": m, "x": m.tensor([1.5, 2.5, 3.0])}) for m in reversed(BOTH))
    mine, theirs = (sum([[*t[:1], *t[1]] if hasattr(t, "bin_edges") else [t] for t in (r if isinstance(r, tuple) else (r,))], [])
                    for r in (mine, theirs))  # fmt: skip
    assert [str(t.dtype).split(".")[1] for t in mine] == [str(t.dtype).split(".")[1] for t in theirs]
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)


@pytest.mark.parametrize("call", ["m.histogram(x, 2)", "m.histogramdd(x.reshape(-1, 1), bins=[2])", "m.histogramdd(x, bins=[2])",
                                  "m.histogramdd(x.reshape(-1, 1), bins=[0])"])  # fmt: skip
def test_histograms_refuse_what_torch_refuses(call):
    for m in BOTH:
        with pytest.raises(RuntimeError):
            eval(call, {"m": m, "x": m.tensor([1.0, math.nan])})


FITS = [(v, d) for v in ("1.5", "300", "-1", "2**40", "1e300", "1j", "math.nan", "True") for d in ("int64", "uint8", "float32", "float16")]


@pytest.mark.parametrize("value, dtype", FITS)
def test_numbers_that_a_dtype_cannot_hold(value, dtype):
    given = {"fill_": "x.fill_({})", "full": "m.full((3,), {}, dtype=d)", "masked_fill": "x.masked_fill(x > 0, {})",
             "tensor": "m.tensor({}, dtype=d)", "add": "x + {}"}  # fmt: skip
    for call in given.values():
        seen = []
        for m in BOTH:
            d = getattr(m, dtype)
            try:
                y = eval(call.format(value), {"m": m, "x": m.ones(3, dtype=d), "d": d, "math": math})
                seen.append([str(y.dtype).split(".")[1], y.float().tolist() if not y.is_complex() else []])
            except (RuntimeError, TypeError) as e:
                seen.append(type(e))
        if seen[0] == ["complex32", []] or call.startswith("m.tensor") and value in ("1e300", "math.nan"):
            continue  # no halves of complex numbers; a float out of range saturates in conversions
        np.testing.assert_equal(seen[1], seen[0], err_msg=call)


OUT = """
    linalg.det(a) linalg.slogdet(a) linalg.cond(a) linalg.cond(a,1) linalg.matrix_rank(a) linalg.matrix_power(a,3)
    linalg.multi_dot([a,a]) linalg.vecdot(a,a) linalg.matrix_norm(a) linalg.matrix_norm(a,2) linalg.matrix_norm(a,1)
    linalg.norm(a,1) linalg.norm(a,'nuc') tril(a) triu(a,1) msort(a) chain_matmul(a,a) linalg.lstsq(a,a)
    nn.functional.normalize(a)
""".split()


@pytest.mark.parametrize("call", OUT)
def test_results_are_written_where_asked(call):
    a = np.array([[2.0, 1.0], [0.5, 3.0]])
    for m in BOTH[1:]:
        made = eval(f"m.{call}", {"m": m, "a": m.tensor(a)})
        parts = made if isinstance(made, tuple) else (made,)
        room = tuple(m.zeros(p.shape, dtype=p.dtype) for p in parts)
        eval(f"m.{call[:-1]}, out=out)", {"m": m, "a": m.tensor(a), "out": room if isinstance(made, tuple) else room[0]})
        for p, r in zip(parts, room):
            np.testing.assert_array_equal(r.numpy(), p.numpy())


def test_arguments_that_torch_refuses():
    for call, error in (("m.roll(x[0], 0, 0)", IndexError), ("m.cov(x, fweights=m.tensor([-1, 2, 3]))", RuntimeError),
                        ("m.cov(x, aweights=-x)", RuntimeError), ("x > 1j", NotImplementedError),
                        ("m.nn.functional.normalize(x, dim=0, out=m.ones(3, dtype=m.int64))", RuntimeError)):  # fmt: skip
        for m in BOTH:
            with pytest.raises(error):
                eval(call, {"m": m, "x": m.tensor([1.0, 2.0, 3.0])})


def test_a_retained_gradient_is_that_of_what_was_written_last():
    seen = []
    for m in BOTH:
        x = m.tensor([1.0, 2.0], requires_grad=True)
        a, hooked = x.clone(), []
        a.register_hook(lambda g, hooked=hooked: hooked.append(g.tolist()))
        a.retain_grad()
        a.mul_(2)
        (a * a).sum().backward()
        seen.append((a.grad.tolist(), hooked, x.grad.tolist()))
    assert seen[0] == seen[1]


def test_statistics_saved_without_a_count_of_batches():
    for m in BOTH:
        norm = m.nn.Sequential(m.nn.BatchNorm1d(2))
        old = {k: v for k, v in norm.state_dict().items() if "tracked" not in k}
        assert not norm.load_state_dict(old).missing_keys
        new = norm.state_dict()
        del new["0.num_batches_tracked"]
        with pytest.raises(RuntimeError):
            norm.load_state_dict(new)


def test_what_is_no_number():
    for call, error in (("int(m.ones(2))", ValueError), ("float(m.ones(0))", ValueError), ("m.full((2,), 'x')", TypeError)):
        for m in BOTH:
            with pytest.raises(error):
                eval(call, {"m": m})


def test_bytes_between_two_are_rounded_up():
    mine, theirs = (
        m.nn.functional.interpolate((m.arange(48).reshape(1, 3, 4, 4) * 5).to(m.uint8), (3, 7), mode="bilinear", align_corners=True)
        for m in (ingot, torch)
    )
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    for m in BOTH:
        with pytest.raises(NotImplementedError):
            m.nn.functional.adaptive_avg_pool2d(m.ones(1, 1, 4, 4, dtype=m.int64), 2)


@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "svd", "svdvals", "pinv", "cond"])
def test_decompositions_refuse_what_is_not_finite(name):
    for m in BOTH:
        for shape in ((3, 3), (2, 3, 3)):
            with pytest.raises(m.linalg.LinAlgError):
                getattr(m.linalg, name)(m.full(shape, math.nan))


def test_sums_of_integers_by_einsum_do_not_wrap():
    for equation in ("ij->", "ij->i", "ii->", "ij->ji", "ij,jk->ik", "ij,jk->ki"):
        seen = []
        for m in BOTH:
            x = m.tensor([[200, 100], [50, 60]], dtype=m.uint8)
            y = m.einsum(equation, *[x] * (equation.count(",") + 1))
            seen.append((str(y.dtype).split(".")[1], y.tolist()))
        assert seen[0] == seen[1], equation
    assert ingot.einsum("ij,j->", ingot.tensor([[200, 100]], dtype=ingot.uint8), ingot.tensor([2, 1], dtype=ingot.uint8)).item() == 500
    assert ingot.einsum("i->", ingot.tensor([True, True])).item() == 2


def test_expanded_tensors_are_filled():
    for m in BOTH:
        x = m.zeros(2, 1)
        assert x.expand(2, 3).fill_(2).tolist() == [[2.0] * 3] * 2 and x.tolist() == [[2.0]] * 2
        x.expand(4, 2, 3)[1:].zero_()
        assert x.tolist() == [[0.0]] * 2


def test_gradients_given_in_another_real_dtype_are_converted():
    for m in BOTH:
        x = m.arange(3, dtype=m.float64).requires_grad_()
        m.autograd.backward([x.sum(), (x * x).sum()], [None, m.tensor(2.0)])
        (x * 2).backward(m.tensor([1, 2, 3]))
        assert x.grad.dtype is m.float64 and x.grad.tolist() == [3.0, 9.0, 15.0]
        with pytest.raises(RuntimeError):
            x.sum().backward(m.tensor(1j))


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_places_that_are_no_numbers_in_grid_sample(mode, padding):
    for corners in (True, False):
        mine, theirs = (
            m.nn.functional.grid_sample(
                m.arange(20.0).reshape(1, 1, 4, 5), m.tensor([[[[math.nan, 0.0], [0.3, math.nan], [5.0, -2.3]]]]), mode, padding, corners
            )
            for m in (ingot, torch)
        )
        if padding != "zeros" or mode == "nearest":
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-5)


def test_samplers_of_nothing():
    for m in BOTH:
        with pytest.raises(ValueError, match="num_samples=0"):
            m.utils.data.RandomSampler([])
        with pytest.raises(ValueError, match="num_samples=0"):
            m.utils.data.DataLoader([], shuffle=True)
