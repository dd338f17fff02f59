"""Spectral norm by a hook, as older code has it; newer code uses `parametrizations.spectral_norm`."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.modules.module import Module
from ingot.nn.parameter import Parameter

__all__ = ["remove_spectral_norm", "spectral_norm"]


class _Hook:
    """Computes the parameter before every call; in training after a power iteration, which moves the buffers u and v."""

    def __init__(self, name: str, iterations: int, dim: int, eps: float):
        self.name, self.iterations, self.dim, self.eps = name, iterations, dim, eps

    def __call__(self, module: Module, inputs: Any) -> None:
        module.__dict__[self.name] = self.weight(module, module.training)

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def unit(self, x: Tensor) -> Tensor:
        return x / ingot.linalg.vector_norm(x).clamp(min=self.eps)

    def weight(self, module: Module, iterate: bool) -> Tensor:
        original, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = self.matrix(original)
        if iterate:
            with ingot.no_grad():
                new_u, new_v = u, v
                for _ in range(self.iterations):
                    new_v = self.unit(matrix.mT @ new_u)
                    new_u = self.unit(matrix @ new_v)
                u.copy_(new_u)
                v.copy_(new_v)
        return original / (u.clone() @ (matrix @ v.clone()))


def _hooks(module: Module, name: str) -> list[tuple[Any, _Hook]]:
    return [(k, h) for k, h in module._forward_pre_hooks.items() if isinstance(h, _Hook) and h.name == name]


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Replace the parameter `name` by `name_orig`, which is divided by its largest singular value before every call. Returns `module`.

    The value is estimated by power iteration in training, from the buffers `name_u` and `name_v`. RuntimeError the second time.
    Source: https://arxiv.org/abs/1802.05957.

    >>> layer = nn.utils.spectral_norm(nn.Linear(3, 2))
    >>> sorted(layer.state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    if _hooks(module, name):
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    if n_power_iterations <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    hook = _Hook(name, n_power_iterations, dim, eps)
    weight = getattr(module, name)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    matrix = hook.matrix(weight.detach())
    module.register_buffer(f"{name}_u", hook.unit(ingot.randn(matrix.shape[0], dtype=weight.dtype)))
    module.register_buffer(f"{name}_v", hook.unit(ingot.randn(matrix.shape[1], dtype=weight.dtype)))
    module.__dict__[name] = weight.detach()
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make `name` a plain parameter of its present value again. Returns `module`. ValueError where there is no spectral norm.

    >>> layer = nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(3, 2)))
    >>> [name for name, p in layer.named_parameters()]
    ['bias', 'weight']
    """
    for key, hook in _hooks(module, name):
        weight = hook.weight(module, False).detach()
        del module._forward_pre_hooks[key]
        module.__dict__.pop(name, None)
        for part in ("orig", "u", "v"):
            delattr(module, f"{name}_{part}")
        module.register_parameter(name, Parameter(weight))
        return module
    raise ValueError(f"spectral_norm of '{name}' not found in {module}")
