"""Activation checkpointing: what a function computes on the way is not kept for backward but computed again there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ingot import random
from ingot._tensor import Tensor
from ingot.autograd.function import Function
from ingot.capture import flatten, unflatten
from ingot.grad_mode import enable_grad, is_grad_enabled
from ingot.runtime.recorder import capturing

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable, *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True, **kwargs: Any
) -> Any:
    """`function(*args, **kwargs)`, of which backward keeps only the arguments: it calls the function again.

    With `preserve_rng_state` the second call draws the same random numbers. `use_reentrant` is accepted, both of its ways are this
    one. Inside a compiled function nothing is computed twice: the compiler plans the memory.

    >>> from ingot.utils.checkpoint import checkpoint
    >>> x = ingot.ones(3, requires_grad=True)
    >>> checkpoint(lambda x: ingot.exp(x).tanh(), x, use_reentrant=False).sum().backward()
    >>> x.grad.shape
    ingot.Size([3])
    """
    if not callable(function):
        raise TypeError(f"checkpoint expects a function, but got {type(function).__name__}")
    if capturing() or not is_grad_enabled():
        return function(*args, **kwargs)
    leaves: list[Any] = []
    structure = flatten((args, kwargs), leaves)
    inputs = [x for x in leaves if isinstance(x, Tensor)]
    state = random.default_generator.get_state() if preserve_rng_state else None

    def run(tensors: Sequence[Tensor]) -> tuple[Any, list[Any]]:
        given = iter(tensors)
        a, k = unflatten(structure, [next(given) if isinstance(x, Tensor) else x for x in leaves])
        flat: list[Any] = []
        with enable_grad():
            return flatten(function(*a, **k), flat), flat

    stand_ins = _stand_ins(inputs)
    shape, flat = run(stand_ins)
    outs = [x for x in flat if isinstance(x, Tensor)]
    captured = _leaves_below(outs, stand_ins)
    if not captured and not any(t.requires_grad for t in inputs):
        return unflatten(shape, flat)
    needs = [o.requires_grad for o in outs]
    values = [o.detach() for o in outs]
    fixed = [None if isinstance(x, Tensor) else x for x in flat]
    places = [i for i, x in enumerate(flat) if isinstance(x, Tensor)]
    del outs, flat  # and with them the graph, and what it keeps
    again = functools.partial(_again, run, state)
    for i, x in zip(places, _Recomputed.apply(again, values, needs, len(inputs), *inputs, *captured)):
        fixed[i] = x
    return unflatten(shape, fixed)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True
) -> Any:
    """The functions (or a Sequential's modules) one after another, in `segments` checkpoints; the last part is not one."""
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= len(steps):
        raise ValueError(f"checkpoint_sequential: segments is between 1 and the number of functions, {len(steps)}, not {segments}")
    size = len(steps) // segments

    def part(some: list) -> Callable:
        return lambda x: functools.reduce(lambda y, f: f(y), some, x)

    end = size * (segments - 1)
    for start in range(0, end, size):
        input = checkpoint(part(steps[start : start + size]), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state)
    return part(steps[end:])(input)


def _stand_ins(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [t.detach().requires_grad_() if t.requires_grad else t for t in inputs]


def _again(run: Callable, state: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    with random.fork_rng(enabled=state is not None):
        if state is not None:
            random.default_generator.set_state(state)
        return [x for x in run(tensors)[1] if isinstance(x, Tensor)]


def _leaves_below(outs: Sequence[Tensor], known: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that `outs` were made of, without `known`: parameters that the function reads by itself."""
    found: list[Tensor] = []
    seen = set()
    todo = [edge[0] for o in outs if (edge := o._pair()[1]) is not None]
    while todo:
        node: Any = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        leaf = getattr(node, "variable", None)
        if leaf is not None and not any(leaf is t for t in known):
            found.append(leaf)
        todo += [n for n, _ in node.next_functions]
    return found


class _Recomputed(Function):
    @staticmethod
    def forward(ctx: Any, again: Callable, values: list[Tensor], needs: list[bool], n: int, *tensors: Tensor) -> tuple:
        ctx.again, ctx.needs, ctx.n = again, needs, n
        ctx.save_for_backward(*tensors)
        ctx.mark_non_differentiable(*[v for v, need in zip(values, needs) if not need])
        ctx.set_materialize_grads(False)
        return tuple(values)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        import ingot

        tensors = ctx.saved_tensors
        create_graph = is_grad_enabled()
        inputs = list(tensors[: ctx.n]) if create_graph else _stand_ins(tensors[: ctx.n])
        outs = ctx.again(inputs)
        if len(outs) != len(grads):
            raise RuntimeError(f"checkpoint: the function gave {len(outs)} tensors when it was called again, and {len(grads)} before")
        pairs = [(o, g) for o, g in zip(outs, grads) if g is not None and o.requires_grad]
        wanted = [t for t in (*inputs, *tensors[ctx.n :])]
        which = [i for i, t in enumerate(wanted) if t.requires_grad]
        result: list[Any] = [None] * len(wanted)
        if pairs and which:
            found = ingot.autograd.grad(
                [o for o, _ in pairs], [wanted[i] for i in which], [g for _, g in pairs], create_graph=create_graph, allow_unused=True
            )
            for i, g in zip(which, found):
                result[i] = g
        return (None, None, None, None, *result)
