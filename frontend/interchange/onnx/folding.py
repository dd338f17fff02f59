"""Known values: what models compute of shapes, done with NumPy while the model is evaluated. Exact work on small arrays.

A symbolic size is an int that carries its expression: arrays of such are arrays of objects, for which NumPy calls their operators.
Each fold takes the version of the op set, the inputs and the attributes, and gives an array, a tuple of them, or None where the rule
on Tensors shall do it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.interchange.onnx.tensors import TYPES
from ingot.interchange.onnx.values import Coded, is_coded

__all__ = ["FOLDS", "sizes"]

MOST = 1 << 16  # elements of a result

FOLDS: dict[str, Callable] = {}


def sizes(dims: Any) -> np.ndarray:
    """Extents as an array: int64, or objects where one of them is symbolic."""
    dims = list(dims)
    return np.array(dims, np.int64 if all(type(d) is int for d in dims) else object).reshape(len(dims))


def _fold(*names: str) -> Callable[[Callable], Callable]:
    def enter(fn: Callable) -> Callable:
        for name in names:
            FOLDS[name] = fn
        return fn

    return enter


def _like(result: Any, *inputs: np.ndarray) -> np.ndarray:
    """The result in the type of the inputs: as objects where it is symbolic."""
    result = np.asarray(result)
    if result.dtype == object:
        flat = result.reshape(-1)
        return result if any(type(x) is not int for x in flat) else result.astype(np.int64)
    return result.astype(next((i.dtype for i in inputs if i.dtype != object), np.dtype(np.int64)))


def _numbers(*inputs: Any) -> bool:
    return all(i is None or i.dtype == object and not any(isinstance(x, str) for x in i.flat) or i.dtype.kind in "biuf" for i in inputs)


def _few(*inputs: Any) -> bool:
    """Whether inputs that are broadcast to each other give a small array."""
    return math.prod(np.broadcast_shapes(*(i.shape for i in inputs))) <= MOST


def _shape(value: Any) -> Any:
    return value.codes.shape if isinstance(value, Coded) else value.shape


@_fold("Shape")
def _shape_of(version: int, x: Any, *, start: int = 0, end: int | None = None) -> Any:
    return None if isinstance(x, list) else sizes(tuple(_shape(x))[start:end])


@_fold("Size")
def _size_of(version: int, x: Any) -> Any:
    n: Any = 1
    for d in _shape(x):
        n = n * d
    return sizes([n]).reshape(())


def _binary(f: Callable) -> Callable:
    def fold(version: int, a: Any, b: Any, **attrs: Any) -> Any:
        if attrs or a.dtype.kind == "f" or not _numbers(a, b) or not _few(a, b):
            return None
        with np.errstate(all="ignore"):
            return _like(f(a, b), a, b)

    return fold


def _truncated(a: Any, b: Any) -> Any:
    if a.dtype == object or b.dtype == object:
        q = a // b  # extents are not negative
        return q
    if (b == 0).any():
        raise ZeroDivisionError("division by zero")
    q = np.abs(a) // np.abs(b)
    return np.where((a < 0) != (b < 0), -q, q)


FOLDS["Add"] = _binary(lambda a, b: a + b)
FOLDS["Sub"] = _binary(lambda a, b: a - b)
FOLDS["Mul"] = _binary(lambda a, b: a * b)
FOLDS["Div"] = _binary(_truncated)


@_fold("Mod")
def _mod(version: int, a: Any, b: Any, *, fmod: int = 0) -> Any:
    return None if fmod or a.dtype.kind == "f" or not _numbers(a, b) or not _few(a, b) else _like(a % b, a, b)


def _compared(f: Callable) -> Callable:
    def fold(version: int, a: Any, b: Any, **attrs: Any) -> Any:
        texts = a.dtype == object and b.dtype == object and not _numbers(a, b)
        return None if attrs or not (texts or _numbers(a, b)) or not _few(a, b) else np.asarray(f(a, b)).astype(bool)

    return fold


FOLDS["Equal"] = _compared(lambda a, b: a == b)
FOLDS["Less"] = _compared(lambda a, b: a < b)
FOLDS["LessOrEqual"] = _compared(lambda a, b: a <= b)
FOLDS["Greater"] = _compared(lambda a, b: a > b)
FOLDS["GreaterOrEqual"] = _compared(lambda a, b: a >= b)
FOLDS["And"] = _compared(np.logical_and)
FOLDS["Or"] = _compared(np.logical_or)
FOLDS["Xor"] = _compared(np.logical_xor)


@_fold("Not")
def _not(version: int, x: Any) -> Any:
    return np.asarray(~x)


@_fold("Neg")
def _neg(version: int, x: Any) -> Any:
    return _like(-x, x)


@_fold("Abs")
def _abs(version: int, x: Any) -> Any:
    return None if x.dtype.kind == "f" else _like(np.abs(x), x)


def _extreme(f: Callable) -> Callable:
    def fold(version: int, *xs: Any) -> Any:
        if not _numbers(*xs) or any(x.dtype.kind == "f" for x in xs) or not _few(*xs):
            return None
        out = xs[0]
        for x in xs[1:]:
            out = f(out, x)
        return _like(out, *xs)

    return fold


FOLDS["Max"], FOLDS["Min"] = _extreme(np.maximum), _extreme(np.minimum)


@_fold("Where")
def _where(version: int, c: Any, a: Any, b: Any) -> Any:
    return _like(np.where(c, a, b), a, b) if _numbers(a, b) and _few(c, a, b) else None


@_fold("Cast")
def _cast(version: int, x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    dtype = TYPES.get(to)
    if dtype is None or dtype.kind not in "biuf" or x.dtype.kind not in "biufO" or not _numbers(x) or is_coded(dtype):
        return None
    if x.dtype == object:
        return x if dtype == np.int64 else None
    if x.dtype.kind == "f" and dtype.kind != "f":
        if dtype.kind != "b" and not (np.isfinite(x) & (np.abs(x) < 2.0**62)).all():
            return None
    return x.astype(dtype)


@_fold("Gather")
def _gather(version: int, data: Any, indices: Any, *, axis: int = 0) -> Any:
    if indices.size * data.size > MOST * max(data.shape[axis], 1):
        return None
    return np.asarray(_kept(np.take(data, indices, axis=axis), data))


def _kept(result: Any, like: np.ndarray) -> np.ndarray:
    """A selection of an array, in its type; one element of an array of objects is no array."""
    if isinstance(result, np.ndarray):
        return result
    out = np.empty((), like.dtype)
    out[()] = result
    return out


@_fold("Concat")
def _concat(version: int, *xs: Any, axis: int = 1) -> Any:
    if sum(x.size for x in xs) > MOST:
        return None
    if any(x.dtype == object for x in xs):
        return _like(np.concatenate([x.astype(object) for x in xs], axis), *xs)
    return np.concatenate(xs, axis)


@_fold("Slice")
def _slice(version: int, data: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None, **attrs: Any) -> Any:
    if attrs:
        starts, ends, axes = attrs["starts"], attrs["ends"], attrs.get("axes")
    index = [slice(None)] * data.ndim
    starts, ends = [np.asarray(v).reshape(-1).tolist() for v in (starts, ends)]
    axes = range(len(starts)) if axes is None else np.asarray(axes).reshape(-1).tolist()
    steps = [1] * len(starts) if steps is None else steps.reshape(-1).tolist()
    for s, e, a, step in zip(starts, ends, axes, steps):
        if step < 0 and e < -data.shape[a]:
            e = None
        index[a] = slice(s, e, step)
    return data[tuple(index)]


@_fold("Squeeze")
def _squeeze(version: int, data: Any, axes: Any = None) -> Any:
    return data.squeeze(None if axes is None else tuple(np.asarray(axes).reshape(-1).tolist()))


@_fold("Unsqueeze")
def _unsqueeze(version: int, data: Any, axes: Any) -> Any:
    return np.expand_dims(data, tuple(np.asarray(axes).reshape(-1).tolist()))


@_fold("Reshape")
def _reshape(version: int, data: Any, shape: Any, *, allowzero: int = 0) -> Any:
    to = [data.shape[i] if d == 0 and not allowzero else d for i, d in enumerate(np.asarray(shape).tolist())]
    return data.reshape(to)


@_fold("Transpose")
def _transpose(version: int, data: Any, *, perm: Any = None) -> Any:
    return data.transpose(perm)


@_fold("Flatten")
def _flatten(version: int, data: Any, *, axis: int = 1) -> Any:
    n = int(np.prod(data.shape[: axis if axis >= 0 else axis + data.ndim]))
    return data.reshape(n, -1) if data.size else None


@_fold("Identity")
def _identity(version: int, x: Any) -> Any:
    return x


@_fold("Range")
def _range(version: int, start: Any, limit: Any, delta: Any, *, stash_type: int = 1) -> Any:
    if start.dtype.kind not in "iu" or any(x.dtype == object for x in (start, limit, delta)):
        return None
    first, last, step = (int(x.reshape(-1)[0]) for x in (start, limit, delta))
    n = max(-(-(last - first) // step), 0)
    return None if n > MOST else (first + step * np.arange(n)).astype(start.dtype)


@_fold("ConstantOfShape")
def _constant_of_shape(version: int, shape: Any, *, value: Any = None) -> Any:
    if shape.dtype == object or (shape < 0).any() or np.prod(shape.astype(float)) > MOST:
        return None
    value = np.zeros(1, np.float32) if value is None else value
    return np.full(tuple(shape), value.reshape(-1)[0], value.dtype)


@_fold("Expand")
def _expand(version: int, x: Any, shape: Any) -> Any:
    if shape.dtype == object or np.prod(shape.astype(float)) > MOST:
        return None
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape)))


@_fold("Tile")
def _tile(version: int, x: Any, repeats: Any, tiles: Any = None) -> Any:
    if tiles is not None or repeats.dtype == object or x.size * np.prod(repeats.astype(float)) > MOST:
        return None
    return np.tile(x, tuple(repeats))


def _reduced(f: Callable) -> Callable:
    def fold(version: int, x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Any:
        if x.dtype.kind == "f" or not x.size or not _numbers(x):
            return None
        over = () if axes is None else tuple(np.asarray(axes).reshape(-1).tolist())
        if not over:
            if noop_with_empty_axes:
                return x
            over = tuple(range(x.ndim))
        return _like(_kept(f(x, axis=over, keepdims=bool(keepdims)), x), x)

    return fold


FOLDS["ReduceSum"], FOLDS["ReduceProd"] = _reduced(np.sum), _reduced(np.prod)
FOLDS["ReduceMax"], FOLDS["ReduceMin"] = _reduced(np.max), _reduced(np.min)


@_fold("Split")
def _split(version: int, x: Any, split: Any = None, *, axis: int = 0, num_outputs: int | None = None) -> Any:
    return None if split is None else tuple(np.split(x, np.cumsum(np.asarray(split))[:-1], axis))


@_fold("NonZero")
def _nonzero(version: int, x: Any) -> Any:
    return None if x.dtype == object else np.stack(np.nonzero(x)).astype(np.int64) if x.ndim else None


@_fold("GatherND")
def _gather_nd(version: int, data: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    rows = indices.size // max(indices.shape[-1], 1)
    if batch_dims or rows * math.prod(data.shape[indices.shape[-1] :]) > MOST:
        return None
    return _kept(data[tuple(np.moveaxis(indices, -1, 0))], data)


@_fold("ScatterND")
def _scatter_nd(version: int, data: Any, indices: Any, updates: Any, *, reduction: str = "none") -> Any:
    if reduction != "none" or data.dtype != updates.dtype:
        return None
    out = data.copy()
    out[tuple(np.moveaxis(indices, -1, 0))] = updates
    return out
