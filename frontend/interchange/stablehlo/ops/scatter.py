"""Writing at computed places: what falls outside is not written, and equal places are combined by a region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.ops.control import counted_loop
from ingot.interchange.stablehlo.ops.indexing import along, as_index, check_dims, starts_of
from ingot.interchange.stablehlo.ops.movement import transposed
from ingot.interchange.stablehlo.ops.regions import fold_of
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes

__all__: list[str] = []

_MODES = {"set": "set", "add": "add", "mul": "mul", "max": "max", "min": "min"}


def _product(dims: Sequence[Any]) -> Any:
    n: Any = 1
    for d in dims:
        n = n * d
    return n


@op("scatter")
def scatter(
    c: Call, *values: Tensor, update_window_dims: Any = (), inserted_window_dims: Any = (), input_batching_dims: Any = (),
    scatter_indices_batching_dims: Any = (), scatter_dims_to_operand_dims: Any = (), index_vector_dim: int = 0,
    indices_are_sorted: bool = False, unique_indices: bool = False,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The dims that are written in part are made one in front, with one row more that takes what falls outside."""
    k = len(values) // 2
    inputs, indices, updates = values[:k], values[k], values[k + 1 :]
    x, update = inputs[0], updates[0]
    batching, inserted, windows = list(input_batching_dims), list(inserted_window_dims), list(update_window_dims)
    check_dims("input", x.ndim, [*inserted, *batching])
    check_dims("input", x.ndim, scatter_dims_to_operand_dims)
    check_dims("update", update.ndim, windows)
    check_dims("indices", indices.ndim, scatter_indices_batching_dims)
    count = indices.shape[index_vector_dim] if index_vector_dim < indices.ndim else 1
    if len(scatter_dims_to_operand_dims) != count or len(windows) != x.ndim - len(inserted) - len(batching):
        raise TypeError(f"windows of {len(windows)} dims and index vectors of {count} for {list(x.shape)}")
    if len(batching) != len(scatter_indices_batching_dims):
        raise TypeError("not as many batching dims of the indices as of the input")
    parts = dict(zip(scatter_dims_to_operand_dims, starts_of(as_index(indices), index_vector_dim, len(scatter_dims_to_operand_dims))))
    kept = [d for d in range(x.ndim) if d not in inserted and d not in batching]  # x's dims of windows
    size = {d: update.shape[w] for d, w in zip(kept, windows)} | dict.fromkeys([*inserted, *batching], 1)
    whole = [d for d in kept if d not in parts and size[d] == x.shape[d]]
    written = [d for d in range(x.ndim) if d not in whole]
    batch = [i for i in range(update.ndim) if i not in windows]
    inner = [d for d in written if d in kept]
    # updates: the batch dims, windows in dims that are written in part, whole dims
    axis = dict(zip(kept, windows))
    order = [*batch, *(axis[d] for d in inner), *(axis[d] for d in whole)]
    count = len(batch) + len(inner)
    lead = tuple(update.shape[i] for i in order[:count])
    spread = (*lead[: len(batch)], *(1,) * len(inner))
    place: Any = scalar(0, dtypes.i64)
    fine: Any = None
    for d in written:
        if d in parts:
            start = apply("reshape", parts[d], attrs=(spread,))
            inside = apply("logical_and", start >= 0, start <= x.shape[d] - size[d])
            fine = inside if fine is None else apply("logical_and", fine, inside)
        elif d in batching:
            at = scatter_indices_batching_dims[batching.index(d)]
            start = along(x.shape[d], count, at - (at > index_vector_dim))
        else:
            start = scalar(0, dtypes.i64)
        if d in inner:
            start = apply("add", start, along(size[d], count, len(batch) + inner.index(d)))
        place = apply("add", apply("mul", place, scalar(x.shape[d], dtypes.i64)), start)
    rows, columns = _product([x.shape[d] for d in written]), _product([x.shape[d] for d in whole])
    if fine is not None:
        place = apply("select", fine, place, scalar(rows, dtypes.i64))
    place = apply("reshape", apply("broadcast", place, attrs=(lead,)), attrs=((_product(lead),),))
    front = [*written, *whole]
    grown = []
    for v in inputs:
        flat = apply("reshape", transposed(v, front), attrs=((rows, columns),))
        more = apply("broadcast", scalar(0, v.dtype), attrs=((1, columns),))
        grown.append(apply("concatenate", flat, more, attrs=(0,)))
    sources = [apply("reshape", transposed(u, order), attrs=((_product(lead), columns),)) for u in updates]
    out = _combined(c, grown, place, sources, unique_indices)
    results = []
    for v, r in zip(inputs, out):
        r = apply("slice", r, attrs=((0, 0), (rows, columns), (1, 1)))
        r = apply("reshape", r, attrs=(tuple(v.shape[d] for d in front),))
        results.append(transposed(r, sorted(range(len(front)), key=lambda i: front[i])))
    return tuple(results)


def _combined(c: Call, rows: list[Tensor], place: Tensor, sources: list[Tensor], unique: bool) -> list[Tensor]:
    """The rows with sources combined into them."""
    fold = fold_of(c.regions[0]) if len(rows) == 1 else None
    x = rows[0]
    if fold in ("and", "or") and x.dtype is dtypes.bool_:
        y = apply("index_put", cast(x, dtypes.u8), cast(sources[0], dtypes.u8), place, attrs=((0,), "min" if fold == "and" else "max"))
        return [cast(y, dtypes.bool_)]
    if fold in _MODES and not (x.dtype.kind in "bc" and fold not in ("set", "add")) and not (x.dtype is dtypes.bool_ and fold == "add"):
        return [apply("index_put", x, sources[0], place, attrs=((0,), _MODES[fold]))]
    if unique:
        old = [apply("index_get", r, place, attrs=((0,),)) for r in rows]
        return [apply("index_put", r, n, place, attrs=((0,), "set")) for r, n in zip(rows, c.over(0, [*old, *sources]))]

    def step(k: Tensor, *carried: Tensor) -> list[Tensor]:
        at = apply("index_get", place, apply("reshape", k, attrs=((1,),)), attrs=((0,),))
        which = apply("reshape", k, attrs=((1,),))
        old = [apply("index_get", r, at, attrs=((0,),)) for r in carried]
        new = c.over(0, [*old, *(apply("index_get", s, which, attrs=((0,),)) for s in sources)])
        return [apply("index_put", r, n, at, attrs=((0,), "set")) for r, n in zip(carried, new)]

    return counted_loop(step, rows, place.shape[0])
