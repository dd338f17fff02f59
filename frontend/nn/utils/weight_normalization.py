"""Weight norm by a hook, as older code has it; newer code uses `parametrizations.weight_norm`."""

from __future__ import annotations

from typing import Any

from ingot.nn.modules.module import Module
from ingot.nn.parameter import Parameter
from ingot.nn.utils.parametrizations import norm_except, scaled

__all__ = ["remove_weight_norm", "weight_norm"]


class _Hook:
    def __init__(self, name: str, dim: int):
        self.name = name
        self.dim = dim

    def __call__(self, module: Module, inputs: Any) -> None:
        module.__dict__[self.name] = self.weight(module)

    def weight(self, module: Module) -> Any:
        return scaled(getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v"), self.dim)


def _hooks(module: Module, name: str) -> list[tuple[Any, _Hook]]:
    return [(k, h) for k, h in module._forward_pre_hooks.items() if isinstance(h, _Hook) and h.name == name]


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replace the parameter `name` by `name_g` and `name_v`, from which it is computed before every call: w = g v / |v|.

    The norm is that of each slice along `dim`, of the whole for None. Returns `module`. RuntimeError the second time.

    >>> layer = nn.utils.weight_norm(nn.Linear(4, 2))
    >>> [(name, p.shape) for name, p in layer.named_parameters()]
    [('bias', ingot.Size([2])), ('weight_g', ingot.Size([2, 1])), ('weight_v', ingot.Size([2, 4]))]
    """
    if _hooks(module, name):
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = _Hook(name, -1 if dim is None else dim)
    weight = getattr(module, name)
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(norm_except(weight, hook.dim).detach()))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    module.__dict__[name] = hook.weight(module)
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make `name` a plain parameter of its present value again. Returns `module`. ValueError where there is no weight norm.

    >>> layer = nn.utils.remove_weight_norm(nn.utils.weight_norm(nn.Linear(4, 2)))
    >>> [name for name, p in layer.named_parameters()]
    ['bias', 'weight']
    """
    for key, hook in _hooks(module, name):
        weight = hook.weight(module).detach()
        del module._forward_pre_hooks[key]
        module.__dict__.pop(name, None)
        delattr(module, f"{name}_g")
        delattr(module, f"{name}_v")
        module.register_parameter(name, Parameter(weight))
        return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
