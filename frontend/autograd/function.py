"""Custom autograd: a `Function` says what is computed and how gradients go back.

    class Square(ingot.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    y = Square.apply(x)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot._tensor.recording import cast
from ingot.grad_mode import no_grad, set_grad_enabled
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError
from ingot.ir.types import broadcast_shapes
from ingot.runtime import tape
from ingot.runtime.recorder import here, user_location
from ingot.runtime.tape import RELEASED, Node, Packed, Pair, Refusing, Version, check_versions, saving

__all__ = ["Function", "FunctionCtx", "FunctionMeta", "InplaceFunction", "applied", "on_tape", "once_differentiable", "run_forward"]


class FunctionCtx:
    """What `forward` hands to `backward`: saved tensors, and any attributes."""

    def __init__(self) -> None:
        self._to_save: tuple = ()
        self._saved: list | None = None
        self._non_differentiable: tuple = ()
        self._dirty: tuple = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (or None) for `backward`, where `saved_tensors` gives them back. In-place changes to them are noticed."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument is of type {type(t).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (or None) for `jvp`, where `saved_tensors` gives them back; what `save_for_backward` keeps is there as well."""
        if not self._to_save:
            self.save_for_backward(*tensors)

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` kept. RuntimeError after the graph was freed, or if one was changed in place."""
        if self._saved is None:
            raise RuntimeError(RELEASED)
        out: list[Any] = []
        for s in self._saved:
            if s is None:
                out.append(None)
            elif isinstance(s, Tensor):
                out.append(s)
            else:
                value, edge, version, n = s
                check_versions("a custom Function", ((version, n, value.type),) if version is not None else ())
                out.append(wrap((value.array() if isinstance(value, Packed) else value, edge)))
        return tuple(out)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that need no gradient."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that `forward` changes in place and returns."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (True, the default) or None for outputs that nothing used."""
        self._materialize = bool(value)


class _FunctionNode(Node):
    """The tape's node of one `apply`."""

    __slots__ = ("cls", "ctx", "which")

    def __init__(self, cls: Any, ctx: FunctionCtx, edges: tuple, which: tuple[int, ...], out_types: tuple, loc: Any):
        super().__init__(edges, out_types, loc)
        self.cls = cls
        self.ctx = ctx
        self.which = which  # positions of the Tensor arguments

    def name(self) -> str:
        return f"{self.cls.__name__}Backward"

    def saves(self) -> bool:
        return bool(self.ctx._saved)

    def release(self) -> None:
        if self.ctx._saved:
            self.ctx._saved = None

    def released(self) -> bool:
        return self.ctx._saved is None

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        ctx = self.ctx
        if ctx._materialize:
            grads = [tape.zeros(t) if g is None and t.dtype.kind in "fc" else g for g, t in zip(grads, self.out_types)]
        given = [None if g is None else wrap(g) for g in grads]
        with set_grad_enabled(create_graph):
            result = self.cls.backward(ctx, *given)
        result = result if isinstance(result, tuple) else (result,)
        n = len(ctx.needs_input_grad)
        if len(result) > n and all(r is None for r in result[n:]):
            result = result[:n]
        if len(result) != n:
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients (expected {n}, got {len(result)})")
        out: list[Pair | None] = []
        for k, i in enumerate(self.which):
            g = result[i]
            if g is None or self.edges[k] is None:
                out.append(None)
                continue
            if not isinstance(g, Tensor):
                raise TypeError(f"function {self.name()} returned a gradient of type {type(g).__name__} for input {i}; expected a Tensor")
            out.append(_fit(g, self.edges[k], f"function {self.name()} returned an invalid gradient at index {i}"))
        return out


def _fit(g: Tensor, edge: Any, what: str) -> Pair:
    """A gradient in the type that the edge expects: summed over what broadcasting added, cast where the dtype differs."""
    t = edge[0].out_types[edge[1]]
    if g._array.type.shape != t.shape:
        try:
            fits = broadcast_shapes(t.shape, g._array.type.shape) == g._array.type.shape
        except ShapeError:
            fits = False
        if not fits:
            raise RuntimeError(f"{what} - got {list(g.shape)} but expected shape compatible with {list(t.shape)}")
        extra = g.ndim - len(t.shape)
        axes = tuple(range(extra)) + tuple(i + extra for i, d in enumerate(t.shape) if d == 1 and g.shape[i + extra] != 1)
        p = tape.emit(OPS["reduce_sum"], (g._pair(),), (axes,))[0]
        g = wrap(tape.emit(OPS["reshape"], (p,), (t.shape,))[0])
    return cast(g, t.dtype)._owned()


class Function:
    """Base class of custom operations: `forward(ctx, *args)` and `backward(ctx, *grads)` as static methods, used by `apply`.

    With a static `setup_context(ctx, inputs, output)`, `forward` takes no ctx.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """What is computed."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments, in order; None for those that have none."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function to use it.")

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The tangents of the results, from those of the arguments: for forward mode. Without it they follow from `backward`."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        """(results, their batch dims) for batches: `info.batch_size` samples; in_dims says which arguments have a batch dim, the first.

        Without it `forward`, `backward` and `jvp` themselves run on batches, as with `generate_vmap_rule = True`.
        """
        raise NotImplementedError("You must implement the vmap function for custom autograd.Function to use it.")

    setup_context: Any = None
    generate_vmap_rule = False

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Compute `forward` on `args`, and put `backward` on the tape if one of them requires gradients."""
        return applied(cls, args, kwargs)[0]


def applied(cls: Any, args: tuple, kwargs: dict) -> tuple[Any, FunctionCtx, tuple]:
    """What `cls.apply` gives, its ctx, and the tensors that this has saved as they were given."""
    rec = here.recorder
    if rec.apply_function is not None:
        return rec.apply_function(cls, args, kwargs)
    result, ctx = run_forward(cls, args, kwargs)
    saved = ctx._to_save
    return on_tape(cls, ctx, args, result), ctx, saved


def run_forward(cls: Any, args: tuple, kwargs: dict) -> tuple[Any, FunctionCtx]:
    """What `forward` gives, without the tape, and the ctx."""
    ctx = FunctionCtx()
    ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
    with no_grad():
        if cls.setup_context is None:
            return cls.forward(ctx, *args, **kwargs), ctx
        result = cls.forward(*args, **kwargs)
        cls.setup_context(ctx, args, result)
    return result, ctx


def on_tape(cls: Any, ctx: FunctionCtx, args: tuple, result: Any) -> Any:
    """`result` with the node of this application, if an argument requires gradients."""
    which = tuple(i for i, a in enumerate(args) if isinstance(a, Tensor))
    edges = tuple(args[i]._pair()[1] for i in which)
    outs = result if isinstance(result, tuple) else (result,)
    if not (here.recorder.grad_enabled and any(e is not None for e in edges)):
        ctx._saved = list(ctx._to_save)
        return result
    tensors = [t for t in outs if isinstance(t, Tensor)]
    node = _FunctionNode(cls, ctx, edges, which, tuple(t._array.type for t in tensors), user_location())
    final, slots = [], 0
    made: dict[int, Pair] = {}
    for t in outs:
        if not isinstance(t, Tensor):
            final.append(t)
            continue
        i, slots = slots, slots + 1
        quiet = t.dtype.kind not in "fc" or any(t is m for m in ctx._non_differentiable)
        edge = None if quiet else (node, i)
        made[id(t)] = (t._owned()[0], edge)
        if any(t is d for d in ctx._dirty):
            inner = t._here()
            inner._storage.write(inner._steps, made[id(t)], True) if inner._storage is not None else _rebase(inner, edge)
            final.append(t)
        else:
            final.append(wrap(made[id(t)]))
    ctx._saved = [_save(t, made) for t in ctx._to_save]
    ctx._to_save = ctx._non_differentiable = ctx._dirty = ()
    return tuple(final) if isinstance(result, tuple) else final[0]


def _rebase(t: Tensor, edge: Any) -> None:
    if t.requires_grad and t.is_leaf:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    t._edge = edge


def _save(t: Tensor | None, made: dict[int, Pair]) -> Any:
    """What is kept of a saved tensor: never the Tensor itself, which may hold the node that keeps it."""
    if t is None:
        return None
    if id(t) in made:
        value, edge = made[id(t)]
    else:
        t = t._present()
        value, edge = t._array, t._edge
    kept = Packed(value, saving.hooks[-1]) if saving.hooks else value
    if not saving.checked:
        return kept, edge, None, 0
    if t._version_cell is None:
        t._version_cell = Version()
    return kept, edge, t._version_cell, t._version_cell.n


class InplaceFunction(Function):
    """`Function`, by a name of older code, whose subclasses take `inplace` as they like.

    >>> issubclass(ingot.autograd.function.InplaceFunction, ingot.autograd.Function)
    True
    """

    def __init__(self, inplace: bool = False):
        self.inplace = inplace


FunctionMeta = type(Function)


def once_differentiable(fn: Callable) -> Callable:
    """For a `backward` that cannot itself be differentiated: differentiating it is then an error."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            result = fn(ctx, *grads)
        needs = here.recorder.grad_enabled and any(isinstance(g, Tensor) and g.requires_grad for g in grads)
        if not needs:
            return result
        outs = result if isinstance(result, tuple) else (result,)
        marked = tuple(_once(o, grads) if isinstance(o, Tensor) and o.dtype.kind in "fc" else o for o in outs)
        return marked if isinstance(result, tuple) else marked[0]

    return wrapper


def _once(t: Tensor, grads: Sequence[Any]) -> Tensor:
    edges = tuple(g._pair()[1] for g in grads if isinstance(g, Tensor))
    why = "trying to differentiate twice a function that was marked with @once_differentiable"
    return wrap((t._owned()[0], (Refusing("NotDifferentiable", why, edges, (t._array.type,)), 0)))
