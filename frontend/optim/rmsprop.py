"""RMSprop: steps by a running mean of the squared gradient."""

from __future__ import annotations

from collections.abc import Iterable

from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.optim.rule import Flags, Rule, Values, lerp, like, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero

__all__ = ["RMSprop"]


def _state(flags: Flags) -> tuple[str, ...]:
    return ("step", "square_avg") + tuple(n for f, n in (("momentum", "momentum_buffer"), ("centered", "grad_avg")) if f in flags)


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    g = g + p * like(p, c["weight_decay"])
    sq = s["square_avg"] * like(p, c["alpha"]) + g * g * like(p, 1.0 - c["alpha"])
    new = {"step": s["step"] + 1.0, "square_avg": sq}
    spread = sq
    if "centered" in flags:
        mean = new["grad_avg"] = lerp(s["grad_avg"], g, 1.0 - c["alpha"])
        spread = sq - mean * mean
    scaled = g / (sqrt(spread) + like(p, c["eps"]))
    if "momentum" in flags:
        scaled = new["momentum_buffer"] = s["momentum_buffer"] * like(p, c["momentum"]) + scaled
    return p - scaled * like(p, c["lr"]), new


class RMSprop(RuleOptimizer):
    """p -= lr * g / (sqrt(s) + eps), s the running mean (of decay alpha) of the squared gradient; with momentum of these steps.

    centered: s is the running variance. Source: https://arxiv.org/abs/1308.0850.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.RMSprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([5.9605e-08, 5.9605e-08])
    """

    rule = Rule("rmsprop", _state, ("lr", "alpha", "eps", "weight_decay", "momentum"), _update)

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_at_least_zero(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered, weight_decay=weight_decay, capturable=capturable,
                foreach=foreach, maximize=maximize, differentiable=differentiable,
            ),
        )  # fmt: skip
