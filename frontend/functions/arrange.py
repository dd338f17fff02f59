"""Rearranging: repeated, flipped, rolled, padded, put on diagonals or cut to triangles. Copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor.composites import composite
from ingot._tensor.recording import from_array, placed
from ingot.functions import numpy_names
from ingot.functions.binary import pow
from ingot.functions.chosen import computed, spread
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    check_tensor,
    dim_list,
    dtypes,
    emit_out,
    named_arg,
    one_dim,
    scalar,
    several,
    shape_arg,
    static_int,
)
from ingot.functions.index import index_select
from ingot.functions.join import stack
from ingot.functions.shape import diagonal_steps, reshape, transpose, two_dims

__all__ = [
    "constant_pad_nd", "diag", "diag_embed", "diagflat", "diagonal_scatter", "flip", "fliplr",
    "flipud", "repeat_interleave", "roll", "rot90", "select_scatter", "slice_scatter", "tile", "tril", "triu", "vander",
]  # fmt: skip


def repeat(input: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """The tensor repeated along each dim; more sizes than dims add dims in front. A copy."""
    counts = shape_arg(sizes if repeats is None else named_arg("repeat", sizes, (repeats,)), "repeats")
    if len(counts) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(c < 0 for c in counts):
        raise RuntimeError(f"Trying to create tensor with negative dimension: {list(counts)}")
    return _repeat(input, counts)


@composite
def _repeat(x: Tensor, counts: tuple[int, ...]) -> Tensor:
    shape = (1,) * (len(counts) - x.ndim) + tuple(x.shape)
    y = apply("reshape", x, attrs=(tuple(n for d in shape for n in (1, d)),))
    y = apply("broadcast", y, attrs=(tuple(n for c, d in zip(counts, shape) for n in (c, d)),))
    return apply("reshape", y, attrs=(tuple(c * d for c, d in zip(counts, shape)),))


def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """`repeat`, with as many leading 1s added to `dims` as are missing.

    >>> ingot.tile(ingot.tensor([1, 2]), (2,))
    tensor([1, 2, 1, 2])
    """
    check_tensor("tile", input)
    counts = tuple(dims)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (or slice along `dim`) repeated in place; `repeats` a number, or a tensor with one for each.

    A tensor of repeats is read, as the shape depends on it; alone, it gives the indices. A compiled function computes it. RuntimeError
    for negatives.

        >>> ingot.repeat_interleave(ingot.tensor([1, 2]), 2)
        tensor([1, 1, 2, 2])
    """
    check_tensor("repeat_interleave", input)
    if repeats is None:
        return _positions(input)
    x = input if dim is not None else reshape(input, (-1,))
    axis = one_dim(dim, x.ndim) if dim is not None else 0
    if not x.ndim:
        x = reshape(x, (1,))
    if isinstance(repeats, Tensor) and repeats.numel() == 1 and computed(repeats):
        repeats = apply("broadcast", reshape(repeats, (1,)), attrs=((x.shape[axis],),))
    elif isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if isinstance(repeats, Tensor):
        if repeats.ndim != 1 or repeats.shape[0] != x.shape[axis]:
            raise ShapeError("repeats must have the same size as input along dim")
        return index_select(x, axis, _positions(repeats))
    count = static_int(repeats, "repeats")
    if count < 0:
        raise RuntimeError(f"repeats can not be negative, got {count}")
    return _interleave(x, axis, count)


def _positions(repeats: Tensor) -> Tensor:
    if repeats.dtype not in (dtypes.i64, dtypes.i32):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if repeats.ndim != 1:
        raise ShapeError("repeat_interleave only accept 1D vector as repeat")
    if computed(repeats):
        return spread(repeats)
    counts = repeats._value()
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    return placed(from_array(np.repeat(np.arange(counts.size, dtype=np.int64), counts)), repeats.device)


@composite
def _interleave(x: Tensor, axis: int, count: int) -> Tensor:
    shape = tuple(x.shape)
    y = apply("reshape", x, attrs=(shape[: axis + 1] + (1,) + shape[axis + 1 :],))
    y = apply("broadcast", y, attrs=(shape[: axis + 1] + (count,) + shape[axis + 1 :],))
    return apply("reshape", y, attrs=(shape[:axis] + (shape[axis] * count,) + shape[axis + 1 :],))


def flip(input: Tensor, dims: int | Sequence[int]) -> Tensor:
    """The order of elements reversed along `dims`. A copy.

    >>> ingot.flip(ingot.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    check_tensor("flip", input)
    return apply("reverse", input, attrs=(dim_list(dims, input.ndim, all_if_empty=False),))


def fliplr(input: Tensor) -> Tensor:
    """`flip` along dim 1."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """`flip` along dim 0."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """The elements moved by `shifts` along `dims`, those that fall off coming back in; without dims, in the flattened tensor.

    >>> ingot.roll(ingot.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    check_tensor("roll", input)
    by = several(shifts)
    if not by:
        raise RuntimeError("`shifts` required")
    along = [] if dims is None else several(dims)
    if not along:
        if len(by) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(along)}")
        return reshape(roll(reshape(input, (-1,)), by, (0,)), tuple(input.shape)) if input.ndim != 1 else _roll(input, ((0, by[0]),))
    if len(along) != len(by):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(along)}")
    if not input.ndim:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    return _roll(input, tuple((one_dim(d, input.ndim), static_int(s, "shifts")) for d, s in zip(along, by)))


@composite
def _roll(x: Tensor, moves: tuple[tuple[int, int], ...]) -> Tensor:
    y = apply("reshape", x, attrs=(tuple(x.shape),))
    for axis, shift in moves:
        n = x.shape[axis]
        cut = -shift % n if n else 0
        if cut:
            y = apply("concatenate", _part(y, axis, cut, n), _part(y, axis, 0, cut), attrs=(axis,))
    return y


def _part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    starts = tuple(start if d == axis else 0 for d in range(x.ndim))
    stops = tuple(stop if d == axis else n for d, n in enumerate(x.shape))
    return apply("slice", x, attrs=(starts, stops, (1,) * x.ndim))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two `dims` turned by 90 degrees `k` times, from the first towards the second. A copy."""
    check_tensor("rot90", input)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = (one_dim(d, input.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return flip(input, (a, b))
    return flip(transpose(input, a, b), (a if k == 1 else b,))


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices of zeros with the last dim of `input` on the diagonal, in the plane of `dim1` and `dim2`. A copy.

    >>> ingot.diag_embed(ingot.ones(2, 3)).shape
    ingot.Size([2, 3, 3])
    """
    check_tensor("diag_embed", input)
    a, b = two_dims("diag_embed", dim1, dim2, input.ndim + 1)
    return _diag_embed(input, static_int(offset, "offset"), a, b)


@composite
def _diag_embed(x: Tensor, offset: int, dim1: int, dim2: int) -> Tensor:
    n = x.shape[-1]
    size = n + (offset if offset >= 0 else -offset)
    lead = tuple(x.shape[:-1])
    zero = scalar(0, x.dtype)
    nothing = (0,) * len(lead)
    if not n:
        return apply("broadcast", zero, attrs=((*lead, size, size),)) if size else apply("reshape", x, attrs=((*lead, 0, 0),))
    # spread the elements size + 1 apart, from the diagonal's first place on, and fold into the plane
    start = offset if offset >= 0 else -offset * size
    used = start + n + (n - 1) * size
    flat = apply("pad", x, zero, attrs=((*nothing, start), (*nothing, size * size - used), (*nothing, size)))
    plane = apply("reshape", flat, attrs=((*lead, size, size),))
    rest = iter(range(len(lead)))
    rank = len(lead) + 2
    perm = tuple(rank - 2 if d == dim1 else rank - 1 if d == dim2 else next(rest) for d in range(rank))
    return apply("transpose", plane, attrs=(perm,))


def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """A vector as a square matrix with that diagonal; a matrix's diagonal as a vector. A copy. RuntimeError for other ranks.

    >>> ingot.diag(ingot.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    check_tensor("diag", input)
    if input.ndim == 1:
        return emit_out(diag_embed(input, diagonal), out)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    found = input
    for op, attrs in diagonal_steps(input, diagonal, 0, 1):
        found = apply(op, found, attrs=attrs)
    return emit_out(found, out)


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The flattened `input` on the diagonal of a square matrix."""
    check_tensor("diagflat", input)
    return diag_embed(reshape(input, (-1,)), offset)


def _triangle(name: str, input: Any, diagonal: int, lower: bool) -> Tensor:
    check_tensor(name, input)
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return _triangle_of(input, static_int(diagonal, "diagonal"), lower)


@composite
def _triangle_of(x: Tensor, diagonal: int, lower: bool) -> Tensor:
    plane = tuple(x.shape[-2:])
    row = apply("iota", attrs=(dtypes.i64, plane, 0))
    column = apply("iota", attrs=(dtypes.i64, plane, 1))
    keep = column - row <= diagonal if lower else column - row >= diagonal
    return apply("select", keep, x, scalar(0, x.dtype))


def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The matrices with zeros above `diagonal`. RuntimeError below two dims.

    >>> ingot.tril(ingot.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return emit_out(_triangle("tril", input, diagonal, True), out)


def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The matrices with zeros below `diagonal`. RuntimeError below two dims.

    >>> ingot.triu(ingot.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return emit_out(_triangle("triu", input, diagonal, False), out)


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """`input` with `value` around it: pairs (before, after) from the last dim backwards; negative amounts cut. A copy.

    RuntimeError for an odd number of amounts, or more pairs than dims.

        >>> ingot.constant_pad_nd(ingot.ones(2), (1, 1))
        tensor([0., 1., 1., 0.])
    """
    check_tensor("constant_pad_nd", input)
    if len(pad) % 2 or len(pad) // 2 > input.ndim:
        raise RuntimeError(
            f"Length of pad must be even and at most twice the number of dimensions of the input, got pad {list(pad)} for {input.ndim}D"
        )
    before, after = [0] * input.ndim, [0] * input.ndim
    for i, (low, high) in enumerate(zip(pad[::2], pad[1::2])):
        before[input.ndim - 1 - i], after[input.ndim - 1 - i] = static_int(low, "pad"), static_int(high, "pad")
    for d, n in enumerate(input.shape):
        if n + before[d] + after[d] < 0 or n + min(before[d], 0) + min(after[d], 0) < 0:
            raise RuntimeError(f"The input size {n}, plus negative padding {before[d]} and {after[d]}, resulted in a negative output size")
    return _pad(input, scalar(value, input.dtype), tuple(before), tuple(after))


@composite
def _pad(x: Tensor, value: Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
    starts = tuple(max(0, -b) for b in before)
    stops = tuple(n - max(0, -a) for n, a in zip(x.shape, after))
    y = apply("slice", x, attrs=(starts, stops, (1,) * x.ndim))
    return apply("pad", y, value, attrs=(tuple(max(0, b) for b in before), tuple(max(0, a) for a in after), (0,) * x.ndim))


def _written(input: Tensor, view: Any, src: Tensor) -> Tensor:
    out = input.clone()
    part = view(out)
    if tuple(part.shape) != tuple(src.shape):
        raise ShapeError(f"expected src to have the size of the slice, {list(part.shape)}, but got {list(src.shape)}")
    part.copy_(src)
    return out


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` with `src` for its slice `select(dim, index)`. RuntimeError where the shapes differ."""
    check_tensor("select_scatter", input)
    return _written(input, lambda x: x.select(dim, index), src)


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """A copy of `input` with `src` for its slice start:end:step along `dim`. RuntimeError where the shapes differ."""
    check_tensor("slice_scatter", input)
    axis = one_dim(dim, input.ndim)
    return _written(input, lambda x: x[(slice(None),) * axis + (slice(start, end, step),)], src)


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of `input` with `src` for its diagonal. RuntimeError where the shapes differ."""
    check_tensor("diagonal_scatter", input)
    return _written(input, lambda x: x.diagonal(offset, dim1, dim2), src)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The Vandermonde matrix of a vector: its powers as columns, falling unless `increasing`."""
    check_tensor("vander", x, "x")
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor")

    n = x.shape[0] if N is None else N
    powers = [pow(x, i) for i in range(n)]
    return stack(powers if increasing else powers[::-1], 1) if n else reshape(x, (-1, 1))[:, :0]


def _flip(self: Tensor, *which: Any, dims: Any = None) -> Tensor:
    """The order of elements reversed along `dims`."""
    return flip(self, shape_arg(which if dims is None else named_arg("flip", which, (dims,)), "dims"))


def _tile(self: Tensor, *counts: Any, dims: Any = None) -> Tensor:
    """The tensor repeated along each dim."""
    return tile(self, shape_arg(counts if dims is None else named_arg("tile", counts, (dims,)), "dims"))


numpy_names.install(globals(), __all__)
METHODS = numpy_names.methods(flip=_flip, tile=_tile)
