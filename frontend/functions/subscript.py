"""x[...], x[...] = v and `index_put`.

An index is taken apart in two steps, as in torch: ints, slices, None and Ellipsis make a *view* (a slice and a reshape);
tensors, lists and masks then index that view. Masks become int64 indices, which reads their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ingot._tensor.extents import Extent, plain_dims
from ingot._tensor.recording import broadcast, from_array, inplace, make_view, placed
from ingot.functions.chosen import chosen_per_dim
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    as_int,
    broadcast_shapes,
    cast,
    check_tensor,
    dtype_name,
    dtypes,
    filler,
    from_end,
    is_number,
    larger,
    record,
    scalar,
    smaller,
    static_int,
    store,
)
from ingot.functions.from_data import tensor, to_array
from ingot.functions.index import of_bools
from ingot.functions.join import pick
from ingot.ir.op import OPS

__all__ = ["index_put", "index_put_"]


class Plan(NamedTuple):
    """What an index comes to: movements that make the view, and index tensors (or one mask) by dim of the view."""

    movements: list[tuple[str, tuple]]
    indices: list[tuple[int, Tensor]]
    mask: Tensor | None  # the only index, when it is a bool tensor from dim `mask_dim` on
    mask_dim: int


def _is_index_list(key: list) -> bool:
    """Whether a list stands for a tuple of indices: torch's rule, it holds something that is no number."""
    return any(isinstance(k, (list, tuple, slice, Tensor, np.ndarray, type(None), type(...))) for k in key)


def _items(key: Any) -> list:
    if isinstance(key, tuple):
        return list(key)
    if isinstance(key, list) and _is_index_list(key):
        return list(key)
    return [key]


def _as_index(item: Any, extent: int | None) -> Tensor:
    """A tensor of indices, or a mask, from a tensor, an array or nested lists. Indices known now are checked now."""
    if isinstance(item, Tensor):
        if item.dtype is dtypes.u8:
            return apply("ne", item, scalar(0, dtypes.u8))
        if item.dtype not in (dtypes.i64, dtypes.i32, dtypes.bool_):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        return item
    if isinstance(item, (list, tuple, range)):
        array = to_array(list(item))
        if not array.size and array.dtype.kind == "f":
            array = array.astype(np.int64)
    elif isinstance(item, np.ndarray):
        array = item
    else:
        if isinstance(item, str):
            raise TypeError("new(): invalid data type 'str'")
        raise IndexError(
            f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(item).__name__})"
        )
    if array.dtype.kind in "iu":
        array = array.astype(np.int64)
        if extent is not None and array.size:
            wrong = array[(array < -extent) | (array >= extent)]
            if wrong.size:
                raise IndexError(f"index {int(wrong.flat[0])} is out of bounds for dimension with size {extent}")
    elif array.dtype.kind != "b":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return from_array(array)


def _whole(item: Any) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_))


def _truth(item: Any) -> bool | None:
    """The value of an index that is a single truth: True, False or a 0-d bool tensor; None for any other."""
    if isinstance(item, (bool, np.bool_)):
        return bool(item)
    if isinstance(item, (Tensor, np.ndarray)) and item.ndim == 0 and item.dtype in (dtypes.bool_, dtypes.u8, np.bool_):
        return bool(item)
    return None


def _consumed(item: Any) -> int:
    """How many dims of the tensor an index stands for."""
    if item is None or item is Ellipsis or _truth(item) is not None:
        return 0
    if isinstance(item, (Tensor, np.ndarray)) and item.dtype in (dtypes.bool_, dtypes.u8, np.bool_):
        return item.ndim
    if isinstance(item, (list, tuple)):
        probe, depth = item, 0
        while isinstance(probe, (list, tuple)) and len(probe):
            probe, depth = probe[0], depth + 1
        return depth if isinstance(probe, (bool, np.bool_)) else 1
    return 1


def plan(x: Tensor, key: Any) -> Plan:
    """Take an index apart. IndexError, TypeError or ValueError, in torch's words, for what cannot index `x`."""
    shape = tuple(x.shape)
    rank = len(shape)
    items = _items(key)
    used = sum(map(_consumed, items))
    if used > rank:
        if not rank:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor "
                "to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    if not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    starts, stops, steps = [0] * rank, list(shape), [1] * rank
    view: list[int] = []  # the view's shape so far
    indices: list[tuple[int, Tensor]] = []
    masks: list[tuple[int, Tensor]] = []
    d, spread = 0, False  # the dim of x that comes next; whether an ellipsis was seen
    for item in items:
        truth = _truth(item)
        if item is None:
            view.append(1)
        elif item is Ellipsis:
            if not spread:
                n = rank - used
                view += shape[d : d + n]
                d += n
            spread = True
        elif truth is not None:
            indices.append((len(view), from_array(np.zeros(1 if truth else 0, np.int64))))
            view.append(1)
        elif _whole(item):
            n = shape[d]
            if not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for dimension {d} with size {n}")
            starts[d] = from_end(as_int(item), n)
            stops[d] = starts[d] + 1
            d += 1
        elif isinstance(item, slice):
            starts[d], stops[d], steps[d] = _slice(item, shape[d])
            view.append(-((starts[d] - stops[d]) // steps[d]))
            d += 1
        else:
            index = _as_index(item, shape[d] if d < rank else None)
            if index.dtype.kind == "b":
                size = shape[d : d + index.ndim]
                for i, (m, n) in enumerate(zip(index.shape, size)):
                    if m != n:
                        raise IndexError(
                            f"The shape of the mask {list(index.shape)} at index {i} does not match the shape of the indexed tensor "
                            f"{list(shape)} at index {d + i}"
                        )
                masks.append((len(view), index))
                view += size
                d += index.ndim
            else:
                indices.append((len(view), index))
                view.append(shape[d])
                d += 1
    movements: list[tuple[str, tuple]] = []
    cut = tuple(larger(0, -((a - b) // c)) for a, b, c in zip(starts, stops, steps))
    if plain_dims(cut) != plain_dims(shape) or any(s != 1 for s in steps):
        movements.append(("slice", (tuple(starts), tuple(stops), tuple(steps))))
    if plain_dims(tuple(view)) != plain_dims(cut):
        movements.append(("reshape", (tuple(view),)))
    if masks or indices:
        masks, indices = ([(at, _beside(t, x)) for at, t in found] for found in (masks, indices))
    if len(masks) == 1 and not indices:
        return Plan(movements, [], masks[0][1], masks[0][0])
    for at, mask in masks:
        indices += [(at + i, index) for i, index in enumerate(chosen_per_dim(mask))]
    return Plan(movements, sorted(indices, key=lambda pair: pair[0]), None, 0)


def _beside(index: Tensor, x: Tensor) -> Tensor:
    """An index on the device of what it indexes; it may be the CPU's. RuntimeError for any other."""
    there, here = index._array.type.device, x._array.type.device
    if there == here:
        return index
    if there is not None:
        raise RuntimeError(f"indices should be either on cpu or on the same device as the indexed tensor ({x.device})")
    return placed(index, x.device)


def _slice(item: slice, n: int) -> tuple[int, int, int]:
    step = item.step
    if step is not None:
        step = step.item() if isinstance(step, Tensor) else step
        if step == 0:
            raise ValueError("slice step cannot be zero")
        if step < 0:
            raise ValueError("step must be greater than zero")
    if Extent in map(type, (n, item.start, item.stop, step)):
        start, stop = _within(item.start, n, 0), _within(item.stop, n, n)
        return start, larger(start, stop), 1 if step is None else step
    start, stop, step = slice(item.start, item.stop, step).indices(n)
    return start, max(start, stop), step


def _within(i: Any, n: int, default: int) -> int:
    """An end of a slice, within a dim of `n`."""
    if i is None:
        return default
    i = from_end(static_int(i, "slice indices"), n)
    return smaller(larger(0, i), n)


def _spread(p: Plan) -> list[tuple[int, Tensor]]:
    """The index tensors, the mask read."""
    if p.mask is None:
        return p.indices
    return [(p.mask_dim + i, index) for i, index in enumerate(chosen_per_dim(p.mask))]


def _check_common(indices: Sequence[tuple[int, Tensor]]) -> None:
    shapes = [tuple(i.shape) for _, i in indices]
    try:
        broadcast_shapes(*shapes)
    except ShapeError:
        listed = ", ".join(str(list(s)) for s in shapes)
        raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}") from None


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key]: a view for ints, slices, None and Ellipsis; a copy with tensors, lists or masks (a mask is read).

    Index tensors broadcast together; their dims take the place of the indexed dims where those are adjacent, else the front.
    IndexError out of range.
    """
    if type(key) is int and x._array.type.shape:  # the commonest index, without a plan
        n = x.shape[0]
        if not -n <= key < n:
            raise IndexError(f"index {key} is out of bounds for dimension 0 with size {n}")
        return pick(x, 0, from_end(key, n))
    p = plan(x, key)
    if not p.indices and p.mask is None:
        return make_view(x, *p.movements)
    indices = _spread(p)
    _check_common(indices)
    for op, attrs in p.movements:
        x = apply(op, x, attrs=attrs)
    return record(OPS["index_get"], (x, *[i for _, i in indices]), (tuple(d for d, _ in indices),))


def _as_value(value: Any, dtype: dtypes.DType) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if is_number(value):
        return filler(value, dtype)
    if isinstance(value, (list, tuple, np.ndarray, range)):
        return tensor(value, dtype=dtype)
    raise TypeError(f"can't assign a {type(value).__name__} to a {dtype.torch_name} tensor")


def _fit(value: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    """`value` broadcast to `shape`, extra leading dims of extent 1 dropped."""
    extra = value.ndim - len(shape)
    if extra > 0 and all(d == 1 for d in value.shape[:extra]):
        value = apply("reshape", value, attrs=(tuple(value.shape[extra:]),))
    try:
        return broadcast(value, shape)
    except ShapeError:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to {what} of shape {list(shape)}"
        ) from None


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, in place: `value` a number, a tensor or nested lists that broadcast to what x[key] is.

    A slice takes any dtype; tensors and masks as index need the dtype of `x` (RuntimeError). IndexError out of range.
    """
    p = plan(x, key)
    target = make_view(x, *p.movements) if p.movements else x
    v = _as_value(value, x.dtype)
    if p.mask is not None:
        if v.numel() == 1:
            rest = (1,) * (target.ndim - p.mask_dim - p.mask.ndim)
            mask = apply("reshape", p.mask, attrs=((*p.mask.shape, *rest),)) if rest else p.mask
            fill = apply("reshape", cast(v, x.dtype), attrs=((),)) if v.ndim else cast(v, x.dtype)
            inplace(target, apply("select", mask, fill, target))
            return
    elif not p.indices:
        if v.dtype is not x.dtype:
            v = cast(v, x.dtype)
        inplace(target, _fit(v, tuple(target.shape), "the slice"))
        return
    if v.dtype is not x.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {dtype_name(x.dtype)} for the destination and "
            f"{dtype_name(v.dtype)} for the source."
        )
    inplace(target, _put(target, _spread(p), v, "set"))


def _put(x: Tensor, indices: list[tuple[int, Tensor]], value: Tensor, mode: str) -> Tensor:
    _check_common(indices)
    axes = tuple(d for d, _ in indices)
    tensors = [i for _, i in indices]
    common = broadcast_shapes(*[tuple(i.shape) for i in tensors])
    rest = [n for d, n in enumerate(x.shape) if d not in axes]
    at = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    shape = (*rest[:at], *common, *rest[at:])
    if x.dtype.kind == "b" and mode != "set":
        value = _fit(value, shape, "the indexing result")
        return of_bools(lambda a, b, m: record(OPS["index_put"], (a, b, *tensors), (axes, m)), x, value, mode)
    return record(OPS["index_put"], (x, _fit(value, shape, "the indexing result"), *tensors), (axes, mode))


def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with input[indices] = values, or += in index order if `accumulate`. `values` broadcasts.

    >>> ingot.index_put(ingot.zeros(3), (ingot.tensor([0, 0]),), ingot.ones(2), accumulate=True)
    tensor([2., 0., 0.])
    """
    check_tensor("index_put", input)
    check_tensor("index_put", values, "values", 3)
    if input.dtype is not values.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {dtype_name(input.dtype)} for the destination and "
            f"{dtype_name(values.dtype)} for the source."
        )
    p = plan(input, tuple(slice(None) if i is None else i for i in indices))
    found = _spread(p)
    if not found:
        raise RuntimeError("index_put: at least one index must be given")
    return _put(input, found, values, "add" if accumulate else "set")


def index_put_(input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put`, in place."""
    return store(input, index_put(input, indices, values, accumulate))


METHODS = {"__getitem__": getitem, "__setitem__": setitem}
