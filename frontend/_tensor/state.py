"""Tensor: its value, the memory it shares with views, and reading it. What records operations is attached by `ingot.functions`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ingot._tensor.devices import CPU, as_device
from ingot._tensor.gradients import Differentiable
from ingot._tensor.metadata import Described
from ingot._tensor.methods import TensorMethods
from ingot._tensor.overriding import DisableTorchFunctionSubclass
from ingot._tensor.table import TensorType
from ingot.ir import dtypes
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime import array as arrays
from ingot.runtime import tape
from ingot.runtime.array import HOST, Array
from ingot.runtime.recorder import here
from ingot.runtime.storage import NEVER, Storage
from ingot.runtime.tape import Edge, GradSlot, Leaf, Pair, Version
from ingot.runtime.views import Bits, Detach, LeafStep, Movement, Step

__all__ = ["Tensor", "is_tensor", "view", "wrap"]


_NOT_ON_HOST = "can't convert cuda:{} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


class Tensor(Described, Differentiable, TensorMethods, metaclass=TensorType):
    """A multi-dimensional array that records what is done with it. Make one with `ingot.tensor`, `ingot.zeros`, ….

    The shape, dtype and device are known at once; the values are computed when something needs them.

    >>> x = ingot.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("_array", "_edge", "_storage", "_steps", "_generation", "_version_cell", "_slot", "_weak", "__dict__", "__weakref__")
    __array_priority__ = 1000
    __hash__ = object.__hash__

    # _array, _edge   the value and where its gradient goes, as of _generation of the storage
    # _storage        what it shares with its views; made only when there is a view, else None
    # _steps          the chain of view steps from the storage
    # _version_cell   counts in-place writes, shared with views; None until somebody looks
    # _slot           the GradSlot that holds .grad, or None
    # _weak           a number for promotion: it stands for a Python number that a compiled function was called with

    _array: Array
    _edge: Edge | None
    _storage: Storage | None
    _steps: tuple[Step, ...]
    _generation: float
    _version_cell: Version | None
    _slot: GradSlot | None
    _weak: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = importlib.import_module("ingot.functions.conversion").constructed(*args, **kwargs)
        return made if cls is Tensor else made.as_subclass(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("ingot."):
            importlib.import_module("ingot.overrides").subclassed(cls)

    @classmethod
    def __torch_function__(cls, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """What a function or method gives for a subclass: the same as for Tensors, as such of the subclass. See `ingot.overrides`."""
        with DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
            return importlib.import_module("ingot.overrides").of_class(result, cls)

    @staticmethod
    def _make_subclass(cls: type, data: Tensor, require_grad: bool = False, *args: Any) -> Any:
        """A tensor of a subclass that shares memory with `data` and has no history."""
        made = data.detach().as_subclass(cls)
        return made.requires_grad_() if require_grad else made

    # ---- the value behind it

    # While a function is traced, a tensor from outside stays as it is: what reads or writes it does so with a stand-in of the trace.

    def _here(self) -> Tensor:
        """This tensor; while a function is traced, what stands for it there."""
        rec = here.recorder
        return rec.stand_in(self) if rec.tracing else self

    def _present(self) -> Tensor:
        """This tensor, or what stands for it in a trace, with value and edge up to date."""
        rec = here.recorder
        t = rec.stand_in(self) if rec.tracing else self
        s = t._storage
        if s is not None and s.generation != t._generation:
            (t._array, t._edge), t._generation = s.read(t._steps)
        return t

    def _now(self) -> Array:
        """The present value."""
        if here.recorder.tracing:
            return self._present()._array
        s = self._storage
        if s is not None and s.generation != self._generation:
            (self._array, self._edge), self._generation = s.read(self._steps)
        return self._array

    def _pair(self) -> Pair:
        """The present value, and where its gradient goes."""
        t = self._present()
        return t._array, t._edge

    def _owned(self) -> Pair:
        """The present value, surely not memory that others write to: on a GPU a copy, as graphs and others may see what is there."""
        if self._array.type.device is not None and not here.recorder.tracing:
            t = self._present()
            a = t._array
            buffer: Any = a.buffer
            if buffer is not None and buffer.shared:
                sig = tape.signature(OPS["reshape"], (a.type.shape,), (a,))
                return here.recorder.emit(sig, (a,), None)[0], t._edge
        s = self._storage
        if s is not None and s.exposed is not None and not here.recorder.tracing:
            return s.read(self._steps, own=True)[0]
        t = self._present()
        return t._array, t._edge

    def _writes(self) -> Version:
        """What counts the writes in place to this very tensor and its views."""
        if self._version_cell is None:
            self._version_cell = Version()
        return self._version_cell

    def _share(self) -> Storage:
        """The storage, made now if this tensor never shared it."""
        return self._here()._make_storage()

    def _make_storage(self) -> Storage:
        """The storage of this very tensor, made now if it has none."""
        s = self._storage
        if s is None:
            if self._slot is not None and self._edge is not None and isinstance(self._edge[0], Leaf):
                s = Storage(self._array, None, self._version_cell)
                self._steps = (LeafStep(self._edge[0]),)
            else:
                s = Storage(self._array, self._edge, self._version_cell)
            self._version_cell = s.version
            self._generation = s.generation
            self._storage = s
        return s

    def _alias(self, steps: tuple[Step, ...], value: Pair) -> Tensor:
        """A view of this tensor: `steps` follow its own, `value` is what they give now."""
        t = self._here()
        s = t._make_storage()
        if not here.recorder.grad_enabled and steps and isinstance(steps[0], Movement):
            steps[0].blind = True
        out = wrap(value)
        out._storage = s
        out._steps = t._steps + steps
        out._generation = s.generation
        out._version_cell = s.version
        return out

    def _is_view(self) -> bool:
        """Whether it shows another tensor's memory, and writes to one are in the other's history. Detached tensors are no views."""
        for s in reversed(self._here()._steps):
            if isinstance(s, Movement):
                return True
            if not isinstance(s, LeafStep):
                return False
        return False

    @property
    def _base(self) -> Tensor | None:
        t = self._here()
        s = t._storage
        if s is None or not self._is_view():
            return None
        out = wrap((s.base, s.edge))
        out._storage, out._generation, out._version_cell = s, s.generation, s.version
        return out

    def _whole(self) -> Tensor | None:
        """The tensor that this is a view of, detached where it is; None where a step between is no movement of the memory's elements."""
        t = self._here()
        s = t._make_storage()
        moved = [isinstance(p, Movement) for p in t._steps]
        if any(isinstance(p, Bits) or (isinstance(p, LeafStep) and True in moved[:i]) for i, p in enumerate(t._steps)):
            return None
        steps = tuple(p for p in t._steps if not isinstance(p, Movement))
        pair, generation = s.read(steps)
        out = wrap(pair)
        out._storage, out._steps, out._generation, out._version_cell = s, steps, generation, s.version
        return out

    def _set(self, value: Pair) -> None:
        """Become `value`, alone: what was shared stays with the others."""
        self._array, self._edge = value
        self._storage, self._steps, self._generation, self._version_cell = None, (), 0, None

    # ---- computing

    def _value(self) -> np.ndarray:
        """The value as an array, for reading only."""
        return arrays.to_numpy(self._now())

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number. RuntimeError if it has more or none.

        A compiled function can calculate with it, return it and keep it; what it decides must be known there.
        """
        a = self._now()
        if a.type.shape and self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        rec = here.recorder
        if rec.measures and a.type.dtype.kind in "fiu" and not rec.knows(a):
            return rec.number(a)
        return self._read(a)

    def _read(self, a: Array) -> Any:
        """The number in an array of one element."""
        if a.source is HOST and a.buffer is None:
            return a.value if a.type.dtype.bits != 32 else np.asarray(a.value).astype(a.type.dtype.numpy).item()
        v = arrays.to_numpy(a).reshape(-1)[0]
        return float(v) if a.type.dtype.kind == "f" else v.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        v = self._value()
        return (v.astype(np.float32) if self.dtype in dtypes.Half else v).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array that shares this tensor's memory: a write to one is seen by the other.

        bfloat16 comes as `ml_dtypes.bfloat16`. RuntimeError for a tensor that requires gradients, unless `force`.
        """
        if self.requires_grad:
            if not force:
                raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
            return self.detach().numpy(force=True)
        if self._array.type.device is not None:
            if not force:
                raise TypeError(_NOT_ON_HOST.format(self._array.type.device))
            return self.cpu().numpy()
        rec = here.recorder
        if rec.tracing:
            rec.need(self._now())
        s = self._share()
        arrays.ready(s.base)
        if s.generation == self._generation and self._array is s.base:
            return s.expose(self._steps, 4)
        self._generation = NEVER
        self._array = Array(self._array.type, None, None, None)  # only its type: the value is read anew
        return s.expose(self._steps, 3)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self._array.type.device is not None:
            raise TypeError(_NOT_ON_HOST.format(self._array.type.device))
        v = self.detach().numpy() if copy is False else self._value().copy()
        return v if dtype is None else v.astype(dtype, copy=False)

    def __dlpack_device__(self) -> tuple[int, int]:
        index = self._array.type.device
        return (1, 0) if index is None else (2, index)

    def _number(self, what: str) -> Any:
        self._single(what)
        return self.item()

    def _single(self, what: str) -> None:
        """RuntimeError or the like where there is not one element to convert."""
        if self.numel() != 1:
            if what == "bool":
                n = self.numel()
                raise RuntimeError(
                    "Boolean value of Tensor with no values is ambiguous" if n == 0 else
                    "Boolean value of Tensor with more than one value is ambiguous"
                )  # fmt: skip
            if what == "index":
                raise TypeError("only integer tensors of a single element can be converted to an index")
            raise ValueError(f"only one element tensors can be converted to Python scalars, but got {self.numel()} elements")

    def __bool__(self) -> bool:
        self._single("bool")
        return bool(self._read(self._now()))

    def __int__(self) -> int:
        return int(self._real("int64_t"))

    def __float__(self) -> float:
        return float(self._real("double"))

    def _real(self, what: str) -> Any:
        x = self._number("float")
        if isinstance(x, complex):
            if x.imag:
                raise RuntimeError(f"value cannot be converted to type {what} without overflow")
            return x.real
        return x

    def __complex__(self) -> complex:
        return complex(self._number("complex"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._number("index"))

    def __len__(self) -> int:
        shape = self._array.type.shape
        if not shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.type.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter([self[i] for i in range(len(self))])  # type: ignore[index]

    # ---- copies

    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy, through which gradients flow."""
        value, edge = self._owned()
        if edge is not None:
            edge = (tape.Identity("CloneBackward0", edge, value.type), 0) if here.recorder.grad_enabled else None
        return wrap((value, edge))

    def __copy__(self) -> Tensor:
        """A leaf of the same class that shares the memory and holds the same attributes, without a gradient."""
        out = self._make_subclass(self.__class__, self, self.requires_grad)
        out.__dict__.update(self.__dict__)
        return out

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment."
            )
        if id(self) in memo:
            return memo[id(self)]
        import copy

        out: Any = self._copied(memo)
        memo[id(self)] = out
        if self.requires_grad:
            out.requires_grad_()
        if self.grad is not None:
            out.grad = copy.deepcopy(self.grad, memo)
        for name, value in self.__dict__.items():
            out.__dict__[name] = copy.deepcopy(value, memo)
        return out

    def _copied(self, memo: dict) -> Tensor:
        """A copy without history; of tensors that share memory, `memo` has them share that of the copies."""
        t = self._present()
        s = t._storage
        if s is None:
            return wrap((self._owned()[0], None), self.__class__)
        if id(s) not in memo:
            memo[id(s)] = Storage(view(s, (Detach(),))._owned()[0], None, None)
            memo.setdefault(id(memo), []).append(s)  # as copy.deepcopy does, lest another object gets its id
        return view(memo[id(s)], tuple(p for p in t._steps if isinstance(p, Movement)), self.__class__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self), self._value().copy(), self.dtype.name, self.requires_grad, self.__dict__ or None)

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a Tensor has no state to set")


def _rebuild(cls: Any, value: np.ndarray, dtype: str, requires_grad: bool, attributes: dict[str, Any] | None = None) -> Tensor:
    t = tensor_type(dtypes.by_name(dtype), value.shape)
    out = wrap((arrays.from_numpy(t, value), None), cls)
    out.__dict__.update(attributes or {})
    return out.requires_grad_() if requires_grad else out


_new = object.__new__


def wrap(value: Pair, cls: type = Tensor) -> Any:
    """A Tensor of a value that it does not share with others."""
    out: Any = _new(cls)
    out._array, out._edge = value
    out._storage = out._version_cell = out._slot = None
    out._steps = ()
    out._generation = 0
    out._weak = False
    return out


def view(s: Storage, steps: tuple[Step, ...], cls: type = Tensor) -> Any:
    """A Tensor that shows a Storage by `steps`."""
    value, generation = s.read(steps)
    out = wrap(value, cls)
    out._storage, out._steps, out._generation, out._version_cell = s, steps, generation, s.version
    return out


tape.frontend.wrap = wrap
tape.frontend.unwrap = Tensor._pair
tape.frontend.cpu = CPU
tape.frontend.as_device = as_device
