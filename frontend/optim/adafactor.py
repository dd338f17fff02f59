"""Adafactor: steps by a second moment that is kept as a row and a column."""

from __future__ import annotations

import math
from collections.abc import Iterable

import ingot
from ingot._tensor import Tensor
from ingot._tensor.recording import scalar as number
from ingot.ir.builder import Expr
from ingot.ir.dtypes import f64
from ingot.ir.op import OPS
from ingot.optim.group import ParamGroup, Scalars
from ingot.optim.rule import Flags, Rule, Values, lerp, like, pow, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero

__all__ = ["Adafactor"]


def _state(flags: Flags) -> tuple[str, ...]:
    return ("step", "row_var", "col_var") if "factored" in flags else ("step", "variance")


def _norm(x: Expr) -> Expr:
    axes = tuple(range(x.rank))
    return sqrt((x * x).sum(axes).reshape(()))


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    t = step.cast(f64)
    count = math.prod(p.shape)
    new_weight = pow(t, c["beta2_decay"])
    rate = OPS["minimum"](c["lr"], 1.0 / sqrt(t))
    rate = like(p, rate) * OPS["maximum"](_norm(p) / math.sqrt(max(count, 1)), like(p, c["relative"]))
    p = p * like(p, 1.0 - c["lr"] * c["weight_decay"])
    tiny = like(p, c["tiny"])
    square = g * g
    new: Values = {"step": step}
    if "factored" in flags:
        rows, columns = p.rank - 1, p.rank - 2
        row = new["row_var"] = lerp(s["row_var"], square.sum((rows,)) / max(p.shape[rows], 1), new_weight)
        col = new["col_var"] = lerp(s["col_var"], square.sum((columns,)) / max(p.shape[columns], 1), new_weight)
        mean = row.sum((columns,)) / max(p.shape[columns], 1)
        variance = row * col / OPS["maximum"](mean, tiny)
    else:
        variance = new["variance"] = lerp(s["variance"], square, new_weight)
    update = g / sqrt(OPS["maximum"](variance, tiny * tiny))
    clip = OPS["maximum"](_norm(update) / (math.sqrt(max(count, 1)) * like(p, c["d"])), rate.const(1.0))
    return p - update * (rate / clip), new


class Adafactor(RuleOptimizer):
    """p -= rate * g / sqrt(v), where v of a matrix is kept as the means of its rows and of its columns: little memory.

    rate: min(lr, 1 / sqrt(t)) times the root mean square of p, at least eps[1]. beta2_decay: v's newest part weighs t ** beta2_decay.
    eps[0]: v is at least its square; None means the dtype's epsilon. d: the root mean square that an update may have.
    Source: https://arxiv.org/abs/1804.04235.

    >>> w = nn.Parameter(ingot.ones(2, 2))
    >>> optimizer = ingot.optim.Adafactor([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([[0.9000, 0.9000],
            [0.9000, 0.9000]])
    """

    rule = Rule("adafactor", _state, ("lr", "beta2_decay", "tiny", "relative", "d", "weight_decay"), _update)
    scalar_keys = {"tiny": ("eps", 0), "relative": ("eps", 1)}

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        check_at_least_zero(lr=lr, weight_decay=weight_decay)
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        super().__init__(
            params,
            dict(lr=lr, beta2_decay=beta2_decay, eps=eps, d=d, weight_decay=weight_decay, foreach=foreach, maximize=maximize),
        )

    def param_flags(self, p: Tensor, flags: Flags) -> Flags:
        return flags | {"factored"} if p.ndim > 1 else flags

    def scalar(self, name: str, p: Tensor, scalars: Scalars) -> Tensor:
        if name == "tiny" and scalars.group["eps"][0] is None:
            return number(ingot.finfo(p.dtype).eps, f64)
        return super().scalar(name, p, scalars)

    def _state_value(self, name: str, param: Tensor, group: ParamGroup) -> Tensor:
        shape = list(param.shape)
        if name in ("row_var", "col_var"):
            shape[-1 if name == "row_var" else -2] = 1
            return ingot.zeros(tuple(shape), dtype=param.dtype, device=param.device)
        return super()._state_value(name, param, group)
