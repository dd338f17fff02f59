"""The recorder while a function is traced: what is read from outside becomes an input, and nothing outside changes.

A tensor from outside is captured by reference: a Storage of the trace stands for its Storage, and a Tensor of the trace for each
tensor that shares it, so that everything that reads or writes it, views included, is recorded. Other threads go on with the
tensors themselves meanwhile. What was written to a stand-in becomes an output that is put in its place after each call.
Gradient slots, generators and host numbers (`cell`) are captured likewise.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from math import inf
from types import MappingProxyType
from typing import Any

import numpy as np

from ingot._tensor.extents import Extents, plain_dim
from ingot._tensor.reals import Formula
from ingot._tensor.recording import from_array
from ingot._tensor.state import view, wrap
from ingot.capture.errors import CaptureError, refuse
from ingot.capture.formulas import Term, calculated
from ingot.capture.sources import Attribute, Captured, Cell, ExtentValue, FormulaValue, Grad, Offset, Place, Seed, Source
from ingot.ir.dtypes import DType, f64, i64
from ingot.ir.graph import Const
from ingot.ir.op import OPS
from ingot.ir.size import Dim, Quotient, Size, Smaller, Symbol, deciding, replaced, symbol, symbols
from ingot.ir.types import TensorType
from ingot.runtime import memory
from ingot.runtime.array import Array
from ingot.runtime.numbers import rank0
from ingot.runtime.recorder import Recorder, here, outside
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Edge, GradSlot, Leaf, Node, Pair, apart, emit, frontend, signature
from ingot.runtime.views import Detach, LeafStep, Step, renewed

__all__ = ["Aliased", "Measures", "Outside", "TRACING", "Trace", "aside", "hooks", "is_leaf", "leaf_of", "run_traced"]

TRACING = threading.RLock()  # one trace at a time: classes note what is looked up on their objects, and attributes hold what is traced
os.register_at_fork(before=TRACING.acquire, after_in_parent=TRACING.release, after_in_child=TRACING.release)  # no half trace in a child


class Aliased(BaseException):  # not for the function to catch
    """An argument, or the gradient in a slot, shares memory with what is captured: the trace starts again, with it by reference."""

    def __init__(self, by: int | GradSlot):
        super().__init__(f"{by} is captured as well")
        self.by = by


class Measures(BaseException):  # not for the function to catch
    """The function has sizes that it computes: the trace starts again, with extents that remember what they are."""


class Outside(Node):
    """What stands for the history that a tensor from outside has."""

    __slots__ = ()

    def __init__(self, type: TensorType):
        super().__init__((), (type,))
        self.seq = 0  # runs last

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        raise refuse(
            "a backward inside a compiled function goes on through a tensor that was computed outside of it",
            "compute that tensor inside, detach() it, or call backward() outside",
        )


class StandIn:
    """What stands for a Storage from outside: `storage`, which held `placeholder` and `edge` at first."""

    __slots__ = ("storage", "placeholder", "edge")

    def __init__(self, s: Storage, placeholder: Array):
        self.placeholder = placeholder
        self.edge: Edge | None = None if s.edge is None else (Outside(placeholder.type), 0)
        self.storage = Storage(placeholder, self.edge, None)
        self.storage.writable = s.writable


class SlotState:
    """A gradient slot during the trace. `was_none` is None where nobody looked before it was written."""

    __slots__ = ("was_none", "held", "given")

    def __init__(self, was_none: bool | None, held: Any):
        self.was_none = was_none
        self.held = held  # the Tensor that .grad is now
        self.given = held  # the stand-in for the gradient from outside


class Trace(Recorder):
    """The recorder while a function is traced for `ingot.compile`."""

    tracing = capturing = measures = True

    def __init__(
        self, outer: Any, by_reference: Set[GradSlot] = frozenset(), extents: Extents | None = None, sizes_within: bool = False,
        same: Mapping[str, Dim] = MappingProxyType({}), signed: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.sizes_within = sizes_within  # the values of sizes are computed by the graph, which has no inputs for them
        self.outer = outer
        self.extents = extents
        self.read: dict[Size | Formula, Array] = {}  # sizes and formulas whose values are read
        # symbols that are computed, their values, and what is said of negative ones (None: they may be so)
        self.measured: dict[str, tuple[Array, str | None]] = {}
        self.numbers: dict[int, Any] = {}  # of values that are asked for as numbers
        self.signed = signed  # whether integers that are asked for may be negative
        self.same = same  # sizes that equal measured ones, which they take the place of, as an earlier trace has written them
        self.dims: dict[str, Dim] = {}  # what measured ones are in this trace, where bounds may be others
        self.leaves: Sequence[Any] = ()  # the arguments of the call that is traced
        if extents is not None:
            extents.example, extents.unknown, extents.ended = self.example, self._unknown, ended
        self.by_reference = by_reference  # slots whose gradients are captured like other tensors from outside
        self.grad_enabled = outer.grad_enabled
        self.inference = outer.inference
        self.autocast = outer.autocast
        self.sources: list[Source | None] = []  # of the inputs; None for what no call gathers
        self.devices: dict[int, None] = {}  # the GPUs on which there are values
        self.captured: dict[Storage, StandIn] = {}  # Storages from outside
        self.shaped: dict[Storage, tuple[Dim, ...]] = {}  # the shapes of those that have run-time sizes
        self.origins: dict[Storage, Storage] = {}  # what stands for them -> themselves
        self.stand_ins: dict[int, tuple[Any, Any]] = {}  # tensors from outside, by id, and what stands for them
        self.slots: dict[GradSlot, SlotState] = {}
        self.fixed: dict[GradSlot, Any] = {}  # slots whose gradients were captured so, and these
        self.gradients: dict[Any, tuple[GradSlot, Any]] = {}  # the others, by id and by Storage
        self.inner_slots: set[GradSlot] = set()  # of tensors made here: they end with the trace
        self.cells: dict[Any, Any] = {}
        self.generators: dict[Any, tuple[Array, Array, Offset]] = {}  # seed, and the offset at the start of the call
        self.seen: list[tuple[Any, Any, bool, tuple[int, ...]]] = []  # tensors read, what stands for them; whether they required
        # gradients, and their hooks
        self.thread = threading.get_ident()
        self.became: dict[int, tuple[Any, tuple[Step, ...]]] = {}  # tensors that turned into views of themselves, and how they began
        self.rebound: dict[int, tuple[Any, Any, Storage]] = {}  # tensors whose `.data` was assigned, what stands for them, and their memory
        # before that
        self.prints: list[tuple[list[Any], Callable[[list[Any]], None]]] = []  # values, and what prints them; see ingot.debug
        self.arguments: dict[Any, int] = {}  # argument tensors (by id) and their Storages that have a stand-in
        self.argument_slots: dict[GradSlot, int] = {}  # of these stand-ins

    # ---- inputs

    def placeholder(self, t: TensorType, source: Source | None, scalar: bool = False) -> Array:
        """A graph input."""
        a = Array(t, None, -1 - len(self.inputs), self)
        self.inputs.append(a)
        self.input_keys.append(~id(t) if scalar else id(t))
        self.sources.append(source)
        if t.device is not None:
            self.devices[t.device] = None
        return a

    def table(self, array: np.ndarray, dtype: DType) -> Any:
        """Values that the function makes of none of its inputs, and that are many: an input that is the same at each call."""
        with outside():
            made = from_array(array, dtype)
            a = self.placeholder(made._array.type, Captured(made._make_storage()))
        a.buffer = made._array.buffer
        return wrap((a, None))

    def moved(self, a: Array, device: int | None) -> Array:
        """The value as one of another device. All of the graph runs on one: what is not there is copied before the call, or after it."""
        if a.type.device == device:
            return a
        if device is not None:
            self.devices[device] = None
        return Array(a.type.on(device), None, a.value, self)

    def mixes(self, sig: Any, arrays: Any) -> None:
        for a in arrays:
            if a.type.device is None and a.type.shape:
                values = self.needed([a.value])[1] | {a.value}
                if any(i in self.asked_for if i >= 0 else self.input_keys[-1 - i] >= 0 for i in values):
                    raise RuntimeError(apart(f"cuda:{sig.device}", "cpu"))

    def input(self, a: Array) -> int | None:
        raise AssertionError(f"{a} was made outside of the trace and not captured")

    def stand_in(self, t: Any) -> Any:
        """What stands for a tensor in this trace: itself, where it was made here."""
        if t._array.source is self:
            return t
        found = self.stand_ins.get(id(t))
        if found is not None:
            return found[1]
        if id(t) in self.arguments:
            raise Aliased(self.arguments[id(t)])
        gradient = self.gradients.get(id(t)) or self.gradients.get(t._storage)
        if gradient is not None:
            raise Aliased(self.argument_slots.get(gradient[0], gradient[0]))
        s = t._make_storage()
        c = self.captured.get(s) or self._capture(s)
        if any(isinstance(s, Detach) and s.history is not None for s in t._steps):
            raise refuse(
                "a compiled function reads a detached tensor to which values with a history were written, outside of it",
                "clone() it there and pass the copy",
            )
        out = view(c.storage, renewed(t._steps))
        self.stand_ins[id(t)] = t, out
        self.seen.append((t, out, out._edge is not None, hooks(leaf_of(t))))
        return out

    def _capture(self, s: Storage) -> StandIn:
        if s in self.arguments:
            raise Aliased(self.arguments[s])
        s.watched = True
        t: TensorType = s.base.type
        if s in self.shaped:
            t = t.with_shape(self.shaped[s])
        c = self.captured[s] = StandIn(s, self.placeholder(t, Captured(s)))
        self.origins[c.storage] = s
        return c

    def will_rebind(self, t: Any, value: Any) -> Any:
        """Called before `value` is assigned to `.data`. What gets it: what stands for a tensor from outside."""
        out = self.stand_in(t)
        if out is not t or t._slot in self.argument_slots:
            kind, given = t._array.type, self.stand_in(value)._array.type
            if kind != given:
                raise refuse(f"a compiled function assigns .data of {given} where {kind} was", "assign it outside")
            if id(out) in self.became:
                raise refuse("a compiled function assigns .data of a tensor that it has turned into a view in place", "drop the underscore")
            self.rebound.setdefault(id(out), (t, out, out._make_storage()))
        return out

    def place(self, slot: GradSlot) -> Place:
        """Where the gradient in `slot` lives at a call."""
        i = self.argument_slots.get(slot)
        return Place(slot) if i is None else Place(argument=i)

    def read_grad(self, slot: GradSlot) -> Any:
        """The Tensor that a `.grad` holds now."""
        state = self.slots.get(slot)
        if state is None:
            held = slot.grad
            if held is not None:
                with outside():
                    requires_grad = held.requires_grad
                if requires_grad:
                    raise refuse("a gradient that itself requires gradients is read", "compile the function without create_graph")
                held = self._gradient(slot, held)
            state = self.slots[slot] = SlotState(held is None, held)
        return state.held

    def _gradient(self, slot: GradSlot, held: Any) -> Any:
        """What stands for the gradient that a slot holds."""
        s = held._storage
        argument = self.arguments.get(id(held), self.arguments.get(s))
        if argument is not None:
            raise Aliased(argument)
        if slot in self.by_reference or id(held) in self.stand_ins or s in self.captured:
            if slot in self.argument_slots:
                raise Aliased(self.argument_slots[slot])
            self.fixed[slot] = held
            return self.stand_in(held)
        other = self.gradients.get(id(held)) or self.gradients.get(s)
        if other is not None:
            raise Aliased(self.argument_slots.get(other[0], other[0]))
        self.gradients[id(held)] = slot, held
        if s is not None:
            self.gradients[s] = slot, held
        t: TensorType = held._array.type
        if slot in self.argument_slots:  # of the shape that the argument has in the trace
            t = t.with_shape(slot.type.shape)
        return frontend.wrap((self.placeholder(t, Grad(self.place(slot))), None))

    def write_grad(self, slot: GradSlot, value: Any) -> None:
        """Assign a `.grad`."""
        state = self.slots.get(slot)
        if state is None:
            self.slots[slot] = state = SlotState(None, None)
        state.held = value

    def cell(self, container: Any, key: Any, index: int | None) -> Any:
        """A float64 scalar that is container[key] (or container[key][index]), read anew at each call."""
        k = (id(container), key, index)
        found = self.cells.get(k)
        if found is None:
            a = self.placeholder(rank0(f64), Cell(container, key, index), scalar=True)
            found = self.cells[k] = frontend.wrap((a, None))
        return found

    def measure(self, count: Array, most: Dim | None, negative: str) -> Any:
        """An extent that is what `count` holds, an int64 scalar of at most `most`. A call in which it is less than 0 fails, and says so."""
        if self.extents is None:
            raise Measures()
        name = f"u{len(self.measured)}"
        s: Any = symbol(name, 0, most if isinstance(most, int) else inf)
        self.measured[name] = count, negative
        self.read[s] = count
        self.extents.measured.append(name)
        dim = self.dims[name] = replaced(self.same[name], self.dims) if name in self.same else s
        if dim is not s:
            self.extents.guard("==", s, dim)
        return self.extents.of(dim)

    def number(self, a: Array) -> Any:
        """The value of a scalar as a number of Python, an integer or a float that the code computes."""
        if self.extents is None:
            raise Measures()
        found = self.numbers.get(a.value)
        if found is None:
            found = self.numbers[a.value] = self._number(a, self.extents)
        return found

    def _number(self, a: Array, known: Extents) -> Any:
        name = f"u{len(self.measured)}"
        whole = a.type.dtype.kind in "iu"
        flat: Pair = emit(OPS["reshape"], ((a, None),), ((),))[0] if a.type.shape else (a, None)
        count = emit(OPS["cast"], (flat,), (i64 if whole else f64,))[0]
        self.measured[name] = count[0], None
        known.measured.append(name)
        if not whole:
            return known.real(name)
        s: Any = symbol(name)
        self.read[s] = count[0]
        dim: Any = replaced(self.same[name], self.dims) if name in self.same else s
        self.dims[name] = dim
        known.guard("<=", 0, s)
        if dim is not s:
            known.guard("==", s, dim)
        elif self.signed and known.value(s) < 0:
            known.values[name] = -known.values[name]
            self.read[s] = emit(OPS["neg"], (count,), ())[0][0]
            self.measured[name] = self.read[s], None
            dim = self.dims[name] = -s
        return known.of(dim)

    def _unknown(self, names: Iterable[str]) -> CaptureError:
        """What is raised where Python needs a number that the code computes."""
        return unknown() if all(self.measured[n][1] is not None for n in names if n in self.measured) else _not_known()

    def example(self, name: str) -> Any:
        """What a measured symbol is in the call that is traced: what computes it runs. CaptureError where its inputs are not there."""
        counts = dict(list(self.measured.items())[: list(self.measured).index(name) + 1])
        if self.measured[name][0].type.dtype is f64:
            raise _not_known()
        live = tuple([a.value for a, _ in counts.values()])
        inputs = sorted((i for i in self.needed(live)[1] if i < 0), reverse=True)
        sources = [self.sources[-1 - i] for i in inputs]
        if any(s is None or isinstance(s, (Attribute, Grad)) for s in sources):  # what is there now may be the trace's
            raise self._unknown([name])
        from ingot.capture.stages import Stages  # which compiles, as only the call does that is traced

        device = next(iter(self.devices), None)
        graph = self.subgraph(inputs, live, "sizes")
        sizes = dict(self.extents.values)
        with outside(), deciding(None):
            stages = Stages(graph, {n: (k, said) for k, (n, (_, said)) in enumerate(counts.items())}, (), device)
            given = [s.seen(self.leaves, self.type_of(i), sizes) for s, i in zip(sources, inputs)]  # type: ignore[union-attr]
            stages.run([a if device is None or not a.type.shape else here.recorder.moved(a, device) for a in given], sizes)
        return sizes[name]

    def extent(self, dim: Size | Formula) -> Array:
        """The value of a size, as an int64 scalar, or of a formula, as a float64 one."""
        found = self.read.get(dim)
        if found is None and self.measured:
            names = dim.names if isinstance(dim, Formula) else {s.name for s in symbols(dim)}
            if not names.isdisjoint(self.measured):
                found = self.read[dim] = self._of_formula(dim) if isinstance(dim, Formula) else self._of_parts(dim)
        if found is None and self.sizes_within and isinstance(dim, Size):
            found = self.read[dim] = _computed(dim)
        if found is None:
            made: Source = ExtentValue(dim) if isinstance(dim, Size) else FormulaValue(dim)
            found = self.read[dim] = self.placeholder(rank0(i64 if isinstance(dim, Size) else f64), made, scalar=True)
        return found

    def _of_parts(self, dim: Dim) -> Array:
        """The value of a size, calculated."""
        if not isinstance(dim, Size):
            return emit(OPS["constant"], (), (Const.of(dim, i64),))[0][0]
        total: Pair = (self._of_parts(dim.const), None)
        for atoms, c in dim.terms:
            part: Pair = (self._of_parts(c), None)
            for atom in atoms:
                part = emit(OPS["mul"], (part, self._of_atom(atom)), ())[0]
            total = emit(OPS["add"], (total, part), ())[0]
        return total[0]

    def _of_formula(self, formula: Formula) -> Array:
        """The value of a formula, calculated."""
        values: dict[str, Term] = {}
        for n in formula.names:
            made = self.measured[n][0] if n in self.measured else self.extent(Formula(f"float(d_{n})", frozenset((n,))))
            values[n] = Term(emit(OPS["cast"], ((made, None),), (f64,))[0])
        return calculated(formula, values)

    def _of_atom(self, atom: Any) -> Pair:
        if isinstance(atom, Symbol):
            return self.extent(Size(0, (((atom,), 1),))), None
        op = OPS["floor_divide" if isinstance(atom, Quotient) else "minimum" if isinstance(atom, Smaller) else "maximum"]
        return emit(op, tuple([(self._of_parts(p), None) for p in atom.parts]), ())[0]

    def reserve(self, generator: Any, blocks: int) -> tuple[Array, Array]:
        """Seed and offset for a random op: the offset at the start of the call, plus what was reserved before in the function."""
        t = rank0(i64)
        g = self.generators.get(generator)
        if g is None:
            source = Offset(generator)
            seed = self.placeholder(t, Seed(generator), scalar=True)
            g = self.generators[generator] = seed, self.placeholder(t, source, scalar=True), source
        seed, offset, source = g
        before = source.blocks
        source.blocks += plain_dim(blocks)
        if before != 0:
            if isinstance(before, Size):
                delta = self.extent(before)
            else:
                (delta,) = self.emit(signature(OPS["constant"], (Const.of(before, i64),), ()), (), None)
            (offset,) = self.emit(signature(OPS["add"], (), (offset, delta)), (offset, delta), None)
        return seed, offset

    def becomes(self, t: Any) -> None:
        if id(t) in self.rebound:
            raise refuse("a compiled function turns a tensor into a view in place whose .data it has assigned", "drop the underscore")
        self.became.setdefault(id(t), (t, t._steps))

    # ---- what cannot be done

    def only_outside(self, what: str, instead: str) -> None:
        raise refuse(what, instead)

    def need(self, a: Array) -> None:
        if threading.get_ident() != self.thread:
            with TRACING:
                raise RuntimeError("this attribute was read while another thread traced a function that assigns it; read it again")
        if self._constant(a):
            return
        raise _not_known()

    def knows(self, a: Array) -> bool:
        return a.buffer is not None or self._constant(a)

    def _constant(self, a: Array) -> bool:
        """Compute a value that no input reaches but tables; it stays part of the trace as well. False where one does."""
        nodes, values = self.needed([a.value])
        inputs = sorted((i for i in values if i < 0), reverse=True)
        tables = [self.inputs[-1 - i].buffer for i in inputs]
        if None in tables or any(self.types[i].symbolic for i in values if i >= 0):
            return False
        op, attrs, _ = self.nodes[nodes[0]]
        buffer = memory.allocate(a.type.nbytes)
        if op is OPS["constant"]:
            buffer.array(a.type.dtype.numpy, a.type.shape)[...] = attrs[0].array()
        else:
            from ingot.runtime import compiler  # not before something runs: it brings the cache along

            graph = self.subgraph(inputs, (a.value,), "constant")
            compiler.executable(graph).run(*[b.address for b in tables], buffer.address)  # type: ignore[union-attr]
        a.buffer = buffer
        return True

    def flush(self) -> None:
        """Nothing runs while a function is traced."""

    # ---- the end

    def forget(self) -> None:
        """Let go of all that the trace held for itself: what is alive of it afterwards was kept by the function."""
        for state in self.slots.values():
            state.held = state.given = None
        self.prints.clear()
        self.read.clear()
        self.measured.clear()
        self.rebound.clear()
        self.numbers.clear()
        for held in (self.became, self.cells, self.stand_ins, self.seen, self.fixed, self.gradients, self.origins, self.captured):
            held.clear()
        self.shaped.clear()


def unknown() -> CaptureError:
    """What is raised where Python needs a number that the code computes."""
    return refuse(
        "how many elements are chosen is known only when the function runs: the number cannot decide a branch or what shapes fit",
        "use a mask that keeps the shape (ingot.where), or do this outside of the compiled function",
    )


def _not_known() -> CaptureError:
    return refuse(
        "the value of a tensor is not known while a function is compiled: it cannot be made a number or decide a branch",
        "use ingot.where(condition, a, b) or ingot.cond instead of a branch, ingot.while_loop instead of a loop, "
        "ingot.debug.print to see it at each call, INGOT_COMPILE=0 to run without compiling, or compute this outside of the "
        "compiled function; name a float argument in compile(static=...) if Python must see its value",
    )


def ended() -> CaptureError:
    """What is raised where a number of a trace is used when that has ended, or by a thread that does not trace."""
    return refuse(
        "a size or a number that a compiled function was called with is used by another thread, or after the function was compiled: it was "
        "kept in a place that compiled code does not write to, where later calls would find that of the first one",
        "return it from the function, keep it in an attribute, list or dict that the function reads or assigns, or pass it to the compiled "
        "function by name in compile(static=...)",
    )


def _computed(dim: Size) -> Array:
    """The value of a size as the last of the numbers up to it; what is subtracted in it is computed likewise."""
    taken: Any = min(dim.const, 0)
    for atoms, c in dim.terms:
        if c < 0:
            taken = taken + Size(0, ((atoms, c),))
    kept = _last(dim - taken)
    return kept[0] if taken == 0 else emit(OPS["sub"], (kept, _last(-taken)), ())[0][0]


def _last(n: Any) -> Pair:
    """The int64 number n, a size of 0 or more."""
    up_to = emit(OPS["iota"], (), (i64, (n + 1,), 0))
    return emit(OPS["reshape"], emit(OPS["slice"], up_to, ((n,), (n + 1,), (1,))), ((),))[0]


def is_leaf(t: Any) -> bool:
    """Whether a tensor that shares a Storage is a leaf of the tape that requires gradients."""
    return any(isinstance(p, LeafStep) for p in t._steps)


def leaf_of(t: Any) -> Leaf | None:
    """The end of the tape at a tensor that requires gradients and is a leaf itself, no view of one; None for any other."""
    if t._storage is None:
        return t._edge[0] if t._edge is not None and isinstance(t._edge[0], Leaf) else None
    last = t._steps[-1] if t._steps else None
    return last.leaf if isinstance(last, LeafStep) else None


def hooks(leaf: Leaf | None) -> tuple[int, ...]:
    """The keys of the hooks at a leaf."""
    return () if leaf is None else (*(leaf.pre_hooks or ()), *(leaf.hooks or ()), *(leaf.slot.post_hooks or ()))


@contextmanager
def aside() -> Iterator[None]:
    """A block of what is traced that is not recorded but runs at once, in the modes that the trace is in."""
    rec = here.recorder
    with outside(), deciding(None):
        now = here.recorder
        modes = now.grad_enabled, now.inference, now.autocast
        now.grad_enabled, now.inference, now.autocast = rec.grad_enabled, rec.inference, rec.autocast
        try:
            yield
        finally:
            now.grad_enabled, now.inference, now.autocast = modes


def run_traced(trace: Trace, fn: Callable[[], Any]) -> Any:
    """Call `fn` with `trace` as the recorder."""
    outer = here.recorder
    here.recorder = trace
    try:
        with deciding(None if trace.extents is None else trace.extents.decide):
            return fn()
    finally:
        here.recorder = outer
