"""The base of all optimizers: groups, state, hooks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.modules.hooks import RemovableHandle
from ingot.optim.group import ParamGroup, State, WatchedDict, WatchedList
from ingot.optim.helpers import (  # noqa: F401  (optimizers of others take them from here)
    ParamsT,
    _default_to_fused_or_foreach,
    _get_capturable_supported_devices,
    _get_value,
    _group_tensors_by_device_and_dtype,
    _use_grad_for_differentiable,
    _view_as_real,
)
from ingot.runtime import epoch

__all__ = ["Optimizer"]


class Optimizer:
    """Base class. A subclass calls `super().__init__(params, defaults)` and defines `step`.

    `params` are tensors, or dicts with "params" and options of that group, or (name, tensor) pairs. `param_groups` are these
    dicts, filled with the defaults; a rate or momentum written there holds from the next step on, compiled or not.
    TypeError or ValueError for what cannot be optimized.

    >>> class Descent(ingot.optim.Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...     def step(self):
    ...         with ingot.no_grad():
    ...             for group in self.param_groups:
    ...                 for p in group["params"]:
    ...                     p -= group["lr"] * p.grad
    >>> w = nn.Parameter(ingot.ones(2))
    >>> (w * w).sum().backward()
    >>> Descent([w]).step()
    >>> w.detach()
    tensor([0.8000, 0.8000])
    """

    def __init__(self, params: Iterable, defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = State()
        self.param_groups: list[ParamGroup] = WatchedList()
        self._step_pre_hooks: dict[int, Any] = {}
        self._step_post_hooks: dict[int, Any] = {}
        self._state_hooks: dict[str, dict[int, Any]] = {k: {} for k in ("save_pre", "save_post", "load_pre", "load_post")}
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for g in groups:
            self.add_param_group(g)

    def _patch_step_function(self) -> None:
        """Nothing: `step` calls the hooks by itself. Optimizers of others call this when they are copied."""

    _group_tensors_by_device_and_dtype = staticmethod(_group_tensors_by_device_and_dtype)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: {"params": ..., options}. TypeError or ValueError for what cannot be optimized.

        >>> optimizer = ingot.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
        >>> optimizer.add_param_group({"params": nn.Linear(2, 1).parameters(), "lr": 0.01})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.01]
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = dict(param_group)
        given = group["params"]
        if isinstance(given, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but a set has no order")
        items = [given] if isinstance(given, Tensor) else list(given)
        named = [isinstance(p, tuple) for p in items]
        if any(named) and not all(named):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        if self.param_groups and items and ("param_names" in self.param_groups[0]) is not named[0]:
            with_or_not = "with" if named[0] else "without"
            raise ValueError(
                f"all optimizer param groups should be with/without names. cannot add param group {with_or_not} names to the optimizer"
            )
        if any(named):
            group["param_names"] = [name for name, _ in items]
            items = [p for _, p in items]
        for p in items:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf and not self.defaults.get("differentiable"):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        if isinstance(rate := group.get("lr"), Tensor) and rate.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if len(set(map(id, items))) != len(items):
            warnings.warn("optimizer contains a parameter group with duplicate parameters", stacklevel=3)
            items = list({id(p): p for p in items}.values())
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in items):
            raise ValueError("some parameters appear in more than one parameter group")
        group["params"] = WatchedList(items)
        self.param_groups.append(ParamGroup(group))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "state" and not isinstance(value, State):
            value = State(value)
        elif name == "param_groups" and type(value) is list:
            value = WatchedList(value)
        super().__setattr__(name, value)
        epoch.bump()

    # ---- stepping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters by their gradients; with a closure, call it first and return its loss."""
        raise NotImplementedError(f"{type(self).__name__} is a subclass of Optimizer that does not define step()")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zero).

        >>> w = nn.Parameter(ingot.ones(2))
        >>> w.sum().backward()
        >>> ingot.optim.SGD([w]).zero_grad()
        >>> w.grad is None
        True
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:  # without looking at it: a compiled step need not know whether there was one
                    p.grad = None
                elif p.grad is not None:
                    p.grad.detach_()
                    p.grad.zero_()

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before every step; it may return new (args, kwargs)."""
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return RemovableHandle(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict()`."""
        return RemovableHandle(self._state_hooks["save_pre"], hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after `state_dict()`; it may return another one."""
        return RemovableHandle(self._state_hooks["save_post"], hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; it may return another one."""
        return RemovableHandle(self._state_hooks["load_pre"], hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return RemovableHandle(self._state_hooks["load_post"], hook, prepend)

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: {...}}, "param_groups": [...]}: what `ingot.save` takes; parameters are given by index.

        >>> ingot.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1).state_dict()["param_groups"][0]["params"]
        [0, 1]
        """
        for hook in list(self._state_hooks["save_pre"].values()):
            hook(self)
        index: dict[int, int] = {}
        groups = []
        for g in self.param_groups:
            for p in g["params"]:
                index.setdefault(id(p), len(index))
            groups.append({**{k: v for k, v in g.items() if k != "params"}, "params": [index[id(p)] for p in g["params"]]})
        state = {(index[id(k)] if isinstance(k, Tensor) else k): dict(v) for k, v in self.state.items()}
        out: Any = {"state": state, "param_groups": groups}
        for hook in list(self._state_hooks["save_post"].values()):
            changed = hook(self, out)
            out = out if changed is None else changed
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a `state_dict()`, copied. ValueError, with nothing changed, if its groups do not fit this optimizer's.

        >>> optimizer = ingot.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.5)
        >>> other = ingot.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
        >>> other.load_state_dict(optimizer.state_dict())
        >>> other.param_groups[0]["lr"]
        0.5
        """
        for hook in list(self._state_hooks["load_pre"].values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(f"loaded state dict has a different number of parameter groups: {len(saved)} for {len(self.param_groups)}")
        if any(len(s["params"]) != len(g["params"]) for s, g in zip(saved, self.param_groups)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        by_index = {i: p for s, g in zip(saved, self.param_groups) for i, p in zip(s["params"], g["params"])}
        state = State()
        for k, v in state_dict["state"].items():
            p = by_index.get(k)
            if p is None:
                state[k] = copy.deepcopy(v)
            else:
                old = self.state[p] if p in self.state else {}
                state[p] = WatchedDict({name: _fitted(name, x, p, old.get(name)) for name, x in v.items()})
        for s, g in zip(saved, self.param_groups):  # the same objects go on: compiled steps read their numbers from them
            params = g["params"]
            g.clear()
            g.update({**copy.deepcopy({k: v for k, v in s.items() if k != "params"}), "params": params})
        self.__setstate__({"state": state})
        for hook in list(self._state_hooks["load_post"].values()):
            hook(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        for group in self.param_groups:
            for name, default in self.defaults.items():
                group.setdefault(name, default)

    def __repr__(self) -> str:
        groups = [
            "\n".join([f"Parameter Group {i}", *(f"    {k}: {g[k]}" for k in sorted(g) if k != "params")])
            for i, g in enumerate(self.param_groups)
        ]
        return f"{type(self).__name__} (\n" + "\n\n".join(groups) + "\n)"



class _Required:
    """What stands for the default of an option that has none: every group must give it."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _fitted(name: str, value: Any, param: Tensor, old: Any) -> Any:
    """A loaded entry of a parameter's state, copied, on the parameter's device and in its dtype (step counts keep theirs).

    It goes into the tensor that is there already, if that fits: compiled steps hold on to it.
    """
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    value = value.detach().to(param.device)
    if name != "step" and param.is_floating_point():
        value = value.to(param.dtype)
    if isinstance(old, Tensor) and old.dtype is value.dtype and tuple(old.shape) == tuple(value.shape):
        with ingot.no_grad():
            return old.copy_(value)
    return value.clone()
