"""A call of a function whose arguments the tape watches: what runs backwards to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot.capture import flatten, unflatten
from ingot.func.trees import replaced
from ingot.ir.types import TensorType
from ingot.runtime import tape
from ingot.runtime.backward import backpropagate
from ingot.runtime.recorder import here
from ingot.runtime.tape import Edge, Node, Pair

__all__ = ["Pulled"]


class Argument(Node):
    """Where a gradient by an argument is read off; it goes on to what the argument was made of. `running`: the function has not returned,
    so that others may ask for its derivative by the argument."""

    __slots__ = ("running",)

    def __init__(self, edge: Edge | None, type: TensorType):
        super().__init__((edge,), (type,))
        self.running = True

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        return grads


class Pulled:
    """A call of a function whose arguments are watched by the tape."""

    def __init__(self, name: str, func: Callable, args: tuple, which: Sequence[int], kwargs: Any = None, has_aux: bool = False):
        self.name = name
        rec = here.recorder
        self.leaves: list[Any] = []
        self.structure = flatten(tuple(args[i] for i in which), self.leaves)
        watched = [self._watch(x, rec.grad_enabled) for x in self.leaves]
        self.edges: list[tuple[Argument, int]] = [x._edge for x in watched]  # type: ignore[misc]
        given = replaced(args, which, unflatten(self.structure, watched))
        try:
            with _on_tape():
                result = func(*given, **(kwargs or {}))
        finally:
            for node, _ in self.edges:
                node.running = False
        self.aux = None
        if has_aux:
            if not (isinstance(result, tuple) and len(result) == 2):
                raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
            result, aux = result
            self.aux = self.finished(aux)
        self.outs: list[Any] = []
        self.out_structure = flatten(result, self.outs)
        for o in self.outs:
            if not isinstance(o, Tensor):
                raise RuntimeError(f"{name}: expected f to return only Tensors, got {type(o).__name__}")
        self.pairs = [o._pair() for o in self.outs]
        self.goes_on = self._leads_outside([e for _, e in self.pairs if e is not None])

    def _watch(self, x: Any, on: bool) -> Tensor:
        if not isinstance(x, Tensor):
            raise ValueError(f"{self.name}: expected the arguments to differentiate by to be Tensors, got {type(x).__name__}")
        if x.dtype.kind not in "fc":
            raise RuntimeError(f"{self.name}: only Tensors of floating point dtype have gradients, got {x.dtype}")
        a, edge = x._owned()
        return wrap((a, (Argument(edge if on else None, a.type), 0)))

    def _leads_outside(self, edges: Sequence[Edge]) -> bool:
        """Whether a history leads beyond the arguments of this call."""
        seen: set[Node] = set()
        stack = [e[0] for e in edges]
        while stack:
            n = stack.pop()
            if n in seen:
                continue
            seen.add(n)
            further = [e[0] for e in n.edges if e is not None]
            if not further and not (isinstance(n, Argument) and not n.running):
                return True
            stack += further
        return False

    def finished(self, tree: Any) -> Any:
        """A result for the caller, nested: see `final`."""
        leaves: list[Any] = []
        structure = flatten(tree, leaves)
        return unflatten(structure, [self.final(x) if isinstance(x, Tensor) else x for x in leaves])

    def final(self, t: Tensor) -> Tensor:
        """`t` without a history that ends with this call."""
        a, edge = t._pair()
        if edge is None or (here.recorder.grad_enabled and self._leads_outside([edge])):
            return t
        return wrap((a, None))

    def output(self) -> Any:
        """What the function has returned."""
        return unflatten(self.out_structure, [self.final(o) for o in self.outs])

    def back(self, cotangents: Sequence[Tensor], keep: bool = True) -> list[Tensor]:
        """The gradients by the arguments' leaves."""
        rec = here.recorder
        roots = [(e, g._owned()) for (_, e), g in zip(self.pairs, cotangents) if e is not None]
        create = rec.grad_enabled and (self.goes_on or any(p[1] is not None for _, p in roots))
        if not create:
            roots = [(e, (a, None)) for e, (a, _) in roots]
        rec.tape_off += not create
        try:
            found = backpropagate(roots, retain_graph=keep or create, create_graph=create, targets=self.edges)
        finally:
            rec.tape_off -= not create
        results = [wrap(tape.zeros(x._array.type) if g is None else g) for x, g in zip(self.leaves, found)]
        return [self.final(r) for r in results]

    def seeds(self, cotangents: Any) -> list[Tensor]:
        """The leaves of cotangents that fit the outputs."""
        given: list[Any] = []
        structure = flatten(cotangents, given)
        if structure != self.out_structure:
            raise RuntimeError(f"{self.name}: expected the cotangents to have the same structure as the output of f")
        for g, o in zip(given, self.outs):
            if not isinstance(g, Tensor):
                raise RuntimeError(f"{self.name}: cotangents must be Tensors, got {type(g).__name__}")
            if tuple(g.shape) != tuple(o.shape) or g.dtype is not o.dtype:
                raise RuntimeError(
                    f"{self.name}: a cotangent of {g.dtype} {list(g.shape)} does not fit an output of {o.dtype} {list(o.shape)}"
                )
        return given


@contextmanager
def _on_tape() -> Iterator[None]:
    """A block with the tape on. Where it was off, what is recorded outside of a level keeps no history."""
    rec = here.recorder
    was = rec.grad_enabled
    rec.grad_enabled = True
    rec.tape_off += not was
    try:
        yield
    finally:
        rec.tape_off -= not was
        rec.grad_enabled = was
