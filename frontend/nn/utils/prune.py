"""Pruning: parts of a parameter set to zero by a mask, which is applied before every call.

    ingot.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.3)   # weight_orig and the buffer weight_mask
    ingot.nn.utils.prune.remove(layer, "weight")                        # the pruned weight is a parameter again
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.modules.module import Module

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer", "RandomStructured",
    "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured",
    "random_structured", "random_unstructured", "remove",
]  # fmt: skip


class BasePruningMethod(ABC):
    """Base class. A subclass says its `PRUNING_TYPE` ("unstructured", "structured" or "global") and defines `compute_mask`."""

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        module.__dict__[self._tensor_name] = self.apply_mask(module)

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of `t` (1 where it stays, 0 where it goes), of which `default_mask` is part."""

    def apply_mask(self, module: Module) -> Tensor:
        """The original times the mask."""
        original = getattr(module, f"{self._tensor_name}_orig")
        return getattr(module, f"{self._tensor_name}_mask").to(original.dtype) * original

    @classmethod
    def apply(cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any) -> Any:
        """Prune `name` of a module by this method with these arguments, after the methods that did before. Returns the method."""
        found = _hook(module, name)
        method = cls(*args, **kwargs)
        method._tensor_name = name
        if found is not None:
            key, old = found
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container._tensor_name = name
            container.add_pruning_method(method)
            del module._forward_pre_hooks[key]
            method = container
        original = getattr(module, name) if found is None else getattr(module, f"{name}_orig")
        scores = original if importance_scores is None else importance_scores
        if tuple(scores.shape) != tuple(original.shape):
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}")
        if found is None:
            delattr(module, name)
            module.register_parameter(f"{name}_orig", original)
            default = ingot.ones_like(original.detach())
        else:
            default = getattr(module, f"{name}_mask").detach().clone()
        mask = method.compute_mask(scores.detach(), default)
        module.register_buffer(f"{name}_mask", mask)
        module.__dict__[name] = method.apply_mask(module)
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """`t` pruned."""
        scores = t if importance_scores is None else importance_scores
        return t * self.compute_mask(scores, ingot.ones_like(t) if default_mask is None else default_mask)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor a parameter again."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        module.__dict__.pop(name, None)
        original = getattr(module, f"{name}_orig")
        original.data = weight.detach()
        delattr(module, f"{name}_orig")
        delattr(module, f"{name}_mask")
        module.register_parameter(name, original)


def _hook(module: Module, name: str) -> tuple[Any, Any] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None


class PruningContainer(BasePruningMethod):
    """Several methods for one parameter, each applied to what the ones before have left."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, *args: Any):
        self._pruning_methods: tuple = ()
        methods = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        for method in methods:
            self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Add a method of the same parameter. TypeError for what is none, ValueError for one of another parameter."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and method._tensor_name != self._tensor_name:
            raise ValueError(f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to this container.")
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, i: Any) -> Any:
        return self._pruning_methods[i]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask that the newest method makes of what the ones before have left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            kept = mask == 1
            part = method.compute_mask(t[kept], mask[kept])
            out = mask.clone()
            out[kept] = part.to(mask.dtype)
            return out
        if method.PRUNING_TYPE == "structured":
            dims = [d for d in range(t.ndim) if d != method.dim % t.ndim]
            kept = mask.sum(dims) != 0
            index: list[Any] = [slice(None)] * t.ndim
            index[method.dim] = kept
            out = mask.clone()
            out[tuple(index)] = method.compute_mask(t[tuple(index)], mask[tuple(index)]).to(mask.dtype)
            return out
        if method.PRUNING_TYPE == "global":
            return method.compute_mask(t, mask).to(mask.dtype)
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")


class Identity(BasePruningMethod):
    """A mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Elements drawn at random go: `amount` of them, a number or a share."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: int | float):
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        n = _count(self.amount, t.numel())
        return _without(default_mask, ingot.rand(t.numel()).topk(n).indices) if n else default_mask.clone()


class L1Unstructured(RandomUnstructured):
    """The elements of the smallest magnitude go: `amount` of them, a number or a share."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        n = _count(self.amount, t.numel())
        return _without(default_mask, t.abs().reshape(-1).topk(n, largest=False).indices) if n else default_mask.clone()


class RandomStructured(BasePruningMethod):
    """Whole slices along `dim`, drawn at random, go: `amount` of them, a number or a share."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: int | float, dim: int = -1):
        _check_amount(amount)
        self.amount, self.dim = amount, dim

    def _scores(self, t: Tensor) -> Tensor:
        return ingot.rand(t.shape[self.dim])

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.ndim < 2:
            raise ValueError(f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape}")
        if not -t.ndim <= self.dim < t.ndim:
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = t.shape[self.dim]
        n = _count(self.amount, size)
        if n == 0:
            return default_mask
        kept = ingot.zeros(size, dtype=t.dtype)
        kept[self._scores(t).topk(size - n).indices] = 1
        shape = [1] * t.ndim
        shape[self.dim] = size
        return default_mask.to(t.dtype) * kept.reshape(shape)


class LnStructured(RandomStructured):
    """The slices along `dim` of the smallest n-norm go: `amount` of them, a number or a share."""

    def __init__(self, amount: int | float, n: Any, dim: int = -1):
        super().__init__(amount, dim)
        self.n = n

    def _scores(self, t: Tensor) -> Tensor:
        return ingot.norm(t, p=self.n, dim=[d for d in range(t.ndim) if d != self.dim % t.ndim])


class CustomFromMask(BasePruningMethod):
    """A mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if tuple(default_mask.shape) != tuple(self.mask.shape):
            raise AssertionError("default_mask and self.mask must have the same shape")
        return default_mask * self.mask.to(default_mask.dtype)


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    share = not isinstance(amount, numbers.Integral)
    if (share and not 0.0 <= float(amount) <= 1.0) or (not share and amount < 0):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _count(amount: Any, size: int) -> int:
    """How many of `size` things `amount` is. ValueError for more than there are."""
    n = int(amount) if isinstance(amount, numbers.Integral) else round(amount * size)
    if n > size:
        raise ValueError(f"amount={n} should be smaller than the number of parameters to prune={size}")
    return n


def _without(mask: Tensor, places: Tensor) -> Tensor:
    out = mask.clone()
    out.view(-1)[places] = 0
    return out


def identity(module: Module, name: str) -> Module:
    """Prune nothing of a parameter, which becomes `name_orig` with the mask `name_mask`. Returns `module`; so do all below.

    >>> layer = nn.utils.prune.identity(nn.Linear(2, 3), "bias")
    >>> layer.bias_mask
    tensor([1., 1., 1.])
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: int | float) -> Module:
    """Prune elements at random: `amount` of them, a number or a share in [0, 1]. TypeError or ValueError for another one.

    >>> layer = nn.utils.prune.random_unstructured(nn.Linear(2, 3), "weight", amount=1)
    >>> layer.weight_mask.sum()
    tensor(5.)
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: int | float, importance_scores: Tensor | None = None) -> Module:
    """Prune the elements of the smallest magnitude (of `importance_scores`): `amount` of them, a number or a share.

    >>> layer = nn.utils.prune.l1_unstructured(nn.Linear(2, 3), "weight", amount=0.5)
    >>> (layer.weight == 0).sum()
    tensor(3)
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: int | float, dim: int) -> Module:
    """Prune slices along `dim` at random: `amount` of them, a number or a share.

    >>> layer = nn.utils.prune.random_structured(nn.Linear(2, 3), "weight", amount=1, dim=0)
    >>> (layer.weight == 0).all(1).sum()
    tensor(1)
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: int | float, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prune the slices along `dim` of the smallest n-norm: `amount` of them, a number or a share.

    >>> layer = nn.utils.prune.ln_structured(nn.Linear(2, 3), "weight", amount=1, n=2, dim=0)
    >>> (layer.weight == 0).all(1).sum()
    tensor(1)
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune by a mask that is given.

    >>> layer = nn.utils.prune.custom_from_mask(nn.Linear(2, 3), "bias", ingot.tensor([0.0, 1.0, 0.0]))
    >>> (layer.bias == 0).tolist()
    [True, False, True]
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]], pruning_method: Any, importance_scores: Any = None, **kwargs: Any
) -> None:
    """Prune several parameters, (module, name) pairs, as if they were one, by an unstructured method.

    importance_scores: {(module, name): scores}, where these are not the parameters themselves. TypeError for another kind of method.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    >>> pairs = [(model[0], "weight"), (model[1], "weight")]
    >>> nn.utils.prune.global_unstructured(pairs, nn.utils.prune.L1Unstructured, amount=4)
    >>> sum((layer.weight == 0).sum() for layer in model)
    tensor(4)
    """
    pairs = list(parameters)
    scores = importance_scores or {}
    values = [scores.get((m, n), getattr(m, n)).detach().reshape(-1) for m, n in pairs]
    masks = [getattr(m, f"{n}_mask", ingot.ones_like(getattr(m, n).detach())).reshape(-1) for m, n in pairs]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method of type {method.PRUNING_TYPE}')
    mask = container.compute_mask(ingot.cat(values), ingot.cat(masks))
    at = 0
    for m, n in pairs:
        shape = tuple(getattr(m, n).shape)
        size = getattr(m, n).numel()
        custom_from_mask(m, n, mask[at : at + size].reshape(shape))
        at += size


def remove(module: Module, name: str) -> Module:
    """Make the pruned tensor a plain parameter again. ValueError where it was not pruned.

    >>> layer = nn.utils.prune.remove(nn.utils.prune.l1_unstructured(nn.Linear(2, 3), "weight", amount=2), "weight")
    >>> (layer.weight == 0).sum(), sorted(layer.state_dict())
    (tensor(2), ['bias', 'weight'])
    """
    found = _hook(module, name)
    if found is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    key, hook = found
    del module._forward_pre_hooks[key]
    hook.remove(module)
    return module


def is_pruned(module: Module) -> bool:
    """Whether anything in a module is pruned.

    >>> nn.utils.prune.is_pruned(nn.Linear(2, 3))
    False
    """
    return any(isinstance(h, BasePruningMethod) for m in module.modules() for h in m._forward_pre_hooks.values())
