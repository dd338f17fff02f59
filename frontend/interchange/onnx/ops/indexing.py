"""Gathering and scattering. Negative indices count from the end."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.movement import axis_of
from ingot.interchange.onnx.rules import op

__all__: list[str] = []


def wrapped(indices: Tensor, n: Any) -> Tensor:
    """Indices into `n` places as non-negative int64."""
    indices = indices.to(ingot.int64)
    return ingot.where(indices < 0, indices + n, indices)


@op("Gather", moves=True)
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    axis = axis_of(axis, x.ndim)
    at = wrapped(indices, x.shape[axis])
    out = ingot.index_select(x, axis, at.reshape((-1,)))
    return out.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@op("GatherElements", moves=True)
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return ingot.gather(x, axis, wrapped(indices, x.shape[axis]))


def _nd_places(indices: Tensor, shape: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple(wrapped(indices[..., i], shape[i]) for i in range(indices.shape[-1]))


@op("GatherND", moves=True)
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    places = _nd_places(indices, tuple(x.shape[batch_dims:]))
    batch: list[Tensor] = []
    rank = indices.ndim - 1
    for i in range(batch_dims):
        shape = [1] * rank
        shape[i] = -1
        batch.append(ingot.arange(x.shape[i]).reshape(shape))
    return x[tuple(batch) + places]


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@op("Scatter")
@op("ScatterElements")
def scatter_elements(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none") -> Tensor:
    at = wrapped(indices, x.shape[axis])
    if reduction == "none":
        return ingot.scatter(x, axis, at, updates)
    return ingot.scatter_reduce(x, axis, at, updates, _REDUCTIONS[reduction])


@op("ScatterND")
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    places = _nd_places(indices, tuple(x.shape))
    if reduction == "none":
        return ingot.index_put(x, places, updates)
    if reduction == "add":
        return ingot.index_put(x, places, updates, accumulate=True)
    k = len(places)
    rows: Any = 1
    flat: Any = 0
    for p, n in zip(places, x.shape[:k]):
        flat, rows = flat * n + p, rows * n
    width: Any = 1
    for n in x.shape[k:]:
        width = width * n
    at = ingot.broadcast_to(flat.reshape((-1, 1)), (flat.numel(), width))
    out = ingot.scatter_reduce(x.reshape((rows, width)), 0, at, updates.reshape((-1, width)), _REDUCTIONS[reduction])
    return out.reshape(x.shape)


@op("TensorScatter")
def tensor_scatter(past: Tensor, update: Tensor, write: Tensor | None = None, *, axis: int = -2, mode: str = "linear") -> Tensor:
    axis = axis_of(axis, past.ndim)
    n, many = past.shape[axis], update.shape[axis]
    first = ingot.zeros(past.shape[0], dtype=ingot.int64) if write is None else write.to(ingot.int64)
    at = first.reshape((-1, 1)) + ingot.arange(many)
    if mode == "circular":
        at = at % n
    shape = [1] * past.ndim
    shape[0], shape[axis] = past.shape[0], many
    return ingot.scatter(past, axis, ingot.broadcast_to(at.reshape(shape), update.shape), update)
