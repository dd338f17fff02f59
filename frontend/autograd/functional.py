"""Derivatives of functions at a point: `vjp`, `jvp`, `jacobian`, `hessian`, `hvp`, `vhp`. `ingot.func` has them as functions of functions.

All take `create_graph`: the results can be differentiated further; and `strict`: RuntimeError where a result does not depend on an
input, rather than zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot._tensor.recording import record
from ingot.autograd.engine import grad
from ingot.grad_mode import enable_grad
from ingot.ir.op import OPS
from ingot.ir.types import TensorType, tensor_type
from ingot.runtime import tape

__all__ = ["vjp", "jvp", "jacobian", "hessian", "hvp", "vhp"]

_NOT_STRICT = "This is not allowed in strict mode."
_OUTPUT = "The output of the user-provided function"
_JACOBIAN = "The jacobian of the user-provided function"
_STRATEGIES = ("reverse-mode", "forward-mode")


def _prepare(inputs: Any, create_graph: bool) -> tuple[tuple, bool]:
    """Inputs that have gradients of their own; whether there were several."""
    many = not isinstance(inputs, Tensor)
    ins = tuple(inputs) if many else (inputs,)
    for t in ins:
        if not isinstance(t, Tensor):
            raise TypeError(f"The inputs must be Tensors, got {type(t).__name__}")
    if create_graph:
        return tuple(t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in ins), many
    return tuple(t.detach().requires_grad_() for t in ins), many


def _call(func: Callable, ins: tuple, strict: bool = False) -> tuple[tuple, bool]:
    out = func(*ins)
    many = not isinstance(out, Tensor)
    outs = tuple(out) if many else (out,)
    for i, o in enumerate(outs):
        if not isinstance(o, Tensor):
            raise TypeError(f"The outputs of the user-provided function must be Tensors, got {type(o).__name__}")
        if strict and not o.requires_grad:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The outputs must be computed in a differentiable "
                "manner from the input when running in strict mode."
            )
    return outs, many


def _one(name: str, outs: tuple, many: bool) -> Tensor:
    """The output of a function whose second derivatives are asked for. RuntimeError unless it is a tensor of one element."""
    if many or outs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
    return outs[0]


def _zeros(t: Tensor) -> Tensor:
    return wrap(tape.zeros(t._array.type))


def _grads(outs: Sequence[Tensor], ins: tuple, seeds: Any, create: bool, strict: str | None = None) -> tuple[Tensor, ...]:
    """The gradients, zeros where there are none. strict: what is independent of an input then, for the error."""
    pairs = [(o, s) for o, s in zip(outs, seeds) if o.requires_grad]
    found: Sequence[Tensor | None] = (None,) * len(ins)
    if pairs:
        found = grad([o for o, _ in pairs], ins, [s for _, s in pairs], create_graph=create, retain_graph=True, allow_unused=True)
    if strict is not None:
        for i, g in enumerate(found):
            if g is None:
                raise RuntimeError(f"{strict} is independent of input {i}. {_NOT_STRICT}")
    return tuple(_zeros(i) if g is None else g for g, i in zip(found, ins))


def _like(values: Sequence[Tensor], many: bool, create_graph: bool) -> Any:
    """As the caller has inputs or outputs: several, or one."""
    made = tuple(values) if create_graph else tuple(t.detach() for t in values)
    return made if many else made[0]


def _seeds(v: Any, like: tuple, what: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {what} hold a single element")
        return (wrap(tape.ones(like[0]._array.type)),)
    seeds = (v,) if isinstance(v, Tensor) else tuple(v)
    if len(seeds) != len(like) or any(tuple(s.shape) != tuple(t.shape) for s, t in zip(seeds, like)):
        raise RuntimeError(f"v must have the shapes of {what}")
    return seeds


def _depends(values: tuple[Tensor, ...], what: str, strict: bool) -> None:
    """RuntimeError in strict mode where one of the values cannot be differentiated further."""
    for i, t in enumerate(values):
        if strict and not t.requires_grad:
            raise RuntimeError(f"{what} {i} is independent of the inputs of the user-provided function. {_NOT_STRICT}")


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ J): `v` has the outputs' shapes, and may be None for an output of one element.

    >>> ingot.autograd.functional.vjp(ingot.exp, ingot.zeros(2), ingot.tensor([1.0, 2.0]))[1]
    tensor([1., 2.])
    """
    with enable_grad():
        ins, many_in = _prepare(inputs, create_graph)
        outs, many_out = _call(func, ins, strict)
        found = _grads(outs, ins, _seeds(v, outs, "func's outputs"), create_graph, _OUTPUT if strict else None)
    return _like(outs, many_out, create_graph), _like(found, many_in, create_graph)


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), J v): `v` has the inputs' shapes. By two reverse passes; `ingot.func.jvp` needs one, forwards.

    >>> ingot.autograd.functional.jvp(ingot.exp, ingot.zeros(2), ingot.tensor([1.0, 2.0]))[1]
    tensor([1., 2.])
    """
    with enable_grad():
        ins, many_in = _prepare(inputs, create_graph)
        outs, many_out = _call(func, ins, strict)
        tangents = _seeds(v, ins, "the inputs")
        dummies = tuple(_zeros(o).requires_grad_() for o in outs)
        back = _grads(outs, ins, dummies, True, _OUTPUT if strict else None)
        _depends(back, "The gradient with respect to input", strict)
        found = _grads(back, dummies, tangents, create_graph)
    return _like(outs, many_out, create_graph), _like(found, many_out, create_graph)


def _need_strategy(name: str, given: str, vectorize: bool, strict: bool) -> None:
    if given not in _STRATEGIES:
        raise AssertionError(f"{name}: expected the strategy to be 'forward-mode' or 'reverse-mode', got {given!r}")
    if given == "forward-mode" and not vectorize:
        raise NotImplementedError(f"{name}: the strategy 'forward-mode' is only supported when vectorize=True")
    if strict and vectorize:
        raise RuntimeError(f"{name}: strict=True and vectorize=True are not supported together")


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False, strategy: str = "reverse-mode"
) -> Any:
    """The Jacobian: for each output and input a tensor of shape output.shape + input.shape, nested as they are.

    vectorize: all rows at once, by `vmap`, rather than one after the other; with strategy="forward-mode" all columns.

    >>> ingot.autograd.functional.jacobian(ingot.exp, ingot.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    _need_strategy("jacobian", strategy, vectorize, strict)
    with enable_grad():
        ins, many_in = _prepare(inputs, create_graph)
        table, many_out = (_at_once(func, ins, strategy) if vectorize else _row_by_row(func, ins, create_graph, strict))
        made = tuple(_like(row, many_in, create_graph) for row in table)
    return made if many_out else made[0]


def _at_once(func: Callable, ins: tuple, strategy: str) -> tuple[Sequence[Sequence[Tensor]], bool]:
    from ingot.func import jacfwd, jacrev

    many: list[bool] = []

    def outputs(*args: Tensor) -> tuple:
        outs, several = _call(func, args)
        many.append(several)
        return outs

    made = (jacfwd if strategy == "forward-mode" else jacrev)(outputs, tuple(range(len(ins))))(*ins)
    return made, many[0]


def _row_by_row(func: Callable, ins: tuple, create_graph: bool, strict: bool) -> tuple[Sequence[Sequence[Tensor]], bool]:
    outs, many = _call(func, ins, strict)
    table = []
    for k, o in enumerate(outs):
        rows: list[list[Tensor]] = [[] for _ in ins]
        flat = o.reshape(-1)
        for j in range(o.numel()):
            found = _grads((flat[j],), ins, (None,), create_graph, f"Output {k} of the user-provided function" if strict else None)
            if create_graph:
                _depends(found, f"The jacobian of output {k} by input", strict)
            for column, g in zip(rows, found):
                column.append(g)
        table.append([_stacked(r, tensor_type(i.dtype, (*o.shape, *i.shape))) for r, i in zip(rows, ins)])
    return table, many


def _stacked(rows: list[Tensor], t: TensorType) -> Tensor:
    if not rows:
        return wrap(tape.zeros(t))
    return record(OPS["concatenate"], [r.reshape(-1) for r in rows], (0,)).reshape(t.shape)


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Hessian of a function of one number's output: for each pair of inputs a tensor of both shapes, one behind the other.

    vectorize, outer_jacobian_strategy: those of `jacobian`, for the outer derivative. RuntimeError if the output has more elements.

    >>> ingot.autograd.functional.hessian(lambda x: (x**3).sum(), ingot.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    _need_strategy("hessian", outer_jacobian_strategy, vectorize, strict)

    def first(*args: Tensor) -> Any:
        args = args if all(t.requires_grad for t in args) else tuple(t.detach().requires_grad_() for t in args)
        outs, many = _call(func, args, strict)
        found = _grads((_one("hessian", outs, many),), args, (None,), True, _OUTPUT if strict else None)
        _depends(found, "The gradient with respect to input", strict)
        return found if not isinstance(inputs, Tensor) else found[0]

    if vectorize and outer_jacobian_strategy == "forward-mode":
        return _by_transforms(func, inputs, create_graph)
    return jacobian(first, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _by_transforms(func: Callable, inputs: Any, create_graph: bool) -> Any:
    """Columns of the Hessian at once: tangents through the gradient."""
    from ingot.func import hessian

    with enable_grad():
        ins, many = _prepare(inputs, create_graph)
        table = hessian(lambda *args: _one("hessian", *_call(func, args)).reshape(()), tuple(range(len(ins))))(*ins)
        made = tuple(_like(row, many, create_graph) for row in table)
    return made if many else made[0]


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ H). RuntimeError unless the output has one element.

    >>> ingot.autograd.functional.vhp(lambda x: (x**3).sum(), ingot.tensor([1.0, 2.0]), ingot.tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    return _second("vhp", func, inputs, v, create_graph, strict)


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), H v): the same as `vhp`, for the Hessian is symmetric."""
    return _second("hvp", func, inputs, v, create_graph, strict)


def _second(name: str, func: Callable, inputs: Any, v: Any, create_graph: bool, strict: bool) -> tuple[Any, Any]:
    with enable_grad():
        ins, many = _prepare(inputs, create_graph)
        outs, many_out = _call(func, ins, strict)
        _one(name, outs, many_out)
        first = _grads(outs, ins, (None,), True, _OUTPUT if strict else None)
        _depends(first, "The gradient with respect to input", strict)
        found = _grads(first, ins, _seeds(v, ins, "the inputs"), create_graph, _JACOBIAN if strict else None)
    return _like(outs, many_out, create_graph), _like(found, many, create_graph)
