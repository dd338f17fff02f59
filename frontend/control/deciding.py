"""`cond` and `while_loop`: values decide what runs, and how often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot.capture import flatten, unflatten
from ingot.control.tracing import Body, described, recorded, same, tensors, traced
from ingot.ir.builder import Builder
from ingot.ir.dtypes import bool_
from ingot.ir.graph import Graph
from ingot.ir.types import TensorType
from ingot.runtime.recorder import here

__all__ = ["cond", "while_loop"]


def cond(pred: Any, true_fn: Callable, false_fn: Callable, operands: Sequence[Any] = ()) -> Any:
    """true_fn(*operands) where `pred` is true, else false_fn(*operands). The other function does not run.

    pred      a bool, or a bool tensor of one element
    operands  a tuple or list of tensors, and of tuples, lists and dicts of them; other values reach the functions as they are

    Where the value of `pred` is known, as in eager code, this is Python's `if`. In a compiled function both functions are traced, and may
    read tensors from outside; they must return tensors in the same structure, of the same shapes and dtypes (RuntimeError). Gradients go
    through the function that ran. Under `vmap`, where each sample has a `pred` of its own, both run and the results are selected.
    Semantics: https://docs.pytorch.org/docs/stable/generated/torch.cond.html.

    >>> f = ingot.compile(lambda x: ingot.cond(x.sum() > 0, lambda x: x.sqrt(), lambda x: -x, (x,)))
    >>> f(ingot.tensor([4.0, 9.0])), f(ingot.tensor([-4.0, -9.0]))
    (tensor([2., 3.]), tensor([4., 9.]))
    """
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("cond: expected true_fn and false_fn to be functions")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(f"cond: expected operands to be a tuple or a list, got {type(operands).__name__}")
    if not isinstance(pred, Tensor):
        if not isinstance(pred, bool):
            raise RuntimeError(f"cond: expected pred to be a bool or a tensor, got {type(pred).__name__}")
        return (true_fn if pred else false_fn)(*operands)
    if pred.dtype is not bool_ or pred.numel() != 1:
        raise RuntimeError(f"cond: expected pred to be a bool tensor of one element, got {pred.dtype} of shape {list(pred.shape)}")
    if here.recorder.knows(pred._present()._array):
        return (true_fn if pred.item() else false_fn)(*operands)
    leaves: list[Any] = []
    structure = flatten(tuple(operands), leaves)
    given = [x for x in leaves if isinstance(x, Tensor)]

    def taking(fn: Callable) -> Body:
        def call(*inner: Tensor) -> Any:
            mine = iter(inner)
            return fn(*unflatten(structure, [next(mine) if isinstance(x, Tensor) else x for x in leaves]))

        call.__name__ = getattr(fn, "__name__", "cond")
        return traced("cond", call, [x._present()._array.type for x in given], _flat(len(given)), steps=False)

    true, false = taking(true_fn), taking(false_fn)
    if true.structure != false.structure:
        raise RuntimeError("cond: expected true_fn and false_fn to return the same structure")
    if true.types != false.types:
        raise RuntimeError(
            "cond: expected true_fn and false_fn to return tensors of the same shapes and dtypes, got "
            f"{described(true.types)} and {described(false.types)}"
        )
    if not true.types:
        return unflatten(true.structure, [])
    read = list({id(t): t for t in (*true.read, *false.read)}.values())
    made = recorded("cond", (pred.reshape(()), *given, *read), (true.taking(read), false.taking(read)))
    return unflatten(true.structure, made)


def _flat(n: int) -> Any:
    """The structure of n arguments."""
    return flatten((None,) * n, [])


def while_loop(cond_fn: Callable, body_fn: Callable, carried_inputs: Any, *, max_steps: int | None = None) -> Any:
    """carried = body_fn(*carried) while cond_fn(*carried): the last ones, in the structure of carried_inputs.

    carried_inputs  a tuple or list of tensors, and of tuples, lists and dicts of them; body_fn keeps structure, shapes and dtypes
    max_steps       the loop ends after so many steps at the latest; gradients (reverse mode) need this, and time for so many steps

    Both functions are traced once, and may read tensors from outside; the loop runs as compiled code, in eager code too. cond_fn returns
    a bool tensor of one element. RuntimeError for other results, TypeError for values that are not tensors, RuntimeError in a backward
    without max_steps. Under `vmap` samples that have ended stay as they are until the last one ends.

    >>> ingot.while_loop(lambda n, x: x > 1, lambda n, x: (n + 1, x / 2), (ingot.tensor(0), ingot.tensor(20.0)))
    (tensor(5), tensor(0.6250))
    """
    if not callable(cond_fn) or not callable(body_fn):
        raise RuntimeError("while_loop: expected cond_fn and body_fn to be functions")
    if not isinstance(carried_inputs, (tuple, list)):
        raise RuntimeError(f"while_loop: expected carried_inputs to be a tuple or a list, got {type(carried_inputs).__name__}")
    if max_steps is not None and (not isinstance(max_steps, int) or isinstance(max_steps, bool) or max_steps < 0):
        raise ValueError(f"while_loop: max_steps must be None or a number of steps, got {max_steps!r}")
    if max_steps is not None:
        return _bounded(cond_fn, body_fn, tuple(carried_inputs), max_steps)
    return _loop(cond_fn, lambda *c: _carried(body_fn(*c)), tuple(carried_inputs), None)


def _bounded(cond_fn: Callable, body_fn: Callable, carried: tuple, bound: int) -> Any:
    """The loop with its steps counted."""
    import ingot

    def goes_on(carried: Any, count: Tensor) -> Tensor:
        return _flag(cond_fn(*carried)) & (count < bound)

    def step(carried: Any, count: Tensor) -> tuple:
        return _carried(body_fn(*carried)), count + 1

    return _loop(goes_on, step, (carried, ingot.tensor(0)), bound)[0]


def _flag(made: Any) -> Tensor:
    if not isinstance(made, Tensor) or made.dtype is not bool_ or made.numel() != 1:
        got = f"{made.dtype} of shape {list(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise RuntimeError(f"while_loop: expected cond_fn to return a bool tensor of one element, got {got}")
    return made.reshape(())


def _carried(made: Any) -> tuple:
    if not isinstance(made, (tuple, list)):
        raise RuntimeError(f"while_loop: expected body_fn to return a tuple of what is carried, got {type(made).__name__}")
    return tuple(made)


def _loop(cond_fn: Callable, body_fn: Callable, carried: tuple, bound: int | None) -> Any:
    import ingot

    carries, structure = tensors("while_loop", "carried_inputs", carried)
    if not carries:
        raise RuntimeError("while_loop: expected carried_inputs to hold at least one tensor")
    types = tuple(t._present()._array.type for t in carries)
    test = traced("while_loop", lambda *c: _flag(cond_fn(*c)), types, structure)
    step = traced("while_loop", body_fn, types, structure)
    if step.structure != structure:
        raise RuntimeError("while_loop: body_fn must return the structure of carried_inputs")
    if step.types != tuple([t.on(None) for t in types]):
        raise RuntimeError(
            f"while_loop: body_fn must keep the shapes and dtypes of carried_inputs: {described(types)} came in, and "
            f"{described(step.types)} was returned"
        )
    read = list({id(t): t for t in (*test.read, *step.read)}.values())
    graphs = [body.taking(read, first=True) for body in (test, step)]
    inputs = [*read, *carries]
    if test.step is not None or step.step is not None:  # they draw random numbers: steps are counted
        inputs.append(ingot.tensor(0))
        kinds = [t._present()._array.type.on(None) for t in inputs]
        graphs = [_counting(g, kinds, counts) for g, counts in zip(graphs, (False, True))]
    made = recorded("while_loop", inputs, (*graphs, len(read), bound))
    return unflatten(step.structure, made[: len(carries)])


def _counting(graph: Graph, types: Sequence[TensorType], counts: bool) -> Graph:
    """A graph that takes the number of the step behind its inputs; `counts`: it gives the next one."""
    b = Builder(graph.name)
    inputs = tuple(map(b.input, types))
    outs = b.call(graph, inputs[: len(graph.inputs)])
    return same(b.freeze((*outs, (b.expr(inputs[-1]) + 1).value) if counts else outs))
