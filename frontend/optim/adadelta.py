"""Adadelta: steps as large as the steps before, by running means of squares."""

from __future__ import annotations

from collections.abc import Iterable

from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.optim.rule import Flags, Rule, Values, like, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero

__all__ = ["Adadelta"]


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    g = g + p * like(p, c["weight_decay"])
    rho, rest, eps = like(p, c["rho"]), like(p, 1.0 - c["rho"]), like(p, c["eps"])
    sq = s["square_avg"] * rho + g * g * rest
    delta = sqrt(s["acc_delta"] + eps) / sqrt(sq + eps) * g
    acc = s["acc_delta"] * rho + delta * delta * rest
    return p - delta * like(p, c["lr"]), {"step": s["step"] + 1.0, "square_avg": sq, "acc_delta": acc}


class Adadelta(RuleOptimizer):
    """p -= lr * d, d = g * sqrt(u + eps) / sqrt(s + eps), s and u running means (of decay rho) of g ** 2 and d ** 2.

    Source: https://arxiv.org/abs/1212.5701.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.Adadelta([w], lr=1.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9968, 0.9968])
    """

    rule = Rule("adadelta", lambda flags: ("step", "square_avg", "acc_delta"), ("lr", "rho", "eps", "weight_decay"), _update)

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        super().__init__(
            params,
            dict(
                lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable, foreach=foreach,
                differentiable=differentiable,
            ),
        )  # fmt: skip
