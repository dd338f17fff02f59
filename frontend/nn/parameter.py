"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor, wrap
from ingot._tensor.overriding import disabled_torch_function

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "new_parameter"]


def _sharing(cls: type, data: Tensor) -> Any:
    """A tensor of class `cls` that shares memory with `data` and has no history."""
    base = data.detach()
    out = wrap((base._array, None), cls)
    out._storage, out._steps, out._generation, out._version_cell = base._storage, base._steps, base._generation, base._version_cell
    return out


class Parameter(Tensor):
    """A tensor that is learned: assigned to a Module it becomes part of `parameters()`. It shares memory with `data`.

    >>> module = nn.Module()
    >>> module.scale = nn.Parameter(ingot.ones(3))
    >>> [name for name, p in module.named_parameters()]
    ['scale']
    """

    __slots__ = ()
    __torch_function__ = disabled_torch_function  # type: ignore[assignment]  # what is computed with it is a Tensor

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = ingot.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"a Parameter is made from a Tensor, not from {type(data).__name__}")
        out = _sharing(cls, data)
        return out.requires_grad_() if requires_grad else out

    def __deepcopy__(self, memo: dict) -> Any:
        """A copy of the values, without the gradient."""
        if id(self) not in memo:
            copied = wrap((self._owned()[0], None), type(self))
            memo[id(self)] = copied.requires_grad_() if self.requires_grad else copied
        return memo[id(self)]

    def __repr__(self, **kwargs: Any) -> str:
        return "Parameter containing:\n" + super().__repr__(**kwargs)


def new_parameter(shape: Sequence[int], device: Any = None, dtype: Any = None, value: float | None = None) -> Parameter:
    """A Parameter filled with `value` (or uninitialised) that shares its memory with nothing: reading it takes the short way."""
    shape = tuple(shape)
    data = ingot.empty(shape, device=device, dtype=dtype) if value is None else ingot.full(shape, value, device=device, dtype=dtype)
    return wrap((data._now(), None), Parameter).requires_grad_()


class Buffer(Tensor):
    """A tensor that is state but not learned: assigned to a Module it becomes part of `buffers()`.

    persistent: whether it is part of `state_dict()`.

    >>> module = nn.Module()
    >>> module.steps = nn.Buffer(ingot.zeros(()))
    >>> list(module.state_dict())
    ['steps']
    """

    persistent: bool
    __torch_function__ = disabled_torch_function  # type: ignore[assignment]

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        out = _sharing(cls, ingot.empty(0) if data is None else data)
        out.persistent = persistent
        return out


class UninitializedTensorMixin:
    """A tensor without a shape, until `materialize` gives it one."""

    _plain: type

    @property
    def shape(self) -> Any:
        """RuntimeError: there is none yet."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in `load_state_dict` when trying "
            "to load an uninitialized parameter into an initialized module. Call `forward` to initialize the parameters before accessing "
            "their attributes."
        )

    def materialize(self: Any, shape: Sequence[int], device: Any = None, dtype: Any = None) -> None:
        """Become a tensor of this shape, whose values are not defined."""
        trained = self.requires_grad
        made = ingot.empty(tuple(shape), device=device, dtype=dtype or self.dtype)
        self.__class__ = self._plain
        self.requires_grad_(False)
        self.data = made
        self.requires_grad_(trained)

    def __repr__(self, **kwargs: Any) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self: Any, memo: dict) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self.dtype)
        return memo[id(self)]


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A Parameter whose shape is not known yet, as a lazy module has: `materialize(shape)` makes it one, in place.

    >>> p = nn.UninitializedParameter()
    >>> p.materialize((2, 3))
    >>> type(p).__name__, p.shape
    ('Parameter', ingot.Size([2, 3]))
    """

    _plain = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return super().__new__(cls, ingot.empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known yet: `materialize(shape)` makes it a tensor, in place.

    >>> b = nn.UninitializedBuffer()
    >>> b.materialize((2, 3))
    >>> b.shape
    ingot.Size([2, 3])
    """

    _plain = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> Any:
        out = _sharing(cls, ingot.empty(0, device=device, dtype=dtype))
        return out.requires_grad_() if requires_grad else out


def is_lazy(x: object) -> bool:
    """Whether `x` is a tensor whose shape is not known yet."""
    return isinstance(x, UninitializedTensorMixin)
