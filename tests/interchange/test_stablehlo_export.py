"""Export: every IR op and models, read again by Ingot and run by JAX; what is refused."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.interchange.stablehlo.emit.writer import EMIT
from ingot.interchange.stablehlo.export import text_of
from ingot.ir.builder import op_graph
from ingot.ir.op import OPS
from ingot.ir.ops.samples import cases, types_of
from ingot.nn import functional as F

IN_JAX = ("add", "dot", "conv", "conv_weight_grad", "scan", "sort", "index_put", "window_argmax", "random_bits", "cummax")  # of a short run


def exported(op, arrays, attrs):
    types = types_of(arrays)
    return text_of(op_graph(op, attrs, types), [("input", i) for i in range(len(arrays))], {}, types)


def samples(op, count):
    """Cases without subnormal numbers, which XLA takes for zero on a CPU."""

    def plain(a):
        if a.dtype.kind in "biuc":
            return True
        with np.errstate(invalid="ignore"):
            return not ((a != 0) & (np.abs(a) < ml_dtypes.finfo(a.dtype).smallest_normal)).any()

    return [(arrays, attrs) for arrays, attrs in cases(op, np.random.default_rng(0)) if all(map(plain, arrays))][:count]


def in_jax(text, arrays):
    """What JAX's own client gives for a program's text."""
    jax = pytest.importorskip("jax", reason="programs are run by JAX, which is not installed")
    from jaxlib import _jax, xla_client

    with jax.enable_x64(True):
        devices = jax.devices("cpu")[:1]
        program = devices[0].client.compile_and_load(text, _jax.DeviceList(tuple(devices)), xla_client.CompileOptions())
        return [np.asarray(v) for v in program.execute([jax.device_put(a) for a in arrays])]


def near(got, want, what):
    for g, e in zip(got, want):
        assert (g.shape, g.dtype) == (e.shape, e.dtype), what
        tol = 1e-2 if e.dtype.itemsize == 2 and e.dtype.kind not in "iu" else 2e-5
        if e.dtype.kind in "iub":
            np.testing.assert_array_equal(g, e, err_msg=what)
        else:
            kind = np.complex128 if e.dtype.kind == "c" else np.float64
            np.testing.assert_allclose(g.astype(kind), e.astype(kind), rtol=tol, atol=tol * max(1.0, _top(e)), err_msg=what)


def _top(e):
    finite = np.abs(e.astype(np.complex128))
    finite = finite[np.isfinite(finite)]
    return finite.max() if finite.size else 1.0


def test_every_op_is_written():
    assert set(EMIT) | {"call"} >= set(OPS)


@pytest.mark.parametrize("name", sorted(set(OPS) - {"call"}))
def test_op_and_back(name, monkeypatch, long):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    op = OPS[name]
    for arrays, attrs in samples(op, 60 if long else 4):
        text = exported(op, arrays, attrs)
        want = op.ref(*arrays, *attrs)
        want = want if isinstance(want, tuple) else (want,)
        got = ingot.stablehlo.load(text)(*arrays)
        near([v.numpy() for v in (got if isinstance(got, tuple) else (got,))], want, f"{name} {attrs}")
        if long or name in IN_JAX:
            near(in_jax(text, arrays), want, f"{name} {attrs} in JAX")


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.lstm, self.out = nn.LSTM(16, 5), nn.Linear(5, 3)

    def forward(self, x):
        y = F.max_pool2d(F.gelu(self.norm(self.conv(x))), 2)
        z, _ = self.lstm(y.flatten(2).transpose(0, 1))
        return F.log_softmax(self.out(z), -1)


def test_a_model_in_jax_and_back(monkeypatch, tmp_path):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    net, x = Network().eval(), ingot.randn(2, 2, 8, 8)
    path = tmp_path / "net.mlir"
    text = ingot.stablehlo.export(net, (x,), path)
    assert path.read_text() == text
    want = net(x).detach().numpy()
    np.testing.assert_allclose(ingot.stablehlo.load(path)(x).numpy(), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(in_jax(text, [x.numpy()])[0], want, rtol=1e-4, atol=1e-5)


def test_a_training_step_in_jax(monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")

    def step(w, b, x, y):
        w, b = w.detach().requires_grad_(), b.detach().requires_grad_()
        loss = F.cross_entropy(x @ w + b, y)
        loss.backward()
        return loss.detach(), w.detach() - 0.1 * w.grad, b.detach() - 0.1 * b.grad

    args = (ingot.randn(4, 3), ingot.zeros(3), ingot.randn(5, 4), ingot.tensor([0, 2, 1, 1, 0]))
    text = ingot.stablehlo.export(step, args)
    for got, want in zip(in_jax(text, [a.numpy() for a in args]), step(*args)):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-6)


def test_what_is_refused():
    with pytest.raises(RuntimeError, match="draws random numbers"):
        ingot.stablehlo.export(lambda x: x + ingot.rand(3), (ingot.zeros(3),))
    with pytest.raises(TypeError, match="export takes a function"):
        ingot.stablehlo.export(3, ())


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.conv = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Conv1d(8, 4, 3, padding=1)

    def forward(self, x):
        y = self.layer(x)
        return self.conv(y.transpose(1, 2)).mean(2), y.cumsum(1)


def shapes(x):
    n = x.shape[0]
    return (
        ingot.cat([x, x[1:]]), x.reshape(-1), ingot.arange(n) * 2, x.sum(0) / n, F.pad(x, (0, 0, 1, 2)), x.flip(0)[::2], x.sort(0)[0],
        x.argmax(0), ingot.tril(x @ x.T), x[-1], x.repeat(2, 1), x.roll(1, 0), F.one_hot(ingot.arange(n) % 3, 3), x[ingot.arange(n - 1)],
        x.cumsum(0), ingot.where(x > 0, x, 0.0), x.view(n, 2, 2).transpose(0, 1),
    )  # fmt: skip


def gradient(x, w):
    w = w.detach().requires_grad_()
    loss = F.cross_entropy(x @ w, ingot.arange(x.shape[0]) % 3)
    loss.backward()
    return loss.detach(), w.grad


def images(x):
    y = F.max_pool2d(F.relu(F.conv2d(x, ingot.ones(3, 2, 3, 3) * 0.1, padding=1)), 2)
    return y, F.interpolate(x, scale_factor=2), F.avg_pool2d(x, 3, 1, 1)


def refined(text, arrays):
    """The program for the sizes of these arrays: `main` calls it, and JAX's own pass carries the sizes through."""
    pytest.importorskip("jax", reason="programs are run by JAX, which is not installed")
    from jax._src.interpreters import mlir
    from jaxlib import _jax
    from jaxlib.mlir import ir

    head = re.search(r"@main\((.*?)\) -> \((.*)\) \{", text)
    free = [a.split(": ")[1] for a in re.findall(r"%arg\d+: tensor<[^>]*>", head[1])]
    fixed = [f"tensor<{''.join(f'{d}x' for d in a.shape)}{t[7:-1].split('x')[-1]}>" for a, t in zip(arrays, free)]
    lines = [f"%c{i} = stablehlo.convert %a{i} : ({f}) -> {t}" for i, (f, t) in enumerate(zip(fixed, free))]
    count, given = head[2].count("tensor<"), ", ".join(f"%c{i}" for i in range(len(free)))
    lines.append(f"%r:{count} = call @inner({given}) : ({', '.join(free)}) -> ({head[2]})")
    lines.append(f"return {', '.join(f'%r#{i}' for i in range(count))} : {head[2]}")
    main = f"func.func public @main({', '.join(f'%a{i}: {f}' for i, f in enumerate(fixed))}) -> ({head[2]}) {{"
    inner = text.replace("func.func public @main(", "func.func private @inner(").rstrip()[:-1]
    with mlir.make_ir_context():
        module = ir.Module.parse("\n".join([inner, main, *lines, "}", "}"]))
        return str(ir.Module.parse(_jax.mlir.refine_polymorphic_shapes(mlir.module_to_bytecode(module))))


SIZED = {
    "sequences": (lambda: Sequences().eval(), ((2, 5, 8),), ({0: "B", 1: "T"},), ((3, 9, 8),)),
    "shapes": (lambda: shapes, ((5, 4),), ({0: "T"},), ((8, 4),)),
    "a gradient": (lambda: gradient, ((4, 5), (5, 3)), ({0: "B"}, None), ((7, 5), (5, 3))),
    "images": (lambda: images, ((2, 2, 8, 8),), ({0: "B", 2: "H"},), ((3, 2, 12, 8),)),
}


@pytest.mark.parametrize("name", SIZED)
def test_sizes_that_vary(name, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    make, first, dims, others = SIZED[name]
    ingot.manual_seed(0)
    fn, known = make(), {n: ingot.Dim(n, min=2, max=128) for n in "BTH"}
    dynamic = tuple(None if d is None else {axis: known[n] for axis, n in d.items()} for d in dims)
    text = ingot.stablehlo.export(fn, tuple(ingot.randn(s) for s in first), dynamic_shapes=dynamic)
    arrays = [np.random.default_rng(1).normal(size=s).astype(np.float32) for s in others]
    want = [v.detach().numpy() for v in fn(*map(ingot.tensor, arrays))]
    near([v.detach().numpy() for v in ingot.stablehlo.load(text)(*arrays)], want, name)
    near(in_jax(refined(text, arrays), arrays), want, name)
