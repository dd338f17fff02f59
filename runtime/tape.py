"""The tape: nodes that know how to carry gradients back. What runs them is in backward.py.

An *edge* is `(node, index)`: where the gradient of a value goes. Values themselves (Arrays) know no edges, so a node may
save its own outputs without a reference cycle. A node saves what its rule reads and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.dtypes import DType
from ingot.ir.facts import Kept
from ingot.ir.graph import Const, Location
from ingot.ir.op import OPS, Op, infer
from ingot.ir.size import ShapeError, decisions
from ingot.ir.types import TensorType
from ingot.runtime.array import Array
from ingot.runtime.forecast import foretold, tables
from ingot.runtime.hooks import Handle
from ingot.runtime.recorder import here, sequence
from ingot.runtime.sight import seen, unseen

__all__ = [
    "Edge", "Pair", "Version", "Signature", "signature", "Node", "OpNode", "Identity", "Overwritten", "Refusing", "overwritten", "GradSlot",
    "Leaf", "Packed", "SavedHooks", "apart", "emit", "one_device", "saving", "frontend", "zeros", "ones",
]  # fmt: skip

if TYPE_CHECKING:
    from ingot.ir.transforms.vjp import Backward



class Version:
    """How often a tensor and its views were written in place."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class _Frontend:
    """What the tape needs of Tensors; `_tensor/state.py` and `autograd/engine.py` fill it in."""

    wrap: Callable[[Pair], Any]  # a Tensor
    unwrap: Callable[[Any], Pair]
    accumulate: Callable[[Any, Pair, bool], None]  # (GradSlot, gradient, create_graph)
    cpu: Any  # the device of that name
    as_device: Callable[[Any], Any]  # the device that is meant


frontend = _Frontend()


KEPT: dict[str, Kept] = {}  # what composites keep that keep other than they read, by their names


# ---- signatures


class Signature:
    """An op with its attributes on inputs of certain types: what recording and differentiating it needs, found once."""

    __slots__ = ("op", "attrs", "in_types", "out_types", "device", "mixed", "may_fail", "kept", "_backward", "_name")

    def __init__(self, op: Op, attrs: tuple, in_types: tuple[TensorType, ...], out_types: tuple[TensorType, ...] | None = None):
        self.op = op
        self.attrs = attrs
        self.in_types = in_types
        self.device = None if out_types is not None else one_device(in_types)  # where it runs
        self.mixed = False  # whether some of the inputs are the host's, which is no GPU's
        if out_types is not None:  # known beforehand, of values of the host
            self.out_types = out_types
        elif self.device is None:
            self.out_types = infer(op, in_types, attrs)
        else:
            self.mixed = any(t.device is None for t in in_types)
            in_types = tuple([t.on(None) for t in in_types])
            self.out_types = tuple([t.on(self.device) for t in infer(op, in_types, attrs)])
        self.may_fail = op.can_fail and op.may_fail(in_types, attrs)
        self.kept = KEPT.get(attrs[0].name, Kept.READ) if op.name == "call" else op.kept
        self._backward: dict[Any, Any] = {}
        self._name = ""

    def unwritten(self, saved: Iterable[int]) -> Iterable[int]:
        """Which inputs i, and outputs as ~i, must not be written before the backward, which reads those `saved`."""
        if self.kept is Kept.READ:
            return saved
        reads = [i for i in saved if i >= 0]
        results = [~i for i, t in enumerate(self.out_types) if t.dtype.kind in "fc"]
        if self.kept is Kept.OPERANDS:
            return reads if len(reads) == len(tuple(saved)) else range(len(self.in_types))
        return [] if self.kept is Kept.NOTHING else results if self.kept is Kept.RESULTS else [*reads, *results]

    @property
    def name(self) -> str:
        """What a node of it is called."""
        if not self._name:
            self._name = _node_name(self.op, self.attrs)
        return self._name

    def backward(self, wrt: tuple[bool, ...], cts: tuple[bool, ...]) -> Backward | None | Exception:
        """The VJP for these masks; None if no output can carry a gradient; an error if it is not implemented."""
        key = (wrt, cts)
        found = self._backward.get(key, _UNKNOWN)
        if found is _UNKNOWN:
            found, before = None, decisions()
            if any(t.dtype.kind in "fc" for t in self.out_types):
                from ingot.ir.transforms.derived import backward_of
                from ingot.ir.transforms.vjp import op_vjp

                in_types = self.in_types if self.device is None else tuple([t.on(None) for t in self.in_types])
                symbolic = any(t.symbolic for t in in_types)
                try:
                    found = (op_vjp if symbolic else backward_of)(self.op, self.attrs, in_types, wrt, cts)
                except RuntimeError as error:  # no derivative yet: raised where it is asked for
                    found, extents = error, here.recorder.extents
                    if isinstance(error, ShapeError) and extents is not None:
                        raise extents.specialised(
                            lambda types, attrs: op_vjp(self.op, attrs, types, wrt, cts), in_types, self.attrs, error
                        ) from None
            if decisions() == before:
                self._backward[key] = found
        return found


def one_device(types: Sequence[TensorType]) -> int | None:
    """The GPU that holds some of these; None where all are the host's. RuntimeError where there are two."""
    found = None
    for t in types:
        d = t.device
        if d is not None and d != found:
            if found is not None:
                raise RuntimeError(apart(f"cuda:{found}", f"cuda:{d}"))
            found = d
    return found


def apart(a: str, b: str) -> str:
    """What is said of an operation on tensors of two devices."""
    return f"Expected all tensors to be on the same device, but found at least two devices, {a} and {b}!"


_SIGNATURES: dict[Any, Signature] = {}  # those that hold whatever the symbols are
_UNKNOWN = object()


def signature(op: Op, attrs: tuple, arrays: Sequence[Array]) -> Signature:
    """The Signature of `op` on `arrays`. Types are looked up by identity; the Signature keeps them alive."""
    key = (op, attrs, *[id(a.type) for a in arrays])
    found = _SIGNATURES.get(key)
    if found is None:
        rec = here.recorder
        if not rec.tracing and foretold(rec, op, arrays):
            found = _SIGNATURES.get(key)
            if found is not None:
                return found
        if len(_SIGNATURES) > 16384:
            _SIGNATURES.clear()
        before = decisions()
        types = tuple([a.type for a in arrays])
        try:
            found = Signature(op, attrs, types)
        except ShapeError as error:
            extents = rec.extents
            if extents is None:
                raise
            types = tuple([t.on(None) for t in types])
            raise extents.specialised(lambda types, attrs: op.infer(types, *attrs), types, attrs, error) from None
        if decisions() == before:
            _SIGNATURES[key] = found
    return found


def _signed(op: Op, attrs: tuple, in_types: tuple[TensorType, ...], out_types: tuple[TensorType, ...]) -> None:
    key = (op, attrs, *map(id, in_types))
    if key not in _SIGNATURES:
        if len(_SIGNATURES) > 16384:
            _SIGNATURES.clear()
        _SIGNATURES[key] = Signature(op, attrs, in_types, out_types)


tables.signed = _signed


def _node_name(op: Op, attrs: tuple) -> str:
    name = attrs[0].name if op.name == "call" else op.name
    return "".join(p.capitalize() for p in name.strip("_").split("_")) + "Backward0"


# ---- nodes


class Node:
    """A step of the tape. `edges[i]` is where the gradient of input i goes."""

    __slots__ = ("seq", "edges", "out_types", "hooks", "pre_hooks", "retained", "loc", "__weakref__")

    def __init__(self, edges: tuple[Edge | None, ...], out_types: tuple[TensorType, ...], loc: Location | None = None):
        self.seq = next(sequence)
        self.edges = edges
        self.out_types = out_types
        self.hooks: dict[int, Callable] | None = None  # torch's post-hooks: (grad_inputs, grad_outputs)
        self.pre_hooks: dict[int, tuple[int, Callable]] | None = None  # key -> (output index, hook of a tensor), or (-1, of all)
        self.retained: dict[int, GradSlot] | None = None
        self.loc = loc

    def name(self) -> str:
        """The node's name as torch spells it, such as `MulBackward0`."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that this one passes gradients to, with the index of the output each continues from."""
        return tuple((None, 0) if e is None else e for e in self.edges)

    def register_hook(self, hook: Callable) -> Any:
        """Call `hook(grad_inputs, grad_outputs)` when this node has run; what it returns replaces the gradients."""
        if self.hooks is None:
            self.hooks = {}
        return Handle(self.hooks, hook)

    def register_prehook(self, hook: Callable) -> Any:
        """Call `hook(grad_outputs)` before this node runs; what it returns replaces the gradients."""
        if self.pre_hooks is None:
            self.pre_hooks = {}
        return Handle(self.pre_hooks, (-1, hook))

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        """The gradients of the inputs, from those of the outputs."""
        raise AssertionError("abstract")

    def release(self) -> None:
        """Drop what was saved."""

    def saves(self) -> bool:
        """Whether there is something that `release` drops."""
        return False

    def check(self) -> None:
        """RuntimeError if this node cannot run (again)."""

    def released(self) -> bool:
        """Whether what it saved was dropped."""
        return False

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


Edge = tuple[Node, int]
Pair = tuple[Array, Edge | None]  # a value and where its gradient goes


RELEASED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if "
    "you need to backward through the graph a second time or if you need to access saved tensors after calling backward."
)


def check_versions(name: str, saved: Sequence[tuple[Version, int, TensorType]]) -> None:
    """RuntimeError if a saved tensor was written in place since it was saved."""
    for version, n, t in saved:
        if version.n != n:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[ingot.{t.dtype.torch_name} {list(t.shape)}], read by {name}, is at version {version.n}; expected version {n} instead."
            )


class SavedHooks:
    """What a saved value goes through: `pack(Tensor)` gives what is kept, `unpack` of that a Tensor."""

    __slots__ = ("pack", "unpack")

    def __init__(self, pack: Callable[[Any], Any], unpack: Callable[[Any], Any]):
        self.pack = pack
        self.unpack = unpack


class Packed:
    """A saved value as a hook has packed it."""

    __slots__ = ("held", "hooks", "type")

    def __init__(self, a: Array, hooks: SavedHooks):
        self.hooks = hooks
        self.type = a.type
        rec = here.recorder
        was = rec.grad_enabled
        rec.grad_enabled = False
        try:
            self.held = seen(hooks.pack, frontend.wrap((a, None)))
        finally:
            rec.grad_enabled = was

    def array(self) -> Array:
        """The value. RuntimeError where the hook gives another type."""
        a = frontend.unwrap(self.hooks.unpack(self.held))[0]
        if a.type != self.type:
            raise RuntimeError(f"an unpack hook of saved_tensors_hooks gave {a.type} for a saved {self.type}")
        return a


class _Saving(threading.local):
    """How values are saved in this thread. hooks: the last one is used; refused: why there may be none; checked: whether a saved tensor
    must not be written in place."""

    hooks: tuple[SavedHooks, ...] = ()
    refused = ""
    checked = True


saving = _Saving()


class OpNode(Node):
    """The gradient of one recorded op."""

    __slots__ = ("sig", "wrt", "saved", "versions")

    def __init__(self, sig: Signature, wrt: tuple[bool, ...], edges: tuple, saved: Any, loc: Location | None):
        super().__init__(edges, sig.out_types, loc)
        self.sig = sig
        self.wrt = wrt
        self.saved: dict[int, Array | Packed] | None = saved  # input i by i, output i by ~i
        self.versions: Sequence[tuple[Version, int, TensorType]] = ()

    def name(self) -> str:
        return self.sig.name

    def check(self) -> None:
        if self.saved is None:
            raise RuntimeError(RELEASED)
        if self.versions:
            check_versions(self.sig.name, self.versions)

    def saves(self) -> bool:
        return bool(self.saved)

    def release(self) -> None:
        if self.saved:
            self.saved = None
            self.versions = ()

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        sig = self.sig
        saved = self.saved
        assert saved is not None
        cts = tuple([g is not None for g in grads])
        back = sig.backward(self.wrt, cts)
        reads = () if back is None or isinstance(back, Exception) else back.reads_inputs + tuple([~i for i in back.reads_outputs])
        if not all(i in saved for i in reads):
            cts = tuple([t.dtype.kind in "fc" for t in sig.out_types])
            back = sig.backward(self.wrt, cts)
            grads = [zeros(t) if g is None and c else g for g, c, t in zip(grads, cts, sig.out_types)]
        if isinstance(back, Exception):
            raise type(back)(*back.args)
        assert back is not None
        ins: list[Pair] = [(_value(saved[i]), self.edges[i]) for i in back.reads_inputs]
        ins += [(_value(saved[~i]), (self, i)) for i in back.reads_outputs]
        ins += [g for g, c in zip(grads, cts) if c and g is not None]
        out: list[Pair | None] = [None] * len(self.edges)
        if back.grads:
            results = unseen(emit_graph, back.graph, ins, self.loc)
            for i, r in zip(back.grads, results):
                out[i] = r
        for i, w in enumerate(self.wrt):
            if w and out[i] is None:
                out[i] = zeros(sig.in_types[i])
        return out


def _value(kept: Array | Packed) -> Array:
    return kept.array() if type(kept) is Packed else kept  # type: ignore[return-value]


class Identity(Node):
    """A copy, or the sum of several uses: gradients pass as they are."""

    __slots__ = ("label",)

    def __init__(self, label: str, edge: Edge, type: TensorType):
        super().__init__((edge,), (type,))
        self.label = label

    def name(self) -> str:
        return self.label

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        return grads


class Overwritten(Node):
    """The node of a value that took the place of another one in memory: gradients go to the new one, zeros to the old one."""

    __slots__ = ("label",)

    def __init__(self, label: str, new: Edge | None, old: Edge, type: TensorType):
        super().__init__((new, old), (type,))
        self.label = label

    def name(self) -> str:
        return self.label

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        node, i = self.edges[1]  # type: ignore[misc]
        return grads[0], zeros(node.out_types[i])


class Refusing(Node):
    """A history through which no gradient can go; `why` says a backward that meets it."""

    __slots__ = ("label", "why")

    def __init__(self, label: str, why: str, edges: tuple[Edge | None, ...], out_types: tuple[TensorType, ...]):
        super().__init__(edges, out_types)
        self.label = label
        self.why = why

    def name(self) -> str:
        return self.label

    def check(self) -> None:
        raise RuntimeError(self.why)


def overwritten(label: str, new: Edge | None, old: Edge | None, type: TensorType) -> Edge | None:
    """The edge of a value that replaces one whose edge is `old`; `new` is its own."""
    if old is None or (new is not None and old in new[0].edges):  # what was computed from the old value reaches it anyway
        return new
    return Overwritten(label, new, old, type), 0


class GradSlot:
    """Where a tensor's `.grad` lives. The tape holds the slot, never the tensor."""

    __slots__ = ("grad", "type", "owner", "post_hooks")

    def __init__(self, type: TensorType):
        self.grad: Any = None  # a Tensor
        self.type = type
        self.owner: Any = None  # weak reference to the tensor
        self.post_hooks: dict[int, Callable] | None = None


class Leaf(Node):
    """AccumulateGrad: the end of the tape at a leaf, which adds to its slot."""

    __slots__ = ("slot",)

    def __init__(self, slot: GradSlot):
        super().__init__((), (slot.type,))
        self.seq = 0  # runs last: all contributions are there
        self.slot = slot

    def name(self) -> str:
        return "AccumulateGrad"

    @property
    def variable(self) -> Any:
        """The leaf tensor, or None if it is gone."""
        return None if self.slot.owner is None else self.slot.owner()

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        if grads[0] is not None:
            frontend.accumulate(self.slot, grads[0], create_graph)
        return ()


# ---- recording with the tape


def emit(op: Op, pairs: Sequence[Pair], attrs: tuple, loc: Location | None = None) -> list[Pair]:
    """Record `op` on values with their edges; with grad mode on, the results have edges where an input has one."""
    rec = here.recorder
    if rec.level:
        pairs = [rec.lift(p) for p in pairs]
    arrays = [p[0] for p in pairs]
    sig = signature(op, attrs, arrays)
    outs = rec.emit(sig, arrays, loc)
    if rec.grad_enabled:
        edges = tuple([p[1] for p in pairs])
        if any(edges):
            return attach(sig, arrays, edges, outs, loc)[0]
    return [(a, None) for a in outs]


def attach(sig: Signature, arrays: Sequence[Array], edges: tuple, outs: Sequence[Array], loc: Location | None) -> tuple[list[Pair], Any]:
    """Put a node on the tape: `outs` with their edges, and the node (None if no output can have a gradient)."""
    wrt = tuple([e is not None for e in edges])
    out_types = sig.out_types
    cts = tuple([t.dtype.kind in "fc" for t in out_types])
    back = sig.backward(wrt, cts)
    if back is None:
        return [(a, None) for a in outs], None
    saved: dict[int, Array] = {}
    if not isinstance(back, Exception):
        for i in back.reads_inputs:
            saved[i] = arrays[i]
        for i in back.reads_outputs:
            saved[~i] = outs[i]
        if saving.hooks:
            kept: Any = {i: Packed(a, saving.hooks[-1]) for i, a in saved.items()}
            saved = kept
    node = OpNode(sig, wrt, edges, saved, loc)
    return [(a, (node, i) if c else None) for i, (a, c) in enumerate(zip(outs, cts))], node


def emit_graph(graph: Any, pairs: Sequence[Pair], loc: Location | None) -> list[Pair]:
    """Record a call of `graph`: as its op itself, where it holds only one."""
    one = graph.single
    if one is not None:
        op, attrs, places = one
        return emit(op, [pairs[i] for i in places], attrs, loc)
    return emit(OPS["call"], pairs, (graph,), loc)


_filled: dict[tuple[DType, float], Const] = {}


def _fill(t: TensorType, value: float) -> Pair:
    key = (t.dtype, value)
    const = _filled.get(key)
    if const is None:
        const = _filled[key] = Const.of(value, t.dtype)
    out = emit(OPS["constant"], (), (const,))
    if t.device is not None:
        out = [(here.recorder.moved(out[0][0], t.device), None)]
    return emit(OPS["broadcast"], out, (t.shape,))[0] if t.shape else out[0]


def zeros(t: TensorType) -> Pair:
    """Zeros of type `t`."""
    return _fill(t, 0.0)


def ones(t: TensorType) -> Pair:
    """Ones of type `t`."""
    return _fill(t, 1.0)
