"""Parameter groups, and the run-time scalars that an update reads from them."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor, wrap
from ingot.ir.dtypes import f64
from ingot.runtime import epoch, scalars
from ingot.runtime.recorder import here

__all__ = ["ParamGroup", "Scalars"]

# Keys whose numbers are read at every step, by compiled code too: writing them makes nothing out of date.
CELLS = frozenset(
    ("lr", "betas", "eps", "weight_decay", "momentum", "dampening", "alpha", "lr_decay", "rho", "initial_lr", "max_lr", "min_lr", "swa_lr")
)


def _shape_of(value: Any) -> Any:
    """What code may depend on: whether a number is zero, and kinds; not the number itself."""
    if isinstance(value, (tuple, list)):
        return tuple(_shape_of(v) for v in value)
    return (type(value), bool(value)) if isinstance(value, (bool, int, float)) else type(value)


class ParamGroup(dict):
    """A dict of one parameter group. Writing anything but a number read at run time tells compiled functions to look again."""

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in CELLS or key not in self or _shape_of(self[key]) != _shape_of(value):
            epoch.bump()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        epoch.bump()
        super().__delitem__(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for k, v in dict(*args, **kwargs).items():
            self[k] = v

    def __reduce__(self) -> Any:
        return (ParamGroup, (dict(self),))


class Scalars:
    """The scalars of one group for one step: each is made once, however many parameters read it."""

    def __init__(self, group: ParamGroup):
        self.group = group
        self.made: dict[Any, Tensor] = {}

    def get(self, key: str, index: int | None = None) -> Tensor:
        """group[key], or group[key][index], as a float64 scalar that enters compiled code at run time."""
        found = self.made.get((key, index))
        if found is None:
            found = self.made[key, index] = self._make(key, index)
        return found

    def _make(self, key: str, index: int | None) -> Tensor:
        value = self.group[key] if index is None else self.group[key][index]
        if isinstance(value, Tensor):
            return value.detach().reshape(()).to(f64)
        if here.recorder.tracing:
            return scalars.cell(self.group, key, index)
        return wrap((scalars.host_number(float(value), f64), None))
