"""Tensor: the core that everything else builds on. Functions and operators are attached by `ingot.functions`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ingot._device import CPU, as_device, device
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.types import Shape, numel, tensor_type
from ingot.runtime import array as arrays
from ingot.runtime import epoch, tape
from ingot.runtime.array import HOST, Array
from ingot.runtime.recorder import here
from ingot.runtime.storage import DATA, DETACH, NEVER, Layout, LeafStep, Step, Storage, layout
from ingot.runtime.tape import Edge, GradSlot, Handle, Leaf, Pair, Version

__all__ = ["Tensor", "Size", "get_default_dtype", "set_default_dtype", "is_tensor", "wrap", "pair"]


class Size(tuple):
    """A shape: a tuple of ints."""

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return numel(tuple(self))

    def __repr__(self) -> str:
        return f"ingot.Size({list(self)})"

    def __getitem__(self, i: Any) -> Any:
        out = tuple.__getitem__(self, i)
        return Size(out) if isinstance(i, slice) else out

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))


_default_dtype = [dtypes.f32]


def get_default_dtype() -> DType:
    """The dtype of Python floats: float32 unless `set_default_dtype` says otherwise."""
    return _default_dtype[0]


def set_default_dtype(d: DType) -> None:
    """Set the dtype that Python floats become. TypeError unless it is a floating-point dtype."""
    if not isinstance(d, DType) or d.kind != "f":
        raise TypeError(f"only floating-point types are supported as the default type, not {d!r}")
    _default_dtype[0] = d


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


class Tensor:
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

    def __init__(self, data: Any = None):
        from ingot.functions.creation import tensor

        made = tensor([] if data is None else data)
        self._array, self._edge, self._storage = made._array, None, None
        self._steps, self._generation, self._version_cell, self._slot, self._weak = (), 0, None, None, False

    # ---- the value behind it

    def _now(self) -> Array:
        """The present value; `_edge` is up to date afterwards."""
        if here.recorder.tracing:
            here.recorder.capture(self)
        s = self._storage
        if s is not None and s.generation != self._generation:
            (self._array, self._edge), self._generation = s.read(self._steps)
        return self._array

    def _pair(self) -> Pair:
        return self._now(), self._edge

    def _owned(self) -> Pair:
        """The present value, surely not memory that others write to."""
        s = self._storage
        if s is not None and s.exposed is not None and not here.recorder.tracing:
            return s.read(self._steps, own=True)[0]
        return self._now(), self._edge

    def _share(self) -> Storage:
        """The storage, made now if this tensor never shared it."""
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
        s = self._share()
        out = wrap(value)
        out._storage = s
        out._steps = self._steps + steps
        out._generation = s.generation
        out._version_cell = s.version
        return out

    def _set(self, value: Pair) -> None:
        """Become `value`, alone: what was shared stays with the others."""
        self._array, self._edge = value
        self._storage, self._steps, self._generation, self._version_cell = None, (), 0, None

    # ---- what is known without computing

    @property
    def shape(self) -> Size:
        """The extents, as a Size."""
        return Size(self._array.type.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the extent of `dim`. IndexError if there is no such dim."""
        if dim is None:
            return Size(self._array.type.shape)
        shape = self._array.type.shape
        if not -len(shape) <= dim < len(shape):
            n = max(len(shape), 1)
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
        return shape[dim]

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self._array.type.dtype

    @property
    def device(self) -> device:
        """Where the values live."""
        return CPU

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return len(self._array.type.shape)

    def dim(self) -> int:
        """The number of dims."""
        return len(self._array.type.shape)

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return numel(self._array.type.shape)

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._array.type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.type.nbytes

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._array.type.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self._array.type.dtype.kind == "f"

    def is_complex(self) -> bool:
        """False: there are no complex dtypes."""
        return False

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self._array.type.dtype.kind in "if"

    is_cuda = False
    is_sparse = False
    is_quantized = False
    is_meta = False
    is_mkldnn = False

    def is_inference(self) -> bool:
        """False: tensors made in inference mode are ordinary ones."""
        return False

    # ---- views: strides are metadata

    def _layout(self) -> Layout:
        s = self._storage
        return layout(self._array.type.shape if s is None else s.base.type.shape, () if s is None else self._steps)

    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of `dim`."""
        strides = self._layout().strides
        if dim is None:
            return strides
        self.size(dim)
        return strides[dim]

    def storage_offset(self) -> int:
        """Where in its storage a view begins, in elements."""
        return self._layout().offset

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements of this view lie in row-major order in its storage."""
        return self._storage is None or self._layout().contiguous

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """This tensor if it is contiguous, else a copy that is."""
        return self if self.is_contiguous() else self.clone()

    def data_ptr(self) -> int:
        """The address of the first element; computes the tensor."""
        s = self._storage
        if s is None:
            return arrays.ready(self._array).address
        return arrays.ready(s.base).address + self._layout().offset * self.itemsize

    @property
    def _version(self) -> int:
        return 0 if self._version_cell is None else self._version_cell.n

    @property
    def _base(self) -> Tensor | None:
        s = self._storage
        if s is None or not any(not isinstance(p, LeafStep) for p in self._steps):
            return None
        out = wrap((s.base, s.edge))
        out._storage, out._generation, out._version_cell = s, s.generation, s.version
        return out

    def is_set_to(self, tensor: Tensor) -> bool:
        """Whether both show the same memory in the same way."""
        a, b = self._layout(), tensor._layout()
        same = self is tensor or (self._storage is not None and self._storage is tensor._storage)
        return same and (a.shape, a.strides, a.offset) == (b.shape, b.strides, b.offset)

    # ---- computing

    def _value(self) -> np.ndarray:
        """The value as an array, for reading only."""
        return arrays.to_numpy(self._now())

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number. RuntimeError if it has more or none."""
        a = self._now()
        if a.type.shape and numel(a.type.shape) != 1:
            raise RuntimeError(f"a Tensor with {numel(a.type.shape)} elements cannot be converted to Scalar")
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
            return self.detach().numpy()
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
        v = self.detach().numpy() if copy is False else self._value().copy()
        return v if dtype is None else v.astype(dtype, copy=False)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.detach().numpy().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def _number(self, what: str) -> Any:
        if self.numel() != 1:
            if what == "bool":
                n = self.numel()
                raise RuntimeError(
                    "Boolean value of Tensor with no values is ambiguous" if n == 0 else
                    "Boolean value of Tensor with more than one value is ambiguous"
                )  # fmt: skip
            if what == "index":
                raise TypeError("only integer tensors of a single element can be converted to an index")
        return self.item()

    def __bool__(self) -> bool:
        return bool(self._number("bool"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __float__(self) -> float:
        return float(self._number("float"))

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
        return shape[0]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.type.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter([self[i] for i in range(len(self))])  # type: ignore[index]

    def __format__(self, spec: str) -> str:
        if self.ndim == 0 and spec:
            return format(self.item(), spec)
        return object.__format__(self, spec) if spec else str(self)

    # ---- gradients

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are put on the tape. Only leaves can be set."""
        self._now()
        return self._edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start (or stop) recording operations on this leaf. RuntimeError for integer tensors and for non-leaves."""
        on = self.requires_grad
        if bool(requires_grad) == on:
            return self
        if self._storage is not None:
            epoch.bump()  # compiled functions may have seen the flag
        if not requires_grad:
            if not isinstance(self._edge[0], Leaf):  # type: ignore[index]
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph "
                    "that doesn't require differentiation use var_no_grad = var.detach()."
                )
            self._edge = None
            if self._storage is not None:
                self._steps = tuple(s for s in self._steps if not (isinstance(s, LeafStep) and s.leaf.slot is self._slot))
            return self
        if self.dtype.kind != "f":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        leaf = Leaf(self._grad_slot())
        self._edge = (leaf, 0)
        if self._storage is not None:
            self._steps += (LeafStep(leaf),)
        return self

    def _grad_slot(self) -> GradSlot:
        slot = self._slot
        if slot is None:
            slot = self._slot = GradSlot(self._array.type)
            slot.owner = weakref.ref(self)
        return slot

    @property
    def is_leaf(self) -> bool:
        """Whether the user made this tensor, rather than an operation on tensors that require gradients."""
        self._now()
        return self._edge is None or isinstance(self._edge[0], Leaf)

    @property
    def grad_fn(self) -> Any:
        """The tape's node that made this tensor, or None for a leaf."""
        self._now()
        return None if self._edge is None or isinstance(self._edge[0], Leaf) else self._edge[0]

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this is."""
        self._now()
        return 0 if self._edge is None else self._edge[1]

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward()` has accumulated, or None."""
        slot = self._slot
        if slot is None:
            return None
        rec = here.recorder
        return rec.read_grad(slot) if rec.tracing else slot.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value)}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value._array.type.shape != self._array.type.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: {list(value.shape)}, the tensor has {list(self.shape)}"
                )
            if value.dtype is not self.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: {value.dtype}, the tensor has {self.dtype}")
        slot = self._slot
        if slot is None:
            if value is None:
                return
            slot = self._grad_slot()
        rec = here.recorder
        if rec.tracing:
            rec.write_grad(slot, value)
        else:
            slot.grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None) -> None:
        """Add the gradients of this tensor to the `.grad` of the leaves (or of `inputs` only).

        `gradient` may be left out for a tensor of one element. RuntimeError if nothing here requires gradients.
        """
        from ingot.autograd.engine import backward

        backward(self, gradient, retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """The same memory without its history."""
        rec = here.recorder
        if rec.tracing and rec.composite:
            from ingot.dispatch import stop_gradient

            return stop_gradient(self)
        return self._alias((DETACH,), (self._now(), None))

    def detach_(self) -> Tensor:
        """Forget this tensor's history: it becomes a leaf. RuntimeError for a view."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._now()
        if self._storage is not None:
            self._storage.detach()
            self._steps = ()
            self._generation = self._storage.generation
        self._edge = None
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without its history, as `detach()`; in-place writes through it are not seen by autograd."""
        return self._alias((DATA,), (self._now(), None))

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        rec = here.recorder
        if self.grad_fn is not None:
            raise RuntimeError("cannot set the data of a tensor that an operation made")
        edge = self._edge
        if rec.tracing:
            rec.will_rebind(self)
        src = value.detach()
        self._array, self._storage, self._steps = src._array, src._storage, src._steps
        self._generation, self._version_cell = src._generation, None if src._storage is None else src._storage.version
        self._edge = edge
        if edge is not None:
            self._steps += (LeafStep(edge[0]),)  # type: ignore[arg-type]
        epoch.bump()
        if self._slot is not None and self._slot.grad is None:
            self._slot.type = self._array.type
            if edge is not None:
                edge[0].out_types = (self._array.type,)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Call `hook(grad)` whenever this tensor's gradient is computed; a Tensor that it returns takes its place."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node, index = self._edge  # type: ignore[misc]
        if node.pre_hooks is None:
            node.pre_hooks = {}
        return Handle(node.pre_hooks, (index, hook))

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Handle:
        """Call `hook(tensor)` after this leaf's `.grad` was added to. RuntimeError for a non-leaf."""
        if not self.requires_grad or not self.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        slot = self._grad_slot()
        if slot.post_hooks is None:
            slot.post_hooks = {}
        return Handle(slot.post_hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in `.grad`."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.is_leaf:
            return
        node, index = self._edge  # type: ignore[misc]
        if node.retained is None:
            node.retained = {}
        node.retained[index] = self._grad_slot()

    @property
    def retains_grad(self) -> bool:
        """Whether this is a non-leaf whose gradient is kept."""
        return self.grad_fn is not None and bool(self.grad_fn.retained) and self.output_nr in self.grad_fn.retained

    # ---- copies

    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy, through which gradients flow."""
        value, edge = self._owned()
        if edge is not None:
            edge = (tape.Identity("CloneBackward0", edge, value.type), 0) if here.recorder.grad_enabled else None
        return wrap((value, edge))

    def copy_(self, src: Any, non_blocking: bool = False) -> Tensor:
        """Overwrite this tensor with `src`, broadcast to its shape and converted to its dtype."""
        from ingot.dispatch import convert, inplace

        if not isinstance(src, Tensor):
            raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
        return inplace(self, convert(src, self.dtype, self._array.type.shape), "CopyBackwards")

    def _assign(self, value: Tensor) -> Tensor:
        """Overwrite this tensor with `value`, which has its shape and dtype."""
        from ingot.dispatch import inplace

        return inplace(self, value)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """This tensor with another dtype or device: `to(dtype)`, `to(device)`, `to(device, dtype)` or `to(other)`.

        Itself where nothing changes, unless `copy=True`.
        """
        from ingot.dispatch import convert

        dtype, copy = kwargs.pop("dtype", None), kwargs.pop("copy", False)
        kwargs.pop("non_blocking", None), kwargs.pop("memory_format", None)
        where = kwargs.pop("device", None)
        other = kwargs.pop("other", None)
        if kwargs:
            raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
        for a in (*args, other):
            if isinstance(a, DType):
                dtype = a
            elif isinstance(a, Tensor):
                dtype, where = a.dtype, a.device
            elif isinstance(a, (str, device)):
                where = a
            elif a is not None and not isinstance(a, bool):
                raise TypeError(f"to() received an invalid argument of type {type(a).__name__}")
        bools = [a for a in args if isinstance(a, bool)]
        copy = copy or (len(bools) > 1 and bools[1])
        as_device(where)
        if dtype is None or dtype is self.dtype:
            return self.clone() if copy else self
        return convert(self, dtype)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The tensor with another dtype; without one, the type's name."""
        if dtype is None:
            names = {"f32": "Float", "f64": "Double", "f16": "Half", "bf16": "BFloat16", "i64": "Long", "i32": "Int", "i16": "Short",
                     "i8": "Char", "u8": "Byte", "bool": "Bool"}  # fmt: skip
            return f"ingot.{names.get(self.dtype.name, self.dtype.torch_name)}Tensor"
        if not isinstance(dtype, DType):
            raise TypeError(f"type(): expected an ingot dtype, got {dtype!r}")
        return self.to(dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """This tensor in the dtype of `other`."""
        return self.to(other.dtype)

    def cpu(self, memory_format: Any = None) -> Tensor:
        """This tensor on the CPU: itself."""
        return self

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Tensor:
        """RuntimeError: there is no CUDA device."""
        return self.to("cuda" if device is None else device)

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment."
            )
        if id(self) in memo:
            return memo[id(self)]
        import copy

        out = wrap((self._owned()[0], None), type(self))
        memo[id(self)] = out
        if self.requires_grad:
            out.requires_grad_()
        if self.grad is not None:
            out.grad = copy.deepcopy(self.grad, memo)
        for name, value in self.__dict__.items():
            out.__dict__[name] = copy.deepcopy(value, memo)
        return out

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be sent to another process; detach() it first")
        return _rebuild, (type(self), self._value().copy(), self.dtype.name, self.requires_grad)

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a Tensor has no state to set")


def _rebuild(cls: Any, value: np.ndarray, dtype: str, requires_grad: bool) -> Tensor:
    t = tensor_type(dtypes.by_name(dtype), value.shape)
    out = wrap((arrays.from_numpy(t, value), None), cls)
    return out.requires_grad_() if requires_grad else out


for _name, _dtype in (("half", dtypes.f16), ("bfloat16", dtypes.bf16), ("float", dtypes.f32), ("double", dtypes.f64), ("char", dtypes.i8),
                      ("short", dtypes.i16), ("int", dtypes.i32), ("long", dtypes.i64), ("byte", dtypes.u8), ("bool", dtypes.bool_)):  # fmt: skip

    def _convert(self: Tensor, memory_format: Any = None, _dtype: DType = _dtype) -> Tensor:
        return self.to(_dtype)

    _convert.__name__, _convert.__qualname__ = _name, f"Tensor.{_name}"
    _convert.__doc__ = f"This tensor as {_dtype.torch_name}."
    setattr(Tensor, _name, _convert)


_new = Tensor.__new__


def wrap(value: Pair, cls: type = Tensor) -> Any:
    """A Tensor of a value that it does not share with others."""
    out = _new(cls)
    out._array, out._edge = value
    out._storage = out._version_cell = out._slot = None
    out._steps = ()
    out._generation = 0
    out._weak = False
    return out


def pair(t: Tensor) -> Pair:
    """A tensor's present value and where its gradient goes."""
    return t._now(), t._edge


def _accumulate(slot: GradSlot, grad: Pair, create_graph: bool) -> None:
    """Add `grad` to a slot: in place, so that aliases of `.grad` see it, unless the sum itself must be differentiable."""
    from ingot.dispatch import inplace

    rec = here.recorder
    held = rec.read_grad(slot) if rec.tracing else slot.grad
    if held is None:
        new = wrap(grad if create_graph else (grad[0], None))
        if rec.tracing:
            rec.write_grad(slot, new)
        else:
            slot.grad = new
    else:
        from ingot.ir.op import OPS

        total = tape.emit(OPS["add"], (held._pair(), grad), ())[0]
        if create_graph:
            new = wrap(total)
            if rec.tracing:
                rec.write_grad(slot, new)
            else:
                slot.grad = new
        else:
            inplace(held, wrap((total[0], None)))
    if slot.post_hooks and slot.owner is not None:
        owner = slot.owner()
        for hook in list(slot.post_hooks.values()) if owner is not None else ():
            hook(owner)


tape.frontend.wrap = wrap
tape.frontend.unwrap = pair
tape.frontend.accumulate = _accumulate
