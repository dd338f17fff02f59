"""Parametrizations: a parameter of a module computed from others, such as weight norm. Names of keys are torch's.

    layer = ingot.nn.utils.parametrizations.weight_norm(ingot.nn.Linear(3, 4))
    layer.weight  # computed from layer.parametrizations.weight.original0 and original1 at every read
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.modules.container import ModuleDict, ModuleList
from ingot.nn.modules.module import Module
from ingot.nn.parameter import Parameter

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "type_before_parametrizations",
]  # fmt: skip

_blocks: list[dict[int, Any]] = []  # for each open block of `cached`, what was computed since the outermost one began


class ParametrizationList(ModuleList):
    """The original tensors of one parameter, and the modules that it is computed by, in order.

    `original` where the first right_inverse gives one tensor, `original0`, `original1`, … where it gives several.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> layer.parametrizations.weight.original0.shape
    ingot.Size([2, 1])
    """

    def __init__(self, modules: list[Module], original: Tensor, unsafe: bool = False):
        super().__init__(modules)
        self.unsafe = unsafe
        self.shape, self.dtype = tuple(original.shape), original.dtype
        try:
            new = self._inverse(original)
        except NotImplementedError:  # it has no inverse there: the value is taken for the original
            new = original
        self.count = 0 if isinstance(new, Tensor) else len(new)
        trained = isinstance(original, Parameter) and original.requires_grad
        for name, value in self._named(new):
            if isinstance(original, Parameter) and value.is_floating_point():
                setattr(self, name, original if value is original else Parameter(value.detach().clone(), trained))
            else:
                self.register_buffer(name, value)

    def _named(self, value: Any) -> list[tuple[str, Tensor]]:
        return [("original", value)] if isinstance(value, Tensor) else [(f"original{i}", v) for i, v in enumerate(value)]

    def _inverse(self, value: Any) -> Any:
        with ingot.no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    continue
                value = module.right_inverse(value)
        return value

    def forward(self) -> Tensor:
        given = [self.original] if not self.count else [getattr(self, f"original{i}") for i in range(self.count)]
        first, *rest = self
        value = first(*given)
        for module in rest:
            value = module(value)
        return value

    def right_inverse(self, value: Tensor) -> None:
        """Change the originals so that the parameter becomes `value`."""
        with ingot.no_grad():
            for name, new in self._named(self._inverse(value)):
                getattr(self, name).copy_(new)


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """A block in which each parametrized tensor is computed once, when it is first read. What changes meanwhile is not seen.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> with nn.utils.parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    _blocks.append(_blocks[0] if _blocks else {})
    try:
        yield
    finally:
        _blocks.pop()


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before anything of it was parametrized.

    >>> nn.utils.parametrize.type_before_parametrizations(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    <class 'ingot.nn.modules.linear.Linear'>
    """
    return getattr(type(module), "_plain", type(module)) if is_parametrized(module) else type(module)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether `module` (or its parameter `tensor_name`) is parametrized.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> nn.utils.parametrize.is_parametrized(layer, "bias")
    False
    """
    found = module.__dict__.get("_modules", {}).get("parametrizations")
    return found is not None and (len(found) > 0 if tensor_name is None else tensor_name in found)


def _parametrized_class(cls: type) -> type:
    """A subclass of `cls` whose parametrized names are read and written through the parametrizations."""

    class Parametrized(cls):  # type: ignore[misc, valid-type]
        def __getattr__(self, name: str) -> Any:
            if is_parametrized(self, name):
                made = self._modules["parametrizations"][name]
                if not _blocks:
                    return made()
                if id(made) not in _blocks[0]:
                    _blocks[0][id(made)] = made()
                return _blocks[0][id(made)]
            return super().__getattr__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            if isinstance(value, Tensor) and is_parametrized(self, name):
                self._modules["parametrizations"][name].right_inverse(value)
            else:
                super().__setattr__(name, value)

    Parametrized.__name__ = Parametrized.__qualname__ = f"Parametrized{cls.__name__}"
    Parametrized.__module__ = cls.__module__
    Parametrized._plain = cls  # type: ignore[attr-defined]
    return Parametrized


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Compute `module`'s parameter `tensor_name` as parametrization(original), at every read. Returns `module`.

    The parametrization's `right_inverse`, where it has one, gives the original (or several) for the present value. Another one
    for the same name is applied after it. ValueError where there is no such parameter, or for another shape or dtype (unless
    `unsafe`).

    >>> class Symmetric(nn.Module):
    ...     def forward(self, w):
    ...         return w.triu() + w.triu(1).T
    >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> ingot.equal(layer.weight, layer.weight.T)
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found = module.parametrizations[tensor_name]
        before = getattr(module, tensor_name).detach()
        _check(parametrization(before), tuple(before.shape), before.dtype, tensor_name, unsafe)
        if hasattr(parametrization, "right_inverse"):
            inverse = parametrization.right_inverse(before)
            if isinstance(inverse, Tensor):
                found.append(parametrization)
                found.right_inverse(before)
                return module
        found.append(parametrization)
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'"
        )
    original = getattr(module, tensor_name)
    made = ParametrizationList([parametrization], original, unsafe)
    _check(made(), made.shape, made.dtype, tensor_name, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        if not hasattr(type(module), "_plain"):
            module.__class__ = _parametrized_class(type(module))
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    return module


def _check(value: Any, shape: tuple, dtype: Any, name: str, unsafe: bool) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"A parametrization must return a tensor, got {type(value).__name__}")
    if not unsafe and (tuple(value.shape) != shape or value.dtype != dtype):
        raise ValueError(
            f"The parametrization of '{name}' must keep its shape {shape} and dtype {dtype}, but gives {tuple(value.shape)} and "
            f"{value.dtype} (unsafe=True allows it)"
        )


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make `tensor_name` a plain parameter again: of its present value, or (leave_parametrized=False) the one original tensor.

    ValueError where it is not parametrized, or where there are several originals.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> layer = nn.utils.parametrize.remove_parametrizations(layer, "weight")
    >>> [name for name, p in layer.named_parameters()]
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {type(module).__name__} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    names = ["original"] if not made.count else [f"original{i}" for i in range(made.count)]
    first = getattr(made, names[0])
    if leave_parametrized:
        value = made().detach()
        if not made.count and isinstance(first, Parameter):
            with ingot.no_grad():
                first.copy_(value)
            value = first
    elif made.count:
        raise ValueError("leave_parametrized=False needs a parametrization of one original tensor")
    else:
        value = first
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module._modules["parametrizations"]
        module.__class__ = type(module)._plain  # type: ignore[attr-defined]
    if isinstance(first, Parameter):
        trained = any(getattr(made, n).requires_grad for n in names)
        setattr(module, tensor_name, value if isinstance(value, Parameter) else Parameter(value, trained))
    else:
        module.register_buffer(tensor_name, value)
    return module
