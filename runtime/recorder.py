"""The recorder: what a thread has recorded and not run yet, and the flush that runs it.

Recording appends a key `(op, attrs, inputs)` per node, where inputs are numbers: n >= 0 is the n-th value made here,
-1 - k the k-th input. The list of keys is the identity of what was recorded, so a flush finds its plan by one look-up
in a table (plans.py), confirmed by exact comparison; only a plan that is new to the process builds a Graph.

Liveness is exact: the recorder knows the handles of its values by weak references only. A value whose handle is gone
is not an output of the plan.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from ingot.ir.graph import Graph, Location, Node, Value
from ingot.ir.op import Op
from ingot.ir.types import TensorType
from ingot.runtime import memory, plans
from ingot.runtime.array import HOST, META, Array, again, meta, ready
from ingot.runtime.frozen import FrozenError

if TYPE_CHECKING:
    from ingot.runtime.forecast import Composite, Forecast, Foretold
    from ingot.runtime.tape import Signature

__all__ = ["Recorder", "capturing", "flush", "here", "ours", "outside", "sequence", "user_location", "PENDING_LIMIT"]

PENDING_LIMIT = 1000  # nodes since the last cut
_CUTS = 8192  # that are remembered
sequence = count(1)  # of the tape's nodes, and of the cuts between them
_OURS: dict[str, bool] = {}


def _is_ours(filename: str) -> bool:
    # installed, the public package holds the others; in a working tree they are folders beside it
    rooms = (sys.modules.get(name) for name in ("ingot", "ingot.ir", "ingot.runtime", "ingot.backends"))
    folders = tuple(os.path.join(os.path.abspath(p), "") for room in rooms for p in getattr(room, "__path__", ()))
    found = _OURS[filename] = filename.startswith("<frozen") or os.path.abspath(filename).startswith(folders)
    return found


def ours(filename: str) -> bool:
    """Whether a source file is Ingot's."""
    found = _OURS.get(filename)
    return _is_ours(filename) if found is None else found


def user_location(depth: int = 2) -> Location | None:
    """(code, f_lasti) of the innermost frame that is not Ingot's own, `depth` frames up or higher."""
    frame = sys._getframe(depth)
    known = _OURS
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        mine = known.get(name)
        if mine is None:
            mine = _is_ours(name)
        if not mine:
            return code, frame.f_lasti
        frame = frame.f_back  # type: ignore[assignment]
    return None


class Recorder:
    """An append-only list of nodes. One per thread for eager work; `ingot.capture.trace.Trace` is the kind that becomes a graph."""

    tracing = False  # a trace becomes a graph and never runs by itself
    table: Any = None  # makes an input of many values that are known, where the trace can have one
    capturing = False  # the trace is that of a function that is compiled; else of a composite
    measures = False  # sizes may be values that the graph computes
    derives = False  # derivatives of what is recorded come from its graph, not from the tape
    level = False  # values stand for others of the recorder outside: batches of them, or with tangents; see `ingot.func`
    sized_constants = False  # the values of sizes are constants here, those of a template
    apply_function: Any = None  # (Function, args, kwargs) -> what it gives, its ctx, and what this has saved; None: as everywhere
    extents: Any = None  # of a trace with symbolic sizes: what is known of them
    device: int | None = None  # the GPU that what is recorded here runs on
    others: dict[int, Recorder] | None = None  # what this thread records for GPUs, by their numbers

    def __init__(self) -> None:
        self.grad_enabled = True
        self.run_soon = False  # something pending reads memory that others may write to
        self.lock = threading.RLock()
        self.inference = 0  # depth of inference_mode
        self.autocast: Any = None  # the lower dtypes that products compute in, inside autocast: see frontend/_tensor/autocast.py
        self.backward_depth = 0
        self.tape_off = 0  # transforms that run here and were begun while the tape was off, or need none outside
        self.apart = False  # what is pending was recorded between begin_apart and end_apart
        self.cuts: deque[int] = deque(maxlen=_CUTS)  # where in the sequence of the tape's nodes something has run
        self.clear()

    def clear(self) -> None:
        """Forget everything that was recorded."""
        self.limit = PENDING_LIMIT  # nodes before which everything runs
        self.nodes: list[tuple[Op, tuple, tuple[int, ...]]] = []
        self.locs: list[Location | None] = []
        self.firsts: list[int] = []  # the number of each node's first output
        self.types: list[TensorType] = []  # of the values made here
        self.handles: list[ref[Array]] = []
        self.inputs: list[Array] = []
        self.input_keys: list[int] = []
        self.input_index: dict[Array, int] = {}
        self.checks: list[int] = []  # the nodes that may fail: they must, if nobody wants what they make
        self.composites: list[Composite] = []  # those whose traces were not known
        self.forecast: Forecast | None = None  # that of this recording, as far as it is known
        self.foretold: Foretold | None = None  # and what it said of its end
        self.asked_for: set[int] = set()  # the values that are where the user wants them; others may be made on a GPU as well

    # ---- recording

    def emit(self, sig: Signature, arrays: Any, loc: Location | None) -> list[Array]:
        """Record an op on `arrays`, whose Signature is `sig`: the handles of its outputs."""
        if sig.device is not None and self.device is None:
            if not self.tracing:
                return self.on(sig.device).emit(sig, arrays, loc)
            if sig.mixed:
                self.mixes(sig, arrays)
        if len(self.nodes) >= self.limit and not self.tracing:
            self.flush()
            self.limit = PENDING_LIMIT
        with self.lock:
            ids = []
            for a in arrays:
                if a.source is self:
                    ids.append(a.value)
                    continue
                k = self.input_index.get(a)
                if k is None:
                    k = self.input(a)
                    if k is None:
                        break
                ids.append(k)
            else:
                self.nodes.append((sig.op, sig.attrs, tuple(ids)))
                self.locs.append(loc)
                outs = []
                types, handles = self.types, self.handles
                self.firsts.append(len(types))
                if sig.may_fail:
                    self.checks.append(len(self.nodes) - 1)
                for t in sig.out_types:
                    a = Array(t, None, len(types), self)
                    types.append(t)
                    handles.append(ref(a))
                    outs.append(a)
                return outs
        if a.source is META:
            return [meta(t) for t in sig.out_types]
        ready(a)  # pending elsewhere: its owner runs it. Without our lock, for the owner may be waiting for us
        return self.emit(sig, arrays, loc)

    def input(self, a: Array) -> int | None:
        """Make `a`, which has its value elsewhere, an input. None if that value is pending or failed."""
        scalar = a.buffer is None
        if scalar and a.source is not HOST:
            return None
        k = -1 - len(self.inputs)
        self.inputs.append(a)
        self.input_index[a] = k
        self.input_keys.append(~id(a.type) if scalar else id(a.type))
        return k

    # ---- GPUs: see runtime/elsewhere.py

    def on(self, device: int) -> Recorder:
        """What this thread records for a GPU."""
        found = self.others and self.others.get(device)
        if not found:
            found = _elsewhere().Elsewhere(device)
            _RECORDERS.add(found)
            self.others = {**(self.others or {}), device: found}
        return found

    def moved(self, a: Array, device: int | None) -> Array:
        """The value of `a` in the memory of a GPU, or of the host."""
        return _elsewhere().moved(self, a, device)

    def in_place(self, old: Array, new: Array) -> Array:
        """What takes the place of `old`, a value on a GPU, in a tensor that becomes `new`: itself where others see its memory."""
        buffer: Any = old.buffer
        if self.tracing or buffer is None or not buffer.shared:
            return new
        buffer.overwrite(ready(new))
        return old

    def mixes(self, sig: Signature, arrays: Any) -> None:
        """Told of an operation on values of a GPU and of the host, where this is a trace."""

    # ---- running

    def need(self, a: Array) -> None:
        """Compute the pending value `a`."""
        self.flush()

    def cut(self) -> None:
        """Run what is pending, so that it shares no graph with what follows; nothing where this is a trace."""
        if (self.nodes or self.others) and not self.tracing:
            self.flush()

    def begin_apart(self) -> None:
        """From here to `end_apart`, what is recorded shares no graph with anything but others of its kind.

        The construction of a Module is such: which code the initialisation of a model asks for does not depend on what its user
        computes besides, and Modules that are made one after the other are initialised by one graph.
        """
        if not self.apart:
            self.cut()
            self.apart = True
        self.limit = PENDING_LIMIT

    def end_apart(self) -> None:
        """The next operation runs what is pending, unless it is apart as well."""
        self.limit = 0

    def knows(self, a: Array) -> bool:
        """Whether the value of `a` can be had."""
        return True

    def flush(self) -> None:
        """Run everything that is pending and live."""
        self.run_soon = self.apart = False
        if self.others:
            for other in self.others.values():
                other.flush()
        with self.lock:
            if not self.nodes:
                return
            alive = [(i, a) for i, r in enumerate(self.handles) if (a := r()) is not None]
            if alive or self.checks:
                self._run(alive)
            self.cuts.append(next(sequence))
            self.clear()

    def _run(self, alive: list[tuple[int, Array]]) -> None:
        try:
            found = plans.bound(self, tuple([i for i, _ in alive]))
            plan = found.plan
            alive += [(i, Array(self.types[i], None, i, self)) for i in plan.dropped]
            if not alive:
                return
            outs = [a for _, a in alive]
            slots = self._inputs(plan.reads)
            buffers = [self.allocate(a.type.nbytes) for a in outs]
            slots += found.numbers
            slots += [b.address for b in buffers]
            self.call(plan, [*slots, *found.sizes], [i for i, _ in alive])
        except FrozenError:  # nothing has run, all stays pending; so it does after a Ctrl-C
            raise
        except Exception as error:
            self._failed(alive, error)
            return
        for a, b in zip(outs, buffers):
            a.buffer = b
            a.value = a.source = None
        if self.others:
            _elsewhere().note_made(self, alive)

    def allocate(self, nbytes: int) -> memory.Buffer:
        """Memory for what a run makes."""
        return memory.allocate(nbytes)

    def call(self, plan: plans.Plan, slots: list[Any], live: Sequence[int]) -> None:
        """Run a plan of what is recorded, for the values `live`."""
        plan.run(*slots)

    def _inputs(self, reads: Sequence[int]) -> list[Any]:
        """What a call is given for those inputs."""
        inputs, keys = self.inputs, self.input_keys
        return [inputs[k].value if keys[k] < 0 else inputs[k].buffer.address for k in reads]  # type: ignore[union-attr]

    def whole_graph(self, live: tuple[int, ...], name: str) -> Graph:
        """The Graph that computes the values `live` from all the inputs, whether it reads them or not."""
        return self.subgraph([-1 - k for k in range(len(self.inputs))], live, name)

    def graph(self, live: tuple[int, ...], name: str = "eager") -> tuple[Graph, tuple[int, ...]]:
        """The Graph that computes the values `live` (numbers as in a node's inputs), and the inputs it reads, in order."""
        needed = self.needed(live)[1]
        reads = tuple(k for k in range(len(self.inputs)) if -1 - k in needed)
        return self.subgraph([-1 - k for k in reads], live, name), reads

    def needed(self, live: Iterable[int], given: Container[int] = ()) -> tuple[list[int], set[int]]:
        """The nodes that compute the values `live` where those `given` are known, the last one first, and the values that they read."""
        values = {i for i in live if i not in given}
        nodes = []
        end = len(self.types)
        for n in range(len(self.nodes) - 1, -1, -1):
            first = self.firsts[n]
            if any(i in values for i in range(first, end)):
                nodes.append(n)
                values.update(i for i in self.nodes[n][2] if i not in given)
            end = first
        return nodes, values

    def dropped(self, live: Iterable[int]) -> list[int]:
        """A value each of the nodes that may fail, and that nothing needs where the values `live` are wanted: they fail all the same."""
        if not self.checks:
            return []
        needed = self.needed(live)[1]
        return [self.firsts[n] for n in self.checks if needed.isdisjoint(self.outputs_of(n))]

    def type_of(self, i: int) -> TensorType:
        """The type of value number i."""
        return self.types[i] if i >= 0 else self.inputs[-1 - i].type

    def subgraph(self, inputs: Sequence[int], live: Sequence[int], name: str) -> Graph:
        """The Graph that computes the values `live` from the values `inputs`."""
        values: dict[int, Value] = {i: Value(self.type_of(i).on(None)) for i in inputs}
        graph_inputs = tuple(values[i] for i in inputs)
        nodes = []
        for n in reversed(self.needed(live, values)[0]):
            op, attrs, ins = self.nodes[n]
            made = self.outputs_of(n)
            outputs = tuple(Value(self.types[i].on(None)) for i in made)
            nodes.append(Node(op, tuple(values[i] for i in ins), attrs, outputs, self.locs[n]))
            for i, v in zip(made, outputs):
                values.setdefault(i, v)
        scalars = frozenset(k for k, i in enumerate(inputs) if i < 0 and self.input_keys[-1 - i] < 0)
        return Graph(name, graph_inputs, tuple(nodes), tuple(values[i] for i in live), scalars=scalars)

    def made_at(self, a: Array) -> Location | None:
        """Where the pending value `a` was recorded."""
        return None if a.value < 0 else self.locs[self.maker(a.value)]

    def outputs_of(self, n: int) -> range:
        """The numbers of the outputs of node n."""
        return range(self.firsts[n], self.firsts[n + 1] if n + 1 < len(self.firsts) else len(self.types))

    def maker(self, i: int) -> int:
        """The node that makes value i."""
        return bisect_right(self.firsts, i) - 1

    # ---- histories: a level keeps one for each value, of what it stands for

    def with_edge(self, a: Array, edge: Any) -> Array:
        """`a` as the value of a tensor whose gradient goes to `edge` (None: nowhere)."""
        return a

    def with_history_of(self, a: Array, other: Array) -> Array:
        """`a` in place of `other`, whose history stays."""
        return a

    # ---- gradient slots

    def read_grad(self, slot: Any) -> Any:
        """The Tensor that a GradSlot holds, or None."""
        return slot.grad

    def write_grad(self, slot: Any, value: Any) -> None:
        """Have a GradSlot hold `value`, a Tensor or None."""
        slot.grad = value

    # ---- what a trace forbids

    def only_outside(self, what: str, instead: str) -> None:
        """Nothing here. While a function is compiled: CaptureError that says `what` cannot be done, and what to do `instead`."""

    def becomes(self, t: Any) -> None:
        """Told before a tensor that was made here turns into a view of itself."""

    # ---- failure

    def _failed(self, alive: list[tuple[int, Array]], error: Exception) -> None:
        """A run failed. What depends on the failing node keeps the error; everything else is run without it.

        The node is found by running the live values one by one: this is rare, and nothing else may be lost.
        """
        bad: Exception | None = None
        for i, a in alive:
            if len(alive) > 1:
                try:
                    self._run_one(i, a)
                    continue
                except Exception as e:
                    error = e
            a.source = self._explained(error, (i,))
            a.value = None
            bad = bad or a.source
        if bad is not None:
            self.clear()
            raise again(bad)

    def _explained(self, error: Exception, live: tuple[int, ...]) -> Exception:
        """The error that users expect where the plan for `live` failed; the plan itself may have come from other lines."""
        from ingot.runtime.failures import explained

        graph, reads = self.graph(live)
        return explained(error, graph, self._inputs(reads))

    def _run_one(self, i: int, a: Array) -> None:
        found = plans.bound(self, (i,), alone=True)
        buffer = self.allocate(a.type.nbytes)
        self.call(found.plan, [*self._inputs(found.plan.reads), *found.numbers, buffer.address, *found.sizes], (i,))
        a.buffer = buffer
        a.value = a.source = None


def _elsewhere() -> Any:
    """What records for GPUs: it is a recorder itself, and not imported before one is asked for."""
    return importlib.import_module("ingot.runtime.elsewhere")


_RECORDERS: WeakSet[Recorder] = WeakSet()  # of all threads


class _Local(threading.local):
    def __init__(self) -> None:
        self.recorder: Any = Recorder()
        _RECORDERS.add(self.recorder)


here = _Local()


def flush() -> None:
    """Run what this thread has pending: a natural cut, such as the end of an optimizer's step. Nothing while tracing."""
    here.recorder.cut()


def capturing() -> bool:
    """Whether this thread is tracing a function for `ingot.compile`."""
    return here.recorder.capturing


@contextmanager
def outside() -> Iterator[None]:
    """A block that is not traced but runs at once, for state that must exist before it is captured."""
    rec = here.recorder
    outer = rec
    while outer.tracing:
        outer = outer.outer
    if outer is rec:
        yield
        return
    here.recorder = outer
    try:
        yield
    finally:
        here.recorder = rec


def _before_fork() -> None:
    """Run what the forking thread has pending: parent and child both have the values then."""
    rec = here.recorder
    if not rec.tracing:
        try:
            rec.flush()
        except Exception:  # those values keep their error; it is raised where one is read
            pass


def _after_fork() -> None:
    """The child has one thread: what others had pending is dropped, and locks that they held are new."""
    lost = RuntimeError("this value was pending in another thread when the process forked: compute it before the fork, with .numpy()")
    for rec in list(_RECORDERS):
        rec.lock = threading.RLock()
        for r in rec.handles:
            a = r()
            if a is not None and a.buffer is None and a.source is rec:
                a.source, a.value = lost, None
        rec.clear()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
