"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.optim.group import ParamGroup, Scalars
from ingot.optim.rule import Flags, Rule, Values, like
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero, keep

__all__ = ["SGD"]


def _state(flags: Flags) -> tuple[str, ...]:
    return ("momentum_buffer",) if "momentum" in flags else ()


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    g = g + p * like(p, c["weight_decay"])
    new: Values = {}
    if "momentum" in flags:
        m = like(p, c["momentum"])
        if "first" in flags:
            buf = g
        else:
            buf = s["momentum_buffer"] * m + g * like(p, 1.0 - c["dampening"])
        new["momentum_buffer"] = buf
        g = g + buf * m if "nesterov" in flags else buf
    return p - g * like(p, c["lr"]), new


class SGD(RuleOptimizer):
    """p -= lr * b, b the momentum buffer: b = momentum * b + (1 - dampening) * (g + weight_decay * p); without momentum b is the gradient.

    nesterov: the step is g + momentum * b. maximize: ascend. `foreach` and `fused` are accepted: there is one implementation.
    ValueError for negative arguments, or nesterov without momentum or with dampening; so for all optimizers.
    Source: https://proceedings.mlr.press/v28/sutskever13.html.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.SGD([w], lr=0.1, momentum=0.9)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8000, 0.8000])
    """

    rule = Rule("sgd", _state, ("lr", "momentum", "dampening", "weight_decay"), _update)

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_at_least_zero(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov, maximize=maximize,
                foreach=foreach, differentiable=differentiable, fused=fused,
            ),
        )  # fmt: skip

    def _ready_state(self, p: Tensor, group: ParamGroup, flags: frozenset[str]) -> dict[str, Any]:
        if not (group["momentum"] and group["dampening"]):
            return super()._ready_state(p, group, flags)
        if "first" in flags:
            self.state[p]["momentum_buffer"] = self._state_value("momentum_buffer", p, group)
        return self.state.get(p, {})

    def _update_one(self, p: Tensor, grad: Tensor, group: ParamGroup, flags: frozenset[str], *rest: Any) -> None:
        # torch's first momentum is the gradient itself, undampened; without dampening that is what zeros give
        if group["momentum"] and group["dampening"] and self.state.get(p, {}).get("momentum_buffer") is None:
            flags = flags | {"first"}
        super()._update_one(p, grad, group, flags, *rest)

    def _update_sparse(self, p: Tensor, grad: Any, group: ParamGroup, flags: frozenset[str], scalars: Scalars, before: list) -> None:
        if group["weight_decay"]:
            raise RuntimeError("SGD: weight_decay is not supported with sparse gradients")
        if group["momentum"]:  # its buffer is dense soon
            return self._update_one(p, grad.to_dense(), group, flags, scalars, before)
        g, rate = grad.coalesce(), scalars.get("lr", None).to(p.dtype)
        keep(p, p.index_put(tuple(g.indices()), g.values() * (rate if group["maximize"] else -rate), accumulate=True), before)
