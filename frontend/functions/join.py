"""Joining tensors and cutting them: cat, stack and their kin; split, chunk, unbind (which give views)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor.composites import composite
from ingot._tensor.recording import make_view
from ingot.functions import numpy_names
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    broadcast_shapes,
    can_cast,
    cast,
    cast_out,
    check_tensor,
    common_dtype,
    dtype_name,
    dtypes,
    one_dim,
    scalar,
    smaller,
    static_int,
)
from ingot.functions.from_data import tensor
from ingot.runtime.recorder import here

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "cartesian_prod", "cat", "chunk", "column_stack",
    "combinations", "concat", "concatenate", "dsplit", "dstack", "hsplit", "hstack", "meshgrid", "row_stack", "split",
    "split_with_sizes", "stack", "tensor_split", "unbind", "unsafe_chunk", "unsafe_split", "vsplit", "vstack",
]  # fmt: skip


_FEW = 8  # values that are joined as they are
_PIECE = 128


def _list(name: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}")
    if not tensors:
        raise (ValueError if name == "cat" else RuntimeError)(f"{name}(): expected a non-empty list of Tensors")
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}")
    dtype = common_dtype(*tensors) if any(t.dtype is not tensors[0].dtype for t in tensors) else tensors[0].dtype
    return [cast(t, dtype) for t in tensors]


def _in_pieces(items: list[Tensor], axis: int, join: Callable[[list[Tensor], int], Tensor]) -> Tensor:
    """The values joined along an axis: many, most of which are there already, in pieces of 1, 2, 4, …, each by code of its own, and these
    in pairs. So lists of any length need no more code than that.
    """
    rec = here.recorder
    if len(items) <= _FEW or rec.tracing or 2 * sum([t._array.buffer is None for t in items]) > len(items):
        return join(items, axis)
    rec.cut()
    parts, at = [], 0
    while at < len(items):
        n = min(_PIECE, 1 << (len(items) - at).bit_length() - 1)
        parts.append(join(items[at : at + n], axis))
        rec.cut()
        at += n
    while len(parts) > 1:
        last = parts[len(parts) & ~1 :]
        parts = [_concatenated(parts[i : i + 2], axis) for i in range(0, len(parts) - 1, 2)] + last
        rec.cut()
    return parts[0]


def _concatenated(items: list[Tensor], axis: int) -> Tensor:
    return apply("concatenate", *items, attrs=(axis,))


def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors one after another along `dim`; the other dims must agree (RuntimeError). Dtypes promote.

    Empty 1-D tensors are skipped. TypeError unless given a list or tuple of Tensors.

        >>> ingot.cat([ingot.ones(2, 3), ingot.zeros(1, 3)]).shape
        ingot.Size([3, 3])
    """
    items = _list("cat", tensors)
    if any([t._sparse for t in items]):
        return _put("cat", items[0]._joined(items, dim), out)  # type: ignore[attr-defined]
    if any(t.ndim == 0 for t in items):
        i = next(i for i, t in enumerate(items) if t.ndim == 0)
        raise ShapeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    rank = max(t.ndim for t in items)
    used = [t for t in items if not (rank > 1 and t.ndim == 1 and t.shape[0] == 0)]
    if not used:
        used = items[:1]
    first = used[0]
    axis = one_dim(dim, first.ndim)
    for i, t in enumerate(items):
        if not any(t is u for u in used):
            continue
        if t.ndim != first.ndim:
            raise ShapeError(f"Tensors must have same number of dimensions: got {first.ndim} and {t.ndim}")
        for d, (n, m) in enumerate(zip(first.shape, t.shape)):
            if d != axis and n != m:
                raise ShapeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {n} but got size {m} for tensor number {i} "
                    "in the list."
                )
    return _put("cat", _in_pieces(used, axis, _concatenated), out)


def _put(name: str, result: Tensor, out: Tensor | None) -> Tensor:
    """`cast_out`, with torch's TypeError where `out` has no room for the kind of the parts."""
    if isinstance(out, Tensor) and not can_cast(result.dtype, out.dtype):
        raise TypeError(f"{name}(): input types can't be cast to the desired output type {dtype_name(out.dtype)}")
    return cast_out(result, out)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors, of one shape, along a new `dim`. RuntimeError where shapes differ.

    >>> ingot.stack([ingot.ones(2), ingot.zeros(2)], dim=1).shape
    ingot.Size([2, 2])
    """
    items = _list("stack", tensors)
    for i, t in enumerate(items):
        if tuple(t.shape) != tuple(items[0].shape):
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(items[0].shape)} at entry 0 and {list(t.shape)} at entry {i}"
            )
    return _put("stack", _in_pieces(items, one_dim(dim, items[0].ndim + 1), _stack), out)


@composite
def _stack(items: list[Tensor], axis: int) -> Tensor:
    shape = tuple(items[0].shape)
    shape = shape[:axis] + (1,) + shape[axis:]
    return apply("concatenate", *[apply("reshape", t, attrs=(shape,)) for t in items], attrs=(axis,))


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least one dim."""
    return _each(tensors, lambda t: t.reshape(1) if t.ndim == 0 else t)


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least two dims; a vector becomes a row."""
    return _each(tensors, lambda t: t.reshape(1, 1) if t.ndim == 0 else t.unsqueeze(0) if t.ndim == 1 else t)


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least three dims."""

    def lift(t: Tensor) -> Tensor:
        if t.ndim == 0:
            return t.reshape(1, 1, 1)
        return t.unsqueeze(0).unsqueeze(-1) if t.ndim == 1 else t.unsqueeze(-1) if t.ndim == 2 else t

    return _each(tensors, lift)


def _each(tensors: tuple, lift: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return lift(tensors[0])
    items = tensors[0] if len(tensors) == 1 else tensors
    return tuple(lift(t) for t in items)


def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """`cat` along dim 1, or along dim 0 for vectors."""
    items = [atleast_1d(t) for t in _list("hstack", tensors)]
    return cat(items, 0 if items[0].ndim == 1 else 1, out=out)


def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """`cat` along dim 0, vectors as rows."""
    return cat([atleast_2d(t) for t in _list("vstack", tensors)], 0, out=out)


row_stack = vstack


def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """`cat` along dim 2, lower ranks lifted to three dims."""
    return cat([atleast_3d(t) for t in _list("dstack", tensors)], 2, out=out)


def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """`hstack`, vectors as columns."""
    return cat([t.reshape(-1, 1) if t.ndim <= 1 else t for t in _list("column_stack", tensors)], 1, out=out)


def block_diag(*tensors: Tensor) -> Tensor:
    """The matrices along the diagonal of one matrix of zeros."""
    items = [atleast_2d(t) for t in _list("block_diag", list(tensors))]
    for t in items:
        if t.ndim > 2:
            raise ShapeError(f"block_diag expects tensors with at most 2 dimensions, but got {t.ndim}")
    return _block_diag(items)


@composite
def _block_diag(items: list[Tensor]) -> Tensor:

    width, left, rows = sum(t.shape[1] for t in items), 0, []
    for t in items:
        zero = scalar(0, t.dtype)
        rows.append(apply("pad", t, zero, attrs=((0, left), (0, width - left - t.shape[1]), (0, 0))))
        left += t.shape[1]
    return apply("concatenate", *rows, attrs=(0,))


# --- cutting ----------------------------------------------------------------------------------------------------------


def piece(x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """The view x[..., start:stop:step, ...] along `axis`."""
    starts = tuple(start if d == axis else 0 for d in range(x.ndim))
    stops = tuple(stop if d == axis else n for d, n in enumerate(x.shape))
    steps = tuple(step if d == axis else 1 for d in range(x.ndim))
    return make_view(x, ("slice", (starts, stops, steps)))


def _no_scalar(name: str, x: Any) -> None:
    check_tensor(name, x)
    if not x.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of `tensor` along `dim`: of one size (the last may be smaller), or of the sizes in a list.

    RuntimeError for sizes that are negative or do not add up.

        >>> [t.shape for t in ingot.split(ingot.arange(5), 2)]
        [ingot.Size([2]), ingot.Size([2]), ingot.Size([1])]
    """
    _no_scalar("split", tensor)
    axis = one_dim(dim, tensor.ndim)
    n = tensor.shape[axis]
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(tensor, split_size_or_sections, axis)
    size = static_int(split_size_or_sections, "split_size")
    if size < 0 or (size == 0 and n):
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}" if size < 0 else
                           f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")  # fmt: skip
    if not n:
        return (piece(tensor, axis, 0, 0),)
    starts = range(0, n, size) if type(size) is int else _steps(n, size)
    return tuple([piece(tensor, axis, i, smaller(i + size, n)) for i in starts])


def _steps(n: int, size: int) -> list[int]:
    """`range(0, n, size)`, whose length is asked for, not its numbers."""
    found = [0]
    while found[-1] + size < n:
        found.append(found[-1] + size)
    return found


unsafe_split = split


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of `input` of the given sizes along `dim`. RuntimeError unless they add up to its extent."""
    _no_scalar("split_with_sizes", input)
    axis = one_dim(dim, input.ndim)
    sizes = [static_int(s, "split_sizes") for s in split_sizes]
    n = input.shape[axis]
    if any(s < 0 for s in sizes):
        raise RuntimeError(f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={sizes}")
    if sum(sizes) != n:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {axis}), but got "
            f"split_sizes={sizes}"
        )
    at, out = 0, []
    for s in sizes:
        out.append(piece(input, axis, at, at + s))
        at += s
    return tuple(out)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim` (the last may be smaller). RuntimeError for chunks < 1.

    >>> [t.shape for t in ingot.chunk(ingot.arange(5), 2)]
    [ingot.Size([3]), ingot.Size([2])]
    """
    _no_scalar("chunk", input)
    if static_int(chunks, "chunks") < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    axis = one_dim(dim, input.ndim)
    n = input.shape[axis]
    if not n:
        return tuple(piece(input, axis, 0, 0) for _ in range(chunks))
    return split(input, -(-n // chunks), axis)


unsafe_chunk = chunk


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of `input` along `dim`: a number of nearly equal parts, or cut at the given indices.

    >>> [t.shape for t in ingot.tensor_split(ingot.arange(5), 3)]
    [ingot.Size([2]), ingot.Size([2]), ingot.Size([1])]
    """
    _no_scalar("tensor_split", input)
    axis = one_dim(dim, input.ndim)
    n = input.shape[axis]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, (list, tuple)):
        cuts = [_clip(static_int(i, "indices"), n) for i in indices_or_sections]
        return tuple([piece(input, axis, a, max(a, b)) for a, b in zip([0, *cuts], [*cuts, n])])
    parts = static_int(indices_or_sections, "sections")
    if parts < 1:
        raise RuntimeError(f"number of sections must be larger than 0, got {parts}")
    small, more = divmod(n, parts)
    edges = [i * small + min(i, more) for i in range(parts + 1)]
    return tuple([piece(input, axis, a, b) for a, b in zip(edges, edges[1:])])


def _clip(i: int, n: int) -> int:
    return max(0, i + n) if i < 0 else min(i, n)


def _split_along(name: str, least: int, axis: int) -> Any:
    def function(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        check_tensor(name, input)
        if input.ndim < least:
            raise ShapeError(f"{name} requires a tensor with at least {least} dimension, but got a tensor with {input.ndim}")
        d = 0 if name == "hsplit" and input.ndim == 1 else axis
        if isinstance(indices_or_sections, int) and (indices_or_sections < 1 or input.shape[d] % indices_or_sections):
            raise RuntimeError(
                f"{name} attempted to split along dimension {d}, but the size {input.shape[d]} is not divisible by {indices_or_sections}"
            )
        return tensor_split(input, indices_or_sections, d)

    function.__name__ = function.__qualname__ = name
    where = " (dim 0 of a vector)" if name == "hsplit" else ""
    function.__doc__ = f"`tensor_split` along dim {axis}{where}. A number of parts must divide the extent (RuntimeError)."
    return function


hsplit = _split_along("hsplit", 1, 1)
vsplit = _split_along("vsplit", 2, 0)
dsplit = _split_along("dsplit", 3, 2)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices of `input` along `dim`, as views without that dim.

    >>> ingot.unbind(ingot.eye(2))
    (tensor([1., 0.]), tensor([0., 1.]))
    """
    check_tensor("unbind", input)
    if not input.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    axis = one_dim(dim, input.ndim)
    return tuple([pick(input, axis, i) for i in range(input.shape[axis])])


def pick(x: Tensor, axis: int, index: int) -> Tensor:
    """The view x.select(axis, index), for an index already in range."""
    starts = tuple(index if d == axis else 0 for d in range(x.ndim))
    stops = tuple(index + 1 if d == axis else n for d, n in enumerate(x.shape))
    shape = tuple(n for d, n in enumerate(x.shape) if d != axis)
    return make_view(x, ("slice", (starts, stops, (1,) * x.ndim)), ("reshape", (shape,)))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors expanded to their common shape, as views. RuntimeError if there is none."""
    items = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    for t in items:
        check_tensor("broadcast_tensors", t, "tensors")
    shape = broadcast_shapes(*[tuple(t.shape) for t in items])
    return tuple(t.expand(shape) for t in items)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinate grids from vectors, as expanded views; indexing="xy" swaps the first two dims of the result.

    RuntimeError for another indexing or ranks above 1.

        >>> ingot.meshgrid(ingot.arange(2), ingot.arange(3), indexing="ij")[0].shape
        ingot.Size([2, 3])
    """
    items = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    if not items:
        raise ValueError("meshgrid expects a non-empty list of Tensors")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for t in items:
        check_tensor("meshgrid", t, "tensors")
        if t.ndim > 1:
            raise ShapeError(f"meshgrid: Expected 0D or 1D tensor in the tensor list but got {t.ndim}D")
        if t.dtype is not items[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    swap = indexing == "xy" and len(items) >= 2
    if swap:
        items[0], items[1] = items[1], items[0]
    extents = tuple(t.numel() for t in items)
    grids = []
    for i, t in enumerate(items):
        grids.append(t.reshape(tuple(n if d == i else 1 for d, n in enumerate(extents))).expand(extents))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of elements of the vectors, one a row (a single vector stays as it is)."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector in their order, one a row. RuntimeError for other ranks or a negative `r`.

    >>> ingot.combinations(ingot.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    import itertools


    check_tensor("combinations", input)
    if input.ndim != 1:
        raise RuntimeError("Expect a 1D vector, but got shape " + str(list(input.shape)))
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.detach()[:0]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    if not rows:
        return input[:0].reshape(0, r)
    return input[tensor(rows, dtype=dtypes.i64)]


def _split(self: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`ingot.split`."""
    return split(self, split_size, dim)


numpy_names.install(globals(), __all__)
METHODS = numpy_names.methods(split=_split)
METHODS |= {"unsafe_split": METHODS["split"], "unsafe_chunk": chunk, "unsafe_split_with_sizes": split_with_sizes}
