"""Custom Functions inside levels: by their own rules, or by those that follow from running them inside."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ingot._tensor import Tensor, wrap
from ingot.autograd.function import Function, FunctionCtx, applied, on_tape, run_forward
from ingot.func.pulling import Pulled
from ingot.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from ingot.runtime import tape

__all__ = ["VmapInfo", "apply_batched", "apply_dual"]


class VmapInfo(NamedTuple):
    """What a Function's `vmap` is told."""

    batch_size: Any
    randomness: str


def _has(cls: Any, rule: str) -> bool:
    return getattr(cls, rule) is not getattr(Function, rule)


def _tuple(x: Any) -> tuple:
    return x if isinstance(x, tuple) else (x,)


def _mapped(tree: Any, f: Callable[[Tensor], Any]) -> Any:
    """A Function's result with `f` of its tensors."""
    if isinstance(tree, tuple):
        return tuple(f(x) if isinstance(x, Tensor) else x for x in tree)
    return f(tree) if isinstance(tree, Tensor) else tree


def _matched(tensors: Sequence[Any], *pairs: tuple[Sequence[Any], Sequence[Any]], others: Sequence[Any]) -> tuple:
    """For each of `tensors` what stands beside it in one of the pairs of lists, or else what stands at its place in `others`."""
    table = {id(o): n for old, new in pairs for o, n in zip(old, new) if isinstance(o, Tensor)}
    return tuple(table.get(id(t), o) for t, o in zip(tensors, others))


# ---- batches


def apply_batched(level: Any, cls: Any, args: tuple, kwargs: dict) -> tuple[Any, FunctionCtx, tuple]:
    """Apply `cls` inside `vmap`."""
    if _has(cls, "vmap"):
        return _by_vmap_rule(level, cls, args, kwargs)
    arrays = [level.lift(a._pair())[0] if isinstance(a, Tensor) else None for a in args]
    call = _BatchedCall(level, cls, kwargs, [a is not None and a.value[1] for a in arrays])
    given = [a if x is None else wrap(x.value[0]) for a, x in zip(args, arrays)]
    with level.left():
        outs, ctx, saved = applied(_Batched, (call, *given), {})
    made = [_inside(level, o, b) for o, b in zip(outs, call.flags)]
    left = iter(made)
    result = _mapped(call.result, lambda t: next(left))
    kept = [_inside(level, t, b) for t, b in zip(saved, call.saved_flags)]
    inner = call.restored(_matched(saved, (given, args), (outs, made), others=kept))
    inner.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
    inner._to_save = to_save = tuple(inner._saved or ())
    inner._saved = None
    inner._non_differentiable = tuple(m for m, q in zip(made, call.quiet) if q)
    return on_tape(cls, inner, args, result), inner, to_save


def _inside(level: Any, t: Any, batched: bool) -> Any:
    """A tensor outside as one of the level, without a history there."""
    if not isinstance(t, Tensor):
        return t
    with level.left():
        pair = t._owned()
    return wrap((level.samples(pair) if batched else level.constant(pair), None))


class _BatchedCall:
    """One application to batches. Each of its parts runs in a level of its own, inside whatever is the recorder then."""

    def __init__(self, level: Any, cls: Any, kwargs: dict, batched: list[bool]):
        self.make = type(level), level.size, level.randomness
        self.cls = cls
        self.kwargs = kwargs
        self.batched = batched  # for each argument
        self.result: Any = None
        self.flags: list[bool] = []  # for each tensor of the result
        self.quiet: list[bool] = []  # those that are not differentiable
        self.ctx = FunctionCtx()
        self.saved_flags: list[bool] = []
        self.n_saved = 0
        self.attributes: list[str] = []  # of ctx, that are tensors: saved behind the others

    def level(self) -> Any:
        kind, size, randomness = self.make
        return kind(size, randomness)

    def restored(self, saved: Sequence[Any]) -> FunctionCtx:
        """The ctx, with these tensors for the saved ones."""
        made = copy.copy(self.ctx)
        made._saved = list(saved[: self.n_saved])
        for name, t in zip(self.attributes, saved[self.n_saved :]):
            setattr(made, name, t)
        return made


def _outside(level: Any, x: Tensor, batched: bool) -> Tensor:
    """A tensor of the level outside: with the batch dim, or summed over the samples."""
    if batched:
        return level.whole(x)
    with level.entered():
        pair, differs = level.lift(x._pair())[0].value
    with level.left():
        return wrap(pair).sum(0) if differs else wrap(pair)


class _Batched(Function):
    """A Function on batches: what it does for a sample, in a level."""

    @staticmethod
    def forward(ctx: Any, call: _BatchedCall, *args: Any) -> tuple:
        level = call.level()
        with level.entered(), no_grad():
            given = [_inside(level, x, b) for x, b in zip(args, call.batched)]
            call.result, call.ctx = run_forward(call.cls, tuple(given), call.kwargs)
            if call.ctx._dirty:
                raise RuntimeError(f"{call.cls.__name__}: a custom Function that changes its arguments (mark_dirty) cannot run inside vmap")
            results = [t for t in _tuple(call.result) if isinstance(t, Tensor)]
            call.attributes = [k for k, v in vars(call.ctx).items() if isinstance(v, Tensor)]
            saved = [*call.ctx._to_save, *(getattr(call.ctx, k) for k in call.attributes)]
            call.n_saved = len(call.ctx._to_save)
            made = [level.lift(t._pair())[0] for t in results]
            kept = [None if t is None else level.lift(t._pair())[0] for t in saved]
        call.flags = [a.value[1] for a in made]
        call.quiet = [_known(t, call.ctx._non_differentiable) for t in results]
        call.saved_flags = [a is not None and a.value[1] for a in kept]
        outs = [wrap((a.value[0][0], None)) for a in made]
        plain = [None if a is None else wrap((a.value[0][0], None)) for a in kept]
        ctx.call = call
        ctx.save_for_backward(*_matched(saved, (given, args), (results, outs), others=plain))
        ctx.mark_non_differentiable(*[o for o, q in zip(outs, call.quiet) if q])
        ctx.set_materialize_grads(call.ctx._materialize)
        call.ctx._to_save = call.ctx._non_differentiable = ()
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        call, on, level = ctx.call, is_grad_enabled(), ctx.call.level()
        with level.entered(), set_grad_enabled(on):
            inner = call.restored([_inside(level, t, b) for t, b in zip(ctx.saved_tensors, call.saved_flags)])
            inner.needs_input_grad = ctx.needs_input_grad[1:]
            found = _tuple(call.cls.backward(inner, *[_inside(level, g, b) for g, b in zip(grads, call.flags)]))
            return (None, *(g if g is None else _outside(level, g, b) for g, b in zip(found, call.batched)))

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Any) -> tuple:
        call, level = ctx.call, ctx.call.level()
        with level.entered():
            inner = call.restored([_inside(level, t, b) for t, b in zip(ctx.saved_tensors, call.saved_flags)])
            given = [_inside(level, t, b) for t, b in zip(tangents, call.batched)]
            made = _tuple(_pushed(call.cls, inner, given, _tuple(call.result)))
            return tuple(None if t is None else _outside(level, t, b) for t, b in zip(made, call.flags))


def _known(t: Any, *groups: Sequence[Any]) -> bool:
    return any(t is x for group in groups for x in group)


def _by_vmap_rule(level: Any, cls: Any, args: tuple, kwargs: dict) -> tuple[Any, FunctionCtx, tuple]:
    arrays = [level.lift(a._pair())[0] if isinstance(a, Tensor) else None for a in args]
    given = [a if x is None else wrap(x.value[0]) for a, x in zip(args, arrays)]
    in_dims = tuple(0 if x is not None and x.value[1] else None for x in arrays)
    with level.left():
        made = cls.vmap(VmapInfo(level.size, level.randomness), in_dims, *given, **kwargs)
        if not (isinstance(made, tuple) and len(made) == 2):
            raise RuntimeError(f"{cls.__name__}.vmap: expected (outputs, out_dims), got {type(made).__name__}")
        outs, dims = made
        many = _tuple(outs)
        dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,) * len(many)
        if len(dims) != len(many):
            raise RuntimeError(f"{cls.__name__}.vmap: {len(many)} outputs and {len(dims)} out_dims")
        pairs = [(o if d is None or d == 0 else o.movedim(d, 0))._owned() if isinstance(o, Tensor) else o for o, d in zip(many, dims)]
    made = tuple(
        wrap((level.constant(p) if d is None else level.samples(p), None)) if isinstance(o, Tensor) else o
        for o, p, d in zip(many, pairs, dims)
    )
    result = made if isinstance(outs, tuple) else made[0]
    ctx = FunctionCtx()
    ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
    if cls.setup_context is not None:
        with no_grad():
            cls.setup_context(ctx, args, result)
    elif any(ctx.needs_input_grad) and is_grad_enabled():
        raise RuntimeError(
            f"{cls.__name__}: to be differentiated inside vmap by its own vmap rule, a custom Function needs setup_context, and a forward "
            "without ctx"
        )
    saved = ctx._to_save
    return on_tape(cls, ctx, args, result), ctx, saved


# ---- tangents


def apply_dual(level: Any, cls: Any, args: tuple, kwargs: dict) -> tuple[Any, FunctionCtx, tuple]:
    """Apply `cls` inside `jvp`."""
    arrays = [level.lift(a._pair())[0] if isinstance(a, Tensor) else None for a in args]
    given = tuple(a if x is None else wrap(x.value[0]) for a, x in zip(args, arrays))
    tangents = [None if x is None or x.value[1] is None else wrap(x.value[1]) for x in arrays]
    with level.left():
        outer, ctx, outer_saved = applied(cls, given, kwargs)
        pushed: list[Any] = [None] * len(_tuple(outer))
        if any(t is not None for t in tangents):
            if ctx._materialize:
                tangents = [
                    wrap(tape.zeros(a._array.type)) if t is None and isinstance(a, Tensor) and a.dtype.kind in "fc" else t
                    for a, t in zip(given, tangents)
                ]
            pushed = list(_tuple(_pushed(cls, ctx, tangents, _tuple(outer))))
        if len(pushed) != len(_tuple(outer)):
            raise RuntimeError(f"{cls.__name__}.jvp: {len(_tuple(outer))} tangents expected, got {len(pushed)}")
        pairs = [
            (o._owned(), None if way is None else way._owned()) if isinstance(o, Tensor) else None for o, way in zip(_tuple(outer), pushed)
        ]
    made = tuple(o if pair is None else wrap((level.array(*pair), None)) for o, pair in zip(_tuple(outer), pairs))
    result = made if isinstance(outer, tuple) else made[0]
    if ctx._dirty:
        raise RuntimeError(f"{cls.__name__}: a custom Function that changes its arguments (mark_dirty) cannot run inside jvp")
    inner = copy.copy(ctx)
    inner._to_save = saved = _matched(outer_saved, (given, args), (_tuple(outer), made), others=outer_saved)
    inner._non_differentiable = _matched(ctx._non_differentiable, (_tuple(outer), made), others=ctx._non_differentiable)
    return on_tape(cls, inner, args, result), inner, saved


def _pushed(cls: Any, ctx: Any, tangents: Sequence[Any], outs: tuple) -> Any:
    """The tangents of the results: by the Function's jvp, or else by the derivative of its backward, which is linear."""
    if _has(cls, "jvp"):
        return cls.jvp(ctx, *tangents)
    which = [i for i, o in enumerate(outs) if isinstance(o, Tensor) and o.dtype.kind in "fc"]

    def back(*cotangents: Tensor) -> tuple:
        given: list[Any] = [None] * sum(isinstance(o, Tensor) for o in outs)
        for i, c in zip(which, cotangents):
            given[sum(isinstance(o, Tensor) for o in outs[:i])] = c
        found = _tuple(cls.backward(ctx, *given))
        return tuple(g for g, t in zip(found, tangents) if g is not None and t is not None)

    with enable_grad():
        transposed = Pulled(f"{cls.__name__}.jvp", back, tuple(wrap(tape.zeros(outs[i]._array.type)) for i in which), range(len(which)))
    found = _tuple(cls.backward(ctx, *[wrap(tape.zeros(o._array.type)) if isinstance(o, Tensor) else None for o in outs]))
    ways = [t for g, t in zip(found, tangents) if g is not None and t is not None]
    made: list[Any] = [None] * len(outs)
    for i, t in zip(which, transposed.back(ways)):
        made[i] = t
    return tuple(made)
