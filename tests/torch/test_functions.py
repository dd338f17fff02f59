"""Every function and method against torch: values, dtypes, shapes, gradients, and the types of errors."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch

import ingot
import tests.torch.surface_cases  # noqa: F401  (adds to C and ERROR_CASES)
from tests.torch.function_cases import ERROR_CASES, C, Case, make

TORCH = dict(
    f32=torch.float32, f64=torch.float64, f16=torch.float16, bf16=torch.bfloat16, i64=torch.int64, i32=torch.int32, i16=torch.int16,
    i8=torch.int8, u8=torch.uint8, bool=torch.bool,
)  # fmt: skip
INGOT = {k: getattr(ingot, str(v).split(".")[1]) for k, v in TORCH.items()}
TOLERANCE = {"float64": (1e-9, 1e-9), "float32": (2e-6, 2e-6), "float16": (2e-3, 2e-3), "bfloat16": (1.6e-2, 1.6e-2)}


def inputs(m, case: Case, dtype: str, leaf: bool) -> dict:
    table = TORCH if m is torch else INGOT
    out = {}
    for name, spec in case.inputs.items():
        ordered = spec.startswith("sorted")
        values, d, flip = make(spec.replace("sorted", ""), dtype, name)
        if ordered:
            values = np.sort(values)
        t = m.tensor(values.tolist(), dtype=table[d])
        if not values.size:
            t = m.zeros(values.shape, dtype=table[d])
        if flip:
            t = m.tensor(values.tolist(), dtype=table[d]).T
        if leaf and t.is_floating_point():
            t = t.detach().requires_grad_()
        out[name] = t
    return out


def evaluate(m, expr: str, names: dict):
    scope = {"m": m, "np": np, **names}
    if expr.startswith("exec:"):
        x = names["x"]
        scope["x"] = x.clone() if "requires_grad_" not in expr else x
        exec(expr[5:], scope)
        return scope["x"]
    if "x" in names and re.search(r"x\.\w+_\(", expr) and "clone" not in expr:
        scope["x"] = names["x"].clone()
    return eval(expr, scope)


def flat(r) -> list:
    if isinstance(r, (tuple, list)) and not isinstance(r, (torch.Size, ingot.Size)):
        return [x for v in r for x in flat(v)]
    return [r]


def compare(got, want, tol: float) -> None:
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for g, w in zip(got, want):
        if not isinstance(w, torch.Tensor):
            assert type(g).__name__ == type(w).__name__ or isinstance(w, torch.Size)
            assert g == w or tuple(g) == tuple(w)
            continue
        assert isinstance(g, ingot.Tensor)
        assert g.dtype.torch_name == str(w.dtype).split(".")[1]
        assert tuple(g.shape) == tuple(w.shape)
        a = g.detach()._value()
        b = w.detach().contiguous()
        if w.dtype in (torch.bfloat16, torch.float16):
            a, b = a.astype(np.float32), b.float()
        rtol, atol = TOLERANCE.get(str(w.dtype).split(".")[1], (0, 0))
        np.testing.assert_allclose(a, b.numpy(), rtol=rtol * tol, atol=atol * tol, equal_nan=True)


@pytest.mark.parametrize("case", C, ids=str)
def test_values_and_gradients(case: Case) -> None:
    for dtype in case.dtypes:
        with_grad = case.grad and dtype in ("f32", "f64")
        a, b = inputs(ingot, case, dtype, with_grad), inputs(torch, case, dtype, with_grad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                want = evaluate(torch, case.expr, b)
            except Exception as e:
                with pytest.raises(accepted(e)):
                    flush(evaluate(ingot, case.expr, a))
                continue
        got = evaluate(ingot, case.expr, a)
        compare(got, want, case.tol)
        if not with_grad:
            continue
        outs = [(g, w) for g, w in zip(flat(got), flat(want)) if isinstance(w, torch.Tensor) and w.requires_grad]
        wants = [w.requires_grad for w in flat(want) if isinstance(w, torch.Tensor)]
        assert [g.requires_grad for g in flat(got) if isinstance(g, ingot.Tensor)] == wants
        if not outs:
            continue
        seeds = [np.random.default_rng(7).normal(size=tuple(w.shape)) for _, w in outs]
        sum((w * torch.tensor(s, dtype=w.dtype)).sum() for (_, w), s in zip(outs, seeds)).backward()
        total = None
        for (g, _), s in zip(outs, seeds):
            term = (g * ingot.tensor(s, dtype=g.dtype)).sum()
            total = term if total is None else total + term
        total.backward()
        for name, t in b.items():
            if t.is_floating_point() and t.grad is not None:
                if a[name].grad is None:  # no path at all, where torch gives zeros
                    assert not t.grad.any(), f"no gradient for {name}"
                    continue
                compare(a[name].grad, t.grad, 5 * case.tol)


def flush(r) -> None:
    for x in flat(r):
        if isinstance(x, ingot.Tensor):
            x.detach()._value()


def accepted(e: Exception):
    """What Ingot may raise for it: the same builtin type; for torch's missing kernels, a refusal of any kind."""
    if isinstance(e, NotImplementedError):
        return RuntimeError, TypeError
    return type(e) if type(e).__module__ == "builtins" else RuntimeError


@pytest.mark.parametrize("expr", ERROR_CASES)
def test_error_types(expr: str) -> None:
    case = Case(expr, {"x": "[2,3]"}, ("f32",), False, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            evaluate(torch, expr, inputs(torch, case, "f32", False))
        except Exception as e:
            want = e
        else:
            pytest.fail("torch raises nothing")
    with pytest.raises(accepted(want)) as caught:
        flush(evaluate(ingot, expr, inputs(ingot, case, "f32", False)))
    assert str(caught.value)
