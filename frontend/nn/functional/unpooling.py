"""Unpooling: maxima where max pooling found them."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot.ir.size import ShapeError
from ingot.nn.functional.sizes import batched, ntuple


def _max_unpool(name: str, n: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Tensor:
    x, unbatched = batched(name, input, n)
    kernel = ntuple(kernel_size, n, "kernel_size")
    stride = kernel if stride is None or stride == () or stride == [] else ntuple(stride, n, "stride")
    padding = ntuple(padding, n, "padding")
    spatial = tuple((e - 1) * s - 2 * p + k for e, s, p, k in zip(x.shape[2:], stride, padding, kernel))
    if output_size is not None:
        spatial = _unpool_size(name, spatial, stride, tuple(output_size))
    if tuple(indices.shape) != tuple(input.shape):
        raise ShapeError(f"{name}: expected indices of the shape of the input {list(input.shape)}, but got {list(indices.shape)}")
    if indices.dtype != ingot.int64:
        raise RuntimeError(f"{name}: elements in indices should be type int64 but got: {indices.dtype}")
    total = int(np.prod(spatial))
    flat = ingot.zeros((x.shape[0], x.shape[1], total), dtype=x.dtype)
    out = flat.scatter(-1, indices.reshape(x.shape).flatten(2), x.flatten(2))
    out = out.reshape((x.shape[0], x.shape[1], *spatial))
    return out.squeeze(0) if unbatched else out


def _unpool_size(name: str, usual: tuple, stride: tuple, given: tuple) -> tuple:
    """The extents asked for. ValueError unless each is less than a stride away from the usual one."""
    n = len(usual)
    if len(given) not in (n, n + 2):
        raise ValueError(f"{name}: output_size should have {n} or {n + 2} elements, but it has {len(given)}")
    given = given[-n:]
    for d, (size, want, step) in enumerate(zip(given, usual, stride)):
        if not want - step < size < want + step:
            raise ValueError(f"{name}: invalid output_size {given} (dim {d} must be between {want - step} and {want + step})")
    return given


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """The maxima of `max_pool1d` where its `return_indices` says they were, in (N, C, L); zeros elsewhere.

    L = (L' - 1) * stride - 2 * padding + kernel_size, or what `output_size` says, less than a stride away (else ValueError).
    RuntimeError for indices that are not int64 or not of the input's shape.

    >>> y, at = F.max_pool1d(ingot.tensor([[[1.0, 3.0, 2.0, 5.0]]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, at, 2)
    tensor([[[0., 3., 0., 5.]]])
    """
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


@full
def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """The maxima of `max_pool2d` where its `return_indices` says they were, zeros elsewhere; arguments as of `max_unpool1d`.

    >>> y, at = F.max_pool2d(ingot.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    >>> F.max_unpool2d(y, at, 2)[0, 0]
    tensor([[ 0.,  0.,  0.,  0.],
            [ 0.,  5.,  0.,  7.],
            [ 0.,  0.,  0.,  0.],
            [ 0., 13.,  0., 15.]])
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


@full
def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """The maxima of `max_pool3d` where its `return_indices` says they were, zeros elsewhere; arguments as of `max_unpool1d`.

    >>> y, at = F.max_pool3d(ingot.arange(8.0).reshape(1, 1, 2, 2, 2), 2, return_indices=True)
    >>> F.max_unpool3d(y, at, 2)[0, 0, 1]
    tensor([[0., 0.],
            [0., 7.]])
    """
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)
