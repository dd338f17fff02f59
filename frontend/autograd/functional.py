"""Derivatives of functions: `vjp`, `jvp`, `jacobian`, `hessian`, `hvp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot._tensor.recording import record
from ingot.autograd.engine import grad
from ingot.grad_mode import enable_grad
from ingot.ir.op import OPS
from ingot.ir.types import TensorType, tensor_type
from ingot.runtime import tape

__all__ = ["vjp", "jvp", "jacobian", "hessian", "hvp", "vhp"]


def _prepare(inputs: Any, create_graph: bool) -> tuple[tuple, bool]:
    many = not isinstance(inputs, Tensor)
    ins = tuple(inputs) if many else (inputs,)
    for t in ins:
        if not isinstance(t, Tensor):
            raise TypeError(f"The inputs must be Tensors, got {type(t).__name__}")
    if create_graph:
        return tuple(t if t.requires_grad else t.detach().requires_grad_() for t in ins), many
    return tuple(t.detach().requires_grad_() for t in ins), many


def _call(func: Callable, ins: tuple) -> tuple[tuple, bool]:
    out = func(*ins)
    many = not isinstance(out, Tensor)
    outs = tuple(out) if many else (out,)
    for o in outs:
        if not isinstance(o, Tensor):
            raise TypeError(f"The outputs of the user-provided function must be Tensors, got {type(o).__name__}")
    return outs, many


def _zeros(t: Tensor) -> Tensor:
    return wrap(tape.zeros(t._array.type))


def _grads(outs: Any, ins: tuple, seeds: Any, create: bool) -> tuple[Tensor, ...]:
    pairs = [(o, s) for o, s in zip(outs, seeds) if o.requires_grad]
    if not pairs:
        return tuple(_zeros(i) for i in ins)
    found = grad([o for o, _ in pairs], ins, [s for _, s in pairs], create_graph=create, retain_graph=True, allow_unused=True)
    return tuple(_zeros(i) if g is None else g for g, i in zip(found, ins))


def _shape_like(values: tuple, many: bool) -> Any:
    return values if many else values[0]


def _final(t: Tensor, create_graph: bool) -> Tensor:
    return t if create_graph else t.detach()


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ J): `v` has the outputs' shapes, and may be None for an output of one element."""
    with enable_grad():
        ins, many_in = _prepare(inputs, create_graph)
        outs, many_out = _call(func, ins)
        seeds = _seeds(v, outs, "func's outputs")
        found = _grads(outs, ins, seeds, create_graph)
    return (
        _shape_like(tuple(_final(o, create_graph) for o in outs), many_out),
        _shape_like(tuple(_final(g, create_graph) for g in found), many_in),
    )


def _seeds(v: Any, like: tuple, what: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {what} hold a single element")
        return (wrap(tape.ones(like[0]._array.type)),)
    seeds = (v,) if isinstance(v, Tensor) else tuple(v)
    if len(seeds) != len(like) or any(tuple(s.shape) != tuple(t.shape) for s, t in zip(seeds, like)):
        raise RuntimeError(f"v must have the shapes of {what}")
    return seeds


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), J v): `v` has the inputs' shapes. By two reverse passes."""
    with enable_grad():
        ins, many_in = _prepare(inputs, create_graph)
        outs, many_out = _call(func, ins)
        tangents = _seeds(v, ins, "the inputs")
        dummies = tuple(_zeros(o).requires_grad_() for o in outs)
        back = _grads(outs, ins, dummies, True)
        found = _grads(back, dummies, tangents, create_graph)
    return (
        _shape_like(tuple(_final(o, create_graph) for o in outs), many_out),
        _shape_like(tuple(_final(g, create_graph) for g in found), many_out),
    )


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False, strategy: str = "reverse-mode"
) -> Any:
    """The Jacobian: for each output and input a tensor of shape output.shape + input.shape, nested as they are.

    >>> ingot.autograd.functional.jacobian(ingot.exp, ingot.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    with enable_grad():
        ins, many_in = _prepare(inputs, create_graph)
        outs, many_out = _call(func, ins)
        table = []
        for o in outs:
            rows: list[list[Tensor]] = [[] for _ in ins]
            flat = o.reshape(-1)
            for k in range(o.numel()):
                for column, g in zip(rows, _grads((flat[k],), ins, (None,), create_graph) if o.requires_grad else map(_zeros, ins)):
                    column.append(g)
            blocks = [_stacked(r, _product(o, i)) for r, i in zip(rows, ins)]
            table.append(_shape_like(tuple(_final(b, create_graph) for b in blocks), many_in))
    return _shape_like(tuple(table), many_out)


def _product(o: Tensor, i: Tensor) -> TensorType:
    return tensor_type(i.dtype, tuple(o.shape) + tuple(i.shape))


def _stacked(rows: list[Tensor], t: TensorType) -> Tensor:
    if not rows:
        return wrap(tape.zeros(t))
    return record(OPS["concatenate"], [r.reshape(-1) for r in rows], (0,)).reshape(t.shape)


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Hessian of a function of one number's output. RuntimeError if the output has more elements."""

    def first(*args: Tensor) -> Any:
        out = func(*args)
        if not isinstance(out, Tensor) or out.numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a single element")
        found = grad(out, args, create_graph=True, allow_unused=True, materialize_grads=True)
        return found[0] if isinstance(inputs, Tensor) else found

    return jacobian(first, inputs, create_graph)


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ H). RuntimeError unless the output has one element."""
    with enable_grad():
        ins, many = _prepare(inputs, create_graph)
        outs, many_out = _call(func, ins)
        if len(outs) != 1 or outs[0].numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to vhp should contain a single element")
        first = _grads(outs, ins, (None,), True)
        found = _grads(first, ins, _seeds(v, ins, "the inputs"), create_graph)
    values = tuple(_final(o, create_graph) for o in outs)
    return _shape_like(values, many_out), _shape_like(tuple(_final(g, create_graph) for g in found), many)


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), H v): the same as `vhp`, for the Hessian is symmetric."""
    return vhp(func, inputs, v, create_graph, strict)
