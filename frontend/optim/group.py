"""Parameter groups and state, which tell compiled steps when they change, and the run-time scalars that an update reads."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot.ir.dtypes import f64
from ingot.runtime import epoch
from ingot.runtime.numbers import host_number
from ingot.runtime.recorder import here

__all__ = ["ParamGroup", "Scalars", "State", "WatchedDict", "WatchedList"]

# Keys whose numbers are read at every step, by compiled code too: writing them makes nothing out of date.
CELLS = frozenset(
    ("lr", "betas", "eps", "weight_decay", "momentum", "dampening", "alpha", "lr_decay", "rho", "initial_lr", "max_lr", "min_lr", "swa_lr",
     "lambd", "t0", "momentum_decay", "etas", "step_sizes", "beta2_decay", "d", "ns_coefficients")
)  # fmt: skip


def kind_of(value: Any) -> Any:
    """What code may depend on: whether a number is zero, and kinds; not the number itself."""
    if isinstance(value, (tuple, list)):
        return tuple(kind_of(v) for v in value)
    return (type(value), bool(value)) if isinstance(value, (bool, int, float)) else type(value)


@epoch.bumping(list)
class WatchedList(list):
    """A list of groups or parameters. Changing it tells compiled functions to look again."""


@epoch.bumping(dict)
class WatchedDict(dict):
    """The state of one parameter. Changing what it holds tells compiled functions to look again."""


@epoch.bumping(defaultdict)
class State(defaultdict):
    """The state of all parameters. Dropping or exchanging any tells compiled functions to look again."""

    def __init__(self, *args: Any):
        super().__init__(WatchedDict, *(dict(a) for a in args if a is not WatchedDict))

    def __reduce__(self) -> Any:
        return (State, (dict(self),))


@epoch.bumping(dict)
class ParamGroup(dict):
    """A dict of one parameter group. Writing anything but a number read at run time tells compiled functions to look again."""

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in CELLS or key not in self or kind_of(self[key]) != kind_of(value):
            epoch.bump()
        if key in CELLS:
            here.recorder.only_outside(
                f"a compiled function cannot change a setting of an optimizer, {key!r}: later calls would not do it again",
                "change it outside of the compiled function",
            )
        super().__setitem__(key, WatchedList(value) if key == "params" and type(value) is list else value)

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
            return here.recorder.cell(self.group, key, index)
        return wrap((host_number(float(value), f64), None))
