"""Autocast on the CPU: every function's result has the dtype that torch gives it; values, gradients, nesting, scaling, compiled steps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import ingot
from tests.torch.against import array

# an expression over m (ingot or torch), F (its nn.functional), c (what converts inputs) and x(*shape)
LOWER = """
m.matmul(c(x(3,3)), x(3,3)); c(x(3,3)) @ x(3,3); m.mm(c(x(3,3)), x(3,3)); m.bmm(c(x(1,3,3)), x(1,3,3)); m.linalg.vecdot(c(x(3)), x(3))
m.baddbmm(x(1,3,3), c(x(1,3,3)), x(1,3,3)); m.addmm(x(3,3), c(x(3,3)), x(3,3)); m.addbmm(x(3,3), c(x(1,3,3)), x(1,3,3))
m.einsum('ij,jk', c(x(3,3)), x(3,3)); m.tensordot(x(3,3), x(3,3), 1); m.inner(x(3,3), x(3,3)); m.linalg.multi_dot([x(3,3), x(3,3)])
F.linear(c(x(2,3)), x(3,3), x(3)); F.conv1d(c(x(1,1,4)), x(1,1,2), x(1)); F.conv2d(c(x(1,1,4,4)), x(1,1,2,2))
F.conv3d(c(x(1,1,4,4,4)), x(1,1,2,2,2)); F.conv_transpose2d(c(x(1,1,4,4)), x(1,1,2,2)); F.prelu(c(x(3,3)), x(1))
F.scaled_dot_product_attention(c(x(1,1,4,4)), x(1,1,4,4), x(1,1,4,4)); m.matrix_power(c(x(3,3)), 2)
m.nn.LSTM(3, 3)(c(x(2,3)))[0]; m.nn.RNN(3, 3)(c(x(2,3)))[0]; m.nn.MultiheadAttention(4, 2)(c(x(2,1,4)), c(x(2,1,4)), c(x(2,1,4)))[0]
"""
FULL = """
c(x(3)).prod(); m.trace(c(x(3,3))); m.quantile(c(x(3)), 0.5); m.nanquantile(c(x(3)), 0.5); m.cdist(c(x(3,3)), c(x(3,3)))
m.linalg.cholesky(c(m.eye(3))); m.linalg.inv(c(m.eye(3))); m.inverse(c(m.eye(3))); m.linalg.qr(c(m.eye(3)))[0]; m.linalg.svd(c(m.eye(3)))[1]
m.linalg.eigh(c(m.eye(3)))[0]; m.linalg.solve(c(m.eye(3)), c(m.eye(3))); m.linalg.cond(c(m.eye(3))); m.linalg.svdvals(c(m.eye(3)))
F.mse_loss(c(x(3)), c(x(3))); F.l1_loss(c(x(3)), c(x(3))); F.smooth_l1_loss(c(x(3)), c(x(3))); F.huber_loss(c(x(3)), c(x(3)))
F.cross_entropy(c(x(2,3)), m.tensor([0, 1])); F.nll_loss(c(x(2,3)), m.tensor([0, 1]))
F.binary_cross_entropy(c(x(3)).sigmoid(), c(m.ones(3)))
F.binary_cross_entropy_with_logits(c(x(3)), c(m.ones(3))); F.kl_div(c(x(3)), c(m.ones(3)), reduction='sum')
F.poisson_nll_loss(c(x(3)), c(x(3)))
F.hinge_embedding_loss(c(x(3)), c(x(3))); F.cosine_embedding_loss(c(x(2,3)), c(x(2,3)), c(m.ones(2)))
F.margin_ranking_loss(c(x(3)), c(x(3)), c(x(3))); F.soft_margin_loss(c(x(3)), c(x(3)))
F.triplet_margin_loss(c(x(2,3)), c(x(2,3)), c(x(2,3)))
F.avg_pool3d(c(x(1,1,4,4,4)), 2); F.max_pool3d(c(x(1,1,4,4,4)), 2); F.grid_sample(c(x(1,1,4,4)), c(x(1,2,2,2)), align_corners=False)
F.pad(c(x(1,4)), (1,1), mode='reflect'); F.pad(c(x(1,4,4,4)), (1,1,1,1,1,1), mode='replicate')
"""
OTHERS = """
m.mv(x(3,3), x(3)); m.dot(x(3), x(3)); m.outer(x(3), x(3)); F.bilinear(x(2,3), x(2,3), x(4,3,3)); m.softmax(c(x(3)), 0); c(x(3)).sum()
F.gelu(c(x(3))); F.layer_norm(c(x(3,3)), (3,)); F.avg_pool2d(c(x(1,4,4)), 2); m.linalg.norm(c(x(3,3))); c(x(3)) + x(3)
m.cat([c(x(3)), x(3)]); m.stack([c(x(3)), x(3)]); m.index_copy(x(3), 0, m.tensor([1]), c(x(1))); F.embedding(m.tensor([1]), x(3,3))
F.pad(c(x(1,4,4,4)), (1,1,1,1,1,1), mode='reflect'); m.nn.GRU(3, 3)(c(x(2,3)))[0]; m.nn.LSTMCell(3, 3)(c(x(2,3)))[0]
F.cosine_similarity(c(x(2,3)), c(x(2,3)))
"""
CASES = [e.strip() for text in (LOWER, FULL, OTHERS) for line in text.strip().splitlines() for e in line.split("; ")]


def result(m, expression: str, dtype: str, lower: str):
    seed = iter(range(100))
    names = {
        "m": m, "F": m.nn.functional, "x": lambda *s: m.tensor(array(s, next(seed))),
        "c": lambda t: t.to(getattr(m, dtype)),
    }  # fmt: skip
    with m.autocast("cpu", getattr(m, lower)):
        return eval(expression, names)


@pytest.mark.parametrize("expression", CASES)
def test_dtypes_and_values_are_torch_s(expression):
    for dtype in ("float32", "bfloat16"):
        mine = result(ingot, expression, dtype, "bfloat16")
        try:
            theirs = result(torch, expression, dtype, "bfloat16")
        except RuntimeError as e:
            if "primitive descriptor" not in str(e):
                raise
            pytest.skip("torch has no code for it on this CPU")
        assert mine.dtype.torch_name == str(theirs.dtype)[6:], dtype
        if "m.nn." not in expression:  # random weights
            np.testing.assert_allclose(mine.detach().float().numpy(), theirs.detach().float().numpy(), rtol=5e-2, atol=5e-2)


def test_float16_and_float64():
    assert result(ingot, "m.mm(x(3,3), x(3,3))", "float32", "float16").dtype is ingot.float16
    with ingot.autocast("cpu"):
        assert (ingot.ones(2, 2).double() @ ingot.ones(2, 2).double()).dtype is ingot.float64
        assert ingot.ones(2, 2, dtype=ingot.int64).mm(ingot.ones(2, 2, dtype=ingot.int64)).dtype is ingot.int64


def gradients(m, compiled: bool = False):
    net = m.nn.Sequential(m.nn.Linear(4, 8), m.nn.LayerNorm(8), m.nn.GELU(), m.nn.Linear(8, 2))
    for i, p in enumerate(net.parameters()):
        p.data.copy_(m.tensor(array(tuple(p.shape), i, -0.5, 0.5)))
    opt = m.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        opt.zero_grad()
        with m.autocast("cpu", m.bfloat16):
            loss = m.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        return loss

    step = m.compile(step) if compiled else step
    losses = [step(m.tensor(array((6, 4), 7)), m.tensor([0, 1, 0, 1, 1, 0])).item() for _ in range(3)]
    return losses, [p.grad for p in net.parameters()], [p.detach() for p in net.parameters()]


def test_training_has_float32_gradients_eager_and_compiled():
    theirs = gradients(torch)
    for mine in (gradients(ingot), gradients(ingot, compiled=True)):
        np.testing.assert_allclose(mine[0], theirs[0], rtol=2e-2)
        for a, b in zip(mine[1] + mine[2], theirs[1] + theirs[2]):
            assert a.dtype is ingot.float32
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=5e-2, atol=1e-2)


def states(m):
    a, out = m.ones(2, 2), []
    note = lambda: out.append((str((a @ a).dtype).rpartition(".")[2], m.is_autocast_enabled("cpu"), m.is_autocast_enabled()))  # noqa: E731
    with m.autocast("cpu", dtype=m.bfloat16):
        note()
        with m.autocast("cpu", dtype=m.float16):
            note()
            out.append(str(m.get_autocast_dtype("cpu")).rpartition(".")[2])
        with m.autocast("cpu", enabled=False):
            note()
        note()

    @m.autocast("cpu", dtype=m.bfloat16)
    def decorated():
        note()

    decorated()
    note()
    m.set_autocast_dtype("cpu", m.float16)
    with m.autocast("cpu"):
        note()
    m.set_autocast_dtype("cpu", m.bfloat16)
    try:
        with m.autocast("cpu"):
            raise KeyError
    except KeyError:
        note()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with m.autocast("cpu", dtype=m.float64):
            note()
    return out, [str(w.message).split(",")[0] for w in caught]


def test_nesting_and_questions():
    assert states(ingot) == states(torch)


def test_a_compiled_function_follows_autocast():
    f = ingot.compile(lambda a: a @ a)
    a = ingot.ones(2, 2)
    for _ in range(3):
        assert f(a).dtype is ingot.float32
        with ingot.autocast("cpu"):
            assert f(a).dtype is ingot.bfloat16
    inside = ingot.compile(lambda a: _within(a))
    assert [inside(a).dtype for _ in range(3)] == [ingot.bfloat16] * 3
    ingot.set_autocast_dtype("cpu", ingot.float16)
    try:
        assert inside(a).dtype is ingot.float16
    finally:
        ingot.set_autocast_dtype("cpu", ingot.bfloat16)


def _within(a):
    with ingot.autocast("cpu"):
        return a @ a


def functions(m):
    seen = []

    class Own(m.autograd.Function):
        @staticmethod
        @m.amp.custom_fwd(device_type="cpu", cast_inputs=m.float32)
        def forward(ctx, x):
            seen.append((str(x.dtype).rpartition(".")[2], m.is_autocast_enabled("cpu")))
            return x * 2

        @staticmethod
        @m.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(("backward", m.is_autocast_enabled("cpu")))
            return g * 2

    class Plain(m.autograd.Function):
        @staticmethod
        @m.amp.custom_fwd(device_type="cpu")
        def forward(ctx, x):
            seen.append(m.is_autocast_enabled("cpu"))
            return x * 2

        @staticmethod
        @m.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(m.is_autocast_enabled("cpu"))
            return g * 2

    for cls in (Own, Plain):
        x = m.ones(2, dtype=m.bfloat16, requires_grad=True)
        with m.autocast("cpu", m.bfloat16):
            y = cls.apply(x)
        y.sum().backward()
    return seen


def test_custom_functions():
    assert functions(ingot) == functions(torch)


def scaled(m, step_of=lambda f: f):
    p = m.nn.Parameter(m.tensor(array((4,))))
    opt = m.optim.SGD([p], lr=0.1, momentum=0.9)
    s = m.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2, growth_factor=3.0, backoff_factor=0.25)
    out = []

    def step(k):
        opt.zero_grad()
        s.scale((p * k).sum()).backward()
        s.unscale_(opt)
        s.step(opt)
        s.update()

    step = step_of(step)
    for i, v in enumerate([1.0, 2.0, float("inf"), 3.0, 1.0, float("nan"), 2.0]):
        step(m.full((4,), v))
        out.append((s.get_scale(), *p.detach().tolist(), float(s.state_dict()["_growth_tracker"]), i))
    return out


def test_scaling_of_gradients_eager_and_compiled():
    wanted = scaled(torch)
    np.testing.assert_allclose(scaled(ingot), wanted, rtol=1e-6)
    np.testing.assert_allclose(scaled(ingot, ingot.compile), wanted, rtol=1e-6)


def test_the_scaler_s_state_and_errors():
    p = ingot.nn.Parameter(ingot.ones(1))
    opt, s = ingot.optim.SGD([p], lr=0.1), ingot.amp.GradScaler("cpu", init_scale=2.0)
    assert [t.item() for t in s.scale([ingot.ones(1), ingot.ones(1)])] == [2, 2]
    with pytest.raises(AssertionError, match="prior to update"):
        s.update()
    p.grad = ingot.ones(1)
    s.unscale_(opt)
    with pytest.raises(RuntimeError, match="already been called"):
        s.unscale_(opt)
    s.step(opt)
    with pytest.raises(RuntimeError, match="already been called"):
        s.step(opt)
    s.update(7.0)
    other = ingot.amp.GradScaler("cpu")
    other.load_state_dict(s.state_dict())
    assert other.get_scale() == 7.0
    with pytest.raises(RuntimeError, match="empty"):
        other.load_state_dict({})
    half = ingot.nn.Parameter(ingot.ones(1).half())
    half.grad = ingot.ones(1).half()
    with pytest.raises(ValueError, match="FP16"):
        s.unscale_(ingot.optim.SGD([half]))
    with pytest.raises(RuntimeError, match="Closure"):
        s.step(opt, closure=lambda: 1)
