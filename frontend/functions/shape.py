"""Shapes and views: the same elements under other dims. Views share memory with their input; each says if it is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ingot._tensor import Size
from ingot._tensor.extents import plain_dims
from ingot._tensor.recording import make_view, reshaped_view
from ingot.functions import numpy_names
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    as_index,
    cast,
    check_tensor,
    dim_list,
    dtypes,
    named_arg,
    one_dim,
    scalar,
    several,
    shape_arg,
    static_int,
)
from ingot.functions.common import broadcast_shapes as common_shape
from ingot.functions.join import pick, piece
from ingot.runtime.views import Bits, Diagonal, Movement, Windows

__all__ = [
    "broadcast_shapes", "broadcast_to", "diagonal", "flatten", "movedim", "moveaxis", "narrow", "permute", "ravel", "reshape",
    "select", "squeeze", "swapaxes", "swapdims", "t", "transpose", "unflatten", "unsqueeze",
]  # fmt: skip


def resolve_shape(shape: Sequence[Any], n: int) -> tuple[int, ...]:
    """A requested shape with its one -1 filled in for `n` elements. RuntimeError where that cannot be."""
    dims = list(shape_arg(shape, "shape"))
    holes = [i for i, d in enumerate(dims) if d == -1]
    if len(holes) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(d < -1 for d in dims):
        raise RuntimeError(f"invalid shape dimension {next(d for d in dims if d < -1)}")
    known = math.prod(d for d in dims if d != -1)
    if holes:
        if not known:
            if n == 0:
                raise RuntimeError(
                    f"cannot reshape tensor of 0 elements into shape {dims} because the unspecified dimension size -1 can be any value "
                    "and is ambiguous"
                )
            raise ShapeError(f"shape '{dims}' is invalid for input of size {n}")
        if n % known:
            raise ShapeError(f"shape '{dims}' is invalid for input of size {n}")
        dims[holes[0]] = n // known
    elif known != n:
        raise ShapeError(f"shape '{dims}' is invalid for input of size {n}")
    return tuple(dims)


def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """The elements in row-major order in another shape, one dim of which may be -1. A view where strides allow, else a copy.

    RuntimeError when the number of elements differs.

        >>> ingot.reshape(ingot.arange(6), (2, -1)).shape
        ingot.Size([2, 3])
    """
    check_tensor("reshape", input)
    dims = resolve_shape((shape,) if isinstance(shape, int) else tuple(shape), input.numel())
    found = reshaped_view(input, dims)
    return apply("reshape", input, attrs=(dims,)) if found is None else found


def view(input: Tensor, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The elements in another shape, one dim of which may be -1: always a view. With a dtype, the bits read as that dtype.

    RuntimeError when the number of elements differs, or where strides cannot express it (use reshape).
    """
    if size is not None or dtype is not None:
        shape = named_arg("view", shape, (size, dtype))
    if len(shape) == 1 and isinstance(shape[0], dtypes.DType):
        return _view_dtype(input, shape[0])
    dims = resolve_shape(shape, input.numel())
    found = reshaped_view(input, dims)
    if found is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous "
            "subspaces). "
            "Use .reshape(...) instead."
        )
    return found


def _view_dtype(x: Tensor, dtype: dtypes.DType) -> Tensor:
    """The bits as another dtype; where its size is another one, the last dim shrinks or grows."""
    if x.dtype is dtype:
        return make_view(x)
    if dtype is dtypes.bool_:
        return _view_dtype(x, dtypes.u8) != 0
    if x.dtype is dtypes.bool_:
        return _view_dtype(cast(x, dtypes.u8), dtype)
    if dtype.kind == "c":
        parts = _view_dtype(x, dtype.to_real())
        if parts.shape[-1] % 2:
            raise RuntimeError(f"self.size(-1) must be divisible by 2 to view {x.dtype.torch_name} as {dtype.torch_name}")
        return make_view(parts, ("reshape", ((*parts.shape[:-1], parts.shape[-1] // 2, 2),)), ("view_as_complex", ()))
    if x.dtype.kind == "c":
        if not x.ndim or x.stride()[-1] != 1 and x.shape[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 to view {x.dtype.torch_name} as {dtype.torch_name} (different element sizes)")
        parts = make_view(x, ("view_as_real", ()), ("reshape", ((*x.shape[:-1], 2 * x.shape[-1]),)))
        return parts if parts.dtype is dtype else _view_dtype(parts, dtype)
    old, new = x.dtype.itemsize, dtype.itemsize
    layout = x._layout()
    between = f"to view {x.dtype.torch_name} as {dtype.torch_name} (different element sizes)"
    if old != new and not x.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 {between}")
    if old != new and layout.strides[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 {between}, but got {layout.strides[-1]}")
    k = new // old
    if old < new and x.shape[-1] % k:
        raise RuntimeError(f"self.size(-1) must be divisible by {k} {between}, but got {x.shape[-1]}")
    if old < new and layout.offset % k:
        raise RuntimeError(f"self.storage_offset() must be divisible by {k} {between}, but got {layout.offset}")
    for d, stride in enumerate(layout.strides[:-1]):
        if old < new and stride % k:
            raise RuntimeError(f"self.stride({d}) must be divisible by {k} {between}, but got {stride}")
    step = Bits(dtype, x.dtype)
    return x._alias((step,), step.forward(x._pair()))


def ravel(input: Tensor) -> Tensor:
    """`reshape` to one dim."""
    check_tensor("ravel", input)
    return reshape(input, (-1,))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dims from `start_dim` to `end_dim` as one. A view where strides allow. RuntimeError for start after end.

    >>> ingot.flatten(ingot.ones(2, 3, 4), 1).shape
    ingot.Size([2, 12])
    """
    check_tensor("flatten", input)
    start, end = one_dim(start_dim, input.ndim), one_dim(end_dim, input.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not input.ndim:
        return reshape(input, (1,))
    if start == end:
        return input
    shape = tuple(input.shape)
    return reshape(input, shape[:start] + (math.prod(shape[start : end + 1]),) + shape[end + 1 :])


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dim `dim` as several dims of the given sizes, one of which may be -1. A view. RuntimeError where they do not multiply to it.

    >>> ingot.unflatten(ingot.ones(2, 6), 1, (2, 3)).shape
    ingot.Size([2, 2, 3])
    """
    check_tensor("unflatten", input)
    axis = one_dim(dim, input.ndim)
    if not len(sizes):
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        new = resolve_shape(tuple(sizes), input.shape[axis])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {axis} ({input.shape[axis]}) in the input tensor"
        ) from None
    shape = tuple(input.shape)
    return view(input, shape[:axis] + new + shape[axis + 1 :])


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the dims of extent 1 (or those of `dim` that have it). A view.

    >>> ingot.squeeze(ingot.ones(1, 3, 1)).shape
    ingot.Size([3])
    """
    check_tensor("squeeze", input)
    axes = dim_list(dim, input.ndim, all_if_empty=False)
    shape = tuple(d for i, d in enumerate(input.shape) if not (i in axes and d == 1))
    return make_view(input, ("reshape", (shape,)))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a dim of extent 1 at `dim`. A view.

    >>> ingot.unsqueeze(ingot.ones(3), -1).shape
    ingot.Size([3, 1])
    """
    check_tensor("unsqueeze", input)
    axis = one_dim(dim, input.ndim + 1)
    shape = tuple(input.shape)
    return make_view(input, ("reshape", (shape[:axis] + (1,) + shape[axis:],)))


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """The dims in another order. A view. RuntimeError unless `dims` names each once.

    >>> ingot.permute(ingot.ones(2, 3, 4), (2, 0, 1)).shape
    ingot.Size([4, 2, 3])
    """
    check_tensor("permute", input)
    if len(dims) != input.ndim:
        raise RuntimeError(
            "permute(): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions "
            f"i.e. input.dim() = {input.ndim} is not equal to len(dims) = {len(dims)}"
        )
    perm = tuple(one_dim(d, input.ndim) for d in dims)
    if len(set(perm)) != len(perm):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return make_view(input, ("transpose", (perm,)))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Dims `dim0` and `dim1` swapped. A view.

    >>> ingot.transpose(ingot.ones(2, 3), 0, 1).shape
    ingot.Size([3, 2])
    """
    check_tensor("transpose", input)
    if input._sparse:
        return input.transpose(dim0, dim1)
    a, b = one_dim(dim0, input.ndim), one_dim(dim1, input.ndim)
    if not input.ndim:
        return make_view(input)
    perm = list(range(input.ndim))
    perm[a], perm[b] = b, a
    return make_view(input, ("transpose", (tuple(perm),)))


swapdims = transpose


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose`.

    >>> ingot.swapaxes(ingot.ones(2, 3), 0, 1).shape
    ingot.Size([3, 2])
    """
    return transpose(input, axis0, axis1)



def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or 0-d tensor as it is. A view. RuntimeError above two dims."""
    check_tensor("t", input)
    if input._sparse:
        return input.t()
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return transpose(input, 0, 1) if input.ndim == 2 else make_view(input)


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The dims `source` moved to the places `destination`, the others in order. A view.

    >>> ingot.movedim(ingot.ones(2, 3, 4), 0, -1).shape
    ingot.Size([3, 4, 2])
    """
    check_tensor("movedim", input)
    src, dst = several(source), several(destination)
    if len(src) != len(dst):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({src} dims) should contain the same number of dims as destination "
            f"({dst} dims)"
        )
    a, b = [one_dim(d, input.ndim) for d in src], [one_dim(d, input.ndim) for d in dst]
    if len(set(a)) != len(a) or len(set(b)) != len(b):
        raise RuntimeError(
            f"movedim: repeated dim in `{'source' if len(set(a)) != len(a) else 'destination'}` "
            f"({src if len(set(a)) != len(a) else dst})"
        )
    rest = iter(i for i in range(input.ndim) if i not in a)
    perm = tuple(a[b.index(i)] if i in b else next(rest) for i in range(input.ndim))
    return make_view(input, ("transpose", (perm,)))


moveaxis = movedim


def expand(input: Tensor, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Dims of extent 1 repeated to `sizes`, new dims in front; -1 keeps a dim. A view without copies. RuntimeError otherwise."""
    shape = list(shape_arg(sizes if size is None else named_arg("expand", sizes, (size,)), "size"))
    extra = len(shape) - input.ndim
    if extra < 0:
        raise RuntimeError(
            f"expand({list(input.shape)}, size={shape}): the number of sizes provided ({len(shape)}) must be greater or equal to the "
            "number of "
            f"dimensions in the tensor ({input.ndim})"
        )
    for i, d in enumerate(shape):
        have = input.shape[i - extra] if i >= extra else None
        if d == -1:
            if have is None:
                raise RuntimeError(f"expand({list(input.shape)}, size={shape}): -1 is not allowed in a leading, non-existing dimension {i}")
            shape[i] = have
        elif have is not None and have != 1 and have != d:
            raise ShapeError(
                f"The expanded size of the tensor ({d}) must match the existing size ({have}) at non-singleton dimension {i}.  "
                f"Target sizes: {shape}.  Tensor sizes: {list(input.shape)}"
            )
        elif d < 0:
            raise RuntimeError(f"expand: invalid size {d} in {shape}")
    return make_view(input, ("broadcast", (tuple(shape),)))


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`input` expanded to the shape `size`. A view."""
    check_tensor("broadcast_to", input)
    return expand(input, tuple(size))


def broadcast_shapes(*shapes: Sequence[int] | int) -> Any:
    """The common shape under broadcasting. RuntimeError if there is none.

    >>> ingot.broadcast_shapes((2, 1), (3,))
    ingot.Size([2, 3])
    """
    return Size(common_shape(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """The `length` slices from `start` on along `dim`. A view. RuntimeError or IndexError beyond the extent.

    >>> ingot.narrow(ingot.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    check_tensor("narrow", input)
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    axis = one_dim(dim, input.ndim)
    n = input.shape[axis]
    begin = static_int(start.item() if isinstance(start, Tensor) else start, "start")
    length = as_index(length)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= begin <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {begin})")
    begin += n if begin < 0 else 0
    if begin + length > n:
        raise RuntimeError(f"start ({begin}) + length ({length}) exceeds dimension size ({n}).")
    return piece(input, axis, begin, begin + length)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at `index` along `dim`, without that dim. A view. IndexError out of range.

    >>> ingot.select(ingot.eye(2), 0, 1)
    tensor([0., 1.])
    """
    check_tensor("select", input)
    if not input.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = one_dim(dim, input.ndim)
    i, n = static_int(index, "index"), input.shape[axis]
    if not -n <= i < n:
        raise IndexError(f"select(): index {i} out of range for tensor of size {list(input.shape)} at dimension {axis}")
    return pick(input, axis, i % n)


def two_dims(name: str, dim1: int, dim2: int, rank: int) -> tuple[int, int]:
    a, b = one_dim(dim1, rank), one_dim(dim2, rank)
    if a == b:
        raise RuntimeError(f"{name} dimensions cannot be identical {dim1}, {dim2}")
    return a, b


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the planes of `dim1` and `dim2`, as the last dim; above the main one for a positive `offset`.

    A view. RuntimeError for equal dims.

        >>> ingot.diagonal(ingot.eye(3))
        tensor([1., 1., 1.])
    """
    check_tensor("diagonal", input)
    a, b = two_dims("diagonal", dim1, dim2, input.ndim)
    offset = as_index(offset)
    steps = diagonal_steps(input, offset, a, b)
    out = input
    for op, attrs in steps:
        out = apply(op, out, attrs=attrs)
    return input._alias((Diagonal((offset, a, b), [Movement(op, plain_dims(attrs)) for op, attrs in steps]),), (out._array, out._edge))


def diagonal_steps(x: Tensor, offset: int, rows: int, columns: int) -> list[tuple[str, tuple]]:
    """The diagonal as movement ops: every (m + 1)-th element of the flattened n x m plane."""
    lead = tuple(d for d in range(x.ndim) if d not in (rows, columns))
    outer = tuple(x.shape[d] for d in lead)
    n, m = x.shape[rows], x.shape[columns]
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    first = offset if offset >= 0 else -offset * m
    start = first if length else 0
    stop = start + (length - 1) * (m + 1) + 1 if length else 0
    zeros = (0,) * len(lead)
    return [
        ("transpose", ((*lead, rows, columns),)),
        ("reshape", ((*outer, n * m),)),
        ("slice", ((*zeros, start), (*outer, stop), (*(1 for _ in lead), m + 1))),
    ]


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements, `step` apart, along `dimension`, as a new last dim. A view.

    RuntimeError for a size beyond the extent or a step below 1.
    """
    axis = one_dim(dimension, input.ndim)
    size, step = static_int(size, "size"), static_int(step, "step")
    n = input.shape[axis] if input.ndim else 1
    if not 0 <= size <= n:
        raise RuntimeError(f"maximum size for tensor at dimension {axis} is {n} but size is {size}")
    if step < 1:
        raise RuntimeError(f"step is {step} but must be > 0")
    x = input if input.ndim else reshape(input, (1,))
    count = (n - size) // step + 1
    if not input.ndim:
        return reshape(piece(x, 0, 0, size), (size,))
    if 0 < size <= step and count * step <= n:
        shape = tuple(x.shape)
        whole = piece(x, axis, 0, count * step)
        rows = make_view(whole, ("reshape", (shape[:axis] + (count, step) + shape[axis + 1 :],)))
        return movedim(piece(rows, axis + 1, 0, size), axis + 1, -1)
    if not size:
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :], 0)
        return apply("broadcast", scalar(0, x.dtype), attrs=(plain_dims(shape),))
    view = Windows(*plain_dims((axis, count, size, step)))
    return x._alias((view,), view.forward(x._pair()))


numpy_names.install(globals(), __all__)
