"""Rprop: steps by the sign of the gradient alone."""

from __future__ import annotations

from collections.abc import Iterable

import ingot
from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.ir.op import OPS
from ingot.optim.group import ParamGroup
from ingot.optim.rule import Flags, Rule, Values, like
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero

__all__ = ["Rprop"]


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    agree = g * s["prev"]
    turned, same = agree < 0.0, agree > 0.0
    factor = OPS["select"](same, like(p, c["larger"]).broadcast(p.shape), p.full(1.0))
    factor = OPS["select"](turned, like(p, c["smaller"]).broadcast(p.shape), factor)
    size = OPS["minimum"](OPS["maximum"](s["step_size"] * factor, like(p, c["least"])), like(p, c["most"]))
    g = OPS["select"](turned, p.full(0.0), g)
    return p - OPS["sign"](g) * size, {"step": s["step"] + 1.0, "prev": g, "step_size": size}


class Rprop(RuleOptimizer):
    """p -= sign(g) * size; an element's size grows by etas[1] while the sign of its gradient stays, and shrinks by etas[0] when it turns.

    Sizes start at lr and stay within `step_sizes`; where the sign turned, p waits a step. For full batches.
    Source: https://doi.org/10.1109/ICNN.1993.298623.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000, 0.9000])
    """

    rule = Rule("rprop", lambda flags: ("step", "prev", "step_size"), ("smaller", "larger", "least", "most"), _update)
    scalar_keys = {"smaller": ("etas", 0), "larger": ("etas", 1), "least": ("step_sizes", 0), "most": ("step_sizes", 1)}

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_at_least_zero(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(
            params,
            dict(
                lr=lr, etas=etas, step_sizes=step_sizes, foreach=foreach, maximize=maximize, differentiable=differentiable,
                capturable=capturable,
            ),
        )  # fmt: skip

    def _state_value(self, name: str, param: Tensor, group: ParamGroup) -> Tensor:
        if name == "step_size":
            return ingot.full(tuple(param.shape), float(group["lr"]), dtype=param.dtype, device=param.device)
        return super()._state_value(name, param, group)
