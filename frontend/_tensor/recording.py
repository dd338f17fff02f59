"""Recording on Tensors: `record`, and what functions need beside it (numbers, views, writes in place, casts)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor.devices import META, device, numbered
from ingot._tensor.extents import Extent, plain_dim, plain_dims
from ingot._tensor.reals import Real
from ingot._tensor.state import Tensor, wrap
from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.dtypes import DType, Half, by_numpy, f32, i16, i32, i64
from ingot.ir.facts import OverComplex
from ingot.ir.graph import Const, SizedConst
from ingot.ir.op import OPS, Op
from ingot.ir.size import ShapeError
from ingot.ir.types import Shape, TensorType, tensor_type
from ingot.runtime import array as arrays
from ingot.runtime import memory
from ingot.runtime.array import Array, host
from ingot.runtime.numbers import host_number, number, rank0
from ingot.runtime.recorder import Recorder, here, ours, user_location
from ingot.runtime.sight import sight, unseen
from ingot.runtime.tape import Edge, Identity, Leaf, Version, attach, overwritten, saving, signature
from ingot.runtime.views import Detach, LeafStep, Movement

__all__ = [
    "record", "scalar", "constant", "from_array", "inplace", "make_view", "reshaped_view", "cast", "broadcast",
    "own_array", "placed", "stop_gradient",
]  # fmt: skip

_new = object.__new__
TABLE = 64  # elements of a constant that stands in a graph
_MAKERS = tuple(os.path.join("functions", f"{name}.py") for name in ("creation", "from_data", "windows", "identity", "legacy"))
_MAKERS += tuple(  # overrides.py: what stands before functions once there is a subclass of Tensor
    os.path.join(os.path.dirname(os.path.dirname(__file__)), name) for name in ("random.py", "overrides.py")
)
_BITS = {16: i16, 32: i32, 64: i64}
_COMPLEX = {"c64": "ComplexFloat", "c128": "ComplexDouble"}  # in torch's messages


def record(op: Op, tensors: Sequence[Tensor], attrs: tuple = ()) -> Any:
    """Record `op` on Tensors: a Tensor, or a tuple of them. With grad mode on it goes on the tape.

    Shape and dtype errors are raised here, at the call.

    >>> from ingot.ir.op import OPS
    >>> record(OPS["tanh"], (ingot.zeros(2),))
    tensor([0., 0.])
    """
    rec = here.recorder
    if rec.tracing:
        if sight.hook is not None:
            return unseen(record, op, tensors, attrs)
        tensors = [t._present() for t in tensors]
        values = [t._array for t in tensors]
        edges = [t._edge for t in tensors]
        if rec.extents is not None:
            attrs = plain_dims(attrs)
    else:
        values = []
        edges = []
        for t in tensors:
            s = t._storage
            if s is not None and s.generation != t._generation:
                t._now()
            values.append(t._array)
            edges.append(t._edge)
    loc = user_location()
    try:
        sig = signature(op, attrs, values)
    except ShapeError as error:
        raise _explained(error, values, loc) from None
    except TypeError:
        for a in values:
            if a.type.dtype.kind == "c" and op.over_complex is OverComplex.NONE:
                raise NotImplementedError(f'"{op.name}" not implemented for \'{_COMPLEX[a.type.dtype.name]}\'') from None
        raise
    outs = rec.emit(sig, values, loc)
    node = None
    if rec.grad_enabled:
        for e in edges:
            if e is not None:
                pairs, node = attach(sig, values, tuple(edges), outs, loc)
                break
    results = []
    if node is None:
        for a in outs:
            t = _new(Tensor)
            t._array = a
            t._edge = t._storage = t._version_cell = t._slot = None
            t._steps = ()
            t._generation = 0
            t._weak = False
            results.append(t)
    else:
        results = [wrap(p) for p in pairs]
        saved = node.saved
        if saved and saving.checked:
            versions = []
            for i in sig.unwritten(saved):
                t = tensors[i] if i >= 0 else results[~i]
                cell = t._version_cell
                if cell is None:
                    cell = t._version_cell = Version()
                versions.append((cell, cell.n, t._array.type))
            node.versions = versions
    if rec.run_soon:
        rec.flush()
    elif rec.tracing and tensors and all([t._weak for t in tensors]):
        for t in results:
            t._weak = not t._array.type.shape  # made of Python numbers alone, and a number still
    return results[0] if len(results) == 1 else tuple(results)


def _explained(error: ShapeError, values: Sequence[arrays.Array], loc: Any) -> ShapeError:
    """The error with the user's line, and where its operands were made."""
    from ingot.ir.location import describe, resolve

    lines = [str(error), describe(loc)] if loc is not None else [str(error)]
    for i, a in enumerate(values):
        made = a.source.made_at(a) if isinstance(a.source, Recorder) else None
        where = f" made at {resolve(made)}" if made is not None else ""
        lines.append(f"  operand {i} is {a.type}{where}")
    return ShapeError("\n".join(lines))


def scalar(value: Any, dtype: DType) -> Tensor:
    """A Python number as a rank-0 Tensor of `dtype`, passed to compiled code by value. While a composite is traced it is a constant.

    A number that a compiled function was called with is converted. RuntimeError where an integer dtype cannot hold it.
    """
    if isinstance(value, Tensor):
        return cast(value, dtype)
    rec = here.recorder
    if rec.level:
        return rec.made_outside(lambda: scalar(value, dtype))
    if type(value) in (Extent, Real) and value.known.live:
        if not rec.sized_constants:
            made = cast(wrap((rec.extent(plain_dim(value)), None)), dtype)
        else:
            made = record(OPS["constant"], (), (SizedConst(rank0(dtype), value.dim),))
        made._weak = True
        return made
    if rec.tracing:
        made = constant(number(value, dtype), dtype)
        made._weak = True
        return made
    if dtype.kind == "c":
        value = complex(value)
        return record(OPS["complex"], [wrap((host_number(part, dtype.to_real()), None)) for part in (value.real, value.imag)])
    if dtype in Half:
        x = wrap((host(rank0(f32), number(value, f32)), None))
        return record(OPS["cast"], (x,), (dtype,))
    return wrap((host_number(value, dtype), None))


def constant(value: Any, dtype: DType) -> Tensor:
    """A number or small array that is part of the recorded graph itself."""
    return record(OPS["constant"], (), (Const.of(value, dtype),))


def from_array(array: np.ndarray, dtype: DType | None = None, share: bool = False) -> Tensor:
    """A Tensor of `array`'s values, in `dtype`: a copy, or with `share` on its own memory.

    While something is traced the values become a constant of the graph, or one of its inputs where they are many. TypeError for a dtype
    that no tensor has.
    """
    dtype = dtype or by_numpy(array.dtype)
    if here.recorder.level:
        return here.recorder.made_outside(lambda: from_array(array, dtype, share))
    if here.recorder.tracing:
        if array.size <= TABLE or here.recorder.table is None:
            return constant(array, dtype)
        return here.recorder.table(array, dtype)
    t = tensor_type(dtype, array.shape)
    if not share:
        return wrap((arrays.from_numpy(t, array), None))
    if array.dtype != dtype.numpy:
        raise TypeError(f"an array of {array.dtype} cannot be shared as {dtype.torch_name}")
    buffer = memory.from_numpy(array)
    out = wrap((arrays.from_buffer(t, buffer), None))
    if buffer.owner is not None:
        s = out._share()
        s.share(True)
        s.writable = buffer.writable
        out._generation = s.generation
    return out


def own_array(array: np.ndarray) -> Tensor:
    """A Tensor in the memory of a C-contiguous array that nobody else looks at; while something is traced, as `from_array`."""
    if here.recorder.level or here.recorder.tracing:
        return from_array(array)
    return wrap((arrays.from_buffer(tensor_type(by_numpy(array.dtype), array.shape), memory.adopted(array)), None))


def from_buffer(dtype: DType, shape: Shape, buffer: memory.Buffer) -> Tensor:
    """A Tensor whose values are in memory that nobody else has; while something is traced, as `from_array`."""
    if here.recorder.level or here.recorder.tracing:
        return from_array(buffer.array(dtype.numpy, shape), dtype)
    return wrap((arrays.from_buffer(tensor_type(dtype, shape), buffer), None))


def placed(t: Tensor, where: device) -> Tensor:
    """`t` on a device: itself where it is there already. What comes to "meta" has no history.

    NotImplementedError for a tensor of "meta" on another; RuntimeError where one of "meta" would be made while something is traced.
    """
    rec = here.recorder
    a = t._array
    if (a.source is arrays.META) is not (where is META):
        if where is not META:
            raise arrays.again(a.source)
        if rec.tracing:
            raise RuntimeError("a tensor of the device 'meta' cannot be made while a function is traced: make it outside")
        return wrap((arrays.meta(a.type.on(None)), None))
    index = where.index if where.type == "cuda" else None
    if a.type.device == index:
        if index is None:
            if not _for_user():
                if a.buffer is not None and a.value is None:
                    a.value = arrays.MADE
            elif a.source is rec:
                rec.asked_for.add(a.value)
        return t
    a, edge = t._pair()
    out = rec.moved(a, index)
    if edge is not None:
        edge = (Identity("ToCopyBackward0", edge, out.type), 0) if rec.grad_enabled else None
    return wrap((out, edge))


def _for_user() -> bool:
    """Whether a user has called the function that makes a tensor: that one stays where it is, others go where they are needed."""
    frame: Any = sys._getframe(2)
    while frame.f_code.co_filename.endswith(_MAKERS):
        frame = frame.f_back
    return not ours(frame.f_code.co_filename)


def stop_gradient(t: Tensor) -> Tensor:
    """The values of `t`, through which no derivative passes: in the graph of a composite they go through an integer type."""
    if t.dtype.kind == "c":
        return record(OPS["complex"], [stop_gradient(record(OPS[part], (t,))) for part in ("real", "imag")])
    if t.dtype.kind != "f":
        return t
    bits = record(OPS["bitcast"], (t,), (_BITS[t.dtype.bits],))
    return record(OPS["bitcast"], (bits,), (t.dtype,))


def cast(t: Tensor, dtype: DType) -> Tensor:
    """`t` in `dtype`: itself where it has that already."""
    return t if t._array.type.dtype is dtype else record(OPS["cast"], (t,), (dtype,))


def broadcast(t: Tensor, shape: Shape) -> Tensor:
    """`t` broadcast to `shape`: itself where it has that already. ShapeError where it does not fit."""
    shape = plain_dims(shape)
    if t._array.type.shape == shape:
        return t
    try:
        return record(OPS["broadcast"], (t,), (shape,))
    except ShapeError:
        raise ShapeError(f"output with shape {list(shape)} doesn't match the broadcast shape of {list(t.shape)}") from None


def make_view(t: Tensor, *movements: tuple[str, tuple]) -> Tensor:
    """A view of `t` by movement ops, such as `("transpose", ((1, 0),))`: it shares memory with `t`.

    The ops are reshape, transpose, slice and broadcast. A reshape must be one that strides can express: see `reshaped_view`.
    Without any, a view of all of `t`.
    """
    out = t
    movements = plain_dims(movements) or (("reshape", (t._array.type.shape,)),)
    for op, attrs in movements:
        found = _reshaped_there(out, attrs) if op == "reshape" else None
        out = record(OPS[op], (out,), attrs) if found is None else found
    return t._alias(tuple([Movement(op, attrs) for op, attrs in movements]), (out._array, out._edge))


def _reshaped_there(t: Tensor, attrs: tuple) -> Tensor | None:
    """A reshape of what is in memory that nobody else sees: the same memory, and nothing to run. None where that is not so."""
    rec = here.recorder
    if rec.tracing or rec.level:
        return None
    a, s = t._now(), t._storage
    if a.buffer is None or a.type.device is not None or t._edge is not None or (s is not None and s.exposed is not None):
        return None
    try:
        sig = signature(OPS["reshape"], attrs, (a,))
    except ShapeError:  # `record` says which line it is
        return None
    return wrap((Array(sig.out_types[0], a.buffer, None, None), None))  # type: ignore[no-any-return]


def reshaped_view(t: Tensor, shape: Shape) -> Tensor | None:
    """`t` as a view of another shape, or None where that needs a copy."""
    shape = plain_dims(shape)
    if t._array.type.shape == shape:
        return make_view(t)
    if t._storage is not None and t._layout().reshaped(shape) is None:
        return None
    return make_view(t, ("reshape", (shape,)))


def inplace(target: Tensor, value: Tensor, name: str = "CopySlices") -> Tensor:
    """Overwrite `target` with `value`, which has its shape and dtype. Views of the same memory see it. Returns `target`.

    RuntimeError for a leaf that requires gradients (or a view of one) while grad mode is on, for a view that was made while it was off
    and would get a history, and for an expanded view.
    """
    old: TensorType = target._array.type
    if value._array.type.device != old.device:
        value = placed(value, numbered(old.device))
    new = value._owned()
    if new[0].type is not old and new[0].type != old:
        if new[0].type.shape != old.shape:
            raise ShapeError(f"output with shape {list(old.shape)} doesn't match the broadcast shape {list(new[0].type.shape)}")
        raise RuntimeError(f"result type {new[0].type.dtype.torch_name} can't be cast to the desired output type {old.dtype.torch_name}")
    rec = here.recorder
    grad = rec.grad_enabled
    if (new[0].source is arrays.META) != (target._array.source is arrays.META):
        if new[0].source is arrays.META:
            raise arrays.again(arrays.META)
        new = arrays.meta(new[0].type), new[1]
    if grad:
        _check_leaf(target)
        _check_made(target, new[1])
        if target._slot is not None and target._present()._edge is not None:  # a gradient that is retained is that of what is written now
            return _retaining(target, value, name)
    t = target
    if rec.tracing:
        t = rec.stand_in(target)
        t._make_storage()  # so that the end of the trace finds what was written in one place
    s = t._storage
    if s is None:
        edge = t._edge
        if old.device is not None:
            new = rec.in_place(t._array, new[0]), new[1]
        if grad:
            t._array, t._edge = new[0], overwritten(name, new[1], edge, old)
        else:
            t._array = rec.with_history_of(new[0], t._array)
        cell = t._version_cell
        if cell is None:
            cell = t._version_cell = Version()
        cell.n += 1
        return target
    t._now()
    s.write(t._steps, new, grad)
    if rec.run_soon:
        rec.flush()
    return target


def _retaining(target: Tensor, value: Tensor, name: str) -> Tensor:
    """`inplace` for a tensor with a slot for its gradient, which goes along to the node that makes it from then on."""
    (node, index), slot = target._present()._edge, target._slot  # type: ignore[misc]
    target._slot = None
    try:
        inplace(target, value, name)
    finally:
        target._slot = slot
    edge = target._present()._edge
    if node.retained is not None and node.retained.get(index) is slot is not None and edge is not None and edge != (node, index):
        del node.retained[index]
        edge[0].retained = {**(edge[0].retained or {}), edge[1]: slot}
    return target


def _check_made(target: Tensor, edge: Edge | None) -> None:
    """RuntimeError for a view that was made without history, where the memory has one or gets one by what is written."""
    t = target._here()
    if t._storage is None:
        return
    blind, history = False, t._storage.edge
    for s in reversed(t._steps):
        if not isinstance(s, Movement):
            history = s.history if isinstance(s, Detach) else None
            break
        blind = blind or s.blind
    if blind and (edge is not None or history is not None):
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Make the view where gradients are "
            "enabled, or write to it under no_grad"
        )


def _check_leaf(target: Tensor) -> None:
    target = target._present()
    if target._edge is None:
        if target._storage is None:
            return
    elif isinstance(target._edge[0], Leaf):
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    found = False
    for s in reversed(target._steps):
        if isinstance(s, LeafStep):
            found = True
            break
        if not isinstance(s, Movement):
            break
    if found:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
