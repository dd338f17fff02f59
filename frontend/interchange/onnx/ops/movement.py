"""Shapes, slices, joins: elements are moved, not computed with."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import Call, op
from ingot.nn import functional as F

__all__: list[str] = []


def ints(values: Any) -> list[Any]:
    """The numbers in an array or a list."""
    return np.asarray(values).reshape(-1).tolist()


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front. IndexError outside of the rank."""
    if not -rank <= axis < max(rank, 1):
        raise IndexError(f"axis {axis} of a tensor of {rank} dims")
    return axis + rank if axis < 0 else axis


def _reshaped(x: Tensor, to: list[Any], allowzero: bool) -> Tensor:
    to = [x.shape[i] if isinstance(d, int) and d == 0 and not allowzero else d for i, d in enumerate(to)]
    return x.reshape(to)


@op("Reshape", moves=True)
def reshape_attribute(x: Tensor, *, shape: list[int], consumed_inputs: Any = None) -> Tensor:
    return _reshaped(x, shape, False)


@op("Reshape", since=5, known=("shape",), moves=True)
def reshape(x: Tensor, shape: np.ndarray, *, allowzero: int = 0) -> Tensor:
    return _reshaped(x, ints(shape), bool(allowzero))


@op("Flatten", moves=True)
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis += x.ndim if axis < 0 else 0
    front: Any = 1
    for d in x.shape[:axis]:
        front = front * d
    back: Any = 1
    for d in x.shape[axis:]:
        back = back * d
    return x.reshape((front, back))


@op("Transpose", moves=True)
def transpose(x: Tensor, *, perm: list[int] | None = None) -> Tensor:
    return x.permute(tuple(reversed(range(x.ndim))) if perm is None else tuple(perm))


def _squeezed(x: Tensor, axes: list[int] | None) -> Tensor:
    over = {i for i, d in enumerate(x.shape) if isinstance(d, int) and d == 1} if axes is None else {axis_of(a, x.ndim) for a in axes}
    for a in over:
        if x.shape[a] != 1:
            raise ValueError(f"dim {a} of {list(x.shape)} is not 1")
    return x.reshape([d for i, d in enumerate(x.shape) if i not in over])


@op("Squeeze", moves=True)
def squeeze_attribute(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    return _squeezed(x, axes)


@op("Squeeze", since=13, known=("axes",), moves=True)
def squeeze(x: Tensor, axes: np.ndarray | None = None) -> Tensor:
    return _squeezed(x, None if axes is None else ints(axes))


def _unsqueezed(x: Tensor, axes: list[int]) -> Tensor:
    rank = x.ndim + len(axes)
    at = {axis_of(a, rank) for a in axes}
    if len(at) < len(axes):
        raise ValueError(f"axes {axes} name a dim twice")
    dims = iter(x.shape)
    return x.reshape([1 if i in at else next(dims) for i in range(rank)])


@op("Unsqueeze", moves=True)
def unsqueeze_attribute(x: Tensor, *, axes: list[int]) -> Tensor:
    return _unsqueezed(x, axes)


@op("Unsqueeze", since=13, known=("axes",), moves=True)
def unsqueeze(x: Tensor, axes: np.ndarray) -> Tensor:
    return _unsqueezed(x, ints(axes))


@op("Expand", known=("shape",), moves=True)
def expand(x: Tensor, shape: np.ndarray) -> Tensor:
    return ingot.broadcast_to(x, ingot.broadcast_shapes(tuple(x.shape), tuple(ints(shape))))


@op("Tile")
def tile_axis(c: Call, x: Tensor, tiles: Tensor, axis: Tensor) -> Tensor:
    n, a = (int(c.known(v, "tiles and axis").reshape(-1)[0]) for v in (tiles, axis))
    return ingot.cat([x] * n, a)


@op("Tile", since=6, known=("repeats",), moves=True)
def tile(x: Tensor, repeats: np.ndarray) -> Tensor:
    return ingot.tile(x, tuple(ints(repeats)))


@op("Concat")
def concat(*xs: Tensor, axis: int = 1) -> Tensor:
    return ingot.cat(xs, axis)


@op("Concat", since=4, moves=True)
def concat_4(*xs: Tensor, axis: int) -> Tensor:
    return ingot.cat(xs, axis)


def _sliced(x: Tensor, starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None) -> Tensor:
    index: list[Any] = [slice(None)] * x.ndim
    flips: list[int] = []
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        a = axis_of(i if axes is None else axes[i], x.ndim)
        step = 1 if steps is None else steps[i]
        n = x.shape[a]
        if step == 0:
            raise ValueError("a slice with the step 0")
        if step > 0:
            index[a] = slice(start, end, step)
        else:  # backwards is forwards of what is flipped
            first = min(start + n if start < 0 else start, n - 1)
            last = max(end + n if end < 0 else end, -1) if end >= -n - 1 else -1
            index[a] = slice(n - 1 - max(first, -1), max(n - 1 - last, 0), -step)
            flips.append(a)
    return (x.flip(flips) if flips else x)[tuple(index)]


@op("Slice", moves=True)
def slice_attributes(x: Tensor, *, starts: list[int], ends: list[int], axes: list[int] | None = None) -> Tensor:
    return _sliced(x, starts, ends, axes, None)


@op("Slice", since=10, known=("starts", "ends", "axes", "steps"), moves=True)
def slice_(x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    return _sliced(x, ints(starts), ints(ends), None if axes is None else ints(axes), None if steps is None else ints(steps))


def split_sizes(n: int, parts: int) -> list[int]:
    """`n` in `parts` parts, of which the last may be smaller."""
    size = -(-n // parts)
    return [max(min(size, n - i * size), 0) for i in range(parts)]


@op("Split")
def split_attribute(c: Call, x: Tensor, split: Tensor | None = None, *, axis: int = 0) -> tuple[Tensor, ...]:
    given = split_sizes(x.shape[axis], c.outputs) if split is None else ints(c.known(split, "split"))
    return tuple(ingot.split(x, given, axis))


def split_2(c: Call, x: Tensor, *, axis: int = 0, split: list[int] | None = None) -> tuple[Tensor, ...]:
    return tuple(ingot.split(x, split_sizes(x.shape[axis], c.outputs) if split is None else split, axis))


op("Split", since=2)(split_2)


@op("Split", since=13, known=("split",))
def split_13(c: Call, x: Tensor, split: np.ndarray | None = None, *, axis: int = 0, num_outputs: int | None = None) -> tuple[Tensor, ...]:
    given = split_sizes(x.shape[axis], num_outputs or c.outputs) if split is None else ints(split)
    return tuple(ingot.split(x, given, axis))


def _padded(x: Tensor, pads: list[int], mode: str, value: Any, axes: list[int] | None) -> Tensor:
    axes = list(range(x.ndim)) if axes is None else [axis_of(a, x.ndim) for a in axes]
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, a in enumerate(axes):
        before[a], after[a] = pads[i], pads[i + len(axes)]
    if any(p < 0 for p in before + after):  # negative: cut off
        index = tuple(slice(max(-b, 0), n - max(-a, 0)) for b, a, n in zip(before, after, x.shape))
        x, before, after = x[index], [max(b, 0) for b in before], [max(a, 0) for a in after]
    if mode != "constant":
        for a in range(x.ndim):
            if before[a] or after[a]:
                x = ingot.index_select(x, a, _positions(x.shape[a], before[a], after[a], mode))
        return x
    flat = [p for b, a in zip(reversed(before), reversed(after)) for p in (b, a)]
    if isinstance(value, Tensor):
        inside = F.pad(ingot.ones(x.shape, dtype=ingot.bool), flat, value=0)
        return ingot.where(inside, F.pad(x, flat), value.reshape(()))
    return F.pad(x, flat, value=value)


def _positions(n: int, before: int, after: int, mode: str) -> Tensor:
    at = np.arange(-before, n + after)
    if mode == "edge":
        at = at.clip(0, n - 1)
    elif mode == "wrap":
        at = at % n
    elif mode == "reflect":
        period = max(2 * (n - 1), 1)
        at = at % period
        at = np.where(at >= n, period - at, at)
    else:
        raise ValueError(f"the mode {mode!r}")
    return ingot.from_numpy(at)


@op("Pad")
def pad_attributes(
    x: Tensor, *, paddings: list[int] | None = None, pads: list[int] | None = None, mode: str = "constant", value: float = 0.0
) -> Tensor:
    return _padded(x, pads if pads is not None else paddings or [], mode, value, None)


@op("Pad", since=11, known=("pads", "axes"))
def pad(x: Tensor, pads: np.ndarray, constant_value: Tensor | None = None, axes: Any = None, *, mode: str = "constant") -> Tensor:
    return _padded(x, ints(pads), mode, 0 if constant_value is None else constant_value, None if axes is None else ints(axes))


@op("CenterCropPad", known=("shape",))
def center_crop_pad(x: Tensor, shape: np.ndarray, *, axes: list[int] | None = None) -> Tensor:
    for a, n in zip(range(x.ndim) if axes is None else axes, ints(shape)):
        have = x.shape[a]
        if n < have:
            x = ingot.narrow(x, a, (have - n) // 2, n)
        elif n > have:
            first = (n - have) // 2
            x = _padded(x, [first, n - have - first], "constant", 0, [a])
    return x


@op("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return x.reshape((n, c // b**2, b, b, h, w)).permute((0, 1, 4, 2, 5, 3)).reshape((n, c // b**2, h * b, w * b))
    return x.reshape((n, b, b, c // b**2, h, w)).permute((0, 3, 4, 1, 5, 2)).reshape((n, c // b**2, h * b, w * b))


@op("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    return x.reshape((n, c, h // b, b, w // b, b)).permute(order).reshape((n, c * b**2, h // b, w // b))


@op("ReverseSequence")
def reverse_sequence(x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    shape = [1] * x.ndim
    shape[time_axis] = -1
    at = ingot.arange(x.shape[time_axis]).reshape(shape)
    shape = [1] * x.ndim
    shape[batch_axis] = -1
    n = lengths.reshape(shape)
    return ingot.take_along_dim(x, ingot.broadcast_to(ingot.where(at < n, n - 1 - at, at), x.shape), time_axis)
