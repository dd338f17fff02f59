"""Reading and writing at indices: gather, scatter and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot._tensor.autocast import widest
from ingot._tensor.composites import composite
from ingot.functions import numpy_names
from ingot.functions.common import (
    Number,
    ShapeError,
    Tensor,
    apply,
    broadcast_shapes,
    cast,
    check_tensor,
    dtype_name,
    dtypes,
    emit_out,
    filler,
    number_tensor,
    one_dim,
    refuse,
    scalar,
)

__all__ = [
    "gather", "index_add", "index_copy", "index_fill", "index_reduce", "index_select", "put", "scatter", "scatter_add", "scatter_reduce",
    "take", "take_along_dim",
]  # fmt: skip


def need_index(name: str, index: Any, argument: str = "index", position: int = 3, also: tuple = ()) -> Tensor:
    """`index` as a tensor the index ops take. TypeError unless it is a Tensor, RuntimeError unless int64 or int32."""
    check_tensor(name, index, argument, position)
    if index.dtype not in (dtypes.i64, dtypes.i32, *also):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index but got: {dtype_name(index.dtype)}")
    return index


def _lifted(x: Tensor) -> Tensor:
    return x if x.ndim else apply("reshape", x, attrs=((1,),))


def _lowered(x: Tensor, rank: int) -> Tensor:
    return x if rank else apply("reshape", x, attrs=((),))


def _need_same(name: str, x: Tensor, source: Tensor) -> None:
    if x.dtype is not source.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, but got {dtype_name(x.dtype)} and {dtype_name(source.dtype)}"
        )


def _need_rank(name: str, index: Tensor, x: Tensor) -> None:
    if max(index.ndim, 1) != max(x.ndim, 1):
        raise ShapeError(f"Index tensor must have the same number of dimensions as input tensor ({name}: {index.ndim} and {x.ndim})")


def _within(index: Tensor, n: Any) -> Tensor:
    """An index in which negative ones are out of range, too: the ops count them from the end."""
    return apply("select", index < 0, index - n, index)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """out[i][j] = input[i][index[i][j]] for dim 1: the result has the shape of `index`, which has the rank of `input`.

    `index` (int64 or int32) may be smaller than `input` outside `dim`. RuntimeError for other shapes and dtypes, and for a value
    outside [0, n).

        >>> ingot.gather(ingot.tensor([[1, 2], [3, 4]]), 1, ingot.tensor([[0], [1]]))
        tensor([[1],
                [4]])
    """
    check_tensor("gather", input)
    axis = one_dim(dim, input.ndim)
    check_tensor("gather", index, "index", 3)
    if not index.numel():  # torch looks at dtype and rank only where there is an index
        empty = apply("reshape", apply("slice", input.reshape(-1), attrs=((0,), (0,), (1,))), attrs=(tuple(index.shape),))
        return emit_out(empty, out)
    need_index("gather", index)
    _need_rank("gather", index, input)
    if any(n > m for d, (n, m) in enumerate(zip(index.shape, input.shape)) if d != axis):
        raise ShapeError(
            f"Size does not match at dimension {next(d for d, (n, m) in enumerate(zip(index.shape, input.shape)) if d != axis and n > m)} "
            f"expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from dimension {axis}"
        )
    return emit_out(_gather(input, index, axis), out)


@composite
def _gather(x: Tensor, index: Tensor, axis: int) -> Tensor:
    rank, x = index.ndim, _lifted(x)
    return _lowered(apply("gather", x, _within(_lifted(index), x.shape[axis]), attrs=(axis,)), rank)


@composite
def taken_along(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """`take_along_dim`, unchecked."""
    return apply("gather", x, index, attrs=(axis,))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """`gather` with broadcasting outside `dim`; without `dim`, into the flattened input. Negative indices count from the end.

    IndexError for an index out of range.

    >>> ingot.take_along_dim(ingot.tensor([[3, 1]]), ingot.tensor([[1, 0]]), dim=1)
    tensor([[1, 3]])
    """
    check_tensor("take_along_dim", input)
    need_index("take_along_dim", indices, "indices", 2)
    if dim is None:
        return emit_out(taken_along(input.reshape(-1), indices.reshape(-1), 0), out)
    if input.ndim != indices.ndim:
        raise ShapeError(
            f"take_along_dim(): input and indices should have the same number of dimensions, but got {input.ndim} and {indices.ndim}"
        )
    axis = one_dim(dim, input.ndim)
    a, b = list(input.shape), list(indices.shape)
    a[axis] = b[axis] = 1
    shape = list(broadcast_shapes(tuple(a), tuple(b)))
    shape[axis] = input.shape[axis]
    x = apply("broadcast", input, attrs=(tuple(shape),))
    shape[axis] = indices.shape[axis]
    return emit_out(taken_along(x, apply("broadcast", indices, attrs=(tuple(shape),)), axis), out)


_REDUCE = {"add": "add", "multiply": "mul"}
_REDUCTIONS = {"sum": "add", "prod": "mul", "mean": "add", "amax": "max", "amin": "min"}


def _scatter_check(name: str, x: Any, axis: int, index: Tensor, src: Tensor) -> None:
    need_index(name, index)
    if index.numel():
        _need_rank(name, index, x)
        _need_rank(name, index, src)
    for d, n in enumerate(index.shape):
        if index.numel() and ((d != axis and d < x.ndim and n > x.shape[d]) or (src.ndim and n > src.shape[d])):
            raise ShapeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart from dimension {axis} "
                f"and to be no larger than src {list(src.shape)}"
            )


_BOOL_MODES = {"add": "max", "mul": "min"}


def of_bools(write: Callable[[Tensor, Tensor, str], Tensor], x: Tensor, src: Tensor, mode: str) -> Tensor:
    """write(x, src, mode) for bools, which the ops combine as bytes: add is `or`, mul is `and`."""
    found = write(cast(x, dtypes.u8), cast(src, dtypes.u8), _BOOL_MODES.get(mode, mode))
    return apply("ne", found, scalar(0, dtypes.u8))


def untouched(x: Tensor, source: Tensor) -> Tensor:
    """`x`, to which no element of `source` comes: the source gets a gradient of zeros all the same, and none that is missing."""
    if source.dtype.kind not in "fc":
        return apply("reshape", x, attrs=(tuple(x.shape),))
    none = apply("slice", apply("reshape", source, attrs=((source.numel(),),)), attrs=((0,), (0,), (1,)))
    total = cast(apply("reduce_sum", none, attrs=((0,),)), x.dtype)
    shape = tuple(x.shape)
    never = apply("broadcast", scalar(False, dtypes.bool_), attrs=(shape,))
    return apply("select", never, apply("broadcast", total, attrs=(shape,)), x)


@composite
def _scatter(x: Tensor, index: Tensor, src: Tensor, axis: int, mode: str) -> Tensor:
    rank = x.ndim
    if x.dtype.kind == "b" and mode != "set":
        return of_bools(lambda a, b, m: _scatter(a, index, b, axis, m), x, src, mode)
    if not index.numel():
        return untouched(x, src)
    x = _lifted(x)
    return _lowered(apply("scatter", x, _within(_lifted(index), x.shape[axis]), _lifted(src), attrs=(axis, mode)), rank)


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Tensor | Number | None = None, *, value: Number | None = None, reduce: str | None = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """A copy of `input` with out[i][index[i][j]] = src[i][j] for dim 1; of several writes to one place the last wins.

    `src` is a Tensor no smaller than `index`, or a number; reduce="add" or "multiply" combines. RuntimeError for shapes, dtypes
    or a reduce that do not fit, and for an index outside [0, n).

        >>> ingot.scatter(ingot.zeros(3), 0, ingot.tensor([2]), 1.0)
        tensor([0., 0., 1.])
    """
    check_tensor("scatter", input)
    source = src if src is not None else value
    if source is None:
        raise TypeError("scatter(): src or value must be given")
    if reduce is not None and reduce not in _REDUCE:
        raise RuntimeError("reduce argument must be either add or multiply.")
    axis = one_dim(dim, input.ndim)
    if not isinstance(source, Tensor) or source._weak:
        need_index("scatter", index)
        source = apply("broadcast", filler(source, input.dtype), attrs=(tuple(index.shape),))
    _need_same("scatter", input, source)
    _scatter_check("scatter", input, axis, index, source)
    return emit_out(_scatter(input, index, source, axis, "set" if reduce is None else _REDUCE[reduce]), out)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of `input` with src[i][j] added to out[i][index[i][j]] for dim 1, in index order.

    >>> ingot.scatter_add(ingot.zeros(3), 0, ingot.tensor([1, 1]), ingot.ones(2))
    tensor([0., 2., 0.])
    """
    check_tensor("scatter_add", input)
    check_tensor("scatter_add", src, "src", 4)
    axis = one_dim(dim, input.ndim)
    _need_same("scatter_add", input, src)
    _scatter_check("scatter_add", input, axis, index, src)
    return emit_out(_scatter(input, index, src, axis, "add"), out)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None
) -> Tensor:
    """`scatter` that combines by "sum", "prod", "mean", "amax" or "amin"; without `include_self` the places written to start anew.

    RuntimeError for another reduce.

        >>> ingot.scatter_reduce(ingot.zeros(2), 0, ingot.tensor([0, 0, 1]), ingot.tensor([1.0, 2.0, 3.0]), "mean")
        tensor([1.0000, 1.5000])
    """
    check_tensor("scatter_reduce", input)
    check_tensor("scatter_reduce", src, "src", 4)
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    return emit_out(_reduced(_scatter_reduce, input, dim, index, src, reduce, include_self), out)


def _reduced(fn: Callable[..., Tensor], input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool) -> Tensor:
    axis = one_dim(dim, input.ndim)
    _need_same("scatter_reduce", input, src)
    _scatter_check("scatter_reduce", input, axis, index, src)
    if input.dtype.kind == "b":
        if reduce == "mean":
            raise refuse("scatter_reduce(mean)", input.dtype)
        bools = {"sum": "amax", "prod": "amin"}
        whole = bool(include_self)
        return of_bools(lambda a, b, m: fn(a, index, b, axis, m, whole), input, src, bools.get(reduce, reduce))
    return fn(input, index, src, axis, reduce, bool(include_self))


@composite
def _scatter_reduce(x: Tensor, index: Tensor, src: Tensor, axis: int, reduce: str, include_self: bool) -> Tensor:
    return _combined(x, index, src, axis, reduce, include_self)


@composite
def _index_reduce(x: Tensor, index: Tensor, src: Tensor, axis: int, reduce: str, include_self: bool) -> Tensor:
    return _combined(x, index, src, axis, reduce, include_self)  # by its own name in errors


def _combined(x: Tensor, index: Tensor, src: Tensor, axis: int, reduce: str, include_self: bool) -> Tensor:
    if not index.numel():
        return untouched(x, src)
    rank = x.ndim
    x, index, src = _lifted(x), _lifted(index), _lifted(src)
    index = _within(index, x.shape[axis])
    kind = x.dtype
    count_dtype = dtypes.i64 if kind.kind != "f" else dtypes.f32 if kind in dtypes.Half else kind  # more than the dtype itself may hold
    one = apply("broadcast", scalar(1, count_dtype), attrs=(tuple(index.shape),))
    none = apply("broadcast", scalar(0, count_dtype), attrs=(tuple(x.shape),))
    hits = apply("scatter", none, index, one, attrs=(axis, "add"))
    base = x
    if not include_self:
        start: Number | None = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
        if start is None:
            start = _lowest(kind) if reduce == "amax" else _highest(kind)
        base = apply("select", hits == 0, x, scalar(start, kind))
    y = apply("scatter", base, index, src, attrs=(axis, _REDUCTIONS[reduce]))
    if reduce == "mean":
        n = hits + 1 if include_self else apply("maximum", hits, scalar(1, count_dtype))
        y = cast(apply("div" if kind.kind == "f" else "floor_divide", cast(y, count_dtype), n), kind)
    return _lowered(y, rank)


def _lowest(dtype: dtypes.DType) -> Number:
    return float("-inf") if dtype.kind == "f" else 0 if dtype.kind == "u" else -(1 << dtype.bits - 1)


def _highest(dtype: dtypes.DType) -> Number:
    return float("inf") if dtype.kind == "f" else (1 << dtype.bits - (dtype.kind == "i")) - 1


# --- whole slices along one dim ---------------------------------------------------------------------------------------


def _vector(name: str, index: Any) -> Tensor:
    need_index(name, index)
    if index.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector")
    return index


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices of `input` at the positions in the vector `index` along `dim`. IndexError for a position out of range.

    >>> ingot.index_select(ingot.eye(3), 0, ingot.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    check_tensor("index_select", input)
    axis = one_dim(dim, input.ndim)
    return emit_out(_index_select(input, _vector("index_select", index), axis), out)


@composite
def _index_select(x: Tensor, index: Tensor, axis: int) -> Tensor:
    wide = _lifted(x)
    return _lowered(apply("index_get", wide, _within(_lifted(index), wide.shape[axis]), attrs=((axis,),)), x.ndim)


@composite
def _index_write(x: Tensor, index: Tensor, source: Tensor, axis: int, mode: str) -> Tensor:
    rank = x.ndim
    if x.dtype.kind == "b" and mode != "set":
        return of_bools(lambda a, b, m: _index_write(a, index, b, axis, m), x, source, mode)
    x, index = _lifted(x), _lifted(index)
    shape = tuple(index.shape[0] if d == axis else n for d, n in enumerate(x.shape))
    source = apply("reshape" if source.ndim == len(shape) or not rank else "broadcast", source, attrs=(shape,))
    return _lowered(apply("index_put", x, source, _within(index, x.shape[axis]), attrs=((axis,), mode)), rank)


def _slices(name: str, input: Any, dim: int, index: Any, source: Any, mode: str) -> Tensor:
    check_tensor(name, input)
    check_tensor(name, source, "source", 4)
    axis = one_dim(dim, input.ndim)
    _vector(name, index)
    if input.dtype is not source.dtype:
        raise RuntimeError(
            f"{name}(): self ({dtype_name(input.dtype)}) and source ({dtype_name(source.dtype)}) must have the same scalar type"
        )
    n = index.shape[0] if index.ndim else 1
    want = tuple(n if d == axis else m for d, m in enumerate(input.shape))
    if (tuple(source.shape) or (1,)) != (want or (1,)):
        error = IndexError if mode == "set" and max(source.ndim, 1) != max(input.ndim, 1) else ShapeError
        raise error(f"{name}(): the source must have shape {list(want)}, but got {list(source.shape)}")
    return _index_write(input, index, source, axis, mode)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """A copy of `input` with alpha * source[i] added to its slice index[i] along `dim`.

    >>> ingot.index_add(ingot.zeros(3), 0, ingot.tensor([1, 1]), ingot.ones(2))
    tensor([0., 2., 0.])
    """
    if isinstance(alpha, Tensor) or alpha != 1:
        check_tensor("index_add", source, "source", 4)
        source = apply("logical_and" if source.dtype.kind == "b" else "mul", source, number_tensor(alpha, source.dtype, True))
    return emit_out(_slices("index_add", input, dim, index, source, "add"), out)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A copy of `input` with source[i] in place of its slice index[i] along `dim`."""
    if isinstance(input, Tensor) and isinstance(source, Tensor):
        input, source = widest(input, source)
    return emit_out(_slices("index_copy", input, dim, index, source, "set"), out)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None
) -> Tensor:
    """A copy of `input` with source[i] combined into its slice index[i] along `dim`: by "prod", "mean", "amax" or "amin".

    Without `include_self` the slices written to start anew. RuntimeError for another reduce.

        >>> ingot.index_reduce(ingot.ones(2), 0, ingot.tensor([0, 0]), ingot.tensor([2.0, 3.0]), "prod")
        tensor([6., 1.])
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}")
    check_tensor("index_reduce", input)
    check_tensor("index_reduce", source, "source", 4)
    axis = one_dim(dim, input.ndim)
    index = _vector("index_reduce", index)
    n = index.shape[0] if index.ndim else 1
    want = tuple(n if d == axis else m for d, m in enumerate(input.shape))
    if (tuple(source.shape) or (1,)) != (want or (1,)):
        raise ShapeError(f"index_reduce(): the source must have shape {list(want)}, but got {list(source.shape)}")
    shape = want or (1,)
    wide = apply("reshape", index, attrs=(tuple(n if d == axis else 1 for d in range(len(shape))),))
    places = apply("broadcast", wide, attrs=(shape,))
    if not input.ndim:
        places, source = places.reshape(()), source.reshape(())
    return emit_out(_reduced(_index_reduce, input, dim, places, source, reduce, include_self), out)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Tensor | complex) -> Tensor:
    """A copy of `input` with its slices at `index` along `dim` filled with `value` (a number or a 0-d tensor).

    >>> ingot.index_fill(ingot.zeros(3), 0, ingot.tensor([1]), 5)
    tensor([0., 5., 0.])
    """
    check_tensor("index_fill", input)
    axis = one_dim(dim, input.ndim)
    _vector("index_fill", index)
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
        fill = cast(value, input.dtype)
    else:
        fill = filler(value, input.dtype)
    return _index_fill(input, index, fill, axis)


@composite
def _index_fill(x: Tensor, index: Tensor, value: Tensor, axis: int) -> Tensor:
    wide = _lifted(x)
    n, at = wide.shape[axis], _lifted(index)  # a slice named twice is filled once: so is its gradient
    none = apply("broadcast", scalar(False, dtypes.bool_), attrs=((n,),))
    all_ = apply("broadcast", scalar(True, dtypes.bool_), attrs=(tuple(at.shape),))
    hit = apply("index_put", none, all_, at, attrs=((0,), "set"))
    hit = apply("reshape", hit, attrs=(tuple(n if d == axis else 1 for d in range(wide.ndim)),))
    return _lowered(apply("select", hit, value, wide), x.ndim)


def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements of the flattened `input` at `index`, in the shape of `index`. IndexError out of range.

    >>> ingot.take(ingot.tensor([[4, 3], [2, 1]]), ingot.tensor([0, 3]))
    tensor([4, 1])
    """
    check_tensor("take", input)
    return emit_out(taken(input, need_index("take", index, position=2)), out)


@composite
def taken(x: Tensor, index: Tensor) -> Tensor:
    """`take`, unchecked."""
    return apply("index_get", apply("reshape", x, attrs=((x.numel(),),)), index, attrs=((0,),))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with `source` at the flattened positions `index` (added there if `accumulate`)."""
    check_tensor("put", input)
    need_index("put", index, position=2)
    _need_same("put", input, source)
    if index.numel() != source.numel():
        raise ShapeError(
            f"put_(): Expected source and index to have the same number of elements, but got {source.numel()} and {index.numel()}"
        )
    return _put(input, index, source, "add" if accumulate else "set")


@composite
def _put(x: Tensor, index: Tensor, source: Tensor, mode: str) -> Tensor:
    if x.dtype.kind == "b" and mode != "set":
        return of_bools(lambda a, b, m: _put(a, index, b, m), x, source, mode)
    flat = apply("reshape", x, attrs=((x.numel(),),))
    y = apply("index_put", flat, apply("reshape", source, attrs=(tuple(index.shape),)), index, attrs=((0,), mode))
    return apply("reshape", y, attrs=(tuple(x.shape),))


numpy_names.install(globals(), __all__)
