"""Windows: reductions over them, and what goes back through the choice of an element."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply, scalar
from ingot.interchange.stablehlo.module import Operation
from ingot.interchange.stablehlo.ops.calls import target
from ingot.interchange.stablehlo.ops.movement import padded
from ingot.interchange.stablehlo.ops.regions import fold_of, single
from ingot.interchange.stablehlo.rules import Call, op, pairs
from ingot.ir import dtypes

__all__: list[str] = []

Combine = Callable[[list[Tensor], list[Tensor]], list[Tensor]]

TAPS = 4096  # elements of a window, where each is read on its own


def _ones(value: Any, n: int) -> tuple[int, ...]:
    return tuple(value) if value is not None else (1,) * n


@op("reduce_window")
def reduce_window(
    c: Call, *values: Tensor, window_dimensions: Any, window_strides: Any = None, base_dilations: Any = None, window_dilations: Any = None,
    padding: Any = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    k = len(values) // 2
    inputs, inits = values[:k], values[k:]
    n = inputs[0].ndim
    window = tuple(window_dimensions)
    strides, dilations, base = (_ones(v, n) for v in (window_strides, window_dilations, base_dilations))
    pads = pairs(padding, n)
    x = inputs[0]
    for what, given in (("windows", window), ("strides", strides), ("dilations", dilations), ("dilations", base)):
        if len(given) != n or any(isinstance(v, int) and v < 1 for v in given):
            raise TypeError(f"{what} of {list(given)} for {n} dims")
    fold = fold_of(c.regions[0]) if k == 1 else None
    if fold in ("add", "max") and x.dtype.kind in "fiu" and n:
        out = _own(c, fold, x, inits[0], window, strides, pads, dilations, base)
        if out is not None:
            return tuple(c.over(0, [inits[0], out]))
    low, high = [p[0] for p in pads], [p[1] for p in pads]
    grown = [padded(v, i, low, high, [b - 1 for b in base]) for v, i in zip(inputs, inits)]
    combine: Combine = lambda a, b: c.over(0, [*a, *b])  # noqa: E731
    around = any(p != (0, 0) or b != 1 for p, b in zip(pads, base)) and not (fold and _neutral(c, fold, x))
    if around:  # the region makes something of the init, or may: XLA leaves out what is around the elements
        there = apply("broadcast", scalar(True, dtypes.bool_), attrs=(tuple(x.shape),))
        grown.append(padded(there, scalar(False, dtypes.bool_), low, high, [b - 1 for b in base]))
        combine = _of_elements(c)
    for d in range(n):
        grown = _along(combine, grown, d, window[d], dilations[d], strides[d])
    shape = tuple(grown[0].shape)
    starts = [apply("broadcast", i, attrs=(shape,)) for i in inits]
    results = c.over(0, [*starts, *grown[:k]])
    return tuple(apply("select", grown[k], r, s) for r, s in zip(results, starts)) if around else tuple(results)


def _of_elements(c: Call) -> Combine:
    """The region over two parts, the last of whose values say where there is an element: where one has none, it is the other."""

    def combine(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        both = c.over(0, [*a[:-1], *b[:-1]])
        values = [apply("select", a[-1], apply("select", b[-1], r, x), y) for r, x, y in zip(both, a, b)]
        return [*values, apply("logical_or", a[-1], b[-1])]

    return combine


def _own(
    c: Call, fold: str, x: Tensor, init: Tensor, window: tuple[int, ...], strides: tuple[int, ...], pads: list[tuple[int, int]],
    dilations: tuple[int, ...], base: tuple[int, ...],
) -> Tensor | None:  # fmt: skip
    """By the IR's own windows or running sums; padding is nothing there, as it is with an init of 0 or the least number."""
    if 0 in tuple(x.shape) or any(b != 1 for b in base) or any(p < 0 for pair in pads for p in pair) or not _neutral(c, fold, x):
        return None
    wide = [d for d in range(x.ndim) if window[d] != 1 or pads[d] != (0, 0) or strides[d] != 1]
    if fold == "add" and len(wide) == 1:
        (d,) = wide
        n = x.shape[d]
        if window[d] == n and strides[d] == 1 and dilations[d] == 1 and sorted(pads[d]) == [0, n - 1] and n > 1:
            return apply("cumsum", x, attrs=(d, pads[d][0] == 0))
    if int(np.prod(window)) > TAPS:
        return None
    if fold == "max" and any(p > (w - 1) * d for w, d, pair in zip(window, dilations, pads) for p in pair):  # of nothing but padding
        return None
    name = "window_sum" if fold == "add" else "window_max"
    return apply(name, x, attrs=(window, strides, tuple(pads), dilations))


def _neutral(c: Call, fold: str, x: Tensor) -> bool:
    """Whether the init is a constant that changes nothing."""
    value = c.run.number(c.op.inputs[1])
    if value is None or fold == "set":
        return False
    if fold in ("max", "min", "and"):
        least, most = (False, True) if x.dtype.kind == "b" else (-np.inf, np.inf) if x.dtype.kind == "f" else _ends(x)
        return bool(value == (least if fold == "max" else most if fold == "min" or x.dtype.kind != "i" else -1))
    return bool(value == (1 if fold == "mul" else 0))


def _ends(x: Tensor) -> tuple[int, int]:
    info = np.iinfo(x.dtype.numpy)
    return int(info.min), int(info.max)


def _along(combine: Combine, values: list[Tensor], axis: int, window: int, dilation: int, stride: int) -> list[Tensor]:
    """Windows along one dim: of 1, 2, 4, … elements, combined to what is asked for, the elements in order."""
    n = values[0].shape[axis] - (window - 1) * dilation
    if n <= 0:
        n = 0

    def part(v: Tensor, start: int, count: int, step: int = 1) -> Tensor:
        starts = tuple(start if i == axis else 0 for i in range(v.ndim))
        stops = tuple(start + max(count - 1, 0) * step + (count > 0) if i == axis else d for i, d in enumerate(v.shape))
        return apply("slice", v, attrs=(starts, stops, tuple(step if i == axis else 1 for i in range(v.ndim))))

    if n == 0:
        return [part(v, 0, 0) for v in values]
    have, power, done = values, 1, 0
    out: list[Tensor] | None = None
    while done < window:
        if window & power:
            piece = [part(v, done * dilation, n) for v in have]
            out = piece if out is None else combine(out, piece)
            done += power
        if done < window:
            reach = have[0].shape[axis] - power * dilation
            have = combine([part(v, 0, reach) for v in have], [part(v, power * dilation, reach) for v in have])
            power *= 2
    assert out is not None
    return [part(v, 0, -(-n // stride), stride) for v in out] if stride != 1 else out


@target("stablehlo.dynamic_reduce_window")
def dynamic_reduce_window(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
    """Operands are inputs, inits, then window, strides, dilations of the base and of the window, and padding, all of them known."""
    k = (len(inputs) - 5) // 2
    names = ("window_dimensions", "window_strides", "base_dilations", "window_dilations", "padding")
    known = [c.known(v, f"its operand {n!r}") for v, n in zip(inputs[2 * k :], names)]
    lists = [[v if x.dtype == object else int(v) for v in x.reshape(-1)] for x in known]
    attrs: dict[str, Any] = dict(zip(names, lists))
    attrs["padding"] = list(zip(lists[-1][::2], lists[-1][1::2]))
    body = c.run.plan.module.functions[c.op.attrs["called_computations"][0]].body
    whole = Operation("reduce_window", c.op.inputs[: 2 * k], c.op.outputs, attrs, (body,), c.op.place)
    return c.run.ruled(whole, list(inputs[: 2 * k]))


@op("select_and_scatter")
def select_and_scatter(
    c: Call, operand: Tensor, source: Tensor, init: Tensor, *, window_dimensions: Any = None, window_strides: Any = None,
    padding: Any = None,
) -> Tensor:  # fmt: skip
    """Of each window the element that `select` keeps gets the source's, combined by `scatter`."""
    n = operand.ndim
    window, strides = _ones(window_dimensions, n), _ones(window_strides, n)
    pads = pairs(padding, n)
    if int(np.prod(window)) > TAPS:
        raise NotImplementedError(f"windows of more than {TAPS} elements")
    chosen = single(c.regions[0])
    added = fold_of(c.regions[1]) == "add"
    if chosen is None or not added:
        raise NotImplementedError("regions other than a comparison and an addition")
    shape = tuple(source.shape)
    numbers = apply("reshape", apply("iota", attrs=(dtypes.i64, (operand.numel(),), 0)), attrs=(tuple(operand.shape),))
    low, high = [p[0] for p in pads], [p[1] for p in pads]
    values = padded(operand, scalar(0, operand.dtype), low, high, [0] * n)
    places = padded(numbers, scalar(-1, dtypes.i64), low, high, [0] * n)
    best = at = None
    for tap in product(*map(range, window)):
        stops = tuple(t + (m - 1) * s + 1 for t, m, s in zip(tap, shape, strides))
        value, place = (apply("slice", v, attrs=(tap, stops, strides)) for v in (values, places))
        if best is None or at is None:
            best, at = value, place
            continue
        (keep,) = c.over(0, [best, value])
        keep = apply("logical_or", apply("logical_and", keep, at >= 0), place < 0)
        best, at = apply("select", keep, best, value), apply("select", keep, at, place)
    assert at is not None
    flat = apply("broadcast", init, attrs=((operand.numel() + 1,),))
    at = apply("select", at >= 0, at, scalar(operand.numel(), dtypes.i64))
    count = source.numel()
    put = apply("index_put", flat, *(apply("reshape", v, attrs=((count,),)) for v in (source, at)), attrs=((0,), "add"))
    return apply("reshape", apply("slice", put, attrs=((0,), (operand.numel(),), (1,))), attrs=(tuple(operand.shape),))
