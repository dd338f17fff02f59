"""Constants, ranges and masks: values that come from shapes and attributes."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import Call, op
from ingot.interchange.onnx.tensors import TYPES
from ingot.interchange.onnx.values import is_coded
from ingot.ir.dtypes import by_numpy

__all__: list[str] = []


@op("Constant", raw=True)
def constant(
    *, value: Any = None, sparse_value: Any = None, value_float: Any = None, value_floats: Any = None, value_int: Any = None,
    value_ints: Any = None, value_string: Any = None, value_strings: Any = None,
) -> np.ndarray:  # fmt: skip
    for given, dtype in (
        (value, None), (sparse_value, None), (value_float, np.float32), (value_floats, np.float32), (value_int, np.int64),
        (value_ints, np.int64), (value_string, object), (value_strings, object),
    ):  # fmt: skip
        if given is not None:
            if dtype is None and not isinstance(given, np.ndarray):
                raise TypeError("a constant's value is no tensor")
            return given if dtype is None else np.asarray(given, dtype)
    raise ValueError("a constant without a value")


@op("ConstantOfShape", raw=True)
def constant_of_shape(c: Call, shape: Any, *, value: np.ndarray | None = None) -> Any:
    dims = tuple(c.known(shape, "the shape").tolist())
    value = np.zeros(1, np.float32) if value is None else value.reshape(-1)
    if is_coded(value.dtype):
        return np.full(dims, value[0], value.dtype)
    return ingot.full(dims, value[0].item() if value.dtype.kind in "biuf" else float(value[0]), dtype=by_numpy(value.dtype))


@op("Shape", "Size", raw=True)
def shape_of_sequence(x: Any, *, start: int = 0, end: int | None = None) -> Any:
    raise TypeError("sequences have no shape")


@op("Range", known=("start", "limit", "delta"))
def range_(start: np.ndarray, limit: np.ndarray, delta: np.ndarray, *, stash_type: int = 1) -> Any:
    first, last, step = (v.reshape(()).item() if v.dtype != object else v.reshape(-1)[0] for v in (start, limit, delta))
    dtype = by_numpy(np.int64 if start.dtype == object else start.dtype)
    if isinstance(first, float) and not isinstance(last, ingot.Tensor):
        n = max(int(np.ceil((last - first) / step)), 0)
        at = ingot.arange(n, dtype=ingot.float64 if dtype.bits == 64 else ingot.float32)
        return (at * step + first).to(dtype)
    return ingot.arange(first, last, step, dtype=dtype) if (last - first) * (1 if step > 0 else -1) > 0 else ingot.zeros(0, dtype=dtype)


@op("EyeLike")
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    n, m = x.shape
    on = ingot.arange(m) - ingot.arange(n).unsqueeze(1) == k
    return on.to(x.dtype if dtype is None else by_numpy(TYPES[dtype]))


@op("Trilu", known=("k",))
def trilu(x: Tensor, k: np.ndarray | None = None, *, upper: int = 1) -> Tensor:
    offset = 0 if k is None else int(k.reshape(-1)[0])
    n, m = x.shape[-2:]
    at = ingot.arange(m) - ingot.arange(n).unsqueeze(1)
    return ingot.where(at >= offset if upper else at <= offset, x, 0).to(x.dtype)


@op("OneHot", known=("depth",))
def one_hot(indices: Tensor, depth: np.ndarray, values: Tensor, *, axis: int = -1) -> Tensor:
    n = int(depth.reshape(-1)[0])
    axis += indices.ndim + 1 if axis < 0 else 0
    at = indices.to(ingot.int64).unsqueeze(axis)
    at = ingot.where(at < 0, at + n, at)
    shape = [1] * (indices.ndim + 1)
    shape[axis] = n
    return ingot.where(at == ingot.arange(n).reshape(shape), values[1], values[0])
