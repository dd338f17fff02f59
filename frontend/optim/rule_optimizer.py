"""Optimizers whose update is one graph per parameter: the step, which happens whole or not at all, and checks of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.recording import inplace, record
from ingot.ir.op import OPS
from ingot.optim.group import ParamGroup, Scalars
from ingot.optim.optimizer import Optimizer
from ingot.optim.rule import Rule, rule_graph
from ingot.runtime import recorder
from ingot.runtime.recorder import here
from ingot.runtime.sight import unseen

__all__ = ["RuleOptimizer", "check_at_least_zero", "check_betas", "keep"]


def check_at_least_zero(**values: Any) -> None:
    """ValueError, in torch's words, for a negative number; a Tensor is not looked at."""
    for name, v in values.items():
        if not isinstance(v, Tensor) and not v >= 0.0:
            what = "learning rate" if name == "lr" else "epsilon value" if name == "eps" else f"{name} value"
            raise ValueError(f"Invalid {what}: {v}")


def check_betas(betas: tuple[float, float]) -> None:
    """ValueError, in torch's words, for a beta outside of [0, 1); a Tensor is not looked at."""
    for i, b in enumerate(betas):
        if not isinstance(b, Tensor) and not 0.0 <= b < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {b}")


class RuleOptimizer(Optimizer):
    """An optimizer whose update is a `Rule`.

    A subclass names its `rule`, and says which flags a group sets and where its scalars come from.
    """

    rule: Rule
    scalar_keys: dict[str, tuple[str, int]] = {"beta1": ("betas", 0), "beta2": ("betas", 1)}

    def __init__(self, params: Iterable, defaults: dict[str, Any]):
        if defaults.get("differentiable"):
            raise ValueError(f"{type(self).__name__}: differentiable=True is not supported")
        super().__init__(params, defaults)

    def flags(self, group: ParamGroup) -> frozenset[str]:
        """What of a group changes the code of its update."""
        return frozenset(f for f in ("maximize", "amsgrad", "nesterov", "centered", "momentum") if group.get(f))

    def param_flags(self, p: Tensor, flags: frozenset[str]) -> frozenset[str]:
        """The group's flags, and those that a parameter's shape adds."""
        return flags

    def scalar(self, name: str, p: Tensor, scalars: Scalars) -> Tensor:
        """A scalar of the rule, for the update of `p`."""
        return scalars.get(*self.scalar_keys.get(name, (name, None)))  # type: ignore[arg-type]

    def _state_value(self, name: str, param: Tensor, group: ParamGroup) -> Tensor:
        """A state tensor before the first step."""
        if name == "step":
            return ingot.zeros((), dtype=ingot.float32, device=param.device)
        return ingot.zeros(tuple(param.shape), dtype=param.dtype, device=param.device)

    def initialize_state(self) -> None:
        """Make the state of every parameter now, rather than in its first step: before a step is compiled."""
        with ingot.no_grad():
            for group in self.param_groups:
                flags = self.flags(group)
                for p in group["params"]:
                    if p.requires_grad:
                        self._ready_state(p, group, self.param_flags(p, flags))

    def _ready_state(self, p: Tensor, group: ParamGroup, flags: frozenset[str]) -> dict[str, Any]:
        names = self.rule.state(flags)
        if not names:
            return {}
        state = self.state[p]
        for name in names:
            if not isinstance(state.get(name), Tensor):
                with recorder.outside():  # a compiled step reads and writes it like any other state
                    number = state.get(name)
                    made = self._state_value(name, p, group)
                    state[name] = made if number is None else made + float(number)
        return state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. If anything fails, parameters and state stay as they were."""
        args: tuple = () if closure is None else (closure,)
        kwargs: dict = {}
        for hook in list(self._step_pre_hooks.values()):
            result = hook(self, args, kwargs)
            if result is not None:
                args, kwargs = result
                closure = args[0] if args else kwargs.get("closure")
        loss = None
        if closure is not None:
            with ingot.enable_grad():
                loss = closure()
        with ingot.no_grad():
            self._update()
        for hook in list(self._step_post_hooks.values()):
            hook(self, args, kwargs)
        return loss

    def _update(self) -> None:
        before: list[tuple[Tensor, Any, Any]] = []
        new = [p for group in self.param_groups for p in group["params"] if not self.state.get(p)]
        try:
            for group in self.param_groups:
                flags = self.flags(group)
                scalars = Scalars(group)
                for p in group["params"]:
                    grad = p.grad
                    if grad is not None and grad._sparse:
                        self._update_sparse(p, grad, group, flags, scalars, before)
                    elif grad is not None:
                        self._update_one(p, grad, group, flags, scalars, before)
            recorder.flush()  # a natural cut: every step's plan is the same
        except BaseException:
            for t, storage, value in reversed(before):
                _restore(t, storage, value)
            for p in new:
                self.state.pop(p, None)
            raise

    def _update_one(self, p: Tensor, grad: Tensor, group: ParamGroup, flags: frozenset[str], scalars: Scalars, before: list) -> None:
        rule = self.rule
        flags = self.param_flags(p, flags)
        state = self._ready_state(p, group, flags)
        kept = [state[n] for n in rule.state(flags)]
        inputs = [p, grad, *kept]
        for name in rule.scalars:
            inputs.append(self.scalar(name, p, scalars))
        types = tuple(t._array.type for t in kept)
        graph = unseen(rule_graph, rule, flags, p._array.type, grad.dtype, types)
        new = record(OPS["call"], inputs, (graph,))
        for t, value in zip((p, *kept), new if isinstance(new, tuple) else (new,)):
            unseen(keep, t, value, before)

    def _update_sparse(self, p: Tensor, grad: Any, group: ParamGroup, flags: frozenset[str], scalars: Scalars, before: list) -> None:
        raise RuntimeError(
            f"{type(self).__name__} does not support sparse gradients: use SGD, Adagrad or SparseAdam, or an embedding without sparse=True"
        )


def keep(t: Tensor, value: Tensor, before: list) -> None:
    """Write `value` into `t`, in a way that can be undone."""
    held = t._here() if here.recorder.tracing else t
    before.append((held, held._storage, held._now() if held._storage is None else held._storage.base))
    inplace(t, value)


def _restore(t: Tensor, storage: Any, value: Any) -> None:
    """Undo an in-place write of a step that failed."""
    if storage is None:
        t._set((value, t._edge))
    elif storage.exposed is None:
        storage.commit(value, storage.edge, counts=False)
