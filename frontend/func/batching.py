"""`vmap`: a function of single samples applied to batches, by the batching rules of the operations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot._tensor.recording import inplace
from ingot.capture import broadcast_prefix, flatten, unflatten
from ingot.func.levels import Level
from ingot.ir.builder import op_graph
from ingot.ir.dtypes import i64
from ingot.ir.facts import Inline
from ingot.ir.op import OPS, Op
from ingot.ir.transforms.batch import Batched, batch
from ingot.ir.types import TensorType, tensor_type
from ingot.runtime import tape
from ingot.runtime.array import Array
from ingot.runtime.tape import Pair

__all__ = ["vmap"]

_MODES = ("error", "same", "different")


def op_batch(op: Op, attrs: tuple, types: tuple[TensorType, ...], which: tuple[bool, ...], size: Any) -> Batched:
    """The graph of one op over batches; of a call, that of what it calls."""
    graph = attrs[0] if isinstance(op.lowering, Inline) else op_graph(op, attrs, types)
    return batch(graph, which, size)


class BatchLevel(Level):
    """What stands for a value: a pair outside, and whether that has the batch dim, which is its first."""

    name = "vmap"

    def __init__(self, size: Any, randomness: str):
        super().__init__()
        self.size = size
        self.randomness = randomness

    def array(self, t: TensorType, pair: Pair, batched: bool) -> Array:
        """An array of type `t`, that of one sample."""
        return Array(t, None, (pair, batched), self)

    def constant(self, pair: Pair) -> Array:
        return self.array(pair[0].type, pair, False)

    def changed(self, a: Array, pair: Pair) -> Array:
        return self.array(a.type, pair, a.value[1])

    def samples(self, pair: Pair) -> Array:
        """An array of the samples in a value outside, whose first dim is the batch dim."""
        return self.array(tensor_type(pair[0].type.dtype, pair[0].type.shape[1:]), pair, True)

    def apply_rule(self, op: Op, arrays: Sequence[Array], attrs: tuple, out_types: tuple[TensorType, ...], loc: Any) -> list[Array]:
        pairs = [a.value[0] for a in arrays]
        which = tuple([a.value[1] for a in arrays])
        if not any(which):
            return [self.array(t, p, False) for t, p in zip(out_types, tape.emit(op, pairs, attrs, loc))]
        made = op_batch(op, attrs, tuple([a.type for a in arrays]), which, self.size)
        return [self.array(t, p, b) for t, p, b in zip(out_types, tape.emit_graph(made.graph, pairs, loc), made.outputs)]

    def given_back(self, a: Array) -> Pair:
        pair, batched = a.value
        if batched:
            raise RuntimeError(
                "vmap: a tensor that is the same for all samples is written in place with values that differ between them; use the "
                "operation without the underscore, or pass the tensor as an argument with in_dims"
            )
        return pair

    def whole(self, t: Tensor) -> Tensor:
        """The tensor outside of all samples of one here, the batch dim first."""
        with self.entered():
            pair, batched = self.lift(t._pair())[0].value
        with self.left():
            out = self.result(pair)
            return out if batched else out.expand(self.size, *out.shape)

    def need(self, a: Array) -> None:
        if a.value[1]:
            raise RuntimeError(
                "vmap: the value of a tensor differs between samples: it cannot be made a number or decide a branch (item(), bool(), "
                "numpy()); use ingot.where(condition, a, b) instead of a branch"
            )
        super().need(a)

    def knows(self, a: Array) -> bool:
        return not a.value[1] and super().knows(a)

    def reserve(self, generator: Any, blocks: int) -> tuple[Array, Array]:
        if self.randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness "
                "flags on vmap or perform the randomness operation out of vmap"
            )
        if self.randomness == "same":
            return super().reserve(generator, blocks)
        with self.left():
            seed, first = generator.reserve(4 * blocks * self.size)
            number = tape.emit(OPS["iota"], (), (i64, (self.size,), 0))[0]
            offsets = (wrap(number) * blocks + wrap((first, None)))._pair()
        return self.constant((seed, None)), self.samples(offsets)

    def apply_function(self, cls: Any, args: tuple, kwargs: dict) -> tuple[Any, Any, tuple]:
        from ingot.func.functions import apply_batched

        return apply_batched(self, cls, args, kwargs)


def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """`func`, which is written for one sample, on batches: it runs once, each of its operations on all samples.

    in_dims      the batch dim of each argument, None where it is the same for all samples: an int for all, or nested as the arguments
    out_dims     where the batch dim of each result goes; None for a result that is the same for all samples
    randomness   "error": random numbers are refused; "same": all samples get the same ones; "different": each its own
    chunk_size   at most so many samples at a time

    ValueError for dims that do not fit, or batch dims of different extents; RuntimeError for what depends on the values of a sample,
    such as `item()` and a branch. Semantics: https://docs.pytorch.org/docs/stable/generated/torch.func.vmap.html.

    >>> dot = ingot.func.vmap(ingot.dot)
    >>> dot(ingot.ones(2, 3), ingot.arange(6.0).reshape(2, 3))
    tensor([ 3., 12.])
    """
    if randomness not in _MODES:
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and not (isinstance(chunk_size, int) and chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        size, leaves, dims, structure = _arguments(func, in_dims, args)
        if chunk_size is None or size <= chunk_size:
            return _run(func, size, leaves, dims, structure, kwargs, out_dims, randomness)
        return _chunked(func, size, leaves, dims, structure, kwargs, out_dims, randomness, chunk_size)

    return wrapped


def _name(func: Any) -> str:
    return getattr(func, "__name__", None) or repr(func)


def _arguments(func: Callable, in_dims: Any, args: tuple) -> tuple[Any, list[Any], list[int | None], Any]:
    """The batch size; the leaves of the arguments, their batch dims and their structure."""
    leaves: list[Any] = []
    structure = flatten(args, leaves)
    name = _name(func)
    if not leaves:
        raise ValueError(f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
                         "function with no inputs. The latter is unsupported.")  # fmt: skip
    given = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    found = broadcast_prefix(given, args)
    if found is None:
        raise ValueError(f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of `inputs`")
    size: Any = None
    dims: list[int | None] = []
    for x, d in zip(leaves, found):
        if d is None:
            dims.append(None)
            continue
        if not isinstance(d, int) or isinstance(d, bool):
            raise ValueError(f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): got in_dim={d} for an input, which must be an int or None")
        if not isinstance(x, Tensor):
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={d} for an input but the input is of type {type(x)}. We "
                "cannot vmap over non-Tensor arguments, please use None as the respective in_dim"
            )
        if not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={d} for some input, but that input is a Tensor of "
                f"dimensionality {x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}."
            )
        d %= x.ndim
        n = x.shape[d]
        if size is not None and n != size:
            raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {size} and {n}")
        size = n
        dims.append(d)
    if size is None:
        raise ValueError(f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): at least one input must have a batch dim: in_dims are all None")
    return size, leaves, dims, structure


def _run(
    func: Callable, size: Any, leaves: list[Any], dims: list[int | None], structure: Any, kwargs: dict, out_dims: Any, randomness: str
) -> Any:
    level = BatchLevel(size, randomness)
    given, mapped = [], []
    for x, d in zip(leaves, dims):
        if d is None:
            given.append(x)
            continue
        front = x if d == 0 else x.movedim(d, 0)
        pair = front._owned()
        first = level.samples(pair)
        t = wrap((first, pair[1]))
        given.append(t)
        mapped.append((x, d, t, first))
    try:
        with level.entered():
            result = func(*unflatten(structure, given), **kwargs)
            outs: list[Any] = []
            out_structure = flatten(result, outs)
            final = _results(level, func, result, outs, out_dims)
            written = [(x, d, level.whole(t)) for x, d, t, first in mapped if t._now() is not first]
        level.write_back()
        for x, d, value in written:
            inplace(x, value if d == 0 else value.movedim(0, d))
    finally:
        level.forget()
    return unflatten(out_structure, final)


def _results(level: BatchLevel, func: Callable, result: Any, outs: list[Any], out_dims: Any) -> list[Tensor]:
    name = _name(func)
    for o in outs:
        if not isinstance(o, Tensor):
            raise ValueError(f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(o)} as a return.")
    found = broadcast_prefix(tuple(out_dims) if isinstance(out_dims, list) else out_dims, result)
    if found is None and isinstance(out_dims, (tuple, list)) and len(out_dims) == 1:
        found = broadcast_prefix(out_dims[0], result)
    if found is None or not all(d is None or (isinstance(d, int) and not isinstance(d, bool)) for d in found):
        raise ValueError(f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`")
    final = []
    for o, d in zip(outs, found):
        if d is None:
            pair, batched = level.lift(o._pair())[0].value
            if batched:
                raise ValueError(
                    f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None: the result differs between samples"
                )
            final.append(level.result(pair))
            continue
        if not -o.ndim - 1 <= d <= o.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-o.ndim - 1}, {o.ndim}], but got {d})")
        whole = level.whole(o)
        with level.left():
            final.append(whole if d == 0 else whole.movedim(0, d))
    return final


def _chunked(
    func: Callable, size: int, leaves: list[Any], dims: list[int | None], structure: Any, kwargs: dict, out_dims: Any, randomness: str,
    chunk: int,
) -> Any:  # fmt: skip
    import ingot

    parts: list[list[Tensor]] = []
    out_structure: Any = None
    for start in range(0, size, chunk):
        n = min(chunk, size - start)
        part = [x if d is None else x.narrow(d, start, n) for x, d in zip(leaves, dims)]
        result = _run(func, n, part, dims, structure, kwargs, out_dims, randomness)
        outs: list[Any] = []
        out_structure = flatten(result, outs)
        found = broadcast_prefix(tuple(out_dims) if isinstance(out_dims, list) else out_dims, result)
        if found is None:
            found = broadcast_prefix(out_dims[0], result)
        parts.append(outs)
    assert found is not None
    joined = [column[0] if d is None else ingot.cat(column, d) for column, d in zip(zip(*parts), found)]
    return unflatten(out_structure, joined)
