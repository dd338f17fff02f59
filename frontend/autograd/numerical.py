"""Gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot._tensor.recording import from_array
from ingot.autograd.engine import grad
from ingot.ir.dtypes import DType

__all__ = ["gradcheck", "gradgradcheck", "GradcheckError"]


class GradcheckError(RuntimeError):
    """Analytical and numerical gradients differ."""


def _tensors(inputs: Any) -> tuple:
    return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)


def _outputs(fn: Callable, inputs: Sequence[Any]) -> list[Tensor]:
    out = fn(*inputs)
    outs = out if isinstance(out, (tuple, list)) else (out,)
    return [o for o in outs if isinstance(o, Tensor) and o.dtype.kind in "fc"]


def _flat(t: Tensor) -> np.ndarray:
    """The numbers of a tensor in float64, complex ones as their parts."""
    if t.dtype.kind == "c":
        return np.array(t._value(), dtype=np.complex128).reshape(-1).view(np.float64)
    return np.array(t._value(), dtype=np.float64).reshape(-1)


def _shaped(flat: np.ndarray, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """What `_flat` makes these numbers of."""
    return (flat.view(np.complex128) if dtype.kind == "c" else flat).reshape(shape).astype(dtype.numpy)


def _numerical(fn: Callable, inputs: tuple, i: int, eps: float) -> list[np.ndarray]:
    """d(outputs)/d(input i) by central differences: for each output an array [elements of the input, elements of the output].

    A complex number counts as two elements, its parts.
    """
    x = _flat(inputs[i])
    kind, shape = inputs[i].dtype, tuple(inputs[i].shape)
    rows: list[list[np.ndarray]] = []
    for k in range(x.size):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[k] += sign * eps
            args = list(inputs)
            args[i] = from_array(_shaped(moved, kind, shape), kind).requires_grad_()
            ends.append([_flat(o) for o in _outputs(fn, args)])
        rows.append([(a - b) / (2 * eps) for a, b in zip(*ends)])
    n_out = len(_outputs(fn, inputs))
    return [np.array([r[o] for r in rows]) for o in range(n_out)]


def _analytical(fn: Callable, inputs: tuple, i: int) -> list[np.ndarray]:
    jacobians = []
    for o in range(len(_outputs(fn, inputs))):
        out = _outputs(fn, inputs)[o]
        columns = []
        rows, n = _flat(inputs[i]).size, _flat(out).size
        for k in range(n):
            seed = np.zeros(n)
            seed[k] = 1
            if not out.requires_grad:
                columns.append(np.zeros(rows))
                continue
            given = from_array(_shaped(seed, out.dtype, tuple(out.shape)), out.dtype)
            (g,) = grad(out, inputs[i], given, retain_graph=True, allow_unused=True)
            columns.append(np.zeros(rows) if g is None else _flat(g))
        jacobians.append(np.array(columns).reshape(n, rows).T)
    return jacobians


def gradcheck(
    func: Callable, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True, **ignored: Any
) -> bool:
    """Whether the gradients of `func` at `inputs` agree with central differences.

    Use float64 inputs. GradcheckError (a RuntimeError) names the first input that fails, unless `raise_exception` is False;
    ValueError if no input requires gradients.

    >>> ingot.autograd.gradcheck(ingot.tanh, ingot.randn(3, dtype=ingot.float64, requires_grad=True))
    True
    """
    ins = _tensors(inputs)
    checked = [i for i, t in enumerate(ins) if isinstance(t, Tensor) and t.requires_grad]
    if not checked:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True.")
    for i in checked:
        for o, (a, n) in enumerate(zip(_analytical(func, ins, i), _numerical(func, ins, i, eps))):
            n = n.reshape(a.shape)
            if not np.allclose(a, n, rtol, atol, equal_nan=True):
                if not raise_exception:
                    return False
                raise GradcheckError(f"Jacobian mismatch for output {o} with respect to input {i},\nnumerical:{n}\nanalytical:{a}\n")
    return True


def gradgradcheck(
    func: Callable, inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True, **ignored: Any,
) -> bool:  # fmt: skip
    """`gradcheck` of the gradients themselves: whether second derivatives agree with differences of first ones."""
    ins = _tensors(inputs)
    outs = _outputs(func, ins)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = tuple(from_array(_shaped(rng.standard_normal(_flat(o).size), o.dtype, tuple(o.shape))).requires_grad_() for o in outs)
    else:
        seeds = _tensors(grad_outputs)
    n = len(ins)
    which = [i for i, t in enumerate(ins) if isinstance(t, Tensor) and t.requires_grad]

    def first(*args: Any) -> tuple:
        found = grad(_outputs(func, args[:n]), [args[i] for i in which], args[n:], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(first, (*ins, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
