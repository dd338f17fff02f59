"""Recurrent layers on the `scan` op, and single cells.

One layer in one direction is one composite: the input's share of the gates is one matrix product over all steps, and
the scan carries the states. The step is written once, on IR expressions, for the scan's body; the cells call the same
graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import lower, rounded
from ingot._tensor.composites import composite
from ingot._tensor.extents import plain_dim
from ingot._tensor.recording import cast, record
from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import DType
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.ir.size import remembered
from ingot.ir.types import tensor_type

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _times(x: Expr, weight: Expr) -> Expr:
    """x @ weight.T"""
    return OPS["dot"](x, weight, batch=((), ()), contract=((1,), (1,)))


def _gates(x: Expr, n: int) -> list[Expr]:
    rows, width = x.shape[0], x.shape[1] // n
    return [OPS["slice"](x, starts=(0, k * width), stops=(rows, (k + 1) * width), steps=(1, 1)) for k in range(n)]


def _lstm_step(gx: Expr, h: Expr, c: Expr, w_hh: Expr, w_hr: Expr | None = None) -> tuple[Expr, ...]:
    i, f, g, o = _gates(gx + _times(h, w_hh), 4)
    sigmoid, tanh = OPS["sigmoid"], OPS["tanh"]
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if w_hr is None else _times(h, w_hr)), c


def _gru_step(gx: Expr, h: Expr, w_hh: Expr, b_hh: Expr | None = None) -> tuple[Expr, ...]:
    gh = _times(h, w_hh)
    if b_hh is not None:
        gh = gh + b_hh
    (rx, zx, nx), (rh, zh, nh) = _gates(gx, 3), _gates(gh, 3)
    sigmoid, tanh = OPS["sigmoid"], OPS["tanh"]
    r, z = sigmoid(rx + rh), sigmoid(zx + zh)
    n = tanh(nx + r * nh)
    return (n + z * (h - n),)


def _relu_step(gx: Expr, h: Expr, w_hh: Expr) -> tuple[Expr, ...]:
    total = gx + _times(h, w_hh)
    return (OPS["select"](total <= 0.0, 0.0, total),)  # like relu: gradient 0 at 0, NaN stays


def _tanh_step(gx: Expr, h: Expr, w_hh: Expr) -> tuple[Expr, ...]:
    return (OPS["tanh"](gx + _times(h, w_hh)),)


_STEPS: dict[str, Callable] = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN_TANH": _tanh_step, "RNN_RELU": _relu_step}


@remembered(256)
def _body(mode: str, dtype: DType, n: int, hidden: int, out: int, bias: bool, masked: bool) -> Graph:
    """One step for the scan: constants, states, the input's share of the gates (and a mask) -> states, output."""
    b = Builder(f"{mode.lower()}_step")
    k = GATES[mode]
    consts = [b.expr(b.input(tensor_type(dtype, (k * hidden, out)), "w_hh"))]
    if out != hidden:
        consts.append(b.expr(b.input(tensor_type(dtype, (out, hidden)), "w_hr")))
    if bias:
        consts.append(b.expr(b.input(tensor_type(dtype, (k * hidden,)), "b_hh")))
    states = [b.expr(b.input(tensor_type(dtype, (n, out)), "h"))]
    if mode == "LSTM":
        states.append(b.expr(b.input(tensor_type(dtype, (n, hidden)), "c")))
    gx = b.expr(b.input(tensor_type(dtype, (n, k * hidden)), "gx"))
    new = _STEPS[mode](gx, *states, *consts)
    y = new[0]
    if masked:  # a sequence that has ended keeps its states and yields zeros
        live = b.expr(b.input(tensor_type(ingot.bool, (n, 1)), "live"))
        new = tuple(OPS["select"](live, a, old) for a, old in zip(new, states))
        y = OPS["select"](live, y, 0.0)
    return b.freeze((*(s.value for s in new), y.value))


@composite
def _layer(
    x: Tensor, states: tuple[Tensor, ...], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None, w_hr: Tensor | None,
    live: Tensor | None, mode: str, reverse: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """One layer in one direction over (T, N, I): the outputs (T, N, out), then the final states."""
    gx = ingot.matmul(x, w_ih.mT)
    inner_bias = mode == "GRU" and b_hh is not None  # the only cell that multiplies the hidden bias by a gate
    if b_ih is not None:
        gx = gx + (b_ih if inner_bias or b_hh is None else b_ih + b_hh)
    out, hidden = w_hh.shape[1], w_hh.shape[0] // GATES[mode]
    body = _body(mode, x.dtype, plain_dim(x.shape[1]), hidden, out, inner_bias, live is not None)
    consts = [t for t in (w_hh, w_hr, b_hh if inner_bias else None) if t is not None]
    xs = [gx] + ([live] if live is not None else [])
    *final, ys = record(OPS["scan"], (*consts, *states, *xs), (body, len(consts), len(states), x.shape[0], reverse))
    return (ys, *final)


def layer(
    mode: str, x: Tensor, states: tuple[Tensor, ...], weights: dict[str, Any], live: Tensor | None, reverse: bool
) -> tuple[Tensor, ...]:
    """`_layer` with its weights by name. Inside autocast a GRU keeps the dtype of its states, as torch's does; others are lower."""
    if mode != "GRU":
        return _lower(mode, x, states, weights, live, reverse)
    a, b, c = rounded((x, states, weights))
    out = _by_names(mode, a, b, c, live, reverse)
    return tuple(cast(t, states[0].dtype) for t in out)


def _by_names(mode: str, x: Tensor, states: tuple, w: dict[str, Any], live: Tensor | None, reverse: bool) -> tuple[Tensor, ...]:
    return _layer(x, states, w["w_ih"], w["w_hh"], w["b_ih"], w["b_hh"], w["w_hr"], live, mode, reverse)


_lower = lower(_by_names)


@composite
def _cell(
    x: Tensor, states: tuple[Tensor, ...], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None, mode: str
) -> tuple[Tensor, ...]:
    gx = ingot.matmul(x, w_ih.mT)
    inner_bias = mode == "GRU" and b_hh is not None
    if b_ih is not None:
        gx = gx + (b_ih if inner_bias or b_hh is None else b_ih + b_hh)
    hidden = w_hh.shape[1]
    body = _body(mode, x.dtype, x.shape[0], hidden, hidden, inner_bias, False)
    consts = [t for t in (w_hh, b_hh if inner_bias else None) if t is not None]
    inputs = (*consts, *states, gx)
    return tuple(record(OPS["call"], inputs, (body,))[: len(states)])


def cell(mode: str, x: Tensor, states: tuple[Tensor, ...], w_ih: Tensor, w_hh: Tensor, b_ih: Any, b_hh: Any) -> tuple[Tensor, ...]:
    """One step over (N, I): the new states, in the dtype of the old ones."""
    a, b, w, v, p, q = rounded((x, states, w_ih, w_hh, b_ih, b_hh))
    new = _cell(a, b, w, v, p, q, mode)
    return tuple(cast(t, states[0].dtype) for t in new)
