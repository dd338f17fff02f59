"""Activation checkpointing: what a function computes on the way is not kept for backward but computed again there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ingot import random
from ingot._tensor import Tensor
from ingot.autograd.function import Function
from ingot.capture import flatten, unflatten
from ingot.grad_mode import enable_grad, is_grad_enabled
from ingot.runtime.recorder import capturing, here
from ingot.utils.selective import (
    CheckpointError,
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

__all__ = [
    "CheckpointError", "CheckpointPolicy", "SelectiveCheckpointContext", "checkpoint", "checkpoint_sequential",
    "create_selective_checkpoint_contexts", "noop_context_fn", "set_checkpoint_debug_enabled", "set_checkpoint_early_stop",
]  # fmt: skip

_CHECKS = ("default", "none")


def noop_context_fn() -> tuple[AbstractContextManager, AbstractContextManager]:
    """The context_fn that does nothing."""
    return nullcontext(), nullcontext()


class _Flag:
    """A setting that a block changes."""

    def __init__(self, name: str):
        self.name = name
        self.value: bool | None = None

    def __call__(self, enable: bool | None) -> AbstractContextManager:
        """A block in which the setting is `enable`, whatever the calls of `checkpoint` in it say; None: what they say."""
        return self._set(enable)

    @contextmanager
    def _set(self, enable: bool | None) -> Iterator[None]:
        before, self.value = self.value, enable
        try:
            yield
        finally:
            self.value = before


set_checkpoint_early_stop = _Flag("early_stop")  # nothing that backward does not need is computed in any case
set_checkpoint_debug_enabled = _Flag("debug")


def checkpoint(
    function: Callable, *args: Any, use_reentrant: bool | None = None, context_fn: Callable[[], tuple] = noop_context_fn,
    determinism_check: str = "default", debug: bool = False, early_stop: bool = True, preserve_rng_state: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """`function(*args, **kwargs)`, of which backward keeps only the arguments: it calls the function again.

    use_reentrant       accepted; both of its ways are this one. context_fn and debug need it to be False or None (ValueError)
    context_fn          gives two blocks, for the first run and for that in backward: see `create_selective_checkpoint_contexts`
    determinism_check   "default": CheckpointError where the second run records other operations, or other shapes or dtypes; "none"
    debug               that error lists the operations of both runs
    early_stop          accepted: of the second run, only what backward needs is computed
    preserve_rng_state  the second run draws the same random numbers

    Autocast is in backward as it was. Inside a compiled function nothing is computed twice: the compiler plans the memory.

    >>> from ingot.utils.checkpoint import checkpoint
    >>> x = ingot.ones(3, requires_grad=True)
    >>> checkpoint(lambda x: ingot.exp(x).tanh(), x, use_reentrant=False).sum().backward()
    >>> x.grad.shape
    ingot.Size([3])
    """
    if not callable(function):
        raise TypeError(f"checkpoint expects a function, but got {type(function).__name__}")
    if determinism_check not in _CHECKS:
        raise ValueError(f"determinism_check should be one of {list(_CHECKS)}, but got {determinism_check!r}")
    if use_reentrant and (context_fn is not noop_context_fn or debug):
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    if capturing() or not is_grad_enabled():
        return function(*args, **kwargs)
    leaves: list[Any] = []
    structure = flatten((args, kwargs), leaves)
    inputs = [x for x in leaves if isinstance(x, Tensor)]
    first, second = context_fn()

    def run(tensors: Sequence[Tensor], around: AbstractContextManager) -> tuple[Any, list[Any]]:
        given = iter(tensors)
        a, k = unflatten(structure, [next(given) if isinstance(x, Tensor) else x for x in leaves])
        flat: list[Any] = []
        with enable_grad(), around:
            return flatten(function(*a, **k), flat), flat

    debugs = debug if set_checkpoint_debug_enabled.value is None else set_checkpoint_debug_enabled.value
    again = _Again(run, second, preserve_rng_state, determinism_check == "default", debugs)
    stand_ins = _stand_ins(inputs)
    shape, flat = run(stand_ins, first)
    outs = [x for x in flat if isinstance(x, Tensor)]
    captured, again.steps = _below(outs, stand_ins)
    if not captured and not any(t.requires_grad for t in inputs):
        return unflatten(shape, flat)
    needs = [o.requires_grad for o in outs]
    values = [o.detach() for o in outs]
    fixed = [None if isinstance(x, Tensor) else x for x in flat]
    places = [i for i, x in enumerate(flat) if isinstance(x, Tensor)]
    del outs, flat  # and with them the graph, and what it keeps
    for i, x in zip(places, _Recomputed.apply(again, values, needs, len(inputs), *inputs, *captured)):
        fixed[i] = x
    return unflatten(shape, fixed)


class _Again:
    """The second run of a checkpoint's function.

    steps: the name and the results' types of each step of the first run's tape
    """

    def __init__(self, run: Callable, around: AbstractContextManager, random_too: bool, checks: bool, debug: bool):
        self.run, self.around, self.checks, self.debug = run, around, checks, debug
        self.state = random.default_generator.get_state() if random_too else None
        self.autocast = here.recorder.autocast
        self.steps: list[tuple] = []

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        rec = here.recorder
        with random.fork_rng(enabled=self.state is not None):
            if self.state is not None:
                random.default_generator.set_state(self.state)
            before, rec.autocast = rec.autocast, self.autocast
            try:
                outs = [x for x in self.run(tensors, self.around)[1] if isinstance(x, Tensor)]
            finally:
                rec.autocast = before
        if self.checks:
            self.compare(_below(outs, tensors)[1])
        return outs

    def compare(self, steps: list[tuple]) -> None:
        if steps == self.steps:
            return
        text = f"checkpoint: the function did {len(steps)} differentiable operations when it was called again, and {len(self.steps)} before"
        if len(steps) == len(self.steps):
            k, (was, now) = next((k, pair) for k, pair in enumerate(zip(self.steps, steps)) if pair[0] != pair[1])
            text = f"checkpoint: operation {k} from the end was {_said(was)} and is {_said(now)}, now that the function is called again"
        if self.debug:
            lists = ("\n".join(map(_said, reversed(some))) for some in (self.steps, steps))
            text += "\nthe first run:\n{}\nthe second run:\n{}".format(*lists)
        raise CheckpointError(text + "; determinism_check='none' leaves this out")


def _said(step: tuple) -> str:
    return f"{step[0]} of {', '.join(map(str, step[1]))}"


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


def _below(outs: Sequence[Tensor], known: Sequence[Tensor]) -> tuple[list[Tensor], list[tuple]]:
    """The leaves that `outs` were made of, without `known`: parameters that the function reads by itself; and the steps between."""
    found: list[Tensor] = []
    steps: list[tuple] = []
    seen = set()
    todo = [edge[0] for o in outs if (edge := o._pair()[1]) is not None]
    while todo:
        node: Any = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        leaf = getattr(node, "variable", None)
        if leaf is None:
            steps.append((node.name(), tuple(node.out_types)))
        elif not any(leaf is t for t in known):
            found.append(leaf)
        todo += [n for n, _ in node.next_functions]
    return found, steps


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


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The devices of tensors that are not on the CPU, and the states of their random numbers: none. `ingot.get_rng_state` has the CPU's."""
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Tensor], *, device_type: str | None = None) -> None:
    """Set what `get_device_states` gave."""
