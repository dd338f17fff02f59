"""Levels: recorders whose values stand for values of the recorder outside, batches of them (batching.py) or with tangents (forward.py).

While a level is the recorder, each operation is at once recorded outside, by the batching or the forward rule of its op. So levels nest
in any order, and gradients on either side of a level come from the tape:

- a backward that runs *inside* follows edges of tensors as everywhere, and what it emits passes the level like any other operation;
- for a backward *outside* the values that a level's stand for have edges of their own.

Turning the tape off inside (`no_grad`) turns it off outside as well; the backward that runs inside does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot._tensor.recording import inplace
from ingot._tensor.state import view
from ingot.ir.graph import Location
from ingot.ir.op import Op
from ingot.ir.types import TensorType
from ingot.runtime.array import Array, ready
from ingot.runtime.recorder import Recorder, here
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Edge, Pair, Signature

__all__ = ["Level"]


class Level(Recorder):
    """A recorder inside another one. The value of its arrays says what they stand for; the first item is a pair of the one outside."""

    tracing = level = True
    name = "a transform"

    def __init__(self) -> None:
        super().__init__()
        self.outer: Any = here.recorder
        self.capturing = self.outer.capturing
        self.grad_enabled = self.tape_outside = self.outer.grad_enabled
        self.inference, self.extents, self.autocast = self.outer.inference, self.outer.extents, self.outer.autocast
        self.inner_slots: set[Any] = set()
        self.lifted: dict[Array, Array] = {}
        self.captured: dict[Storage, tuple[Storage, Array]] = {}  # Storages from outside; what stands for each, and its first value
        self.origins: dict[Storage, Storage] = {}
        self.stand_ins: dict[int, tuple[Tensor, Tensor, Tensor, Array]] = {}  # by id: from outside, here, seen by outer, first value

    # ---- in and out

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A block in which this is the recorder. It may be entered again."""
        was = here.recorder
        here.recorder = self
        try:
            yield
        finally:
            here.recorder = was

    @contextmanager
    def left(self) -> Iterator[None]:
        """A block in which the recorder is the one outside, whose tape is on where the user left it on inside."""
        outer = self.outer
        if not self.backward_depth:
            self.tape_outside = self.grad_enabled
        was, enabled = here.recorder, outer.grad_enabled
        here.recorder = outer
        outer.grad_enabled = self.tape_outside and not self.tape_off
        try:
            yield
        finally:
            outer.grad_enabled = enabled
            here.recorder = was

    def made_outside(self, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives outside, here. It keeps no history."""
        with self.left():
            t = make()
            pair = t._owned()
        out = wrap((self.constant(pair), None))
        out._weak = t._weak
        return out

    def constant(self, pair: Pair) -> Array:
        """The array that stands for a value from outside which is the same for all samples, and has no tangent."""
        raise AssertionError("abstract")

    def changed(self, a: Array, pair: Pair) -> Array:
        """An array like `a` that stands for `pair`."""
        raise AssertionError("abstract")

    def moved(self, a: Array, device: int | None) -> Array:
        if a.source is not self:
            return self.outer.moved(a, device)  # type: ignore[no-any-return]
        (inner, edge), *_ = a.value
        return self.changed(a, (self.outer.moved(inner, device), edge))

    def given_back(self, a: Array) -> Pair:
        """What is written back to a tensor from outside. RuntimeError where that cannot hold it."""
        raise AssertionError("abstract")

    def lift(self, p: Pair) -> Pair:
        """A pair of any recorder as one of this level."""
        a, edge = p
        if a.source is self:
            return p
        found = self.lifted.get(a)
        if found is None or found.value[0][1] is not edge:
            found = self.lifted[a] = self.constant(self.outer.lift(p) if self.outer.level else p)
        return found, edge

    def stand_in(self, t: Any) -> Any:
        """What stands for a tensor here: itself, where it was made here."""
        if t._array.source is self:
            return t
        found = self.stand_ins.get(id(t))
        if found is not None:
            return found[1]
        with self.left():
            seen = t._present()
        s = seen._storage
        if s is None:
            first = self.constant((seen._array, seen._edge))
            out = wrap((first, seen._edge))
        else:
            if s not in self.captured:
                with self.left():
                    pair = s._present()
                first = self.constant(pair)
                held = Storage(first, s.edge, None)
                held.writable = s.writable
                self.captured[s] = held, first
                self.origins[held] = s
            held, first = self.captured[s]
            with self.entered():
                out = view(held, seen._steps)
        out._weak = t._weak
        out._slot = t._slot
        self.stand_ins[id(t)] = t, out, seen, first
        return out

    def with_edge(self, a: Array, edge: Edge | None) -> Array:
        if a.source is not self:
            a = self.lift((a, None))[0]
        if edge is not None and getattr(edge[0], "slot", None) in self.inner_slots:
            edge = None
        inner, had = a.value[0]
        if edge is had:
            return a
        return self.changed(a, (self.outer.with_edge(inner, edge), edge))

    def with_history_of(self, a: Array, other: Array) -> Array:
        inner, edge = self.lift((other, None))[0].value[0]
        new = self.lift((a, None))[0]
        return self.changed(new, (self.outer.with_history_of(new.value[0][0], inner), edge))

    def write_back(self) -> None:
        """Write to tensors outside what was written to their stand-ins here. For the end of the level."""
        changed: list[tuple[Any, Any, Array]] = []
        with self.entered():
            for _, out, seen, first in self.stand_ins.values():
                if out._storage is not None and out._storage in self.origins:
                    continue
                if (now := out._now()) is not first:
                    changed.append((seen, None, now))
            for s, (held, first) in self.captured.items():
                if held.base is not first:
                    changed.append((None, s, held.base))
            pairs = [(t, s, self.given_back(a)) for t, s, a in changed]
        with self.left():
            for t, s, pair in pairs:
                if t is not None:
                    inplace(t, wrap(pair))
                else:
                    s.write((), pair, here.recorder.grad_enabled)

    def result(self, pair: Pair) -> Tensor:
        """A tensor outside; its history is none where the tape is off there."""
        return wrap(pair if self.outer.grad_enabled else (pair[0], None))

    def forget(self) -> None:
        """Let go of what the level holds: tensors that are kept beyond its end stand on their own."""
        for held in (self.lifted, self.captured, self.origins, self.stand_ins):
            held.clear()

    # ---- recording

    def emit(self, sig: Signature, arrays: Any, loc: Location | None) -> list[Array]:
        """Record an op outside, by its rule."""
        own = [a if a.source is self else self.lift((a, None))[0] for a in arrays]
        with self.left():
            return self.apply_rule(sig.op, own, sig.attrs, sig.out_types, loc)

    def apply_rule(self, op: Op, arrays: Sequence[Array], attrs: tuple, out_types: tuple[TensorType, ...], loc: Any) -> list[Array]:
        """`emit`, with the recorder outside in place."""
        raise AssertionError("abstract")

    def apply_function(self, cls: Any, args: tuple, kwargs: dict) -> tuple[Any, Any, tuple]:
        """Apply a custom Function: its result, its ctx, and the tensors that this has saved."""
        raise AssertionError("abstract")

    # ---- what recorders do besides

    def need(self, a: Array) -> None:
        inner = a.value[0][0]
        with self.left():
            a.buffer = ready(inner)

    def knows(self, a: Array) -> bool:
        return bool(a.buffer is not None or self.outer.knows(a.value[0][0]))

    def flush(self) -> None:
        """Nothing is pending here."""

    def made_at(self, a: Array) -> Location | None:
        inner = a.value[0][0]
        return inner.source.made_at(inner) if isinstance(inner.source, Recorder) else None

    def reserve(self, generator: Any, blocks: int) -> tuple[Array, Array]:
        with self.left():
            seed, offset = generator.reserve(4 * blocks)
        return self.constant((seed, None)), self.constant((offset, None))

    def cell(self, container: Any, key: Any, index: int | None) -> Any:
        if self.outer.tracing:
            return self.made_outside(lambda: self.outer.cell(container, key, index))
        from ingot._tensor.recording import scalar
        from ingot.ir.dtypes import f64

        return scalar(container[key] if index is None else container[key][index], f64)

    def read_grad(self, slot: Any) -> Any:
        if slot in self.inner_slots:
            return slot.grad
        with self.left():
            return self.outer.read_grad(slot)

    def write_grad(self, slot: Any, value: Any) -> None:
        if slot not in self.inner_slots:
            raise RuntimeError(
                f"backward() inside {self.name} reaches a tensor from outside, whose .grad cannot hold the result; use ingot.func.grad, or "
                "ingot.autograd.grad"
            )
        slot.grad = value

    def will_rebind(self, t: Any, value: Any) -> Any:
        if t._array.source is not self:
            raise RuntimeError(f".data of a tensor from outside is assigned inside {self.name}; use copy_()")
        return t

    def becomes(self, t: Any) -> None:
        if t._array.source is not self:
            raise RuntimeError(f"a tensor from outside cannot turn into a view of itself inside {self.name}; drop the underscore")

    def only_outside(self, what: str, instead: str) -> None:
        self.outer.only_outside(what, instead)
