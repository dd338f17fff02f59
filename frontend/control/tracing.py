"""A Python function as a graph: its arguments and the tensors that it reads from outside are the inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._streams import new_seed
from ingot._tensor import Tensor, wrap
from ingot._tensor.recording import from_array, record, stop_gradient
from ingot.capture import flatten, unflatten
from ingot.ir.dtypes import DType, i64
from ingot.ir.graph import Graph, Location, Value
from ingot.ir.op import OPS
from ingot.ir.types import TensorType
from ingot.runtime.array import Array
from ingot.runtime.numbers import rank0
from ingot.runtime.recorder import Recorder, here
from ingot.runtime.tape import Signature

__all__ = ["Body", "described", "recorded", "same", "tensors", "traced"]

_KNOWN: dict[str, Graph] = {}  # graphs by their text: an equal function gives the very same one, so that its code is found
_LIMIT = 1024


class GraphTrace(Recorder):
    """The recorder while a body is traced."""

    tracing = derives = True

    def __init__(self, name: str, steps: bool):
        super().__init__()
        self.steps = steps  # whether the body is one of a loop
        self.step: int | None = None  # which input is the number of the step, once one is needed
        self.outer = here.recorder
        self.name = name
        self.inference, self.extents, self.autocast = self.outer.inference, self.outer.extents, self.outer.autocast
        self.inner_slots: set[Any] = set()
        self.read: list[Tensor] = []  # from outside, in the order of their inputs
        self.known: dict[int, tuple[Any, Tensor, Array]] = {}  # by id: what is read, what stands for it, and its input

    def placeholder(self, t: TensorType) -> Array:
        """A new input."""
        a = Array(t, None, -1 - len(self.inputs), self)
        self.inputs.append(a)
        self.input_keys.append(id(t))
        return a

    def captured(self, t: Tensor) -> Tensor:
        """What stands for a tensor from outside, as it is now."""
        found = self.known.get(id(t))
        if found is None:
            self.read.append(t)
            a = self.placeholder(t._array.type)
            found = self.known[id(t)] = t, wrap((a, None)), a
            found[1]._weak = t._weak
        return found[1]

    def table(self, array: np.ndarray, dtype: DType) -> Tensor:
        """Many values that are made of no input: what the body reads from outside."""
        here.recorder = self.outer
        try:
            made = from_array(array, dtype)
        finally:
            here.recorder = self
        return self.captured(made)

    def stand_in(self, t: Any) -> Any:
        """What stands for a tensor: itself, where it was made here."""
        return t if t._array.source is self else self.captured(t)

    def input(self, a: Array) -> int | None:
        return self.captured(wrap((a, None)))._array.value

    def check(self, given: Sequence[tuple[Tensor, Array]]) -> None:
        """RuntimeError if the function has written to its arguments, or to what it has read."""
        for t, first in (*given, *((out, a) for _, out, a in self.known.values())):
            if t._now() is not first:
                raise RuntimeError(
                    f"{self.name}: a function that it is given writes in place to an argument, or to a tensor from outside; clone() it "
                    "first, and return what it has become"
                )

    def emit(self, sig: Signature, arrays: Any, loc: Location | None) -> list[Array]:
        outs = super().emit(sig, arrays, loc)
        if self.grad_enabled or self.backward_depth:
            return outs
        self.grad_enabled = True  # derivatives come from the graph: what no_grad() surrounds must stop them there
        try:
            return [stop_gradient(wrap((a, None)))._array for a in outs]
        finally:
            self.grad_enabled = False

    def detach(self, t: Tensor) -> Tensor:
        """`t` without its history."""
        return stop_gradient(t)

    def flush(self) -> None:
        """Nothing runs while a body is traced."""

    def need(self, a: Array) -> None:
        raise RuntimeError(
            f"{self.name}: the value of a tensor is not known while a function that it is given is traced: it cannot be made a number or "
            "decide a branch (item(), bool()); use ingot.where, ingot.cond or ingot.while_loop"
        )

    def knows(self, a: Array) -> bool:
        return False

    def read_grad(self, slot: Any, value: Any = None) -> Any:
        if slot in self.inner_slots:
            return slot.grad
        raise RuntimeError(f"{self.name}: .grad of a tensor from outside is read in a function that it is given")

    def write_grad(self, slot: Any, value: Any) -> None:
        if slot not in self.inner_slots:
            raise RuntimeError(f"{self.name}: .grad of a tensor from outside is written in a function that it is given")
        slot.grad = value

    def will_rebind(self, t: Any, value: Any) -> Any:
        raise RuntimeError(f"{self.name}: .data is assigned in a function that it is given")

    def becomes(self, t: Any) -> None:
        raise RuntimeError(f"{self.name}: a tensor turns into a view of itself in a function that it is given; drop the underscore")

    def reserve(self, generator: Any, blocks: int) -> tuple[Array, Array]:
        """Seed and offset, which are drawn outside. In a loop: a seed of its own, and the offset of the step."""
        here.recorder = self.outer
        try:
            seed, offset = (wrap((a, None)) for a in generator.reserve(8 if self.steps else 4 * blocks))
            if self.steps:
                seed = new_seed(seed, offset)
        finally:
            here.recorder = self
        first = self.captured(seed)._array
        if not self.steps:
            return first, self.captured(offset)._array
        if self.step is None:
            self.step = len(self.inputs)
            self.placeholder(rank0(i64))
        number = wrap((self.inputs[self.step], None))
        return first, (number * blocks)._array

    def cell(self, container: Any, key: Any, index: int | None) -> Any:
        was = here.recorder
        here.recorder = self.outer
        try:
            outside = self.outer.cell(container, key, index)
        finally:
            here.recorder = was
        return self.captured(outside)

    def extent(self, dim: Any) -> Array:
        """A number that is a size of the trace outside."""
        return self.captured(wrap((self.outer.extent(dim), None)))._array

    def apply_function(self, cls: Any, args: tuple, kwargs: dict) -> tuple[Any, Any, tuple]:
        """A custom Function's backward is no part of a graph. Ingot's own have that of what they compute, which the graph has too."""
        if cls.__module__.partition(".")[0] != __name__.partition(".")[0]:
            raise RuntimeError(
                f"{self.name}: a function that it is given applies the custom Function {cls.__name__}, whose backward would not be used: "
                "gradients come from the graph; write what it computes in operations"
            )
        from ingot.autograd.function import FunctionCtx

        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) for a in args)
        if cls.setup_context is None:
            return cls.forward(ctx, *args, **kwargs), ctx, ()
        result = cls.forward(*args, **kwargs)
        cls.setup_context(ctx, args, result)
        return result, ctx, ()

    def only_outside(self, what: str, instead: str) -> None:
        self.outer.only_outside(what, instead)


class Body:
    """A traced function.

    graph      what was traced
    arguments  its inputs that are arguments;  captured: those that stand for what it reads from outside, these tensors are `read`
    step       its input that is the number of a loop's step, where it needs that
    structure  of what it returns, and `types` of the leaves
    """

    def __init__(self, graph: Graph, n: int, step: int | None, read: Sequence[Tensor], structure: Any):
        self.graph = graph
        self.arguments = graph.inputs[:n]
        self.captured = tuple(v for i, v in enumerate(graph.inputs) if i >= n and i != step)
        self.step = None if step is None else graph.inputs[step]
        self.read = tuple(read)
        self.structure = structure
        self.types = graph.out_types

    def taking(self, read: Sequence[Tensor], first: bool = False) -> Graph:
        """The graph with these tensors from outside for inputs, in their order; `first`: before the arguments. The step is the last."""
        own = {id(t): v for t, v in zip(self.read, self.captured)}
        captured = tuple(own.get(id(t)) or Value(t._array.type.on(None)) for t in read)
        return self.of((*captured, *self.arguments) if first else (*self.arguments, *captured))

    def of(self, inputs: Sequence[Value]) -> Graph:
        """The graph with its inputs in this order, and the step behind them."""
        return same(Graph(self.graph.name, (*inputs, *(() if self.step is None else (self.step,))), self.graph.nodes, self.graph.outputs))


def traced(name: str, fn: Callable, likes: Sequence[TensorType], structure: Any, steps: bool = True) -> Body:
    """`fn` as a graph, called with tensors of these types in that structure. `steps`: it is the body of a loop.

    RuntimeError for what cannot be known while it is traced, and for tensors from outside that it changes.
    """
    trace = GraphTrace(name, steps)
    given = [wrap((trace.placeholder(t), None)) for t in likes]
    outer = here.recorder
    here.recorder = trace
    try:
        result = fn(*unflatten(structure, given))
        leaves: list[Any] = []
        out_structure = flatten(result, leaves)
        for x in leaves:
            if not isinstance(x, Tensor):
                raise TypeError(f"{name}: the functions that it is given must return tensors, got {type(x).__name__}")
        live = tuple(x._now().value for x in leaves)
        trace.check([(t, a) for t, a in zip(given, trace.inputs)])
    finally:
        here.recorder = outer
    graph = trace.whole_graph(live, getattr(fn, "__name__", name).strip("<>") or name)
    body = Body(graph, len(likes), trace.step, trace.read, out_structure)
    trace.known.clear()  # inputs know their trace: what was read would live until the collector comes by, and have traces around call it
    trace.read.clear()
    return body


def same(graph: Graph) -> Graph:
    """The graph that was made first of those that are equal."""
    text = graph.text
    found = _KNOWN.get(text)
    if found is None:
        if len(_KNOWN) >= _LIMIT:
            _KNOWN.pop(next(iter(_KNOWN)))
        found = _KNOWN[text] = graph
    return found


def described(types: Sequence[Any]) -> str:
    """Types for an error's text."""
    return ", ".join(map(str, types)) or "nothing"


def tensors(name: str, what: str, tree: Any) -> tuple[list[Tensor], Any]:
    """The leaves of `tree`, which must be Tensors (TypeError), and its structure."""
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: {what} must hold Tensors only, got {type(x).__name__}; other values can be read from outside")
    return leaves, structure


def recorded(op: str, inputs: Sequence[Tensor], attrs: tuple) -> list[Tensor]:
    """The results of an op, in a list."""
    out = record(OPS[op], inputs, attrs)
    return list(out) if isinstance(out, tuple) else [out]
