"""Adam for sparse gradients: moments and steps of the rows alone that have one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.optim.group import ParamGroup, Scalars
from ingot.optim.rule import Flags, Rule, Values
from ingot.optim.rule_optimizer import RuleOptimizer, check_betas, keep

__all__ = ["SparseAdam"]


def _dense(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")


class SparseAdam(RuleOptimizer):
    """Adam, lazily: the moments of a row decay, and the row moves, only in steps in which it has a gradient.

    For weights of `nn.Embedding(sparse=True)`. RuntimeError for dense gradients; ValueError for arguments out of range.

    >>> table = nn.Embedding(4, 2, sparse=True)
    >>> optimizer = ingot.optim.SparseAdam(table.parameters(), lr=0.1)
    >>> table(ingot.tensor([1])).sum().backward()
    >>> optimizer.step()
    """

    rule = Rule("sparse_adam", lambda flags: ("step", "exp_avg", "exp_avg_sq"), ("lr", "beta1", "beta2", "eps"), _dense)

    def __init__(
        self, params: Iterable, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        maximize: bool = False,
    ):  # fmt: skip
        if not isinstance(lr, Tensor) and not lr > 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))

    def _update_sparse(self, p: Tensor, grad: Any, group: ParamGroup, flags: frozenset[str], scalars: Scalars, before: list) -> None:
        state = self._ready_state(p, group, flags)
        g = grad.coalesce()
        places, new = tuple(g.indices()), g.values()
        new = -new if "maximize" in flags else new
        lr, beta1, beta2, eps = (self.scalar(name, p, scalars) for name in self.rule.scalars)
        step = state["step"] + 1.0
        count = step.double()
        change = []
        for name, power, beta in (("exp_avg", new, beta1), ("exp_avg_sq", new * new, beta2)):
            held = state[name][places]
            change.append((name, (power - held) * (1.0 - beta).to(p.dtype), held))
        first, second = (held + by for _, by, held in change)
        rate = lr * (1.0 - beta2**count).sqrt() / (1.0 - beta1**count)
        moved = first / (second.sqrt() + eps.to(p.dtype)) * -rate.to(p.dtype)
        keep(p, p.index_put(places, moved, accumulate=True), before)
        for name, by, _ in change:
            keep(state[name], state[name].index_put(places, by, accumulate=True), before)
        keep(state["step"], step, before)
