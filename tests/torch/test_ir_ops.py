"""References and derivatives of the IR's ops against PyTorch, on the samples of the declarations."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ingot.ir.builder import op_graph
from ingot.ir.dtypes import Float, Half, by_numpy
from ingot.ir.interpret import run
from ingot.ir.op import OPS
from ingot.ir.ops.samples import cases, types_of
from ingot.ir.transforms.vjp import vjp

SAME_NAME = """
    exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh asinh acosh atanh tanh sigmoid erf erfc lgamma
    digamma floor ceil round trunc neg abs sign reciprocal logical_not bitwise_not isnan isinf isfinite add sub mul div floor_divide
    remainder fmod pow maximum minimum atan2 copysign eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or
    bitwise_xor cummax cummin
""".split()


def each_axis(fn: Callable) -> Callable:
    """A reduction of one axis as one of several."""

    def reduce(x, axes):
        for a in axes:
            x = fn(x, a, keepdim=True, dtype=x.dtype)
        return x

    return reduce


def running(fn: Callable) -> Callable:
    def run_along(x, axis, reverse):
        x = x.flip(axis) if reverse else x
        y = fn(x, axis, dtype=x.dtype)
        return y.flip(axis) if reverse else y

    return run_along


def positions(x, axes, indices):
    """Flat positions in x of x[..., i0, i1, ...]."""
    where = [slice(None)] * x.ndim
    for a, i in zip(axes, torch.broadcast_tensors(*indices)):
        where[a] = i.long()
    return torch.arange(x.numel()).reshape(x.shape)[tuple(where)]


def index_get(x, *rest):
    *indices, axes = rest
    return x.reshape(-1)[positions(x, axes, indices)]


def index_put(x, src, *rest):
    *indices, axes, mode = rest
    if mode not in ("set", "add"):
        return None
    at = positions(x, axes, indices).reshape(-1)
    return x.reshape(-1).index_put((at,), src.reshape(-1), accumulate=mode == "add").reshape(x.shape)


def scatter(x, i, src, axis, mode):
    i = torch.where(i < 0, i + x.shape[axis], i).long()
    if mode == "set":
        return x.scatter(axis, i, src)
    return x.scatter_reduce(axis, i, src, {"add": "sum", "mul": "prod", "min": "amin", "max": "amax"}[mode])


def flat_pads(padding):
    return [p for pair in reversed(padding) for p in pair]


def conv(x, w, stride, padding, dilation, groups):
    fn = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")
    return fn(torch.nn.functional.pad(x, flat_pads(padding)), w, stride=stride, dilation=dilation, groups=groups)


def window_max(x, window, stride, padding, dilation):
    if not x.is_floating_point() or x.numel() == 0:
        return None
    n = len(window)
    padded = torch.nn.functional.pad(x, flat_pads(padding), value=float("-inf"))
    padded = padded.reshape((1, -1, *padded.shape[-n:]))
    y = getattr(torch.nn.functional, f"max_pool{n}d")(padded, window, stride, 0, dilation)
    return y.reshape(x.shape[: x.ndim - n] + y.shape[2:])


TORCH = {n: getattr(torch, n) for n in SAME_NAME} | {
    "integer_pow": lambda x, n: torch.pow(x, n),
    "select": torch.where,
    "cumsum": running(torch.cumsum),
    "cumprod": running(torch.cumprod),
    "sort": lambda x, axis, descending: torch.sort(x, dim=axis, descending=descending, stable=True),
    "reduce_sum": each_axis(torch.sum),
    "reduce_prod": each_axis(torch.prod),
    "reduce_max": lambda x, axes: torch.amax(x, axes, keepdim=True) if axes else x.clone(),
    "reduce_min": lambda x, axes: torch.amin(x, axes, keepdim=True) if axes else x.clone(),
    "argmax": lambda x, axis: torch.argmax(x, axis, keepdim=True),
    "argmin": lambda x, axis: torch.argmin(x, axis, keepdim=True),
    "gather": lambda x, i, axis: torch.gather(x, axis, torch.where(i < 0, i + x.shape[axis], i).long()),
    "scatter": scatter,
    "index_get": index_get,
    "index_put": index_put,
    "conv": conv,
    "window_max": window_max,
}
RTOL = {"f16": 1e-3, "bf16": 8e-3, "f32": 3e-6, "f64": 1e-11, "c64": 1e-5, "c128": 1e-11}

# Where Ingot is right and torch is not, or torch's kernel gives no defined answer:
#   erf of a denormal half is flushed to 0; fmod and remainder of huge float64 give NaN in vectorised kernels
DIFFERENT = {("erf", "f16"), ("fmod", "f64"), ("remainder", "f64")}
# Derivatives: the last of several writes to one place takes the gradient, torch gives it to all; the first NaN of a
# window takes it, torch's the last
DIFFERENT_GRADS = {"window_max"}


def to_torch(a: np.ndarray):
    if by_numpy(a.dtype).name == "bf16":
        return torch.from_numpy(np.ascontiguousarray(a).view(np.int16).copy()).view(torch.bfloat16).reshape(a.shape)
    return torch.from_numpy(a.copy())


def to_numpy(t) -> np.ndarray:
    t = t.detach()
    return t.float().numpy() if t.dtype == torch.bfloat16 else t.numpy()


def torch_result(name: str, tensors: list, attrs: tuple):
    """What torch makes of a sample, or None where it takes no such dtype."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = TORCH[name](*tensors, *attrs)
    except (RuntimeError, TypeError) as e:
        refusals = ("not implemented", "not support", "ZeroDivision", "Promotion", "negative integer", "empty", "operator")
        assert any(r in str(e) for r in refusals), e
        return None
    return out if isinstance(out, tuple) or out is None else (out,)


@pytest.mark.parametrize("name", sorted(TORCH))
def test_reference_is_torchs(name):
    compared = 0
    for arrays, attrs in cases(OPS[name], np.random.default_rng(1)):
        want = torch_result(name, [to_torch(a) for a in arrays], attrs)
        if want is None or (name, by_numpy(arrays[0].dtype).name) in DIFFERENT:
            continue
        got = OPS[name].ref(*arrays, *attrs)
        for g, w in zip(got if isinstance(got, tuple) else (got,), want):
            d = by_numpy(g.dtype)
            rtol = RTOL.get(d.name, 0)
            summed = name in ("cumsum", "reduce_sum", "conv", "dot")
            if d in Half:
                g = g.astype(np.float32)
            np.testing.assert_allclose(g, to_numpy(w), rtol=rtol, atol=rtol * 10 if summed else 1e-30, err_msg=f"{name} {d} {attrs}")
            compared += 1
    assert compared


def last_writer_is_unique(name: str, arrays: list, attrs: tuple) -> bool:
    """Whether no place is written twice, where torch and Ingot mean different things."""
    if name not in ("scatter", "index_put") or attrs[-1] != "set":
        return True
    x, *rest = arrays
    ones = [np.ones_like(r) if i == (1 if name == "scatter" else 0) else r for i, r in enumerate(rest)]
    return float(OPS[name].ref(np.zeros_like(x), *ones, attrs[0], "add").max(initial=0)) <= 1


@pytest.mark.parametrize("name", sorted(n for n in TORCH if callable(OPS[n].vjp) and n not in DIFFERENT_GRADS))
def test_gradients_are_torchs(name):
    compared = 0
    for arrays, attrs in cases(OPS[name], np.random.default_rng(1)):
        kinds = {by_numpy(a.dtype) for a in arrays}
        if kinds & Half or not kinds & Float or not last_writer_is_unique(name, arrays, attrs):
            continue
        if name == "scatter" and arrays[1].shape != arrays[2].shape:  # torch takes gradients for equal shapes only
            continue
        tensors = [to_torch(a).requires_grad_(by_numpy(a.dtype) in Float) for a in arrays]
        want = torch_result(name, tensors, attrs)
        if want is None or not want[0].requires_grad:
            continue
        graph = op_graph(OPS[name], attrs, types_of(arrays))
        ct = np.random.default_rng(3).uniform(0.5, 1.5, want[0].shape).astype(graph.out_types[0].dtype.numpy)
        want[0].backward(torch.from_numpy(ct))
        back = vjp(graph, tuple(t.requires_grad for t in tensors), (True,) + (False,) * (len(graph.outputs) - 1))
        outs = run(graph, arrays)
        given = [*(arrays[i] for i in back.reads_inputs), *(outs[i] for i in back.reads_outputs), ct]
        grads = dict(zip(back.grads, run(back.graph, given)))
        for i, t in enumerate(tensors):
            if t.requires_grad:
                tol = 1e-4 if arrays[i].dtype == np.float32 else 1e-9
                expected = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
                given = grads.get(i, np.zeros(t.shape))
                if name == "digamma":  # at its poles the derivative is infinite; torch gives the rounding error of sin(pi x) there
                    pole = (arrays[i] <= 0) & (arrays[i] == np.floor(arrays[i]))
                    assert not np.isfinite(given[pole]).any()
                    given, expected = given[~pole], expected[~pole]
                np.testing.assert_allclose(given, expected, rtol=tol, atol=tol, err_msg=f"{name} {attrs} by {i}")
                compared += 1
    assert compared
